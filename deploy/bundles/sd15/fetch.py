#!/usr/bin/env python3
"""Fetches the weights of the sd15 bundle, on a machine that reaches the model hub.

    python3 -m pip install huggingface_hub torch safetensors
    deploy/bundles/sd15/fetch.py              fetch, verify, convert (2.9 GB)
    deploy/bundles/sd15/fetch.py --check      verify what is here, fetch nothing
    deploy/bundles/sd15/fetch.py --cutler FILE, --mae FILE
                                              add CutLER, MAE, from a file that you have

files.json says what, from which revision, and how it is to hash. A file without a
hash there is checked against the hub's own record; that record is then kept in
fetched.json and checked from then on. Pickled weights (.bin) are read with
weights_only=True and written as safetensors, so that the server never sees one.

CutLER and MAE are not for commercial use, so they are not fetched: whoever may use them
gets the file from its source (files.json, "optional") and names it here. It becomes a
folder cutler/ or mae/, and bundle.json names that folder from then on.
"""

import argparse
import hashlib
import json
import pathlib
import pickle
import shutil
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent


def say(message):
    print(f"sd15: {message}", flush=True)


def fail(message):
    raise SystemExit(f"sd15: error: {message}")


def digests_of(path):
    """(SHA-256, git blob id) of a file: the hub records the one for big, the other for small."""
    size = path.stat().st_size
    sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode())
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            blob.update(block)
    return sha256.hexdigest(), blob.hexdigest()


def target_of(manifest, entry):
    folder = manifest["repositories"][entry["repository"]]["folder"]
    return f"{folder}/{entry.get('to', entry['path'])}"


def import_or_fail(name, why):
    try:
        return __import__(name)
    except ImportError:
        fail(f"the Python package {name} is needed {why}: python3 -m pip install {name}")


def hub_record(api, entry, revision):
    """What the hub says of a file: (commit, bytes, sha256 or None, git blob id)."""
    commit = api.model_info(entry["repository"], revision=revision).sha
    found = api.get_paths_info(entry["repository"], [entry["path"]], revision=commit)
    if len(found) != 1:
        fail(f"{entry['repository']} has no {entry['path']} at {commit}")
    lfs = found[0].lfs
    return commit, found[0].size, lfs.sha256 if lfs else None, found[0].blob_id


def verify(path, entry, record):
    """Compares a downloaded file with files.json, and with the hub where that is silent."""
    sha256, blob = digests_of(path)
    _, size, hub_sha256, hub_blob = record
    wanted_size = entry["bytes"] if entry["bytes"] is not None else size
    if path.stat().st_size != wanted_size:
        fail(f"{entry['path']}: {path.stat().st_size} bytes, expected {wanted_size}")
    wanted = entry["sha256"] or hub_sha256
    if wanted is not None and sha256 != wanted:
        fail(f"{entry['path']}: sha256 {sha256}, expected {wanted}")
    if wanted is None and blob != hub_blob:
        fail(f"{entry['path']}: git blob {blob}, expected {hub_blob}")
    return sha256


def to_safetensors(source, target):
    """A pickled state dict as safetensors, each tensor with storage of its own."""
    torch = import_or_fail("torch", f"to convert {source.name}")
    import_or_fail("safetensors", f"to convert {source.name}")
    from safetensors.torch import save_file
    state = torch.load(source, map_location="cpu", weights_only=True)
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()
               if isinstance(value, torch.Tensor)}
    if not tensors:
        fail(f"{source.name} holds no tensors")
    save_file(tensors, target, metadata={"format": "pt"})


class ArrayUnpickler(pickle.Unpickler):
    """Reads containers, numbers and numpy's arrays; refuses all else, which could run."""

    ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
    ALLOWED = {("collections", "OrderedDict"), ("_codecs", "encode"), ("numpy", "ndarray"),
               ("numpy", "dtype"), *((module, name) for module in ARRAYS
                                     for name in ("_reconstruct", "scalar"))}

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            fail(f"the checkpoint asks for {module}.{name}, which is no array; it is not read")
        return super().find_class(module, name)


def read_checkpoint(path):
    """A checkpoint: torch's file, or, as detectron2's may be, a pickle of numpy arrays."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            first = ArrayUnpickler(file, encoding="latin1").load()
        if not isinstance(first, int):  # torch's old files begin with a number
            return first
    torch = import_or_fail("torch", f"to convert {path.name}")
    numpy = import_or_fail("numpy", f"to convert {path.name}")
    core = getattr(numpy, "_core", None) or numpy.core
    allowed = [argparse.Namespace, numpy.ndarray, numpy.dtype]  # MAE's keeps its flags
    allowed += [type(numpy.dtype(kind)) for kind in ("float32", "float64", "int64")]
    allowed += [(getattr(core.multiarray, name), f"{module}.{name}")
                for module in ArrayUnpickler.ARRAYS for name in ("_reconstruct", "scalar")]
    with torch.serialization.safe_globals(allowed):
        return torch.load(path, map_location="cpu", weights_only=True)


def save_optional(source, target, name, part):
    """The checkpoint's "model", the arrays of which may be numpy's, as safetensors, without what
    `part` leaves out."""
    import_or_fail("safetensors", f"to convert {source.name}")
    checkpoint = read_checkpoint(source)
    torch = import_or_fail("torch", f"to convert {source.name}")
    from safetensors.torch import save_file
    chosen = select(checkpoint.get("model", checkpoint), source.name, name, part)
    tensors = {key: torch.as_tensor(value).detach().clone().contiguous()
               for key, value in chosen.items()}
    save_file(tensors, target, metadata={"format": "pt"})


def select(state, file, name, part):
    """The arrays that --`name` keeps; fails where `file` does not hold what `part` says."""
    chosen = {key: value for key, value in state.items()
              if hasattr(value, "shape") and not key.startswith(tuple(part["left_out"]))}
    for key, shape in part["holds"].items():
        found = list(chosen[key].shape) if key in chosen else "nothing of that name"
        if found != shape:
            fail(f"{file} is not what --{name} wants: {key} should be {shape}, found {found}")
    return chosen


def optional_target(name):
    return f"{name}/model.safetensors"


def add_optional(name, part, root, source, lock):
    target = optional_target(name)
    if not source.is_file():
        fail(f"{source} is not there; it comes from {part['source']}")
    say(f"{target}: converting {source.name}; {part['licence']}")
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    staged = (root / target).with_suffix(".new")
    save_optional(source, staged, name, part)
    staged.replace(root / target)
    lock[target] = {"path": source.name, "source_sha256": digests_of(source)[0],
                    "bytes": (root / target).stat().st_size,
                    "sha256": digests_of(root / target)[0]}
    write_json(root / "fetched.json", lock)
    write_json((root / target).with_name("config.json"), part["config"])


def write_bundle(manifest, root, lock):
    """bundle.json at `root`: this folder's, with what was added."""
    document = json.loads((HERE / "bundle.json").read_text())
    before = json.dumps(document)
    for name, part in manifest["optional"].items():
        if optional_target(name) not in lock:
            continue
        document = part.get("keys", {}) | document  # what somebody changed stays
        space = part.get("space")
        if space and space["name"] not in [s["name"] for s in document["spaces"]]:
            document["spaces"].append(space)
    if json.dumps(document) != before:
        write_json(root / "bundle.json", document)
    elif root != HERE:
        shutil.copy(HERE / "bundle.json", root / "bundle.json")


def fetch(manifest, root, lock):
    hub = import_or_fail("huggingface_hub", "to fetch")
    api = hub.HfApi()
    for entry in manifest["files"]:
        target = target_of(manifest, entry)
        if is_whole(root / target, lock.get(target)):
            say(f"{target} is here")
            continue
        say(f"{target}: fetching {entry['path']} of {entry['repository']}")
        revision = manifest["repositories"][entry["repository"]]["revision"]
        record = hub_record(api, entry, revision)
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as staging:
            got = pathlib.Path(hub.hf_hub_download(entry["repository"], entry["path"],
                                                   revision=record[0], local_dir=staging))
            source_sha256 = verify(got, entry, record)
            if got.suffix == ".bin":
                converted = got.with_suffix(".safetensors")
                to_safetensors(got, converted)
                got = converted
            kept_sha256 = digests_of(got)[0]
            size = got.stat().st_size
            shutil.move(got, root / target)
        lock[target] = {"repository": entry["repository"], "commit": record[0],
                        "path": entry["path"], "source_sha256": source_sha256,
                        "bytes": size, "sha256": kept_sha256}
        write_json(root / "fetched.json", lock)


def is_whole(path, locked):
    return (locked is not None and path.is_file() and path.stat().st_size == locked["bytes"] and
            digests_of(path)[0] == locked["sha256"])


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    temporary.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="verify what is here, fetch nothing")
    manifest = json.loads((HERE / "files.json").read_text())
    for name, part in manifest["optional"].items():
        parser.add_argument(f"--{name}", type=pathlib.Path, metavar="FILE",
                            help=f"add {part['title']} from its checkpoint, fetch nothing else")
    parser.add_argument("--root", type=pathlib.Path, default=HERE,
                        help="the bundle's folder (default: this script's)")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    lock_path = root / "fetched.json"
    lock = json.loads(lock_path.read_text()) if lock_path.is_file() else {}
    given = {name: file for name in manifest["optional"] if (file := getattr(arguments, name))}
    if given:
        root.mkdir(parents=True, exist_ok=True)
        for name, file in given.items():
            add_optional(name, manifest["optional"][name], root, file, lock)
            write_bundle(manifest, root, lock)
            say(f"{manifest['optional'][name]['title']} is in; {manifest['optional'][name]['use']}")
        return
    if not arguments.check:
        root.mkdir(parents=True, exist_ok=True)
        fetch(manifest, root, lock)
        for name, value in manifest["written"].items():
            write_json(root / name, value)
        write_bundle(manifest, root, lock)
    targets = [target_of(manifest, entry) for entry in manifest["files"]]
    targets += [optional_target(name) for name in manifest["optional"] if optional_target(name) in lock]
    bad = [name for name in targets if not is_whole(root / name, lock.get(name))]
    bad += [name for name in manifest["written"] if not (root / name).is_file()]
    if bad:
        fail("missing or damaged: " + ", ".join(bad))
    say(f"all {len(targets)} files are whole; next: ovdiffd --bundle {root}")


if __name__ == "__main__":
    sys.exit(main())
