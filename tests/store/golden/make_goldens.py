#!/usr/bin/env python3
"""Writes the golden records of the store, from store/FORMAT.md alone.

Standard library only. Files: <name>.hex, 32 bytes a line. They are frozen with
the format: run this only to add records, never to change the ones there.
"""
import hashlib
import pathlib
import struct

FOLDER = pathlib.Path(__file__).parent
NONE, FLOAT32, FLOAT16 = 0, 1, 2
TIME = 1_700_000_000_123_456_789


def u8(v): return struct.pack("<B", v)
def u16(v): return struct.pack("<H", v)
def u32(v): return struct.pack("<I", v)
def u64(v): return struct.pack("<Q", v)
def i32(v): return struct.pack("<i", v)
def i64(v): return struct.pack("<q", v)


def text(v):
    data = v if isinstance(v, bytes) else v.encode()
    return u32(len(data)) + data


def floats(values, kind):
    return struct.pack(f"<{len(values)}{'f' if kind == FLOAT32 else 'e'}", *values)


def digest(name):
    return hashlib.sha256(name.encode()).digest()


def content_key(*fields):
    data = b"".join(u64(len(f)) + f for f in fields)
    return hashlib.sha256(data).digest()


def seal(record_type, kind, payload, record_format=1):
    header = (b"OVDR" + u16(record_format) + u8(record_type) + u8(kind) + u8(0)
              + bytes(7) + u64(len(payload)))
    assert len(header) == 24
    return header + hashlib.sha256(header + payload).digest() + payload


GENERATOR, ENCODER = digest("generator"), digest("encoder")
PROMPT = "red sneaker"
SUPPORT_KEY = content_key(b"ovdiff support set 1", PROMPT.encode(), GENERATOR)
PROTOTYPE_KEY = content_key(b"ovdiff prototype set 1", PROMPT.encode(), GENERATOR, ENCODER)


def vectors(levels, pictures, values, kind):
    return (u32(len(levels)) + b"".join(map(u8, levels)) + b"".join(map(i32, pictures))
            + floats(values, kind))


def prototype_set(kind):
    payload = (PROTOTYPE_KEY + text(PROMPT) + GENERATOR + ENCODER + i64(TIME) + u32(2)
               + text("sd") + u32(2)
               + vectors([0, 1, 2], [-1, 0, 31], [1.5, -2.25, 0.125, 3.0, -0.0, 100.0], kind)
               + vectors([0], [-1], [-1.0, 0.5], kind)
               + text("dino") + u32(1)
               + vectors([2], [7], [0.75], kind)
               + vectors([], [], [], kind))
    return seal(2, kind, payload)


def support_set():
    payload = (SUPPORT_KEY + text(PROMPT) + GENERATOR + i64(TIME) + u32(2)
               + text(b"\x89PNG\x00one") + u32(2) + u32(1) + floats([0.0, 0.625], FLOAT32)
               + text(b"\x89PNG\x00two") + u32(0) + u32(0))
    return seal(3, FLOAT32, payload)


def masked_support_set():
    payload = (SUPPORT_KEY + text(PROMPT) + GENERATOR + i64(TIME) + u32(3)
               + text(b"\x89PNG\x00one") + u32(2) + u32(1) + floats([0.0, 0.625], FLOAT32)
               + text(b"") + u8(0)
               + text(b"\x89PNG\x00two") + u32(0) + u32(0) + text(b"\x89PNG\x00mask") + u8(0)
               + text(b"\x89PNG\x00not") + u32(1) + u32(1) + floats([0.5], FLOAT32)
               + text(b"") + u8(2))
    return seal(3, FLOAT32, payload, record_format=2)


def class_entry(name, kind, label):
    return (text(name) + text(PROMPT) + u8(kind) + u16(label) + PROTOTYPE_KEY + SUPPORT_KEY
            + i64(TIME + label))


def version(number, base, removed, classes):
    payload = (text("default") + text("shop") + i64(number) + i64(base) + i64(TIME)
               + u32(len(removed)) + b"".join(map(u16, removed))
               + u32(len(classes)) + b"".join(classes))
    return seal(6, NONE, payload)


GOLDENS = {
    "store_format": seal(1, NONE, u32(1) + u32(1) + i64(TIME)),
    "prototype_set_float32": prototype_set(FLOAT32),
    "prototype_set_float16": prototype_set(FLOAT16),
    "support_set": support_set(),
    "support_set_masked": masked_support_set(),
    "content_entry": seal(4, NONE, PROTOTYPE_KEY + u64(4_600_000) + i64(TIME)),
    "vocabulary_head": seal(5, NONE, text("default") + text("shop") + i64(12) + i64(TIME)
                            + u32(2) + u16(300)),
    "version_whole": version(1, 0, [], [class_entry("Red Sneaker", 0, 1),
                                        class_entry("sky", 1, 258)]),
    "version_difference": version(12, 1, [1, 258], [class_entry("h\u00f6hle", 0, 300)]),
    "label": seal(7, NONE, text("default") + text("shop") + text("sky") + u16(258)),
    "job": seal(8, NONE, text("job-1") + text(b"\x00\x01bytes")),
    # Unharmed, but of a format that is not there yet.
    "label_of_format_2": seal(7, NONE, text("default") + text("shop") + text("sky") + u16(258)
                              + b"more", record_format=2),
}


def main():
    for name, record in GOLDENS.items():
        digits = record.hex()
        lines = [digits[i:i + 64] for i in range(0, len(digits), 64)]
        (FOLDER / f"{name}.hex").write_text("\n".join(lines) + "\n")
    print(f"{len(GOLDENS)} records in {FOLDER}")


if __name__ == "__main__":
    main()
