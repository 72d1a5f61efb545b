"""A catalog in one zip file, to pass on. Nothing in a file from elsewhere is trusted."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import cv2
import numpy as np

from maskgen import files
from maskgen.catalog.edit import NewDesign, NewView, OnClash, add
from maskgen.catalog.schema import SCHEMA_VERSION, CatalogFile, DesignEntry
from maskgen.catalog.store import CATALOG_FILE, Catalog, dump, parse
from maskgen.errors import CatalogError

MAX_ENTRIES: Final = 20_000
MAX_FILE_BYTES: Final = 64_000_000
MAX_TOTAL_BYTES: Final = 2_000_000_000
MAX_RATIO: Final = 200
"""Strongest compression of an entry: coordinates in JSON reach 20, pictures hardly 2, zip bombs a thousand."""
MAX_PICTURE_PIXELS: Final = 25_000_000

_SAME_DATE: Final = (1980, 1, 1, 0, 0, 0)


def export(catalog: Catalog, path: Path) -> None:
    """Write the designs of a catalog to a zip file; the same designs give the same bytes.

    Raises
    ------
    CatalogError
        If a picture is missing or is not the one that the catalog names.
    MaskgenError
        If the file cannot be written.
    """
    entries = tuple(design.entry for design in catalog.designs)
    members = [(CATALOG_FILE, dump(CatalogFile(schema_version=SCHEMA_VERSION, masks=entries)))]
    for file, digest in sorted({(view.file, view.sha256) for entry in entries for view in entry.views}):
        try:
            raw = (catalog.root / file).read_bytes()
        except OSError as error:
            raise CatalogError(f"{catalog.root / file}: cannot be read: {error.strerror}") from error
        if hashlib.sha256(raw).hexdigest() != digest:
            raise CatalogError(
                f"{catalog.root / file}: not the picture that the catalog names", "see 'maskgen catalog check'"
            )
        members.append((file, raw))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, raw in members:
            # PNGs are compressed already.
            how = zipfile.ZIP_DEFLATED if name == CATALOG_FILE else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name, _SAME_DATE), raw, how)
    files.write_whole(path, buffer.getvalue())


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
    """The designs in a zip file, checked.

    Raises
    ------
    CatalogError
        If the file is unsafe, malformed or damaged, or a design that was asked for is not there.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = _safe(archive, path)
            if CATALOG_FILE not in infos:
                raise CatalogError(
                    f"{path}: holds no {CATALOG_FILE}", "give a file that 'maskgen catalog export' wrote"
                )
            catalog = parse(_read(archive, infos[CATALOG_FILE], path), Path(f"{path}/{CATALOG_FILE}"))
            named = {view.file for entry in catalog.masks for view in entry.views}
            if strays := sorted(set(infos) - named - {CATALOG_FILE}):
                raise CatalogError(f"{path}: {strays[0]!r} belongs to no design")
            if missing := sorted(set(names) - {entry.name for entry in catalog.masks}):
                raise CatalogError(f"{path}: no design {', '.join(map(repr, missing))}")
            chosen = [entry for entry in catalog.masks if not names or entry.name in names]
            return [_design(archive, infos, entry, path) for entry in chosen]
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise CatalogError(f"{path}: not a zip file that can be read: {error}") from error


def _safe(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    infos: dict[str, zipfile.ZipInfo] = {}
    listed = archive.infolist()
    if len(listed) > MAX_ENTRIES:
        raise CatalogError(f"{path}: {len(listed)} entries, at most {MAX_ENTRIES} are taken")
    for info in listed:
        name = info.filename
        parts = PurePosixPath(name).parts
        # orig_filename is the name in the file: zipfile cuts it at a zero byte and changes separators.
        if (
            name.startswith("/")
            or "\\" in info.orig_filename
            or ":" in name
            or ".." in parts
            or "\0" in info.orig_filename
        ):
            raise CatalogError(f"{path}: entry {info.orig_filename!r} points outside the catalog")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CatalogError(f"{path}: entry {name!r} is a link or a device, not a file")
        if info.is_dir():
            continue
        if name in infos:
            raise CatalogError(f"{path}: entry {name!r} is there twice")
        if info.flag_bits & 1:
            raise CatalogError(f"{path}: entry {name!r} is encrypted")
        if info.file_size > MAX_FILE_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise CatalogError(
                f"{path}: entry {name!r} unpacks from {info.compress_size} to {info.file_size} bytes: too much"
            )
        if name != CATALOG_FILE and not name.endswith(".png"):
            raise CatalogError(f"{path}: entry {name!r} is neither {CATALOG_FILE} nor a PNG")
        infos[name] = info
    total = sum(info.file_size for info in infos.values())
    if total > MAX_TOTAL_BYTES:
        raise CatalogError(f"{path}: unpacks to {total} bytes, at most {MAX_TOTAL_BYTES} are taken")
    return infos


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(info) as file:
        # The size in the zip's directory may be wrong: no more than that is unpacked.
        raw = file.read(info.file_size + 1)
    if len(raw) != info.file_size:
        raise CatalogError(f"{path}: entry {info.filename!r} does not have the size that it announces")
    return raw


def _design(archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], entry: DesignEntry, path: Path) -> NewDesign:
    views = []
    for view in entry.views:
        if view.file not in infos:
            raise CatalogError(f"{path}: {view.file!r} of design {entry.name!r} is missing")
        png = _read(archive, infos[view.file], path)
        if hashlib.sha256(png).hexdigest() != view.sha256:
            raise CatalogError(f"{path}: {view.file!r} is not the picture that the catalog names: its hash differs")
        check_png(png, f"{path}: {view.file!r}")
        views.append(NewView(png, view.rotation, dict(view.points)))
    return NewDesign(
        entry.name, entry.kind, entry.license, tuple(views), entry.colour, entry.tags, entry.weight, entry.mirror
    )


def check_png(png: bytes, where: str) -> None:
    """Make sure that bytes are an 8-bit RGBA PNG, not too large, and opaque somewhere.

    Raises
    ------
    CatalogError
        If they are not; the message begins with `where`.
    """
    # The IHDR chunk: width and height stand at bytes 16 to 24.
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise CatalogError(f"{where} is not a PNG")
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    if width * height > MAX_PICTURE_PIXELS:
        raise CatalogError(f"{where} has {width} x {height} pixels, more than the {MAX_PICTURE_PIXELS:,} allowed")
    rgba = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if rgba is None or rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8:
        raise CatalogError(f"{where} is not an 8-bit RGBA PNG")
    if not rgba[..., 3].any():
        raise CatalogError(f"{where} is transparent everywhere")
