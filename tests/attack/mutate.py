"""Damage bytes, drawn by seed: the same seed, reader and number give the same mutation."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

# What counts, lengths and offsets become: nothing, little, and the largest that one and two's complement can hold.
_INTEGERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_NUMBERS: Final = (
    *("0", "-0.0", "-1", "1e999", "-1e999", "NaN", "Infinity", "1e-320", "0.5", "2147483648", "4294967296"),
    *("9" * 19, "9" * 400, "9" * 5000, "1" + "0" * 9000 + ".0"),
)
_TEXTS: Final = (
    *('"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"../../x"', '"/etc/x"', '"a\\\\b"', '"C:x"', '"."', '""', '"\\n"'),
    *('"' + "x" * 5000 + '"', '"' + "x/" * 3000 + '"', '"\ud83d\ude00"', '{"a": 1}'),
    *("null", "true", "[]", "{}", "[[]]"),
)
_NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_STRING: Final = re.compile(rb'"(?:[^"\\\n]|\\.)*"')
_LONGEST: Final = 2**22

Mutator = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def mutation(seed: int, reader: str, number: int, seeds: Sequence[bytes], is_text: bool) -> bytes:
    """A damaged input.

    Parameters
    ----------
    seed : int
        Of the whole attack.
    reader : str
        Name of the reader: each has mutations of its own.
    number : int
        Which mutation. The first ones are the whole inputs themselves.
    seeds : sequence of bytes
        Whole inputs.
    is_text : bool
        Whether they are JSON or words, of which more is known.
    """
    if number < len(seeds):
        return seeds[number]
    rng = random.Random(f"{seed}/{reader}/{number}")
    raw = rng.choice(seeds)
    mutators = (*_BYTES, *_TEXT, *_TEXT, *_TEXT) if is_text else _BYTES
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        raw = rng.choice(mutators)(raw, rng, seeds)[:_LONGEST]
    return raw


def _span(raw: bytes, rng: random.Random) -> tuple[int, int]:
    """Where some bytes begin and end, often few, often near the beginning, where headers are."""
    start = rng.randrange(min(len(raw), 64) + 1) if rng.random() < 0.3 else rng.randrange(len(raw) + 1)
    return start, min(start + int(2 ** rng.uniform(0, 10)), len(raw))


def _flip_bits(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    damaged = bytearray(raw)
    for _number in range(rng.choice((1, 1, 2, 8)) if damaged else 0):
        damaged[min(_span(raw, rng)[0], len(raw) - 1)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _set_bytes(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(raw, rng)
    filler = rng.choice((b"\0", b"\xff", None))
    return raw[:start] + (rng.randbytes(end - start) if filler is None else filler * (end - start)) + raw[end:]


def _cut(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _drop(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(raw, rng)
    return raw[:start] + raw[end:]


def _repeat(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(raw, rng)
    return raw[:start] + raw[start:end] * rng.choice((2, 3, 10, 300)) + raw[end:]


def _insert(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    start, end = _span(raw, rng)
    return raw[:start] + rng.randbytes(end - start) + raw[start:]


def _splice(raw: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """The beginning of one input and the end of another."""
    other = rng.choice(seeds)
    return raw[: rng.randrange(len(raw) + 1)] + other[rng.randrange(len(other) + 1) :]


def _swap(raw: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A block of another input in the place of one's own."""
    other, (start, end) = rng.choice(seeds), _span(raw, rng)
    at = start if rng.random() < 0.5 else rng.randrange(len(other) + 1)
    return raw[:start] + other[at : at + end - start] + raw[end:]


def _set_integer(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    width, order = rng.choice((1, 2, 4, 4, 8)), rng.choice(("little", "big"))
    start = _span(raw, rng)[0]
    value = rng.choice(_INTEGERS)
    if rng.random() < 0.3:
        value = int.from_bytes(raw[start : start + width], order) + rng.choice((-1, 1, 2, 256, -256))
    return raw[:start] + (value % 256**width).to_bytes(width, order) + raw[start + width :]


_BYTES: Final[tuple[Mutator, ...]] = (
    *(_flip_bits, _flip_bits, _set_bytes, _cut, _drop, _repeat, _insert, _splice, _swap, _set_integer, _set_integer),
)


# ---- text


def _edit_word(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """A number or a string becomes an odd one, or one of another type."""
    found = list(rng.choice((_NUMBER, _STRING)).finditer(raw))
    if not found:
        return raw
    one, odd = rng.choice(found), rng.choice(rng.choice((_NUMBERS, _TEXTS)))
    return raw[: one.start()] + odd.encode(errors="surrogatepass") + raw[one.end() :]


def _nest(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """Lists or objects in each other, deeper than Python calls functions."""
    depth = rng.choice((10, 500, 5_000, 200_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    nested = opening * depth + b"1" + closing * rng.choice((depth, 0))
    found = list(_NUMBER.finditer(raw))
    if not found or rng.random() < 0.2:
        return rng.choice((nested, nested + b"\n", raw + nested + b"\n"))
    one = rng.choice(found)
    return raw[: one.start()] + nested + raw[one.end() :]


def _edit_json(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """Drop, double, rename, empty or exchange something in one JSON document of those in the text."""
    lines = [raw] if rng.random() < 0.5 else raw.split(b"\n")
    at = rng.randrange(len(lines))
    try:
        content = json.loads(lines[at])
    except (ValueError, RecursionError):
        return raw
    containers = list[Any]()
    stack = [content]
    while stack:
        one = stack.pop()
        if isinstance(one, dict | list) and one:
            containers.append(one)
            stack.extend(one.values() if isinstance(one, dict) else one)
    if not containers:
        return raw
    one = rng.choice(containers)
    if isinstance(one, list):
        index = rng.randrange(len(one))
        how = rng.choice(("drop", "double", "exchange"))
        if how == "drop":
            del one[index]
        elif how == "double":
            one[index:index] = [one[index]] * rng.choice((1, 2, 100))
        else:
            one[index] = rng.choice((None, {}, [], "", -1, 0.5))
    else:
        key = rng.choice(sorted(one))
        how = rng.choice(("drop", "rename", "exchange", "add"))
        value = one[key]
        if how in ("drop", "rename"):
            del one[key]
        if how == "rename":
            one[rng.choice(("", "\0", "é", key.upper(), "x" * 3000))] = value
        elif how == "add":
            one[f"{key}_"] = value
        elif how == "exchange":
            one[key] = rng.choice((None, [], {}, str(value)[:100], True, -1, 0.5, 10**30))
    try:
        lines[at] = json.dumps(content, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return raw
    return b"\n".join(lines)


def _double_key(raw: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb'"[a-z_0-9]+": ?(?:-?\d[\d.]*|"[^"]*"),', raw))
    if not found:
        return raw
    one = rng.choice(found)
    return raw[: one.end()] + one[0] + raw[one.end() :]


def _edit_lines(raw: bytes, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    lines = raw.split(b"\n")
    at = rng.randrange(len(lines))
    how = rng.choice(("drop", "double", "other", "swap", "end", "blank"))
    if how == "drop":
        del lines[at]
    elif how == "double":
        lines[at:at] = [lines[at]] * rng.choice((1, 50))
    elif how == "other":
        lines[at] = rng.choice(rng.choice(seeds).split(b"\n"))
    elif how == "swap":
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif how == "end":
        lines[at] += rng.choice((b"\r", b"\t", b" 1", b",", b";", b"\xe2\x80\xa8", b"\x0b", b"\x1c", b'"'))
    else:
        lines[at] = rng.choice((b"", b" ", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"#", b'"', b"x" * 200_000))
    return b"\n".join(lines)


_TEXT: Final[tuple[Mutator, ...]] = (_edit_word, _edit_word, _edit_json, _edit_json, _double_key, _edit_lines, _nest)
