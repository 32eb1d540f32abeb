"""Ways to damage a file: bytes of any, tags of TIFFs, fields of JSON, numbers, lines and encodings of texts."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

WORDS = (
    "nan", "inf", "-inf", "Infinity", "NaN", "1e999", "-1", "0", "1e308", "99999999999", "", "abc", "null", "0x1F",
    "١",
)  # fmt: skip
GARBAGE = (None, True, -1, 0, 1e308, "", "abc", [], {}, [1.0], [[0.0, 0.0]], {"a": 1}, 10**400, "é" * 5000)
INTEGERS = (0, 1, 2, 3, 7, 8, 255, 256, 65535, 65536, 10**6, 2**31 - 1, 2**31, 2**32 - 1)
TIFF_TAGS = (
    254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 284, 296, 317, 320, 322, 323, 324, 325, 330,
    338, 339, 347, 513, 530, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844,
)  # fmt: skip
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 16: 8}


def mutant(path: Path, rng: Random) -> tuple[bytes, str]:
    """A damaged copy of a file, and how it was damaged."""
    data = path.read_bytes()
    ways: list[Callable[[bytes, Random], bytes]] = [flips, overwrite, cut, drop, repeat]
    if data[:4] in (b"II*\0", b"II+\0"):
        ways += [tag_value, tag_value, tag_value, tag_entry, tag_entry, number_in_text]
    elif path.suffix in (".json", ".jsonl"):
        ways += [field, field, field, field, number_in_text, number_in_text, encoding]
    elif path.suffix in (".csv", ".points", ".tfm", ".yaml"):
        ways += [number_in_text, number_in_text, line, line, encoding, long_cell]
    elif path.suffix == ".safetensors":
        ways += [number_in_text, number_in_text]
    names = []
    for _ in range(1 if rng.random() < 0.7 else rng.randint(2, 4)):
        way = rng.choice(ways)
        data = way(data, rng)
        names.append(way.__name__)
    return data, "+".join(names)


def flips(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if out:
            out[_place(out, rng)] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(data: bytes, rng: Random) -> bytes:
    at, order = _place(data, rng), rng.choice("<>")
    number = rng.choice([float("nan"), float("inf"), -0.0, 1e300])
    new = rng.choice(
        [
            struct.pack(order + "I", rng.choice(INTEGERS)),
            struct.pack(order + "H", rng.choice(INTEGERS) & 0xFFFF),
            struct.pack(order + "d", number),
            rng.randbytes(rng.randint(1, 16)),
            bytes(rng.randint(1, 64)),
            b"\xff" * rng.randint(1, 64),
        ]
    )
    return data[:at] + new + data[at + len(new) :]


def cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def drop(data: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.randint(1, 64) :]


def repeat(data: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at : at + rng.randint(1, 256)] * rng.randint(2, 20) + data[at:]


def tag_value(data: bytes, rng: Random) -> bytes:
    """Another value for a known tag: one of those that break readers."""
    entries = _entries(data)
    if not entries:
        return flips(data, rng)
    at, kind, count, big = rng.choice(entries)
    inside = at + (12 if big else 8)
    size = _SIZES.get(kind, 1)
    start = inside
    if size * count > (8 if big else 4):
        start = struct.unpack_from("<Q" if big else "<I", data, inside)[0] + size * rng.randrange(min(count, 2000))
    if kind == 12:
        new = struct.pack("<d", rng.choice([float("nan"), float("inf"), 0.0, -1.0, 1e300, 1e-300]))
    elif kind == 5:
        new = struct.pack("<II", rng.choice(INTEGERS) & 0xFFFFFFFF, rng.choice(INTEGERS) & 0xFFFFFFFF)
    else:
        new = struct.pack("<Q", rng.choice(INTEGERS))[:size]
    return data[:start] + new + data[start + len(new) :]


def tag_entry(data: bytes, rng: Random) -> bytes:
    """Another name, type, count or offset for an entry of a directory."""
    entries = _entries(data)
    if not entries:
        return flips(data, rng)
    at, _, _, big = rng.choice(entries)
    which = rng.randrange(4)
    if which == 0:
        return data[:at] + struct.pack("<H", rng.choice(TIFF_TAGS)) + data[at + 2 :]
    if which == 1:
        return data[: at + 2] + struct.pack("<H", rng.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16))) + data[at + 4 :]
    start = at + 4 if which == 2 else at + (12 if big else 8)
    new = struct.pack("<Q" if big else "<I", rng.choice(INTEGERS))
    return data[:start] + new + data[start + len(new) :]


def number_in_text(data: bytes, rng: Random) -> bytes:
    """One of the numbers that stand in the file as text becomes another word."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?", data))
    if not found:
        return flips(data, rng)
    where = rng.choice(found)
    return data[: where.start()] + rng.choice(WORDS).encode() + data[where.end() :]


def field(data: bytes, rng: Random) -> bytes:
    """One field of a JSON document is deleted or becomes garbage."""
    try:
        document = json.loads(data.partition(b"\n{")[0])
    except ValueError:
        return flips(data, rng)
    holder, key = document, None
    while isinstance(holder, (dict, list)) and holder:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], (dict, list)) or not holder[key] or rng.random() < 0.35:
            break
        holder = holder[key]
    if key is None:
        return data
    if rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = rng.choice(GARBAGE)
    return json.dumps(document).encode()


def line(data: bytes, rng: Random) -> bytes:
    """A line is lost, doubled, shortened, or another one's."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        case _:
            lines[at] = rng.choice((b'"', b",,,,", b"\0", b";", b"# " + lines[at], b" " * 9, rng.choice(lines)))
    return b"\n".join(lines)


def encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode("utf-8", "replace")
    how = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp500", "mac", "cut"))
    if how == "mac":
        return text.replace("\n", "\r").encode()
    return text.encode("utf-16")[:-1] if how == "cut" else text.encode(how, "replace")


def long_cell(data: bytes, rng: Random) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.choice((b"x", b"9", b'"', b",", b"\n")) * rng.choice((300, 5000, 200_000)) + data[at:]


def _place(data: bytes | bytearray, rng: Random) -> int:
    """A position, half of them in the first 600 bytes, where headers are."""
    return rng.randrange(max(1, min(len(data), 600) if rng.random() < 0.5 else len(data)))


def _entries(data: bytes) -> list[tuple[int, int, int, bool]]:
    """(offset, type, count, BigTIFF) of all entries of the directories of a little-endian TIFF."""
    found = []
    try:
        big = data[2] == 43
        head, entry, link = ("<Q", 20, "<Q") if big else ("<H", 12, "<I")
        at = struct.unpack_from(link, data, 8 if big else 4)[0]
        for _ in range(8):
            if not at:
                break
            number = struct.unpack_from(head, data, at)[0]
            at += struct.calcsize(head)
            for _ in range(min(number, 60)):
                _, kind, count = struct.unpack_from("<HHQ" if big else "<HHI", data, at)
                found.append((at, kind, count, big))
                at += entry
            at = struct.unpack_from(link, data, at)[0]
    except (struct.error, IndexError):
        pass
    return found
