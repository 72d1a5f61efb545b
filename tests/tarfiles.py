"""Tar files made by code, whole and odd."""

import io
import tarfile


def packed(path, members, **options):
    """A tar of (name, bytes), or (TarInfo, bytes) for odd ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, raw in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


def special(name, kind, target=""):
    """A member that is no file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpacked(path):
    """The members of a tar as Python reads them: name -> bytes."""
    with tarfile.open(path) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar.getmembers()}


def header(name, size, kind=tarfile.REGTYPE):
    """A header alone, which says what it likes."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)
