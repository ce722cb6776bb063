"""CLIP's byte-level BPE over the captions' words."""

from __future__ import annotations

import json
import pathlib

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from .pictures import pool
from .run import Run

# The method's negative prompt (engine/base/method_options.h): the diffusion model
# learns it as a caption of anything, so that it needs no override.
NEGATIVE_PROMPT = "text, low quality, blurry, cartoon, meme, low resolution, bad, poor, faded"
# The diffusion model's context; CLIP's own is 77 tokens.
CONTEXT = 32

_CAPTIONS = 8000
# CLIP's pattern: words, single digits, runs of other signs.
_PATTERN = r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def _byte_letters() -> list[str]:
    """GPT-2's printable stand-ins of the 256 bytes, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def tokenizer(run: Run) -> CLIPTokenizer:
    folder = run.work / "tokenizer"
    if not (folder / "tokenizer_config.json").exists():
        _make(run, folder)
    return CLIPTokenizer.from_pretrained(folder)


def _make(run: Run, folder: pathlib.Path) -> None:
    pictures = pool(run)
    rng = run.rng(4)
    corpus = pictures.captions(rng, rng.integers(0, len(pictures.images), _CAPTIONS))
    corpus += [NEGATIVE_PROMPT] * (_CAPTIONS // 10)
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # Enough merges that each of the captions' words becomes one token.
    bpe.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=2000, min_frequency=2, end_of_word_suffix="</w>", show_progress=False))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    letters = _byte_letters()
    # CLIP's order: letters, letters that end a word, merges, the two marks.
    words = [*letters, *(letter + "</w>" for letter in letters)]
    words += [merge.replace(" ", "") for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    made = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=CONTEXT)
    made.save_pretrained(folder)
    (folder / "tokenizer.json").unlink(missing_ok=True)
