#!/usr/bin/env python3
"""Writes the golden class packs, from store/pack/FORMAT.md alone.

Standard library only, Ed25519 included (RFC 8032, section 5.1, without its speed).
Files: <name>.hex, 32 bytes a line. They are frozen with the format: run this only to
add packs, never to change the ones there.
"""
import hashlib
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent / "golden"))
from make_goldens import (ENCODER, FLOAT16, FLOAT32, GENERATOR, NONE, TIME, content_key,  # noqa: E402
                          floats, i64, seal, text, u8, u16, u32, u64, vectors)

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    """Sum of two points of the curve, in affine coordinates."""
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P,
            (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P)


def times(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def base_point():
    y = 4 * pow(5, P - 2, P) % P
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if x * x % P != x2:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (P - x if x & 1 else x, y)


def encode(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def sign(seed, message):
    """(public key, signature)."""
    expanded = hashlib.sha512(seed).digest()
    secret = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = encode(times(secret, base_point()))
    nonce = number(expanded[32:], message) % ORDER
    r = encode(times(nonce, base_point()))
    s = (nonce + number(r, public, message) * secret) % ORDER
    return public, r + s.to_bytes(32, "little")


def keys(prompt):
    return (content_key(b"ovdiff prototype set 1", prompt, GENERATOR, ENCODER),
            content_key(b"ovdiff support set 1", prompt, GENERATOR))


def prototype_set(prompt, kind, values):
    return seal(2, kind, keys(prompt)[0] + text(prompt) + GENERATOR + ENCODER + i64(TIME) + u32(1)
                + text("sd") + u32(2)
                + vectors([0, 2], [-1, 1], values, kind) + vectors([0], [-1], [0.5, -0.5], kind))


def support_set(prompt):
    return seal(3, FLOAT32, keys(prompt)[1] + text(prompt) + GENERATOR + i64(TIME) + u32(1)
                + text(b"\x89PNG\x00one") + u32(2) + u32(1) + floats([0.0, 0.625], FLOAT32))


def packed_class(name, prompt, kind, label, has_pictures):
    return (text(name) + text(prompt) + u8(kind) + u16(label) + b"".join(keys(prompt))
            + u8(has_pictures))


def pack(pack_format=1):
    manifest = (text("shop") + i64(12) + i64(TIME) + text("ovdiffd 0.1.0") + text("demo")
                + text("MIT") + text("CC-BY-4.0") + u32(3)
                + packed_class("Red Sneaker", b"red sneaker", 0, 1, 1)
                + packed_class("h\u00f6hle", b"sky", 1, 258, 0)
                + packed_class("Trainers", b"red sneaker", 0, 300, 1))
    body = (b"OVPACK\r\n" + u16(pack_format) + bytes(6) + seal(64, NONE, manifest)
            # Exact in binary16, so written in it.
            + prototype_set(b"red sneaker", FLOAT16, [1.5, -2.25, 0.125, 3.0])
            + support_set(b"red sneaker")
            + prototype_set(b"sky", FLOAT32, [0.1, -2.25, 65536.0, 3.0]))
    digest = hashlib.sha256(body).digest()
    return body + seal(65, NONE, u64(4) + u64(len(body)) + digest), digest


def signed():
    whole, digest = pack()
    public, signature = sign(bytes(range(32)), b"ovdiff class pack 1\0" + digest)
    return whole + seal(66, NONE, u8(1) + public + signature)


GOLDENS = {
    "class_pack": pack()[0],
    "class_pack_signed": signed(),
    # Unharmed, but of a format that is not there yet.
    "class_pack_of_format_2": pack(pack_format=2)[0],
}


def main():
    # RFC 8032, section 7.1, test 1.
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public, signature = sign(seed, b"")
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signature.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065")
    for name, data in GOLDENS.items():
        digits = data.hex()
        lines = [digits[i:i + 64] for i in range(0, len(digits), 64)]
        (FOLDER / f"{name}.hex").write_text("\n".join(lines) + "\n")
    print(f"{len(GOLDENS)} packs in {FOLDER}")


if __name__ == "__main__":
    main()
