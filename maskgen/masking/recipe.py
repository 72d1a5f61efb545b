"""What masking is to do: who gets a mask, how it is worn and coloured, and what it takes on of the photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from maskgen.catalog.schema import CORRECT, WearShares

if TYPE_CHECKING:
    from maskgen.arrays import Image
    from maskgen.face import Face

Faces = Literal["largest", "all"]


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
    feather: float = 0.003


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
    faces : {"largest", "all"}
        Who gets a mask.
    min_face : float
        Faces whose box has a longer side under this many pixels are left alone.
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
    """

    faces: Faces = "largest"
    min_face: float = 0.0
    wear: WearShares = CORRECT
    recolor_share: float = 0.0
    patterns: Patterns = Patterns()
    pattern_share: float = 0.5
    look: Look = DEFAULT_LOOK

    def leaves_alone(self, rank: int, face: Face) -> str | None:
        """Why a face gets no mask, in one word; None if it is to get one.

        Parameters
        ----------
        rank : int
            Of the face among all, from 0, the largest.
        face : Face
            Its size counts.
        """
        if max(face.size_wh) < self.min_face:
            return "too_small"
        return "not_largest" if self.faces == "largest" and rank > 0 else None

    @property
    def varies(self) -> bool:
        """Whether some mask may be worn otherwise than it should be, or look otherwise than in the catalog."""
        return self.wear != CORRECT or self.recolor_share > 0 or bool(self.patterns.names)


PLAIN: Final = Recipe()
"""Every mask worn as it should be, in the catalog's colours."""
