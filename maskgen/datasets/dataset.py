"""Opening a dataset for those who want people rather than files: of any format, or an output of ``maskgen augment``."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from maskgen.datasets.augmented import augmented, output_of
from maskgen.datasets.listing import NOBODY, listed
from maskgen.datasets.open import format_of_path
from maskgen.datasets.people import AlignedBy, People, plain, seem_aligned
from maskgen.errors import ConfigError
from maskgen.formats import Format


def open_dataset(path: str | PathLike[str], in_format: Format | None = None, aligned: bool | None = None) -> People:
    """All pictures of a dataset of any format, whoever is on them; of an output of ``maskgen augment`` the originals.

    Nothing is unpacked: items are made, and pictures read, when they are asked for.

    Parameters
    ----------
    path : path
        The dataset.
    in_format : str, optional
        What it is; by default what the path says.
    aligned : bool, optional
        Whether pictures are ArcFace crops already; by default what an output of augment knows, or what the sizes of
        some pictures say.

    Returns
    -------
    People
        Its items have a name, which is their key, and an identity, which is empty where nobody is named.

    Raises
    ------
    ConfigError
        If there is nothing that can be read.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "ann").mkdir()
    >>> Image.new("RGB", (60, 40)).save(folder / "ann" / "1.png")
    >>> dataset = open_dataset(folder)
    >>> [(item.name, item.identity, dataset.read(item.original).shape) for item in dataset.items]
    [('ann/1.png', 'ann', (40, 60, 3))]
    """
    path = Path(path)
    in_format = in_format or format_of_path(path)
    root = output_of(path, in_format)
    if root is not None:
        return augmented(root, None, aligned)
    if in_format == "bin":
        from maskgen.datasets.verification import read_bin

        pictures = read_bin(path)
        names = [str(number) for number in range(len(pictures.pictures))]
        return People(
            names, names, np.zeros(len(names), np.intp), ("",), aligned is not False, read=pictures.read, container=path
        )
    found = listed(path, in_format)
    if not len(found.names):
        raise ConfigError(f"{path}: no pictures")
    is_aligned = seem_aligned(found.places) if aligned is None else aligned
    aligned_by: AlignedBy = "sizes" if aligned is None else "settings"
    whose = np.where(found.whose == NOBODY, len(found.identities), found.whose)
    identities = (*found.identities, "")
    return People(found.names, found.places, whose, identities, is_aligned, aligned_by, found.left_out, found.starts)


def open_people(path: Path, original: Path | None = None, aligned: bool | None = None) -> People:
    """The people at a path.

    Parameters
    ----------
    path : Path
        A dataset of any format but a verification set, or an output of ``maskgen augment``.
    original : Path, optional
        Where an output of augment has its originals, a dataset of any format; by default beside the masked copies, or
        in what augment read.
    aligned : bool, optional
        Whether pictures are ArcFace crops already; by default what an output of augment knows, or what the sizes of
        some pictures say.

    Raises
    ------
    ConfigError
        If there is nothing that can be read, or the originals are missing.
    """
    in_format = format_of_path(path)
    root = output_of(path, in_format)
    if root is not None:
        return augmented(root, original, aligned)
    if original is not None:
        raise ConfigError(
            f"{path}: no manifest lies there, so it is no output of augment",
            "leave out {original}, or give the folder that augment wrote",
        )
    return plain(path, aligned)
