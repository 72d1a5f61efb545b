"""A folder of pictures with ``metadata.jsonl``, as Hugging Face's ImageFolder has it: one JSON object per line."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple

from maskgen import files, formats, images, manifest
from maskgen.datasets import sidecars
from maskgen.datasets.base import Entry, Fault, Sample
from maskgen.datasets.finals import Finals
from maskgen.datasets.folder import printable
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.errors import ConfigError, ImageError
from maskgen.manifest import Row, line_of
from maskgen.ordering import Sorted, Spool
from maskgen.parallel import chunks_of

METADATA_FILE: Final = "metadata.jsonl"
_NAME: Final = "file_name"
_WHO: Final = ("identity", "label", "cls", "name")
_BOM: Final = b"\xef\xbb\xbf"


class _Line(NamedTuple):
    """A line that names a file; these sort by its name."""

    key: str
    offset: int
    size: int
    crc32: int
    identity: str | None
    label: int | None


@dataclass(frozen=True)
class MetadataReader:
    """The pictures that the lines of ``metadata.jsonl`` name, in the order of the names. Other files are left out.

    ``identity``, ``label``, ``cls`` or ``name`` says who is on it; the line itself is the extra ``json``.

    Parameters
    ----------
    root : Path
        The folder.
    max_pixels : int, optional
        Files larger than any picture of so many pixels are not read.

    Raises
    ------
    ConfigError
        While listing, if there is no such file.
    """

    root: Path
    max_pixels: int | None = None

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`; sorted on disk."""
        return chunks_of(self._found(), size)

    def count(self) -> None:
        """As `Reader.count`: nobody knows."""

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`."""
        # The stamp is taken first: what changes while it is read is read again by the next run.
        stamp = self.stamp(entry)
        raw = images.read_bytes(self.root / entry.key, self.max_pixels, name=entry.key)
        return Sample(raw, {"json": self.line(entry)}, stamp)

    def line(self, entry: Entry) -> bytes:
        """The line that names an entry.

        Raises
        ------
        ImageError
            If it is not there any more.
        """
        offset, size, crc32 = entry.locator
        try:
            with self._opened() as file:
                file.seek(offset)
                line = file.read(size)
        except OSError as error:
            raise ImageError(f"{entry.key}: {METADATA_FILE} cannot be read: {error.strerror}") from error
        if zlib.crc32(line) != crc32:
            raise ImageError(f"{entry.key}: {METADATA_FILE} has changed", "run the same again")
        return line

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: size and time of change of the picture, and a checksum of its line."""
        stamp = files.stamp_of(self.root / entry.key)
        return None if stamp is None else f"{stamp}-{entry.locator[2]:08x}"

    def container(self) -> None:
        """As `Reader.container`: each picture is a file of its own."""

    def fingerprint(self) -> str:
        """The folder's path."""
        return str(self.root)

    def _opened(self) -> IO[bytes]:
        return open(files.open_regular(self.root / METADATA_FILE), "rb")

    def _found(self) -> Iterator[Entry | Fault]:
        """Faults of lines, in their order; then what the others name."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(self._opened())
            except OSError as error:
                raise ConfigError(f"{self.root / METADATA_FILE}: cannot be read: {error.strerror}") from error
            # The input is never written to.
            elsewhere = Path(tempfile.gettempdir())
            faults = stack.enter_context(Spool(elsewhere))
            named = stack.enter_context(Sorted(_lines(file, faults), elsewhere))
            yield from faults
            last = None
            for values in named:
                line = _Line(*values)
                yield self._entry(line, line.key == last)
                last = line.key

    def _entry(self, line: _Line, is_double: bool) -> Entry | Fault:
        if is_double:
            key = f"{line.key} ({METADATA_FILE}, byte {line.offset})"
            return Fault(key, "failed", "twice", "named by an earlier line, too", "delete one of the two")
        if formats.format_of(line.key) is None:
            return Fault(line.key, "skipped", "not_an_image")
        if files.stamp_of(self.root / line.key) is None:
            return Fault(line.key, "failed", "missing", "not there", "put the file there, or delete its line")
        return Entry(line.key, line.identity, line.label, locator=(line.offset, line.size, line.crc32))


def _lines(file: IO[bytes], faults: Spool) -> Iterator[_Line]:
    """What lines say; faults of those that say nothing go to a spool."""
    offset, number = 0, 0
    while raw := file.readline(sidecars.MOST_BYTES + 1):
        number += 1
        at, length = offset, len(raw)
        while not raw.endswith(b"\n") and (more := file.readline(sidecars.MOST_BYTES)):
            # Too long: passed over without being held.
            length, raw = length + len(more), more
        offset += length
        if number == 1 and raw.startswith(_BOM):
            at, raw = at + len(_BOM), raw[len(_BOM) :]
        line = raw.rstrip(b"\r\n")
        if length > sidecars.MOST_BYTES:
            faults.add(_fault(number, "bad_line", f"longer than {sidecars.MOST_BYTES:,} bytes", "shorten it"))
        elif line.strip():
            found = _line_of(line, at, number)
            if isinstance(found, Fault):
                faults.add(found)
            else:
                yield found


def _line_of(line: bytes, offset: int, number: int) -> _Line | Fault:
    fields = sidecars.fields_of(line)
    name = None if fields is None else fields.get(_NAME)
    if fields is None or not isinstance(name, str):
        said = "not a JSON object" if fields is None else f"no {_NAME!r} that is text"
        return _fault(number, "bad_line", said, f'write {{"{_NAME}": "1.jpg", ...}}')
    try:
        key = PurePosixPath(manifest.inside(name)).as_posix()
    except ValueError:
        said = f"{printable(name)[:200]!r} is no name of a file in the folder"
        return _fault(number, "bad_name", said, "name the file relative to the folder")
    return _Line(key, offset, len(line), zlib.crc32(line), *sidecars.who(fields, _WHO))


def _fault(number: int, reason: str, message: str, remedy: str) -> Fault:
    return Fault(f"{METADATA_FILE}, line {number}", "failed", reason, message, remedy)


@dataclass(frozen=True)
class MetadataWriter(FolderWriter):
    """Writes a folder as `FolderWriter` does, and ``metadata.jsonl`` with a line per picture that was written.

    Parameters
    ----------
    root, variants, originals, copy_skipped :
        As those of `FolderWriter`.
    source : MetadataReader
        Whose lines the new ones are made of: only ``file_name`` differs.
    """

    source: MetadataReader | None = None

    @property
    def puts_together(self) -> bool:
        """As `Writer.puts_together`: pictures stay where they are, and one file names them all."""
        return True

    def in_the_way(self, keys: Iterable[str]) -> Iterator[str]:
        """As `Writer.in_the_way`."""
        yield from self._finals.foreign()
        yield from super().in_the_way(keys)

    def clear(self, rows: Iterable[Row]) -> None:
        """As `Writer.clear`."""
        super().clear(rows)
        self._finals.clear()

    def finish(self, rows: Iterable[Row]) -> Iterator[Row]:
        """As `Writer.finish`: rows stay as they are.

        Parameters
        ----------
        rows : iterable of Row
            In the order of their keys.

        Raises
        ------
        ConfigError
            If a ``metadata.jsonl`` is in the way that no run wrote.
        MaskgenError
            If it cannot be written.
        """
        self._finals.refuse_foreign()
        temporary = self.root / files.temporary_name()
        with files.named_faults(self.root), ExitStack() as stack:
            files.make_folder(self.root)
            stack.callback(temporary.unlink, missing_ok=True)
            spool = stack.enter_context(Spool(self.root))
            with files.replaced(temporary) as file:
                for row, line in self._with_lines(rows):
                    spool.add(line_of(row))
                    fields = {} if line is None else sidecars.fields_of(line) or {}
                    for place in row.places:
                        file.write(_json({**fields, _NAME: place}) + b"\n")
            self._finals.replace({METADATA_FILE: temporary})
            for line in spool:
                yield Row.model_validate_json(line)

    @property
    def _finals(self) -> Finals:
        return Finals(self.root, (METADATA_FILE,))

    def _with_lines(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes | None]]:
        """Rows, each with the line of its input: both come in the order of keys."""
        assert self.source is not None
        entries = (one for chunk in self.source.chunks(1024) for one in chunk if isinstance(one, Entry))
        entry = next(entries, None)
        for row in rows:
            while entry is not None and entry.key < row.key:
                entry = next(entries, None)
            is_its = entry is not None and entry.key == row.key
            yield row, self.source.line(entry) if entry is not None and is_its else None


def _json(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False)
    # Half a character, which JSON may hold, must stay escaped.
    return (text if printable(text) == text else json.dumps(fields)).encode()
