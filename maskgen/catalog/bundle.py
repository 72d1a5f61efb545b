"""A catalog in one zip file, to pass on. Nothing in a file from elsewhere is trusted."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Final

from maskgen import files
from maskgen.catalog import png
from maskgen.catalog.edit import LOCK_FILE, NewDesign, NewView, OnClash, add
from maskgen.catalog.places import CATALOG_FILE, SHEET_FILE
from maskgen.catalog.points import faults_of_fastenings, faults_of_points
from maskgen.catalog.schema import SCHEMA_VERSION, CatalogFile, DesignEntry, ViewEntry
from maskgen.catalog.store import Catalog, dump, parse
from maskgen.errors import CatalogError
from maskgen.schema import shortened

MAX_ENTRIES: Final = 20_000
MAX_DIRECTORY_BYTES: Final = 8_000_000
"""Of the list of entries at a zip's end: 400 bytes per entry."""
MAX_FILE_BYTES: Final = 64_000_000
MAX_TOTAL_BYTES: Final = 500_000_000
"""What is unpacked is held in memory until all of it is checked."""
MAX_RATIO: Final = 200
"""Strongest compression of an entry: coordinates in JSON reach 20, pictures hardly 2, zip bombs a thousand."""

_SAME_DATE: Final = (1980, 1, 1, 0, 0, 0)
_LONGEST_NAME: Final = 255
# The fixed part of what stands before the bytes of an entry.
_ENTRY_HEADER_BYTES: Final = 30
_PACK_ANEW: Final = "pack it with 'maskgen catalog export'"
# What zipfile raises for files that are not what they say they are.
_MALFORMED: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,  # NotImplementedError too
    ValueError,  # UnicodeDecodeError too
    OverflowError,
    LookupError,
)


def export(catalog: Catalog, path: Path, existing: files.Existing = "refuse") -> None:
    """Write the designs of a catalog to a zip file; the same designs give the same bytes.

    Parameters
    ----------
    existing : {"refuse", "overwrite"}
        What to do if there is such a file.

    Raises
    ------
    CatalogError
        If a picture is missing or is not the one that the catalog names.
    MaskgenError
        If the file is there already, or cannot be written.
    """
    files.refuse_existing(path, existing)
    entries = tuple(design.entry for design in catalog.designs)
    members = [(CATALOG_FILE, dump(CatalogFile(schema_version=SCHEMA_VERSION, masks=entries)))]
    pictures: dict[str, tuple[str, Path]] = {}
    for design in catalog.designs:
        for view in design.entry.views:
            digest, place = pictures.setdefault(view.file, (view.sha256, design.root / view.file))
            if digest != view.sha256:
                raise CatalogError(
                    f"{design.root / view.file}: {place} is another picture of this name",
                    "export the designs of one catalog at a time",
                )
    for file, (digest, place) in sorted(pictures.items()):
        try:
            raw = files.read_regular(place, png.MAX_PICTURE_BYTES)
        except OSError as error:
            raise CatalogError(f"{place}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(raw).hexdigest() != digest:
            raise CatalogError(f"{place}: not the picture that the catalog names", "see 'maskgen catalog check'")
        members.append((file, raw))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in members:
            # PNGs are compressed already.
            how = zipfile.ZIP_DEFLATED if name == CATALOG_FILE else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name, _SAME_DATE), raw, how)
    files.write_output(path, buffer.getvalue(), existing)


def import_(path: Path, root: Path, names: Sequence[str] = (), on_clash: OnClash = "refuse") -> list[str]:
    """Put the designs of a zip file into a catalog, all or none.

    Everything is checked before anything is written: names, sizes, schema, hashes, and that each picture is one.

    Parameters
    ----------
    names : sequence of str
        Only these designs; all if there are none.
    on_clash : {"refuse", "rename", "replace"}
        See `maskgen.catalog.edit.add`.

    Returns
    -------
    list of str
        The names they have now.

    Raises
    ------
    CatalogError
        If the file is unsafe, malformed or damaged, or a name is taken.
    """
    return add(root, read(path, names), on_clash)


def read(path: Path, names: Sequence[str] = ()) -> list[NewDesign]:
    """The designs in a zip file, checked; the catalog may lie in a folder of its own in it.

    Raises
    ------
    CatalogError
        If the file is unsafe, malformed or damaged, or a design that was asked for is not there.
    """
    try:
        with _Source(path) as file, zipfile.ZipFile(file) as archive:
            file.most_at_once = MAX_FILE_BYTES
            infos = _in_catalog(_safe(archive, path), path)
            unpack = _Unpacking(archive, infos, path)
            catalog = parse(unpack(CATALOG_FILE), Path(f"{path}/{CATALOG_FILE}"))
            named = {view.file for entry in catalog.masks for view in entry.views}
            if strays := sorted(set(infos) - named - {CATALOG_FILE}):
                raise CatalogError(f"{path}: {strays[0]!r} belongs to no design", "take it out")
            if missing := sorted(set(names) - {entry.name for entry in catalog.masks}):
                raise CatalogError(f"{path}: no design {', '.join(map(repr, missing))}")
            wanted = set(names)
            return [_design(unpack, entry) for entry in catalog.masks if not names or entry.name in wanted]
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _MALFORMED as error:
        said = shortened(" ".join(str(error).split())) or type(error).__name__
        raise CatalogError(f"{path}: not a zip file that can be read: {said}") from error


class _Source(io.FileIO):
    """A regular file of which so many bytes are read at once, whatever the zip in it says of its own sizes."""

    def __init__(self, path: Path) -> None:
        self.most_at_once = MAX_DIRECTORY_BYTES
        super().__init__(files.open_regular(path), "rb")

    def read(self, size: int | None = -1, /) -> bytes:
        """As `io.FileIO.read`."""
        if size is None or size < 0 or size > self.most_at_once:
            size = self.most_at_once + 1
        raw = super().read(size) or b""
        if len(raw) > self.most_at_once:
            raise zipfile.BadZipFile(f"a part of it has more than {self.most_at_once:,} bytes")
        return raw


def _safe(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries that are files of a catalog, by their place in the zip."""
    listed = archive.infolist()
    if len(listed) > MAX_ENTRIES:
        raise CatalogError(f"{path}: {len(listed)} entries, at most {MAX_ENTRIES} are taken")
    infos: dict[str, zipfile.ZipInfo] = {}
    folded: dict[str, str] = {}
    for info in listed:
        _refuse_unsafe(info, path)
        place = PurePosixPath(info.filename)
        if info.is_dir() or _is_no_data(place):
            continue
        name = place.as_posix()
        if place.name != CATALOG_FILE and place.suffix != ".png":
            raise CatalogError(f"{path}: entry {name!r} is neither {CATALOG_FILE} nor a PNG", "take it out")
        # Where the file system knows no case, or one form of accents only, two names would be one file.
        other = folded.setdefault(unicodedata.normalize("NFC", name.casefold()), name)
        if name in infos:
            raise CatalogError(f"{path}: entry {name!r} is there twice")
        if other != name:
            raise CatalogError(f"{path}: entries {other!r} and {name!r} are one file on some computers", "rename one")
        infos[name] = info
    _refuse_overlap(infos, path)
    return infos


def _refuse_unsafe(info: zipfile.ZipInfo, path: Path) -> None:
    # orig_filename is the name in the file: zipfile cuts it at a zero byte, changes separators, and may take another.
    for name in (info.orig_filename, info.filename):
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or "\\" in name or ":" in name or ".." in parts or "\0" in name:
            raise CatalogError(f"{path}: entry {name[:_LONGEST_NAME]!r} points outside the catalog")
        if any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in parts):
            raise CatalogError(f"{path}: an entry's name has more than the {_LONGEST_NAME} bytes that a file may have")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CatalogError(f"{path}: entry {name!r} is a link or a device, not a file")
    if info.flag_bits & 1:
        raise CatalogError(f"{path}: entry {name!r} is encrypted", _PACK_ANEW)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise CatalogError(f"{path}: entry {name!r} is compressed in a way that is not taken", _PACK_ANEW)
    if info.file_size > MAX_FILE_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise CatalogError(
            f"{path}: entry {name!r} unpacks from {info.compress_size} to {info.file_size} bytes: too much"
        )


def _is_no_data(place: PurePosixPath) -> bool:
    """Whether a program left an entry beside a catalog: one of those that pack zips, or this one."""
    folders, name = place.parts[:-1], place.name
    return (
        any(files.is_no_data(folder, True) for folder in folders)
        or files.is_no_data(name, False)
        or files.is_temporary(name)
        or name in (LOCK_FILE, SHEET_FILE)
    )


def _refuse_overlap(infos: dict[str, zipfile.ZipInfo], path: Path) -> None:
    """Bytes that are part of several entries are unpacked several times: the strongest zip bombs."""
    end, last = 0, ""
    for name, info in sorted(infos.items(), key=lambda item: item[1].header_offset):
        if info.header_offset < end:
            raise CatalogError(f"{path}: entries {last!r} and {name!r} share bytes")
        end, last = info.header_offset + _ENTRY_HEADER_BYTES + info.compress_size, name


def _in_catalog(infos: dict[str, zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries by their place in the catalog, which may lie in a folder that was packed whole."""
    homes = [PurePosixPath(name).parent for name in infos if PurePosixPath(name).name == CATALOG_FILE]
    if not homes:
        raise CatalogError(f"{path}: holds no {CATALOG_FILE}", "give a file that 'maskgen catalog export' wrote")
    if len(homes) > 1:
        raise CatalogError(f"{path}: holds {len(homes)} catalogs", "pack each in a zip file of its own")
    placed = {}
    for name, info in infos.items():
        place = PurePosixPath(name)
        if not place.is_relative_to(homes[0]):
            raise CatalogError(f"{path}: {name!r} belongs to no design", "take it out")
        placed[place.relative_to(homes[0]).as_posix()] = info
    return placed


class _Unpacking:
    """Unpacks entries, each at most once, and same bytes are held once; what is unpacked in all is limited."""

    def __init__(self, archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], path: Path) -> None:
        self.path = path
        self._archive = archive
        self._infos = infos
        self._total = 0
        self._digests: dict[str, str] = {}
        self._pictures: dict[str, bytes] = {}

    def __call__(self, name: str) -> bytes:
        """The bytes of an entry."""
        info = self._infos[name]
        # The size in the zip's directory may be wrong: no more than that is unpacked.
        with self._archive.open(info) as file:
            raw = file.read(info.file_size + 1)
        if len(raw) != info.file_size:
            raise CatalogError(f"{self.path}: entry {info.filename!r} does not have the size that it announces")
        self._total += len(raw)
        if self._total > MAX_TOTAL_BYTES:
            raise CatalogError(
                f"{self.path}: unpacks to more than the {MAX_TOTAL_BYTES:,} bytes that are taken at once",
                "import some of its designs by name: {names}",
            )
        return raw

    def picture(self, view: ViewEntry) -> bytes:
        """The PNG of a view, checked."""
        where = f"{self.path}: {view.file!r}"
        digest = self._digests.get(view.file)
        if digest is None:
            raw = self(view.file)
            digest = self._digests[view.file] = hashlib.sha256(raw).hexdigest()
            if digest not in self._pictures:
                png.decode(raw, where)
                self._pictures[digest] = raw
        if digest != view.sha256:
            raise CatalogError(f"{where} is not the picture that the catalog names: its hash differs")
        return self._pictures[digest]

    def has(self, name: str) -> bool:
        """Whether there is such an entry."""
        return name in self._infos


def _design(unpack: _Unpacking, entry: DesignEntry) -> NewDesign:
    views = []
    for view in entry.views:
        if not unpack.has(view.file):
            raise CatalogError(f"{unpack.path}: {view.file!r} of design {entry.name!r} is missing")
        raw = unpack.picture(view)
        size_wh = png.size_of(raw[: png.HEADER_BYTES], f"{unpack.path}: {view.file!r}")
        faults = chain(faults_of_points(view.points, size_wh), faults_of_fastenings(view.fastenings, size_wh))
        if fault := next(faults, None):
            raise CatalogError(f"{unpack.path}: {view.file!r} of design {entry.name!r}: {fault}")
        views.append(NewView(raw, view.rotation, dict(view.points), dict(view.fastenings)))
    return NewDesign(
        entry.name,
        entry.kind,
        entry.license,
        tuple(views),
        entry.colour,
        entry.tags,
        entry.weight,
        entry.mirror,
        entry.straps,
        entry.surface,
    )
