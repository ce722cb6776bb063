#!/usr/bin/env python3
"""Writes testdata/: CLIP's real vocabulary and what transformers makes of texts.

Run in the goldens environment (tests/parity/requirements.txt) from anywhere:
    python tests/engine/text/make_goldens.py

vocab.json and merges.txt come from bpe_simple_vocab_16e6.txt.gz of openai/CLIP
(MIT licence; see testdata/NOTICE), as it lies in the package open_clip_torch.
goldens.json holds, for each text, the ids of transformers' CLIPTokenizer (the
fast one, without start and end), and its normaliser's output.
"""

import gzip
import json
import pathlib

import open_clip
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent / "testdata"
NUM_MERGES = 49152 - 256 - 2  # as openai/CLIP cuts the list

TEXTS = [
    # Class names and prompts.
    "", "a photo of a cat", "A good picture of a airplane",
    "A good picture of a potted plant",
    "text, low quality, blurry, cartoon, meme, low resolution, bad, poor, faded",
    "it's 2024!", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car",
    "cat", "chair", "cow", "dining table", "dog", "horse", "motorbike", "person",
    "potted plant", "sheep", "sofa", "train", "tv/monitor", "t-shirt", "ankle boot",
    "red sneaker", "blue sneaker", "traffic light", "hot dog", "teddy bear",
    "hair drier", "wall-other-merged", "rug-merged", "house/building", "skyscraper",
    "Mona Lisa by Leonardo da Vinci", "an astronaut riding a horse on the moon",
    # Case, spaces, control characters.
    "CAT", "cAt DoG", "  leading", "trailing  ", "two  spaces", "tab\tseparated",
    "line\nbreak", "carriage\r\nreturn", "vertical\x0btab", "form\x0cfeed",
    "no\u00a0break", "ogham\u1680space", "em\u2003space", "line\u2028separator",
    "ideographic\u3000space", "next\u0085line", "zero\u200bwidth", "zero\u200djoiner",
    "word\u2060joiner", "\ufeffbom", "soft\u00adhyphen", "bell\x07", "nul\x00byte",
    "escape\x1b[31m", "\x7fdelete", " ", "\t\n ", "\u180emongolian",
    # Contractions, apostrophes, punctuation, digits.
    "I'm", "you're", "we've", "they'll", "he'd", "don't", "it's", "IT'S", "o'clock",
    "'s", "''s", "'''", "rock'n'roll", "dogs' bowl", "it’s", "!'s", "'stuff",
    "'reason", "x'll've", "!!!", "...", "?!?!", "a.b.c", "a,b;c:d", "(brackets)",
    "[square]{curly}", "<tag>", "a_b", "#hashtag", "@user", "50%", "$5.99", "c++",
    "C#", "https://example.org/a?b=c&d=1", "me@example.org", "\\back\\slash", "`code`",
    "~tilde^caret|", "--", "—", "“quotes”", "3.14159", "1234567890", "2nd", "b2b",
    "4x4", "x86_64", "½ cup", "² squared", "Ⅳ roman", "٣ arabic", "①②③", "1e10",
    # Specials written out.
    "<|startoftext|>", "a <|endoftext|> b", "<|endoftext|><|endoftext|>",
    "<|STARTOFTEXT|>", "< |endoftext|>", "x<|endoftext|>y", "CAFÉ<|startoftext|>É",
    # Composition and accents.
    "café", "cafe\u0301", "naïve", "nai\u0308ve", "Ångström", "A\u030angstro\u0308m",
    "\u212bngstrom", "ẛ̣", "q\u0323\u0307", "q\u0307\u0323", "résumé", "smörgåsbord",
    "Đà Nẵng", "Phở", "ñandú", "coöperate", "ﬁne ligature", "ﷺ", "e\u0301\u0301",
    "\u0301lone accent", "x\u20dd", "한국어", "\u1112\u1161\u11ab", "가각", "각\u11a8",
    # Case mappings that are not one to one, or not ASCII.
    "ΣΊΣΥΦΟΣ", "ὈΔΥΣΣΕΎΣ", "Straße", "STRASSE", "ẞ", "İstanbul", "I\u0307", "ISPARTA",
    "ıı", "Ǆ ǅ ǆ", "Ω\u2126", "K\u212a", "ΑΒΓ αβγ", "МОСКВА", "ЁЛКА", "ЇЖАК",
    "ԱՐԱ", "ᏣᎳᎩ", "ⴀ Ⴀ", "ﬀ", "ŉ", "ǰ", "ᾳ", "ᾼ", "Ａｌｐｈａ", "𝐁𝐨𝐥𝐝", "𐐀𐐨",
    # Scripts.
    "日本語", "中文字符", "猫 cat 犬", "漢字かなカナ", "ﾊﾝｶｸ", "ไทย", "हिन्दी", "தமிழ்",
    "বাংলা", "עברית", "العربية", "اَلْعَرَبِيَّةُ", "ქართული", "አማርኛ", "ᠮᠣᠩᠭᠣᠯ", "ខ្មែរ",
    "မြန်မာ", "ᚠᚢᚦ", "𓀀𓀁", "ꙮ", "ℵ₀", "∑∫√", "→←↔", "☃", "♥", "€£¥₿",
    # Emoji.
    "😀", "👍🏽", "👨‍👩‍👧‍👦", "🇫🇷🇯🇵", "❤️", "1️⃣", "cat😺dog", "🐱 🐶", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫠🫡",
    # Private use, unassigned, end of the planes.
    "\ue000", "\U000f0000", "\U0010ffff", "\ufffd", "\ufdd0", "\u0378",
    # Long.
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis",
    "a" * 300, "ab" * 200, "!" * 200, "1" * 120, "lopado" * 40, "é" * 150, "猫" * 120,
    "the quick brown fox jumps over the lazy dog " * 12, "no-spaces-but-dashes-" * 20,
    "\u0301" * 70, "😀" * 60, "x " * 200,
]


def byte_symbols():
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(len(moved))]


def main():
    HERE.mkdir(exist_ok=True)
    source = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.open(source).read().decode("utf-8").split("\n")
    merges = lines[1 : 1 + NUM_MERGES]
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols]
    tokens += ["".join(m.split()) for m in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(tokens)}
    assert len(vocab) == 49408
    (HERE / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (HERE / "vocab.json").write_text(
        json.dumps(vocab, ensure_ascii=False, separators=(",", ":")) + "\n")

    tokenizer = CLIPTokenizer(vocab=vocab, merges=[tuple(m.split()) for m in merges])
    assert len(set(TEXTS)) == len(TEXTS)
    goldens = []
    for text in TEXTS:
        goldens.append({
            "text": text,
            "ids": tokenizer(text, add_special_tokens=False)["input_ids"],
            "normalized": tokenizer.backend_tokenizer.normalizer.normalize_str(text),
        })
    lines = ",\n".join(json.dumps(g) for g in goldens)
    (HERE / "goldens.json").write_text("[\n" + lines + "\n]\n")
    print(len(goldens), "goldens")


if __name__ == "__main__":
    main()
