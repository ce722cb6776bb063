"""Which ways to run the method there are: the paper's ablations, as option overrides.

A variant is {"name", "title", "options"[, "profile"][, "support"][, "true_classes"][, "tune"]}: "profile" is one of the engine's;
options lie over it, those of engine/base/method_options.h by group ("generation", "prototype", "segment"); "support"
names support pictures from files; "true_classes" asks only for what is in the picture; "tune" lists values of
segment.background_threshold to choose from on the val split.
"""

from __future__ import annotations

import copy
import itertools

PICTURES = (1, 2, 4, 8, 16, 32)
STEPS = (10, 20, 30, 40, 50)
LEVELS = ("class", "instance", "part")
# Cosines of the best class; the finer grid is laid around the best of these.
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(2, 20))

# PROFILE is a profile of the engine's, or this: 2 pictures, 2 steps, 2 parts, to see that all runs, never how well.
SMOKE = "smoke"
_SMOKE_OPTIONS = {"generation": {"num_pictures": 2, "num_steps": 2}, "prototype": {"num_parts": 2}}


def profile(name: str) -> dict:
    """What every variant of a run under PROFILE=`name` begins with."""
    return {"profile": "default", "options": _SMOKE_OPTIONS} if name == SMOKE else {"profile": name, "options": {}}


def merge(base: dict, override: dict) -> dict:
    """`base` with `override` over it, groups within groups too."""
    result = copy.deepcopy(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def variant(name: str, title: str, options: dict | None = None, **rest) -> dict:
    return {"name": name, "title": title, "options": options or {}, **rest}


FULL = variant("full", "full method")


def full(info: dict, dataset) -> list[dict]:
    return [FULL]


def spaces(info: dict, dataset) -> list[dict]:
    names = info["default_spaces"]
    pairs = list(itertools.combinations(names, 2)) if len(names) > 2 else []
    return [variant(f"only-{n}", f"{n} alone", {"segment": {"spaces": [n]}}) for n in names] + [
        variant(f"pair-{a}-{b}", f"{a} + {b}", {"segment": {"spaces": [a, b]}}) for a, b in pairs
    ] + [
        # Classes have prototypes in these only where they are asked for.
        variant(f"only-{n}", f"{n} alone", {"prototype": {"spaces": [n]}, "segment": {"spaces": [n]}})
        for n in info["spaces"] if n not in names
    ]


def parts(info: dict, dataset) -> list[dict]:
    """What the method consists of, taken away one by one."""
    result = [variant("no-prefilter", "without prefilter", {"segment": {"prefilter": {"enabled": False}}})]
    truth = {"segment": {"prefilter": {"enabled": False}}}
    result.append(variant("true-prefilter", "with a prefilter that knows the truth", truth, true_classes=True))
    if dataset.background:
        off = {"segment": {"use_background": False}}
        result.append(variant("no-background", "without background prototypes", off, tune=THRESHOLDS))
    if any(c.kind == "stuff" for c in dataset.classes):
        off = {"segment": {"stuff_filter": {"enabled": False}}}
        result.append(variant("no-stuff-filter", "without stuff filter", off))
    for level in LEVELS:
        only = {"segment": {f"use_{other}_level": other == level for other in LEVELS}}
        result.append(variant(f"only-{level}", f"{level} prototypes only", only))
    return result


def pamr(info: dict, dataset) -> list[dict]:
    return [
        variant("pamr", "with PAMR", {"segment": {"pamr": {"enabled": True}}}),
        variant("no-pamr", "without PAMR", {"segment": {"pamr": {"enabled": False}}}),
    ]


def profiles(info: dict, dataset) -> list[dict]:
    result = [variant(f"profile-{n}", f"profile {n}", profile=n) for n in info["profiles"]]
    if "paper" not in info["profiles"]:
        # A bundle without CutLER. It was trained on MaskCut's masks, so these are the nearest that there is.
        masks = {"prototype": {"mask_source": "maskcut", "cut_by_attribution": False}}
        result.append(variant("paper-maskcut", "profile paper, MaskCut in CutLER's place", masks, profile="paper"))
    return result


def refinement(info: dict, dataset) -> list[dict]:
    """Attribution maps as they are and refined by the painter's self-attention."""
    titles = {0: "attribution as it is", 1: "attribution refined once", 2: "attribution refined twice"}
    return [variant(f"refined-{n}", title, {"generation": {"self_attention_rounds": n}}) for n, title in titles.items()]


def trials(info: dict, dataset) -> list[dict]:
    """What later work suggests, each alone over the full method. To be tried on the val split."""
    prototype = {
        "maskcut": ("support masks by MaskCut as they are", {"mask_source": "maskcut", "cut_by_attribution": False}),
        "maskcut-cut": ("support masks by MaskCut, cut by attribution", {"mask_source": "maskcut", "cut_by_attribution": True}),
        "prune-25": ("without the quarter of the pictures that CLIP likes least", {"prune_share": 0.25}),
        "prune-50": ("without the half of the pictures that CLIP likes least", {"prune_share": 0.5}),
        "normalized": ("features of length 1 before averaging", {"normalize_features": True}),
    }
    result = [variant(name, title, {"prototype": options}) for name, (title, options) in prototype.items()]
    by_attention = {"prototype": {"mask_source": "attention"}}
    for item in refinement(info, dataset):
        options = merge(item["options"], by_attention)
        result += [item, variant(f"attention-{item['name']}", f"support masks by attention, {item['title']}", options)]
    for space in info["default_spaces"]:
        for weight in (0.5, 2.0):
            options = {"segment": {"space_weights": {space: weight}}}
            result.append(variant(f"weight-{space}-{weight:g}", f"{space} counts {weight:g}", options))
    return result


def pictures(info: dict, dataset) -> list[dict]:
    return [variant(f"n-{n}", f"N = {n}", {"generation": {"num_pictures": n}}) for n in PICTURES]


def steps(info: dict, dataset) -> list[dict]:
    return [variant(f"steps-{n}", f"{n} steps", {"generation": {"num_steps": n}}) for n in STEPS]


def supports(info: dict, dataset) -> list[dict]:
    """What the support masks and the generator cost; see README.md. Data sets without such files have none."""
    return [variant(name, title, support=name) for name, title in dataset.support_titles.items()]


GROUPS = {
    "full": [full],
    "spaces": [full, spaces],
    "parts": [full, parts, pamr],
    "pictures": [full, pictures],
    "steps": [full, steps],
    "supports": [full, supports],
    "profiles": [full, profiles],
    "refinement": [full, refinement],
    "trials": [full, pamr, trials],
    "ablations": [full, spaces, parts, pamr, pictures, steps, supports],
}


def make(groups: str, profile: dict, info: dict, dataset) -> list[dict]:
    """The variants of comma-separated groups, over profile()'s and a data set's own options."""
    result: dict[str, dict] = {}
    for group in groups.split(","):
        if group not in GROUPS:
            raise ValueError(f"VARIANTS has \"{group}\"; allowed are {', '.join(GROUPS)}")
        for make_variants in GROUPS[group]:
            for item in make_variants(info, dataset):
                base = merge(profile["options"], dataset.options)
                options = merge(base, item["options"])
                result.setdefault(item["name"], {"profile": profile["profile"], **item, "options": options})
    return list(result.values())
