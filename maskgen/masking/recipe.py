"""What masking is to do: who gets a mask, how it is worn and coloured, and what it takes on of the photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from maskgen.catalog.schema import CORRECT, WearShares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maskgen.arrays import Image
    from maskgen.face import Face

Faces = Literal["largest", "central", "all"]


@dataclass(frozen=True)
class Look:
    """Which traits of the photograph the mask takes on.

    Attributes
    ----------
    exposure, white_balance, shading, sharpness, noise, shadow : bool
        Switches.
    feather : float
        Standard deviation of the edge's softness, as a share of the face's size; 0 keeps the texture's own edge.
    """

    exposure: bool = True
    white_balance: bool = True
    shading: bool = True
    sharpness: bool = True
    noise: bool = True
    shadow: bool = True
    feather: float = 0.002


DEFAULT_LOOK: Final = Look()
PLAIN_LOOK: Final = Look(False, False, False, False, False, False, 0.0)
"""The overlay exactly as it is."""


@dataclass(frozen=True)
class Patterns:
    """Pictures to lay on masks: their names and their pixels, in the order of the names."""

    names: tuple[str, ...] = ()
    pictures: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What masking is to do.

    Attributes
    ----------
    faces : {"largest", "central", "all"}
        Who gets a mask. The central face is the one that InsightFace takes for the labelled one: see `central`.
    min_face : float
        Faces whose box has a longer side under this many pixels are left alone.
    keep_covered : bool
        Mask faces too whose mouth is mostly covered by something.
    wear : tuple of (str, float)
        Ways to wear a mask and their shares, as `maskgen.catalog.schema.wear_shares` gives them.
    recolor_share : float
        Share of the masks that get another colour.
    patterns : Patterns
        Pictures to lay on masks.
    pattern_share : float
        Share of the masks that get one, if there are any.
    look : Look
        How the mask takes on the light and the grain of the photograph.
    alike : bool
        Whether masks sit and crease as in the catalog, not each in its own way.
    """

    faces: Faces = "largest"
    min_face: float = 0.0
    keep_covered: bool = False
    wear: WearShares = CORRECT
    recolor_share: float = 0.0
    patterns: Patterns = Patterns()
    pattern_share: float = 0.5
    look: Look = DEFAULT_LOOK
    alike: bool = False

    def left_alone(self, faces: Sequence[Face], size_wh: tuple[int, int]) -> list[str | None]:
        """Why each face gets no mask, in one word; None if it is to get one.

        Parameters
        ----------
        faces : sequence of Face
            Of one image, largest first.
        size_wh : (int, int)
            Of the image, pixels.
        """
        chosen = self.chosen(faces, size_wh)
        reasons: list[str | None] = []
        for number, face in enumerate(faces):
            if max(face.size_wh) < self.min_face:
                reasons.append("too_small")
            else:
                reasons.append(None if self.faces == "all" or number == chosen else f"not_{self.faces}")
        return reasons

    def chosen(self, faces: Sequence[Face], size_wh: tuple[int, int]) -> int:
        """The number of the one face that counts if only one does; 0 if there is none."""
        return central(faces, size_wh) if self.faces == "central" else 0

    @property
    def varies(self) -> bool:
        """Whether some mask may be worn otherwise than it should be, or look otherwise than in the catalog."""
        return not self.alike or self.wear != CORRECT or self.recolor_share > 0 or bool(self.patterns.names)


def central(faces: Sequence[Face], size_wh: tuple[int, int]) -> int:
    """The number of the face that is large and near the centre: its area less twice the squared distance, pixels [1]_.

    References
    ----------
    .. [1] InsightFace, ``model_zoo/scrfd.py``, ``detect`` with ``max_num=1``: how the pictures of LFW and others were
       aligned.
    """
    middle_x, middle_y = size_wh[0] // 2, size_wh[1] // 2

    def weight(face: Face) -> float:
        x1, y1, x2, y2 = (float(value) for value in face.bbox)
        return (x2 - x1) * (y2 - y1) - 2 * (((x1 + x2) / 2 - middle_x) ** 2 + ((y1 + y2) / 2 - middle_y) ** 2)

    return max(range(len(faces)), key=lambda number: weight(faces[number]), default=0)


PLAIN: Final = Recipe()
"""Every mask worn as it should be, in the catalog's colours."""
