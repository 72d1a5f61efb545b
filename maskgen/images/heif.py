"""HEIC and AVIF: phones and websites use them; not every installation reads them."""

from __future__ import annotations

import importlib
from pathlib import PurePath
from typing import Final

from PIL import Image as PillowImage

from maskgen.errors import ImageError

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def format_of_bytes(raw: bytes) -> str | None:
    """``"AVIF"`` or ``"HEIF"`` if a file begins like one."""
    if raw[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(raw[:4], "big"), 256)
    brands = {raw[8:12], *(raw[at : at + 4] for at in range(16, size - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def require(format: str, path: PurePath) -> None:
    """Make Pillow able to read and write AVIF or HEIF.

    Raises
    ------
    ImageError
        If it cannot; says what to install.
    """
    if format == "AVIF":
        try:
            plugin = importlib.import_module("PIL.AvifImagePlugin")
        except ImportError:
            plugin = None
        # A Pillow can come with the plugin and without the library.
        if plugin is None or not plugin.SUPPORTED:
            raise ImageError(
                f"{path}: AVIF, which the installed Pillow cannot read",
                "install a newer one: pip install 'pillow>=11.3'",
            )
    elif "HEIF" not in PillowImage.OPEN:
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ImportError as error:
            raise ImageError(
                f"{path}: HEIC, which needs the package pillow-heif", "install it: pip install 'maskgen[heic]'"
            ) from error
