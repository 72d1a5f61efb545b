"""Logs: files of lines that only grow, and the JSON arrays of words that their lines are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from maskgen import files


class Log:
    """A file of lines; those that are added at once are in the file before the next are taken.

    Parameters
    ----------
    path : Path
        A torn last line, which a killed process leaves, is cut off first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Log:
        _cut_torn_line(self._path)
        self._file = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, *lines: str) -> None:
        """Add lines; if the process is killed meanwhile, the first ones may be there, each as a whole."""
        assert self._file is not None
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, line without its end) of a `Log`; a last line that is torn is passed over.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(files.open_regular(path), "rb") as file:
        offset = 0
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield offset, line[:-1]
            offset += len(line)


def line_of(words: Iterable[str | None]) -> str:
    """The line that `words` takes apart: a JSON array."""
    # What `json.dumps` gives, which takes longer to begin than to write a line.
    return f"[{', '.join('null' if word is None else encode_basestring_ascii(word) for word in words)}]"


def words(line: bytes) -> list[str | None]:
    """The strings and nulls of a line that is a JSON array of them.

    Raises
    ------
    ValueError
        If the line is no such array.
    """
    try:
        content = json.loads(line)
    except RecursionError as error:
        raise ValueError("too many arrays in each other") from error
    if not isinstance(content, list) or not all(part is None or isinstance(part, str) for part in content):
        raise ValueError("no array of strings and nulls")
    return content


def first_string(line: bytes, start: int) -> str:
    """The JSON string that begins in a line, behind its quotation mark; what follows is not looked at.

    Raises
    ------
    ValueError
        If none does.
    """
    # Nothing in UTF-8 but a quotation mark has the byte of one, and one that belongs to the string is escaped.
    end = line.find(b'"', start)
    text = line[start:end]
    if end >= 0 and b"\\" not in text:
        return text.decode()
    return str(json.JSONDecoder().raw_decode(line[start - 1 :].decode())[0])


def rewrite(path: Path, offsets: Iterable[int]) -> int:
    """Keep only the lines at these offsets of a `Log`, in this order; how many. The file is replaced whole."""
    number = 0
    with files.named_faults(path), files.replaced(path) as new, path.open("rb") as old:
        for number, offset in enumerate(offsets, start=1):  # noqa: B007 (the last one is how many there are)
            old.seek(offset)
            new.write(old.readline())
    return number


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, 2)
        while end > 0:
            start = max(end - 4096, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
