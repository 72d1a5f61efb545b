"""The tone of a mask's cloth: no two bales are dyed alike.

Convention
----------
Colours are sRGB values as they are stored, 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, NamedTuple

import numpy as np

from maskgen.catalog.schema import Weave
from maskgen.images import LUMA_WEIGHTS

TO_YIQ: Final = np.array([LUMA_WEIGHTS, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""(3, 3): RGB to luma and two axes of colour; a turn of these keeps the luma."""
_ROWS, _BACK = TO_YIQ.tolist(), np.linalg.inv(TO_YIQ).tolist()
# No channel becomes so much weaker or stronger.
_GAINS: Final = (0.72, 1.3)
# More masks are paler than the catalog's than are more colourful; 1 for as many.
_PALER: Final = 1.35
# Nothing becomes more colourful than so, as a length in YIQ.
_MOST_COLOURFUL: Final = 0.21
# What black cloth throws back has no hue.
_SHEEN: Final = 0.03


class _Reach(NamedTuple):
    """How far tones of a cloth lie apart: turn of the hue, degrees; saturation, logarithm; cast of white, share."""

    turn_deg: float
    saturation: float
    cast: float


# So far apart that light blue masks have the hues and the chroma that they have on people of two collections, after
# the light: Lab hue between the deciles 213 to 277 and 206 to 268 degrees (226 to 254 and 212 to 249 without it),
# chroma between the quartiles 9.6 to 16.3 and 9.3 to 18.1 (11.8 to 15.1 and 10.7 to 16.5).
_DYED: Final = _Reach(27.0, 0.5, 0.028)
# Sewn cloth comes in colours of its own; it fades.
_SEWN: Final = _Reach(9.0, 0.25, 0.02)


@dataclass(frozen=True)
class Tone:
    """What sets the cloth of one mask apart from that of its design, each about -1 to 1 but for the last, an angle.

    Attributes
    ----------
    turn, saturation : float
        Of its hue, and how much more colour it has.
    cast : float
        How much of a cast pale cloth has.
    cast_angle : float
        Which, radians.
    """

    turn: float = 0.0
    saturation: float = 0.0
    cast: float = 0.0
    cast_angle: float = 0.0

    def gains(self, rgb: Sequence[float], weave: Weave) -> tuple[float, float, float]:
        """Gains of the three channels of cloth of a colour (3,); its luma stays about what it is."""
        reach = _DYED if weave == "nonwoven" else _SEWN
        luma, i, q = (sum(map(mul, row, rgb)) for row in _ROWS)
        turn, more = math.radians(reach.turn_deg * self.turn), math.exp(reach.saturation * self.saturation)
        # What is colourful is made no gaudier.
        more = min(more, max(_MOST_COLOURFUL / max(math.hypot(i, q), 1e-6), 1.0))
        cos, sin, cast = more * math.cos(turn), more * math.sin(turn), reach.cast * self.cast * luma
        yiq = (
            luma,
            cos * i - sin * q + cast * math.cos(self.cast_angle),
            sin * i + cos * q + cast * math.sin(self.cast_angle),
        )
        low, high = _GAINS
        red, green, blue = (
            min(max((sum(map(mul, row, yiq)) + _SHEEN) / (old + _SHEEN), low), high)
            for row, old in zip(_BACK, rgb, strict=True)
        )
        return red, green, blue


AS_IN_CATALOG: Final = Tone()


def drawn(rng: np.random.Generator) -> Tone:
    """The tone of one mask; six numbers are drawn from the generator."""
    one, other, saturation, strong, weak, angle = rng.random(6).tolist()
    # Middling hues, and casts that hardly show, are the commonest.
    return Tone(one + other - 1, 2 * saturation - _PALER, strong * weak, 2 * math.pi * angle)
