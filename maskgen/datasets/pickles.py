"""Lists of bytes, bools and arrays out of a pickle, by an interpreter of our own that can do nothing else.

Python's unpickler runs what a file asks for, and NumPy's part of it takes bytes of the file for pointers. Here no class
and no function of another module is ever called. What a file names is compared with a few names that stand for inert
descriptions, and plain arrays are built from shape, element type and bytes. Memory grows with the length of the file
and with nothing that the file says.

The instructions are described in Python's ``pickletools``.
"""

from __future__ import annotations

import codecs
import pickletools
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from maskgen.plural import counted

_ADMITTED: Final = "only lists, tuples, bytes, bools, integers and numpy arrays of them are admitted"
_MOST_AXES: Final = 8
_LONGEST_AXIS: Final = 2**48
_LONGEST_INTEGER: Final = 16
"""In bytes."""
_MOST_STEPS: Final = 10_000_000
"""Each may make an object of a hundred bytes. Half a million pictures need as many, as arrays, each of its own."""
# Not a set: the hash of a tuple in a tuple in a tuple... overflows the stack.
_LATIN1: Final = ("latin1", "latin-1", b"latin1", b"latin-1")


class PickleError(ValueError):
    """A pickle is damaged, or asks for something that is not admitted."""


def load(raw: bytes) -> Any:
    """What a pickle of protocol 0 to 5 holds.

    Lists, tuples, bytes, bytearrays (as bytes), text, bools, integers, floats and None come as they are, and Python 2's
    strings as bytes. Arrays of bools and integers come as `Array`, wherever they lie, and numbers of NumPy as plain
    ones.

    Raises
    ------
    PickleError
        If it is anything else, cut short, or not a pickle at all.
    """
    try:
        return _Machine(raw).run()
    except PickleError:
        raise
    # What a step does to things that are not what the pickle says they are.
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, struct.error) as error:
        raise PickleError(f"damaged pickle: {str(error)[:80]}") from error


@dataclass(eq=False)
class Array:
    """An array of a pickle; `content` is there once the pickle has described it.

    Attributes
    ----------
    content : array or list
        A list where the elements are Python objects, in the order of the axes.
    """

    content: Any = None

    def elements(self) -> list[Any]:
        """What iterating over the first axis gives; an axis of length 1 after it is left out, as in (N, 1)."""
        if self.content is None:
            raise PickleError("an array without content")
        if isinstance(self.content, list):
            return self.content
        if self.content.ndim and len(self.content) > _MOST_STEPS:
            raise PickleError(f"an array of {len(self.content)} elements, more than the {_MOST_STEPS} allowed")
        if self.content.ndim == 2 and self.content.shape[1] == 1:
            return list(self.content[:, 0])
        return list(self.content) if self.content.ndim else [self.content[()]]


@dataclass(eq=False)
class _Type:
    """An element type: a letter and a number of bytes, as NumPy writes it, and an order of bytes."""

    code: str
    order: str = "="

    def numpy(self) -> Any:
        if self.is_object:
            raise PickleError("asks for Python objects in the place of numbers")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]

    @property
    def is_object(self) -> bool:
        return self.code[0] == "O"


_TYPES: Final = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "O", "O8"})


class _Machine:
    """Works through the instructions: a stack, the marks on it, and a memo."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0
        self.stack = list[Any]()
        self.marks = list[int]()
        self.memo = dict[int, Any]()
        # A pickle writes what it holds once. One that makes more out of it by calls is made up to fill the memory.
        self.left_to_make = len(raw)

    def run(self) -> Any:
        for _ in range(_MOST_STEPS):
            code = self.take(1)
            if code == b".":
                return self.pop()
            if code in _PUSHES:
                self.stack.append(_PUSHES[code](self))
            elif code in _STEPS:
                _STEPS[code](self)
            else:
                name = _NAMES.get(code)
                raise PickleError(f"asks for {name}; {_ADMITTED}" if name else f"no pickle: byte {code!r}")
        raise PickleError(f"more than the {_MOST_STEPS} instructions allowed")

    # ---- reading

    def take(self, number: int) -> bytes:
        """The next bytes; checked against the file before anything is made."""
        if number > len(self.raw) - self.at:
            left = len(self.raw) - self.at
            raise PickleError(f"cut short, or made up: {counted(number, 'byte')} wanted, {left} left")
        self.at += number
        return self.raw[self.at - number : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def counted(self, size: int) -> bytes:
        return self.take(self.number(size))

    def line(self) -> bytes:
        end = self.raw.find(b"\n", self.at)
        if end < 0:
            raise PickleError("cut short: a line does not end")
        return self.take(end + 1 - self.at)[:-1]

    def quoted(self) -> bytes:
        text = self.line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise PickleError("a string without quotes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that Python does not know stands for itself
            found = codecs.escape_decode(text[1:-1])[0]
        assert isinstance(found, bytes)
        return found

    def integer(self, size: int) -> int:
        length = self.number(size)
        if length > _LONGEST_INTEGER:
            raise PickleError(f"an integer of {counted(length, 'byte')}")
        return int.from_bytes(self.take(length), "little", signed=True)

    def decimal(self) -> int | bool:
        text = self.line()
        return text == b"01" if text in (b"00", b"01") else int(text.rstrip(b"L"))

    # ---- the stack

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise PickleError("takes something from an empty stack")
        return self.stack.pop()

    def top(self, kind: type, what: str) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise PickleError(f"{what} in a place where there is none")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise PickleError("goes back to a mark that is not there")
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def last(self, number: int) -> tuple[Any, ...]:
        found = [self.pop() for _ in range(number)]
        return tuple(reversed(found))

    def append(self) -> None:
        item = self.pop()
        self.top(list, "adds to a list").append(item)

    def extend(self) -> None:
        items = self.since_mark()
        self.top(list, "adds to a list").extend(items)

    def put(self, place: int) -> None:
        self.memo[place] = self.top(object, "remembers something")

    def get(self, place: int) -> Any:
        if place not in self.memo:
            raise PickleError(f"refers to place {place}, where nothing is")
        return self.memo[place]

    # ---- what a pickle asks others to do

    def named(self, module: Any, name: Any) -> Callable[..., Any]:
        if isinstance(module, str) and isinstance(name, str) and (module, name) in _CALLS:
            return _CALLS[module, name]
        raise PickleError(f"asks for {_said(module)}.{_said(name)}; {_ADMITTED}")

    def call(self) -> Any:
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or function not in _CALLS.values():
            raise PickleError("calls something that is no function")
        return function(self, *arguments)

    def make(self, content: bytes) -> bytes:
        self.left_to_make -= len(content)
        if self.left_to_make < 0:
            raise PickleError("makes more bytes than the file has")
        return content

    def build(self) -> None:
        state = self.pop()
        described = self.stack[-1] if self.stack else None
        if isinstance(described, _Type):
            _complete_type(described, state)
        elif isinstance(described, Array):
            _complete_array(described, state)
        else:
            raise PickleError(f"describes a {type(described).__name__}; {_ADMITTED}")


def _said(value: object) -> str:
    """Text as it is if it is short; never what a nested thing holds, which may be longer than the memory."""
    return value[:60] if isinstance(value, str) else f"a {type(value).__name__}"


# ---- what stands for functions of NumPy and Python: nothing but these is ever called


def _encode(machine: _Machine, text: str, encoding: object = "latin1") -> bytes:
    """How protocols 0 to 2 write bytes; other codecs, some of which decompress, are not admitted."""
    if encoding not in _LATIN1:
        raise PickleError(f"asks for codec {_said(encoding)!r}")
    return machine.make(text.encode("latin1"))


def _bytes(machine: _Machine, content: object = b"", encoding: object = "latin1") -> bytes:
    if isinstance(content, str):
        return _encode(machine, content, encoding)
    if isinstance(content, bytes):
        return content
    # bytes(10**12) would be as many zeros.
    raise PickleError(f"asks for bytes made of {type(content).__name__}")


def _type(machine: _Machine, code: object, align: object = False, copy: object = True) -> _Type:
    if isinstance(code, bytes):
        code = code.decode("latin1")
    order = code[0] if isinstance(code, str) and code[:1] in ("<", ">", "=", "|") else ""
    if not isinstance(code, str) or code[len(order) :] not in _TYPES:
        raise PickleError(f"asks for arrays of {_said(code)!r}; only bools and integers are admitted")
    return _Type(code[len(order) :], order or "=")


def _empty_array(machine: _Machine, kind: object, shape: object, code: object) -> Array:
    if kind is not _ndarray:
        raise PickleError("asks for an array that is none of NumPy's")
    return Array()


def _ndarray(machine: _Machine, *arguments: object) -> Array:
    raise PickleError("asks for numpy.ndarray itself; only what NumPy writes is admitted")


def _scalar(machine: _Machine, kind: object, content: object = None) -> Any:
    if not isinstance(kind, _Type) or not isinstance(content, bytes):
        raise PickleError("a number without type or bytes")
    return _array_of((), kind, content, "C")[()].item()


def _from_buffer(
    machine: _Machine, content: object, kind: object, shape: object, order: object, axes: object = None
) -> Array:
    if not isinstance(kind, _Type) or not isinstance(content, bytes):
        raise PickleError("an array without type or bytes")
    if order not in ("C", "F", "K") or (order == "K") != (axes is not None):
        raise PickleError("an array in no order of axes that is known")
    found = _array_of(shape, kind, content, "F" if order == "F" else "C")
    if axes is not None:
        found = found.transpose(axes)
    return Array(found)


def _complete_type(described: _Type, state: object) -> None:
    if not isinstance(state, tuple) or len(state) not in (8, 9) or any(part is not None for part in state[2:5]):
        raise PickleError("asks for a type with fields; only bools and integers are admitted")
    order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
    if order not in ("<", ">", "|", "="):
        raise PickleError("asks for an unknown order of bytes")
    # The flags say, among other things, that elements are pointers.
    if state[7] != 0 and not described.is_object:
        raise PickleError("asks for Python objects in the place of numbers")
    described.order = order


def _complete_array(described: Array, state: object) -> None:
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise PickleError("an array that is described in no known way")
    shape, kind, is_fortran, content = state[-4:]
    if not isinstance(kind, _Type):
        raise PickleError("an array without a type")
    if not kind.is_object:
        if not isinstance(content, bytes):
            raise PickleError("an array without bytes")
        described.content = _array_of(shape, kind, content, "F" if is_fortran else "C")
    elif isinstance(content, list) and _is_flat(shape) and _count(shape) == len(content):
        described.content = content
    else:
        raise PickleError("an array of objects that is no list")


def _array_of(shape: object, kind: _Type, content: bytes, order: Any) -> Any:
    number, element = _count(shape), kind.numpy()
    if number * element.itemsize != len(content):
        raise PickleError(f"an array of shape {shape} in {counted(len(content), 'byte')}")
    if element == np.bool_ and content.strip(b"\0\1"):
        raise PickleError("an array of bools that are neither 0 nor 1")
    return np.frombuffer(content, element).reshape(shape, order=order)


def _count(shape: object) -> int:
    """The number of elements; a length of 0 is admitted only alone."""
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES or not all(type(axis) is int for axis in shape):
        raise PickleError("an array without a shape")
    number = 1
    for axis in shape:
        if not (0 if len(shape) == 1 else 1) <= axis <= _LONGEST_AXIS:
            raise PickleError("an array without elements, or with more than there can be")
        number *= axis
    return number


def _is_flat(shape: Any) -> bool:
    """Whether a shape is (N,) or (N, 1)."""
    return _count(shape) == (shape[0] if shape else -1)


_CALLS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _type,
    **{
        (module, name): call
        for module in ("builtins", "__builtin__")
        for name, call in (("bytes", _bytes), ("bytearray", _bytes))
    },
    **{
        (f"numpy.{core}.{module}", name): call
        for core in ("core", "_core")
        for module, name, call in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


# ---- the instructions

_PUSHES: Final[dict[bytes, Callable[[_Machine], Any]]] = {
    b"N": lambda m: None,
    b"\x88": lambda m: True,
    b"\x89": lambda m: False,
    b"I": _Machine.decimal,
    b"L": _Machine.decimal,
    b"J": lambda m: struct.unpack("<i", m.take(4))[0],
    b"K": lambda m: m.number(1),
    b"M": lambda m: m.number(2),
    b"\x8a": lambda m: m.integer(1),
    b"\x8b": lambda m: m.integer(4),
    b"F": lambda m: float(m.line()),
    b"G": lambda m: struct.unpack(">d", m.take(8))[0],
    b"S": _Machine.quoted,
    b"T": lambda m: m.counted(4),
    b"U": lambda m: m.counted(1),
    b"B": lambda m: m.counted(4),
    b"C": lambda m: m.counted(1),
    b"\x8e": lambda m: m.counted(8),
    b"\x96": lambda m: m.counted(8),
    b"V": lambda m: m.line().decode("raw-unicode-escape"),
    b"X": lambda m: m.counted(4).decode("utf-8", "surrogatepass"),
    b"\x8c": lambda m: m.counted(1).decode("utf-8", "surrogatepass"),
    b"\x8d": lambda m: m.counted(8).decode("utf-8", "surrogatepass"),
    b"]": lambda m: [],
    b")": lambda m: (),
    b"l": _Machine.since_mark,
    b"t": lambda m: tuple(m.since_mark()),
    b"\x85": lambda m: m.last(1),
    b"\x86": lambda m: m.last(2),
    b"\x87": lambda m: m.last(3),
    b"2": lambda m: m.top(object, "repeats something"),
    b"c": lambda m: m.named(m.line().decode("latin1"), m.line().decode("latin1")),
    b"\x93": lambda m: m.named(*m.last(2)),
    b"R": _Machine.call,
    b"\x81": _Machine.call,
    b"g": lambda m: m.get(int(m.line())),
    b"h": lambda m: m.get(m.number(1)),
    b"j": lambda m: m.get(m.number(4)),
}
"""Instruction -> what it puts on the stack."""

_STEPS: Final[dict[bytes, Callable[[_Machine], Any]]] = {
    b"\x80": lambda m: m.take(1),  # the protocol
    b"\x95": lambda m: m.take(8),  # the length of a frame
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"0": _Machine.pop,
    b"1": _Machine.since_mark,
    b"a": _Machine.append,
    b"e": _Machine.extend,
    b"b": _Machine.build,
    b"p": lambda m: m.put(int(m.line())),
    b"q": lambda m: m.put(m.number(1)),
    b"r": lambda m: m.put(m.number(4)),
    b"\x94": lambda m: m.put(len(m.memo)),
}
"""Instruction -> what it does, beside putting something on the stack."""

_NAMES: Final = {instruction.code.encode("latin1"): instruction.name for instruction in pickletools.opcodes}
