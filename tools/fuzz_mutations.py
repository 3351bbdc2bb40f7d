"""Broken files from valid ones: seeded, aware of what is in them (JSON, text, PNG, zip, run lengths).

Knows nothing of readers. A mutation that must change nothing (keys in another order, other spacing) says so.
"""

from __future__ import annotations

import bz2
import copy
import io
import json
import lzma
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Files = dict[str, bytes]
NAN, INF = float("nan"), float("inf")

NUMBERS: Sequence[Any] = (
    0, 1, -1, 2, 3, 7, 0.5, -0.5, 1.5, -0.0, 1e-320, 1e18, 1e308, -1e308, 10**5, 10**6, 10**9, -(10**9),
    2**31 - 1, 2**31, 2**32 + 5, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400, -(10**400), NAN, INF, -INF,
)  # fmt: skip
TEXTS: Sequence[str] = (
    "", "a", "1", "-1", "NaN", "null", "a\nb", "a\r\u2028b", "\x1b[31m", "\x00", "\ud800", "²", "٣", "é", " 1", "1_0",
    "../../x", "/dev/zero", "/", ".", "x" * 300, "x" * 5000, "9" * 5000, "a.png", "0.png",
)  # fmt: skip
VALUES: Sequence[Any] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    [0],
    {"size": [1, 1], "counts": "1"},
    *NUMBERS,
    *TEXTS,
)
TOKENS = (
    "", "-", "+", "0", "-0", "+1", "-1", "007", "1.5", "1e3", "1e999", "nan", "inf", "x", "0x1", "1_000", "²", "٣",
    "\x00", "\x1b", str(2**31), str(2**32 + 1), str(2**63), str(10**17), str(10**18), "9" * 5000, "10000000",
    "é", "1,2", "a b",
)  # fmt: skip
RAW = ("1e999", "-1e999", "1E400", "[" * 5000, "[" * 100_000, '{"a":' * 100_000, "[" * 400 + "]" * 400, "01", "1.",
       "'a'", "nul", "\\u0031", "9" * 5000, '"\\ud800"', '"\\x"', '{"a": 1, "a": 2}', "1 // no", "1,")  # fmt: skip


@dataclass
class Mutation:
    """Mutated files.

    Attributes:
        files: Content by name.
        steps: What was done.
        neutral: Whether all of it must change nothing.
    """

    files: Files
    steps: list[str] = field(default_factory=list)
    neutral: bool = True


def mutate(files: Files, rng: random.Random) -> Mutation:
    """One to three mutations of a set of files; one in twelve is neutral."""
    result = Mutation(dict(files))
    if rng.random() < 1 / 12:
        _neutral(result, rng)
        return result
    result.neutral = False
    if rng.random() < 0.04:
        _enlarge(result, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(sorted(result.files))
        if rng.random() < 0.02:
            _whole_file(result, name, rng)
            if not result.files:
                return result
            continue
        kind = name.rsplit(".", 1)[-1]
        by_kind = _BY_KIND.get(kind, ())
        operation = rng.choice(by_kind) if by_kind and rng.random() < 0.8 else rng.choice(_BYTES)
        result.files[name] = operation(result.files[name], rng)
        result.steps.append(f"{name}: {operation.__name__.strip('_')}")
    return result


def prepare() -> None:
    """Make what takes seconds, so that processes that are forked have it."""
    _compressed_zeros()
    _png_bombs()


def code_of(runs: Sequence[int]) -> str:
    """Run lengths as COCO's compressed string; any integers, also those that no mask has."""
    text = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        while True:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            text.append(chr(digit + 32 * more + 48))
            if not more:
                break
    return "".join(text)


def _whole_file(result: Mutation, name: str, rng: random.Random) -> None:
    operation = rng.choice(("delete", "empty", "rename", "copy", "other's"))
    others = sorted(result.files)
    if operation == "delete":
        del result.files[name]
    elif operation == "empty":
        result.files[name] = b""
    elif operation == "other's":
        result.files[name] = result.files[rng.choice(others)]
    else:
        folder, _, base = name.rpartition("/")
        stem, _, suffix = base.rpartition(".")
        new = rng.choice(("²", "9999", "x", "0", "1" * 200, "٣", stem + "0", ".hidden")) + "." + suffix
        new = f"{folder}/{new}" if folder else new
        result.files[new] = result.files.pop(name) if operation == "rename" else result.files[name]
    result.steps.append(f"{name}: {operation}")


def _enlarge(result: Mutation, rng: random.Random) -> None:
    """All pictures and masks as large as can be written in a few bytes, and consistently so; boxes stay."""
    height, width = rng.choice(((46_340, 46_340), (1, 2**31 - 1), (2**31 - 1, 1), (1, 10**8), (5_000, 9_000)))
    pixels = height * width
    codes = [
        code_of(runs)
        for runs in ([0, pixels], [pixels - 1, 1], [1, pixels - 2, 1], [pixels // 2, pixels // 2 - 7, pixels % 2 + 7])
    ]
    for name, data in list(result.files.items()):
        if name.endswith((".json", ".jsonl")):
            lines = data.split(b"\n") if name.endswith(".jsonl") else [data]
            result.files[name] = b"\n".join(_enlarged(line, height, width, codes, rng) for line in lines)
        elif name.endswith(".txt"):
            rows = [line.split() for line in data.decode("utf-8", "replace").splitlines()]
            large = [[*row[:3], str(height), str(width), rng.choice(codes)] if len(row) == 6 else row for row in rows]
            result.files[name] = "".join(" ".join(row) + "\n" for row in large).encode("utf-8", "replace")
    result.steps.append(f"all: {height} x {width}")


def _enlarged(data: bytes, height: int, width: int, codes: Sequence[str], rng: random.Random) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for node, key in _nodes([document]):
        value = node[key]
        if isinstance(value, dict) and {"size", "counts"} <= value.keys():
            node[key] = {"size": [height, width], "counts": rng.choice(codes)}
        elif isinstance(value, dict) and {"width", "height"} <= value.keys():
            value |= {"width": width, "height": height}
    return dumped(document)


# Bytes ------------------------------------------------------------------------------------------------------------


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))] if data else data


def _cut(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 40) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    pieces = (
        b"\x00",
        b"\xff\xfe",
        b"\n",
        b"9" * 30,
        b"\xef\xbb\xbf",
        rng.randbytes(5),
        b"[" * 50_000,
        b"]}",
        b"\xc3\x28",
    )
    return data[:at] + rng.choice(pieces) + data[at:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start : start + rng.randrange(1, 60)] * rng.choice((2, 3, 50)) + data[start:]


def _append_itself(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((data, b" ", b"\n\n", b"\x00", b"x", data[: len(data) // 2]))


_BYTES = (_flip, _truncate, _truncate, _cut, _insert, _repeat, _append_itself)

# JSON -------------------------------------------------------------------------------------------------------------


def _json(change: Callable[[Any, random.Random], Any]) -> Callable[[bytes, random.Random], bytes]:
    def operation(data: bytes, rng: random.Random) -> bytes:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return _flip(data, rng)
        return dumped(change(document, rng))

    operation.__name__ = change.__name__
    return operation


def dumped(document: Any) -> bytes:
    """JSON with NaN and raw text where a string "@raw:..." stands."""
    text = json.dumps(document)
    return re.sub(r'"@raw:(\d+)@"', lambda found: RAW[int(found[1])], text).encode()


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        node = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            stack.append(node[key])
    return found


def _pick(
    document: Any, rng: random.Random, fits: Callable[[Any], bool] = lambda value: True
) -> tuple[Any, Any] | None:
    """A place; names of fields are as likely as each other, however often they are there."""
    places: dict[str, list[tuple[Any, Any]]] = {}
    for node, key in _nodes(document):
        if fits(node[key]):
            places.setdefault(key if isinstance(key, str) else f"[{type(node[key]).__name__}]", []).append((node, key))
    return rng.choice(places[rng.choice(sorted(places))]) if places else None


def _delete(document: Any, rng: random.Random) -> Any:
    place = _pick(document, rng)
    if place:
        del place[0][place[1]]
    return document


def _retype(document: Any, rng: random.Random) -> Any:
    place = _pick(document, rng)
    if place is None:
        return copy.deepcopy(rng.choice(VALUES))
    place[0][place[1]] = copy.deepcopy(rng.choice(VALUES))
    return document


def _number(document: Any, rng: random.Random) -> Any:
    place = _pick(document, rng, lambda value: isinstance(value, int | float))
    if place:
        value = place[0][place[1]]
        near = (value + 1, value - 1, -value, value * 1000)
        place[0][place[1]] = rng.choice((*NUMBERS, *near, *near))
    return document


def _text(document: Any, rng: random.Random) -> Any:
    place = _pick(document, rng, lambda value: isinstance(value, str))
    if place:
        place[0][place[1]] = rng.choice((*TEXTS, place[0][place[1]] + rng.choice("x\n1é")))
    return document


def _raw(document: Any, rng: random.Random) -> Any:
    place = _pick(document, rng)
    if place is None:
        return f"@raw:{rng.randrange(len(RAW))}@"
    place[0][place[1]] = f"@raw:{rng.randrange(len(RAW))}@"
    return document


def _entry_twice(document: Any, rng: random.Random) -> Any:
    place = _pick([document], rng, lambda value: isinstance(value, list) and len(value) > 0)
    if place:
        entries = place[0][place[1]]
        entries.insert(rng.randrange(len(entries) + 1), copy.deepcopy(rng.choice(entries)))
    return document


def _reorder(document: Any, rng: random.Random) -> Any:
    place = _pick([document], rng, lambda value: isinstance(value, list) and len(value) > 1)
    if place:
        rng.shuffle(place[0][place[1]])
    return document


def _length(document: Any, rng: random.Random) -> Any:
    place = _pick([document], rng, lambda value: isinstance(value, list))
    if place:
        entries = place[0][place[1]]
        if entries and rng.random() < 0.5:
            entries.pop(rng.randrange(len(entries)))
        else:
            entries.append(rng.choice((None, 0, [], 1.5)))
    return document


def _as_another(document: Any, rng: random.Random) -> Any:
    """Give a field the value that the same field has elsewhere: duplicate ids, masks of another size."""
    places: dict[str, list[tuple[Any, Any]]] = {}
    for node, key in _nodes(document):
        if isinstance(key, str):
            places.setdefault(key, []).append((node, key))
    several = sorted(name for name, found in places.items() if len(found) > 1)
    if several:
        first, second = rng.sample(places[rng.choice(several)], 2)
        first[0][first[1]] = copy.deepcopy(second[0][second[1]])
    return document


def _codes(document: Any, rng: random.Random) -> Any:
    place = _pick(document, rng, lambda value: isinstance(value, dict) and "counts" in value and "size" in value)
    if place:
        mask = place[0][place[1]]
        if rng.random() < 0.2:
            mask["size"] = rng.choice(([8, 6], [0, 0], [10**9, 10**9], [46341, 46341], [3, 16], [1, 48], [48], None))
        else:
            mask["counts"] = broken_code(mask["counts"], mask["size"], rng)
    return document


def broken_code(code: Any, size: Any, rng: random.Random) -> Any:
    """Run lengths that are wrong, or right but unusual."""
    try:
        pixels = int(size[0]) * int(size[1])
    except (TypeError, ValueError, IndexError, KeyError):
        pixels = 48
    pixels = pixels if 0 < pixels < 2**40 else 48
    code = code if isinstance(code, str) and code else "1"
    at = rng.randrange(len(code))
    most = 2**31 - 1
    return rng.choice(
        (
            code[:at] + chr(rng.randrange(33, 127)) + code[at + 1 :],
            code[:at] + code[at + 1 :],
            code[:at] + chr(rng.randrange(48, 112)) + code[at:],
            code[:at],
            code + code,
            code + rng.choice(("0", "00", "P", "\n", "é", "\ud800", " ")),
            code_of([most, most, pixels + 2]),
            code_of([0, 2**32 + pixels]),
            code_of([2**32 + 5, pixels - 5]),
            code_of([pixels + 3, -3]),
            code_of([5, -5, pixels]),
            code_of([1, 2, 3, 2**32 + 2, pixels - 8]),
            code_of([2, 0, 3, pixels - 5]),
            code_of([0, 0, 0, pixels]),
            code_of([pixels]),
            code_of([pixels, 0]),
            code_of([0, pixels]),
            code_of([0, pixels, 0]),
            code_of([pixels - 1]),
            code_of([1] * pixels) if pixels < 10_000 else "1",
            code_of([2, 3, pixels - 5]),
            "oooooooo0",
            [pixels],
            [2, 3, pixels - 5],
            [-1, pixels + 1],
            [2**32, pixels],
            [0.5, pixels],
            "",
        )
    )


def _polygon(document: Any, rng: random.Random) -> Any:
    """Coordinates of a polygon, or a polygon in the place of a mask."""
    fits = [
        (node, key) for node, key in _nodes(document) if key in ("segmentation", "segmentations", "vertices", "a_segm")
    ]
    if fits:
        node, key = rng.choice(fits)
        far = rng.choice((10**4, 10**5, 10**9, 2**31, 1e18, 1e300, -(10**9), NAN, 10**400))
        shape = rng.choice(
            (
                [[0, 0, far, 0, far, far]],
                [[0, 0, 4, 0, 4, 4, 0, 4]],
                [[1.5, 1.5, 1.5, 1.5, 1.5, 1.5]],
                [[0, 0, 4, 0]],
                [[0, 0, far, far] * 60],
                [0, 0, 4, 0, 4, 4],
                [[-1e9, -1e9, 1e9, -1e9, 0, 1e9]],
            )
        )
        node[key] = [[x, far] for x in range(4)] if key == "vertices" else [shape] if key == "segmentations" else shape
    return document


_JSON = tuple(
    map(_json, (_delete, _retype, _retype, _number, _number, _text, _raw, _entry_twice, _reorder, _length,
                _as_another, _codes, _codes, _polygon))
)  # fmt: skip


def _member_twice(data: bytes, rng: random.Random) -> bytes:
    """A document that has a member of its object twice."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, rng)
    if not isinstance(document, dict) or not document:
        return _flip(data, rng)
    name = rng.choice(sorted(document))
    value = rng.choice((document[name], 5, None, {}, [], [5]))
    return b"{" + dumped({name: value})[1:-1] + b", " + dumped(document)[1:]


def _json_line(data: bytes, rng: random.Random) -> bytes:
    """A mutation of one line of a file of JSON lines."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = rng.choice(_JSON)(lines[at], rng)
    return b"\n".join(lines)


# Text -------------------------------------------------------------------------------------------------------------


def _lines(change: Callable[[list[str], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def operation(data: bytes, rng: random.Random) -> bytes:
        lines = data.decode("utf-8", "replace").split("\n")
        change(lines, rng)
        return "\n".join(lines).encode("utf-8", "replace")

    operation.__name__ = change.__name__
    return operation


def _line_gone(lines: list[str], rng: random.Random) -> None:
    lines.pop(rng.randrange(len(lines)))


def _line_twice(lines: list[str], rng: random.Random) -> None:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))


def _lines_swapped(lines: list[str], rng: random.Random) -> None:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _fields(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    separator = "," if "," in lines[at] else " "
    fields = lines[at].split(separator)
    k = rng.randrange(len(fields))
    operation = rng.randrange(6)
    if operation == 0:
        fields.pop(k)
    elif operation == 1:
        fields.insert(k, rng.choice(TOKENS))
    elif operation == 2 and fields[k].lstrip("-").isdecimal() and len(fields[k]) < 20:
        fields[k] = str(int(fields[k]) + rng.choice((1, -1, 1000, -2000, 10**6, 10**9)))
    elif operation == 3 and len(fields) == 6:
        fields[5] = str(broken_code(fields[5], fields[3:5], rng))
    elif operation == 4:
        fields[k] = rng.choice(lines).split(separator)[:1][0]
    else:
        fields[k] = rng.choice(TOKENS)
    lines[at] = separator.join(fields)


def _breaks(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice(("{}\x0b", "{}\x0c{}", "{}\u2028", "{}\x1c", "{} #", "#{}", "[{}]", "{}\r", "\t{}")).format(
        *[lines[at]] * 2
    )


_TEXT = tuple(map(_lines, (_line_gone, _line_twice, _lines_swapped, _fields, _fields, _fields, _fields, _breaks)))

# XML --------------------------------------------------------------------------------------------------------------

_XML_VALUE = re.compile(r'="([^"<>]*)"|>([^<>]+)<')
_XML_TAG = re.compile(r"<[^<>]*>")


def _xml_value(data: bytes, rng: random.Random) -> bytes:
    """Another attribute or text: a token, a near number, or one from elsewhere in the file."""
    text = data.decode("utf-8", "replace")
    places = list(_XML_VALUE.finditer(text))
    if not places:
        return _flip(data, rng)
    place, other = rng.choice(places), rng.choice(places)
    old, value = place[place.lastindex or 0], other[other.lastindex or 0]
    if old.isdecimal() and len(old) < 20 and rng.random() < 0.4:
        value = str(int(old) + rng.choice((1, -1, 1000, -2000, 10**6, 10**9)))
    elif rng.random() < 0.6:
        value = rng.choice((*TOKENS, "1,1;2,2;1e9,3", "1,1;2", "1, " * 5000 + "1", "&lt;&#10;&#233;"))
    start, end = place.span(place.lastindex or 0)
    return (text[:start] + value.replace("\x00", "") + text[end:]).encode("utf-8", "replace")


def _xml_tag(data: bytes, rng: random.Random) -> bytes:
    """A tag gone, twice, or in the place of another."""
    text = data.decode("utf-8", "replace")
    tags = list(_XML_TAG.finditer(text))
    if not tags:
        return _flip(data, rng)
    tag, other = rng.choice(tags), rng.choice(tags)
    new = rng.choice(("", tag[0] * 2, other[0], "<!DOCTYPE a [<!ENTITY e 'x'>]>" + tag[0]))
    return (text[: tag.start()] + new + text[tag.end() :]).encode("utf-8", "replace")


def _xml_encoding(data: bytes, rng: random.Random) -> bytes:
    """The same document in another encoding, which it states or not."""
    text, name = data.decode("utf-8", "replace"), rng.choice(("utf-8", "utf-16", "utf-16-le", "latin-1", "utf-7", "x"))
    head = rng.choice(("", f'<?xml version="1.0" encoding="{name}"?>'))
    return (head + text).encode("utf-8" if name == "x" else name, "replace")


_XML = (_xml_value, _xml_value, _xml_value, _xml_value, _xml_tag, _xml_tag, _xml_encoding)

# PNG --------------------------------------------------------------------------------------------------------------


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """A PNG of raw rows, each with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (b"IHDR", b"IDAT", b"IEND"), (header, zlib.compress(rows), b"")))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and its check sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG; what is left of a broken one."""
    found, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _joined(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in parts)


def _png_header(data: bytes, rng: random.Random) -> bytes:
    parts = chunks(data)
    if not parts or len(parts[0][1]) != 13:
        return _flip(data, rng)
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", parts[0][1])
    sizes = (0, 1, width - 1, width + 1, 10**4, 13_000, 30_000, 10**5, 10**9, 2**31 - 1, 2**31, 2**32 - 1)
    changed = rng.choice(("width", "height", "both", "depth", "kind", "rest"))
    if changed in ("width", "both"):
        width = rng.choice(sizes)
    if changed in ("height", "both"):
        height = rng.choice(sizes)
    if changed == "depth":
        depth = rng.choice((0, 1, 2, 4, 8, 16, 32))
    if changed == "kind":
        kind = rng.choice((0, 1, 2, 3, 4, 5, 6, 7))
    if changed == "rest":
        rest[rng.randrange(3)] = rng.choice((1, 2, 255))
    header = struct.pack(">IIBBBBB", max(0, width), max(0, height), depth, kind, *rest)
    return _joined([(parts[0][0], header), *parts[1:]])


def _png_chunks(data: bytes, rng: random.Random) -> bytes:
    parts = chunks(data)
    if not parts:
        return data
    k = rng.randrange(len(parts))
    operation = rng.randrange(6)
    if operation == 0:
        parts.pop(k)
    elif operation == 1:
        parts.insert(k, rng.choice(parts))
    elif operation == 2:
        rng.shuffle(parts)
    elif operation == 3:
        parts[k] = parts[k][0], _flip(parts[k][1], rng)  # with the right check sum
    elif operation == 4:
        extra = (b"PLTE", b"tRNS", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fdAT", b"eXIf", b"zzZz", b"AAAA")
        parts.insert(k, (rng.choice(extra), rng.choice((b"", b"\0" * 9, b"a\0\0" + zlib.compress(bytes(10**6))))))
    else:
        parts[k] = parts[k][0], _truncate(parts[k][1], rng)
    return _joined(parts)


def _png_pixels(data: bytes, rng: random.Random) -> bytes:
    """Another pixel, with all sums right."""
    parts = chunks(data)
    try:
        rows = bytearray(zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT")))
    except zlib.error:
        return _flip(data, rng)
    if rows:
        at = rng.randrange(len(rows))
        rows[at] = rng.choice((0, 1, 255, rows[at] ^ 1, rng.randrange(256)))
    rest = [part for part in parts if part[0] not in (b"IDAT", b"IEND")]
    return _joined([*rest, (b"IDAT", zlib.compress(bytes(rows))), (b"IEND", b"")])


@lru_cache(maxsize=1)
def _png_bombs() -> tuple[bytes, ...]:
    """A few kB that say they are, or are, enormous pictures."""
    return (
        png(16_000, 16_000, 1, 0, bytes((1 + 2000) * 16_000)),
        png(9000, 9000, 8, 2, bytes(10)),
        png(13_000, 13_000, 8, 6, bytes(10)),
        png(13_000, 13_000, 16, 0, bytes(10)),
        png(3000, 3000, 8, 2, bytes((1 + 9000) * 3000)),
        png(3000, 3000, 8, 6, bytes((1 + 12_000) * 3000)),
    )


def _png_bomb(data: bytes, rng: random.Random) -> bytes:
    return rng.choice(_png_bombs())


def _other_format(data: bytes, rng: random.Random) -> bytes:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\nshowpage\n%%EOF\n"
    ppm = b"P6 8 6 255\n" + bytes(8 * 6 * 3)
    return rng.choice((eps, ppm, b"P5 8 6 65535\n" + bytes(96), b"GIF89a", b"\xff\xd8\xff\xe0", b"II*\0" + bytes(40)))


_PNG = (_png_header, _png_header, _png_chunks, _png_chunks, _png_pixels, _png_pixels, _png_bomb, _other_format)

# Zip --------------------------------------------------------------------------------------------------------------


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip; names may repeat."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def _members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist() if info.file_size < 10**6]


def _zip_members(data: bytes, rng: random.Random) -> bytes:
    try:
        members = _members(data)
    except Exception:  # whatever is wrong with a zip that is broken already
        return _flip(data, rng)
    if not members:
        return zipped([("0001.txt", b"")])
    k = rng.randrange(len(members))
    name, content = members[k]
    operation = rng.randrange(6)
    if operation == 0:
        members.append((name, rng.choice((content, b"", b"x", content + content))))
    elif operation == 1:
        names = ("../" + name, "/" + name, "a/../" + name, "..\\" + name, "C:\\" + name, "a/" + name, "\x00" + name,
                 "a\nb/" + name, ".hidden/" + name, "__MACOSX/" + name, name + "/", "²." + name.rsplit(".", 1)[-1],
                 "9" * 5000 + "." + name.rsplit(".", 1)[-1], "é/" + name)  # fmt: skip
        members[k] = rng.choice(names), content
    elif operation == 2:
        members.pop(k)
    elif operation == 3:
        members.append((rng.choice(("../" + name, "b/" + name, "/" + name)), content))
    else:
        kind = _BY_KIND.get(name.rsplit(".", 1)[-1], _BYTES)
        members[k] = name, rng.choice((*kind, *_BYTES))(content, rng)
    return zipped(members)


@lru_cache(maxsize=1)
def _compressed_zeros() -> tuple[tuple[int, bytes], ...]:
    """Megabytes of zeros, and what they are in the three methods of a zip: a few kB."""
    some = bytes(1 << 20)
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = b"".join(squeezer.compress(some) for _ in range(32)) + squeezer.flush()
    bz = bz2.BZ2Compressor(9)
    bzipped = b"".join(bz.compress(some) for _ in range(512)) + bz.flush()
    filters = [{"id": lzma.FILTER_LZMA1}]
    xz = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    raw = b"".join(xz.compress(some) for _ in range(64)) + xz.flush()
    properties = b"\x09\x04\x05\x00\x5d\x00\x00\x80\x00"
    return (32, deflated), (512, bzipped), (64, properties + raw)


def _zip_bomb(data: bytes, rng: random.Random) -> bytes:
    try:
        name = rng.choice(_members(data))[0]
    except Exception:  # whatever is wrong with a zip that is broken already
        name = "0001.txt"
    k = rng.randrange(3)
    size, packed = _compressed_zeros()[k]
    method = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[k]
    declared = rng.choice((size << 20, size << 20, 10, 2**32 - 2))
    return _one_member(name.encode("utf-8", "replace")[:100], method, packed, declared, rng.choice((0, 0, 1)))


def _one_member(name: bytes, method: int, packed: bytes, size: int, flags: int) -> bytes:
    """A zip written by hand, so that it can lie."""
    fields = struct.pack("<HHHHIIIHH", flags, method, 0, 33, 0, len(packed), size, len(name), 0)
    local = b"PK\3\4" + struct.pack("<H", 20) + fields + name + packed
    central = b"PK\1\2" + struct.pack("<HH", 20, 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def _zip_fields(data: bytes, rng: random.Random) -> bytes:
    """A byte of the central directory or of its end."""
    at = data.rfind(b"PK\1\2") if rng.random() < 0.7 else data.rfind(b"PK\5\6")
    if at < 0:
        return _flip(data, rng)
    changed = bytearray(data)
    place = min(at + rng.randrange(4, 46), len(data) - 1)
    changed[place] = rng.choice((0, 1, 8, 9, 12, 14, 97, 255, rng.randrange(256)))
    return bytes(changed)


_ZIP = (_zip_members, _zip_members, _zip_members, _zip_members, _zip_fields, _zip_fields, _zip_bomb)

# What must change nothing -----------------------------------------------------------------------------------------


def _shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: _shuffled(value[key], rng) for key in keys}
    return [_shuffled(entry, rng) for entry in value] if isinstance(value, list) else value


def _neutral(result: Mutation, rng: random.Random) -> None:
    for name, data in list(result.files.items()):
        kind = name.rsplit(".", 1)[-1]
        if kind == "json":
            document = _shuffled(json.loads(data), rng)
            text = json.dumps(document, indent=rng.choice((None, 1)), ensure_ascii=rng.random() < 0.5)
            result.files[name] = (
                rng.choice(("", " ", "\n")).encode() + text.encode() + rng.choice((b"", b"\n", b" \r\n"))
            )
        elif kind == "jsonl":
            lines = [json.dumps(_shuffled(json.loads(line), rng)) for line in data.splitlines()]
            result.files[name] = ("\n".join(lines) + rng.choice(("", "\n"))).encode()
        elif kind in ("txt", "seqmap"):
            change = rng.choice(
                (lambda d: d.replace(b"\n", b"\r\n"), lambda d: d.rstrip(b"\n"), lambda d: b"\n" + d + b"\n\n")
            )
            result.files[name] = change(data) if data.strip() else data
        elif kind == "png":
            result.files[name] = _joined([chunks(data)[0], (b"tEXt", b"a\0b"), *chunks(data)[1:]])
        elif kind == "zip":
            members = _members(data)
            rng.shuffle(members)
            result.files[name] = zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        result.steps.append(f"{name}: neutral")


_BY_KIND: dict[str, Sequence[Callable[[bytes, random.Random], bytes]]] = {
    "json": (*_JSON, _member_twice),
    "jsonl": (_json_line, _json_line, _json_line, *_TEXT[:3]),
    "txt": _TEXT,
    "seqmap": _TEXT,
    "ini": _TEXT,
    "xml": _XML,
    "png": _PNG,
    "zip": _ZIP,
}
