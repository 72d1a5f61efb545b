"""The schema of ``catalog.json``, checked when it is read."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import FailFast, Field, field_validator, model_validator

from maskgen.names import some_of
from maskgen.schema import Strict

SCHEMA_VERSION: Final = 1

UNKNOWN_LICENSE: Final = "LicenseRef-unknown"
"""SPDX's way to say that the rights in a picture are not known."""

Degrees = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Pixel = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=200)]
Channel = Annotated[int, Field(ge=0, le=255)]
MAX_WEIGHT: Final = 1e6
# File systems take names of so many bytes.
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 1000
# No object of a catalog has more fields, control points aside.
_MOST_FIELDS: Final = 50
Kind = Literal["surgical", "kn95", "n95_cup", "cloth", "duckbill", "gaiter", "transparent", "other"]
Wear = Literal["correct", "nose_out", "chin_out", "under_chin"]
"""How a mask is worn: over nose and chin; its upper edge on the upper lip; pulled up, so that the chin shows; the whole
of it under the chin."""
WEARS: Final[tuple[Wear, ...]] = get_args(Wear)
Corner = Literal["image_left_upper", "image_left_lower", "image_right_upper", "image_right_lower"]
"""Where a strap is fastened to a mask."""
WearShares = tuple[tuple[Wear, float], ...]
"""Ways to wear a mask and how often each; the shares sum to 1."""
CORRECT: Final[WearShares] = (("correct", 1.0),)


def wear_shares(weights: dict[str, float]) -> WearShares:
    """Weights by name as shares that sum to 1, in the order of `WEARS`; those of weight 0 are left out.

    Raises
    ------
    ValueError
        If a name is unknown, a weight negative or not finite, or none is left.
    """
    unknown = sorted(set(weights) - set(WEARS))
    if unknown:
        raise ValueError(f"unknown way to wear a mask: {', '.join(unknown)}; there are {', '.join(WEARS)}")
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{name}={weight:g}: a weight must be 0 or more")
    total = sum(weights.values())
    if not math.isfinite(total):
        raise ValueError("the weights are too large to be added")
    if total <= 0:
        raise ValueError("at least one way to wear a mask needs a weight above 0")
    return tuple((name, weights[name] / total) for name in WEARS if weights.get(name, 0) > 0)


def refuse_unknown_points(points: Iterable[str]) -> None:
    """Make sure that control points have names that are known.

    Raises
    ------
    ValueError
        If one has not.
    """
    # Imported late: settings name kinds and wears without loading numpy.
    from maskgen.face.head import POINT_NAMES

    if unknown := sorted(set(points) - POINT_NAMES):
        raise ValueError(
            f"unknown control points {some_of(map(repr, unknown), 3)}: use landmarks '0' to '67' or the anchors of "
            "maskgen.face.head"
        )


class _Bounded(Strict):
    """A model that looks at few fields only: each unknown one would give an error of its own, and fill the memory."""

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError(f"{len(value)} fields, at most {_MOST_FIELDS} are looked at")
        return value


class Rotation(_Bounded):
    """The head rotations that a view is for, degrees, both ends included.

    Convention
    ----------
    +yaw turns the nose to image right, +pitch looks up.
    """

    yaw: tuple[Degrees, Degrees]
    pitch: tuple[Degrees, Degrees]

    @field_validator("yaw", "pitch")
    @classmethod
    def _ordered(cls, interval: tuple[float, float]) -> tuple[float, float]:
        if interval[0] > interval[1]:
            raise ValueError(f"interval {list(interval)} is empty: the first number must not exceed the second")
        return interval

    def holds(self, yaw: float, pitch: float) -> bool:
        """Whether a head turned so may wear the view."""
        return self.yaw[0] <= yaw <= self.yaw[1] and self.pitch[0] <= pitch <= self.pitch[1]

    def mirrored(self) -> Rotation:
        """The interval of the mirrored picture."""
        return Rotation(yaw=(-self.yaw[1], -self.yaw[0]), pitch=self.pitch)


class Straps(_Bounded):
    """What holds a mask, for whoever draws it on a face.

    Attributes
    ----------
    kind : {"ear", "head", "none"}
        A loop from the two corners of each side to the ear, two bands round the head, or nothing.
    color_rgb : (int, int, int)
        In full light, sRGB.
    width_mm : float
        Of the band.
    """

    kind: Literal["ear", "head", "none"]
    color_rgb: tuple[Channel, Channel, Channel] = (228, 228, 226)
    width_mm: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 3.2


Weave = Literal["nonwoven", "woven", "knit", "smooth"]
"""What cloth is like close by."""


class Surface(_Bounded):
    """What is put on the cloth of a mask as it is drawn on a face: its pictures do not show it.

    Attributes
    ----------
    weave : {"nonwoven", "woven", "knit", "smooth"}
        What the cloth is like close by.
    creases : float
        How easily it creases: 0 for a stiff shell, 1 for thin cloth.
    """

    weave: Weave = "nonwoven"
    creases: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0


class ViewEntry(_Bounded):
    """One RGBA picture of a mask, seen at one head rotation.

    Attributes
    ----------
    file : str
        PNG with straight (not premultiplied) alpha, relative to the catalog, inside it.
    sha256 : str
        Of the file's bytes.
    rotation : Rotation
        The head rotations it is for.
    points : dict
        Control points: name -> (x, y) in the picture, pixels, (0, 0) the centre of the top-left pixel. A point may lie
        outside the picture.
    fastenings : dict
        Where straps leave the mask: corner -> (x, y) in the picture, pixels. Corners that are hidden are left out.
    rendered : True, optional
        Of a mask taken from photographs: this side was drawn from a photograph of another.
    """

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    rotation: Rotation
    points: Annotated[dict[str, tuple[Pixel, Pixel]], Field(min_length=3)]
    fastenings: dict[Corner, tuple[Pixel, Pixel]] = Field(default_factory=dict, max_length=4)
    rendered: Literal[True] | None = None

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file or path.suffix != ".png":
            raise ValueError(f"{file!r} must name a .png inside the catalog, with forward slashes")
        if any(unicodedata.category(character) == "Cc" for character in file):
            raise ValueError(f"{file!r} holds a control character")
        if len(file) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in path.parts):
            raise ValueError(f"{file!r} is too long for a file name")
        return file

    @field_validator("points", mode="before")
    @classmethod
    def _few(cls, points: Any) -> Any:
        # Imported late: settings name kinds and wears without loading numpy.
        from maskgen.face.head import POINT_NAMES

        if isinstance(points, dict) and len(points) > len(POINT_NAMES):
            raise ValueError(f"{len(points)} control points, there are {len(POINT_NAMES)}")
        return points

    @field_validator("points")
    @classmethod
    def _known(cls, points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        refuse_unknown_points(points)
        return points


class DesignEntry(_Bounded):
    """One mask design and its views.

    Attributes
    ----------
    name : str
        Unique in the catalog: letters, digits, dot, dash and underscore.
    kind : str
        What sort of mask it is.
    colour : str
        The main colour, in words.
    tags : tuple of str
        For choosing.
    weight : float
        How often it is chosen, relative to the others.
    license : str
        SPDX identifier.
    mirror : bool
        Whether the mirrored picture of each view serves the opposite yaw.
    straps : Straps, optional
        What to draw from the fastenings of a view to the head; by default the pictures show the straps themselves.
    surface : Surface, optional
        What to put on its cloth; by default the pictures show all of it, as photographs do.
    views : tuple of ViewEntry
        At least one.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    kind: Kind
    colour: Text = ""
    tags: Annotated[tuple[Text, ...], FailFast()] = ()
    weight: Annotated[float, Field(gt=0, le=MAX_WEIGHT, allow_inf_nan=False)] = 1.0
    license: Text
    mirror: bool = True
    straps: Straps | None = None
    surface: Surface | None = None
    views: Annotated[tuple[ViewEntry, ...], Field(min_length=1), FailFast()]


class CatalogFile(_Bounded):
    """The whole of ``catalog.json``."""

    schema_version: Literal[1]
    masks: Annotated[tuple[DesignEntry, ...], FailFast()]

    @model_validator(mode="after")
    def _unique(self) -> CatalogFile:
        names = Counter(design.name for design in self.masks)
        if twice := sorted(repr(name) for name, number in names.items() if number > 1):
            raise ValueError(f"designs named twice: {some_of(twice, 3)}")
        return self
