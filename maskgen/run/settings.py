"""What a run is asked to do. Imports pydantic and nothing heavier."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from maskgen.catalog.places import SHIPPED, Places
from maskgen.catalog.schema import CORRECT, WearShares, wear_shares
from maskgen.errors import ConfigError
from maskgen.formats import MAX_PIXELS, PILLOW_MAX_PIXELS, SAVES, Format, MaskSide, Save, Truncated
from maskgen.masking.recipe import Faces
from maskgen.schema import Strict

if TYPE_CHECKING:
    from maskgen.detect import DetectorSource

Existing = Literal["auto", "resume", "overwrite"]
CLUSTER: Final = "dask://HOST:PORT"
"""How a cluster is called."""


class AugmentSettings(Strict):
    """All that decides about the bytes a run writes.

    Attributes
    ----------
    masks : bool
        Whether anything is masked; if not, pictures are copied, or cropped with `align`.
    in_format, out_format : str or None
        See `maskgen.datasets.open.Format`; None for what the path is.
    mask_side : {"second", "both", "first"}
        Which halves of a verification set's pairs get masks.
    shard_size : int
        Samples per file of a WebDataset.
    seed : int
        The same seed gives the same files, whatever the number of workers.
    model : str
        A model pack as `maskgen.packs.find.pack_dir` takes it.
    aligned : bool
        The inputs are 112x112 ArcFace crops: no detector runs.
    landmarks : {68, 106}
        Landmark scheme.
    device : {"cpu", "cuda"}
        Where the networks run.
    catalog : tuple of str
        The catalogs: folders, ``shipped`` for the one that ships with maskgen, ``own`` for the user's. One alone, a
        `Path` or None for ``shipped`` will do. Folders are resolved where the settings are made.
    kinds, tags, designs : tuple of str
        Which masks of the catalogs to use, see `Catalog.select`.
    faces : {"largest", "central", "all"}
        Who gets a mask; the central face is the one that InsightFace takes for the labelled one.
    small_faces : bool
        Look through large pictures tile by tile for small faces; it takes longer.
    min_face : float
        Faces whose longer side is under this many pixels get none.
    keep_covered : bool
        Mask faces too whose mouth is mostly covered by something: a mask, a hand, a microphone.
    wear : tuple of (str, float)
        Ways to wear a mask and their shares; a dict of weights is brought into this form.
    recolor : float
        Share of the masks whose colour is changed.
    pattern_dir : Path or None
        Folder of pictures to lay on masks.
    pattern_share : float
        Share of the masks that get one of them.
    align : {112} or None
        Write crops of 112x112 as ArcFace takes them, of one face per picture.
    variants : int
        Masked pictures per input.
    originals : bool
        Put a copy of the input beside its masked pictures.
    copy_skipped : bool
        Put a copy of the input where no mask could be put on.
    save : tuple of str
        What to save besides: ``landmarks`` in the manifest; ``alpha``, how much of each pixel is mask, and
        ``visible``, where one could be drawn, as PNG beside each masked picture.
    quality : int or None
        Of JPEG and WebP; None keeps the source's own.
    max_pixels : int
        Larger pictures fail.
    truncated : {"keep", "fail"}
        Whether pictures that were cut short fail, or are masked as far as they go.
    """

    masks: bool = True
    in_format: Format | None = None
    out_format: Format | None = None
    mask_side: MaskSide = "second"
    shard_size: int = Field(default=10_000, ge=1)
    seed: int = Field(default=0, ge=0)
    model: str = "bundled"
    aligned: bool = False
    landmarks: Literal[68, 106] = 68
    device: Literal["cpu", "cuda"] = "cpu"
    catalog: Places = (SHIPPED,)
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    designs: tuple[str, ...] = ()
    faces: Faces = "largest"
    small_faces: bool = False
    min_face: float = Field(default=0, ge=0, allow_inf_nan=False)
    keep_covered: bool = False
    wear: WearShares = CORRECT
    recolor: float = Field(default=0.0, ge=0, le=1)
    pattern_dir: Path | None = None
    pattern_share: float = Field(default=0.5, ge=0, le=1)
    align: Literal[112] | None = None
    variants: int = Field(default=1, ge=1)
    originals: bool = False
    copy_skipped: bool = False
    save: tuple[Save, ...] = ()
    quality: int | None = Field(default=None, ge=1, le=100)
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, le=PILLOW_MAX_PIXELS)
    truncated: Truncated = "fail"

    @model_validator(mode="before")
    @classmethod
    def _one_face_per_crop(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("align") is not None:
            if given.get("aligned"):
                raise ValueError("aligned and align: the inputs are crops already")
            if given.setdefault("faces", "central") == "all":
                raise ValueError("align takes one face per picture: faces cannot be all")
        return given

    @model_validator(mode="after")
    def _crops_hold_one_face(self) -> AugmentSettings:
        if self.aligned and self.small_faces:
            raise ValueError("aligned and small_faces: a crop holds one face, whose place is known")
        return self

    @model_validator(mode="before")
    @classmethod
    def _saved_as_before(cls, given: Any) -> Any:
        # What `save` was before there was more to save.
        if isinstance(given, dict) and "save_landmarks" in given:
            given = {**given}
            if given.pop("save_landmarks"):
                given["save"] = (*given.get("save", ()), "landmarks")
        return given

    @field_validator("save")
    @classmethod
    def _in_order(cls, value: tuple[Save, ...]) -> tuple[Save, ...]:
        return tuple(name for name in SAVES if name in value)

    @field_validator("wear", mode="before")
    @classmethod
    def _shares(cls, value: object) -> object:
        return wear_shares(dict(value)) if isinstance(value, (dict, tuple, list)) else value


@dataclass(frozen=True, order=True)
class Share:
    """One of several shares of the work, counted from 0."""

    index: int
    of: int

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


@dataclass(frozen=True)
class Execution:
    """How a run proceeds; nothing here changes a byte of what it writes in the end.

    Attributes
    ----------
    workers : int or None
        Processes; None for one per core. Given for no cluster.
    limit : int or None
        Take only the first so many pictures, in the order of their keys.
    existing : {"auto", "resume", "overwrite"}
        What to do with an output folder that a former run made: go on if its settings were the same; insist that there
        is something to go on with; delete what the former run wrote and start anew.
    retry_failed : bool
        Take the inputs again that failed.
    checksum : bool
        See by their contents which inputs and outputs have changed since the former run, not by size and time.
    prune : bool
        Drop the rows of inputs that are gone, with what was written for them.
    shard : Share or None
        Do only this share of the work. The process that ends last puts together what all of them wrote.
    cluster : str or None
        Work in the workers of this cluster, ``dask://host:port``, not in processes of this machine.
    """

    workers: int | None = None
    limit: int | None = None
    existing: Existing = "auto"
    retry_failed: bool = False
    checksum: bool = False
    prune: bool = False
    shard: Share | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.cluster is not None and self.workers is not None:
            raise ConfigError(
                "workers and a cluster: its workers are there already", "leave out {workers} or {cluster}"
            )

    @property
    def scheduler(self) -> str | None:
        """Where the scheduler of the cluster listens, in Dask's words: ``tcp://host:port``.

        Raises
        ------
        ConfigError
            If the cluster is of another kind.
        """
        return None if self.cluster is None else scheduler_of(self.cluster)


def scheduler_of(cluster: str) -> str:
    """Where the scheduler of a cluster listens, in Dask's words: ``tcp://host:port``.

    Raises
    ------
    ConfigError
        If it is a cluster of another kind, or host or port are missing.

    Examples
    --------
    >>> scheduler_of("dask://10.0.0.1:8786")
    'tcp://10.0.0.1:8786'
    """
    parts = urlsplit(cluster)
    try:
        is_whole = bool(parts.scheme == "dask" and parts.hostname and parts.port)
    except ValueError:  # no number, or too large
        is_whole = False
    if not is_whole or parts.path or parts.query or parts.fragment:
        raise ConfigError(f"{cluster}: not a cluster", f"a cluster is called {CLUSTER}, after its scheduler")
    return f"tcp://{parts.netloc}"


@dataclass(frozen=True)
class Job:
    """A dataset to mask.

    Attributes
    ----------
    source, target : Path
        Input, never written to, and output, see `maskgen.datasets.open`; neither may lie in the other.
    source_name : str or None
        What to call the source in ``run.json``; None for its path.
    detectors : DetectorSource or None
        Where detectors come from; None for the model pack of the settings.
    root : Path or None
        If the source is a list of pairs: the folder from which it counts its paths.
    """

    source: Path
    target: Path
    settings: AugmentSettings = field(default_factory=AugmentSettings)
    execution: Execution = field(default_factory=Execution)
    source_name: str | None = None
    detectors: DetectorSource | None = None
    root: Path | None = None
