"""A guided filter [1]_: shares of cells follow the edges of a picture.

Its linear model is fitted in the cells of a small picture and applied to the pixels of a larger one, as in the fast
guided filter [2]_.

References
----------
.. [1] K. He, J. Sun, X. Tang, "Guided Image Filtering", PAMI 35 (2013).
.. [2] K. He, J. Sun, "Fast Guided Filter", arXiv:1505.00996 (2015).
"""

from __future__ import annotations

from typing import Final

import cv2

from maskgen.arrays import Float32Array

# Cells, and the softness of the filter: colours that differ less do not count as an edge.
_RADIUS: Final = 2
_SAME_COLOUR: Final = 5e-4
REACH: Final = 2 * _RADIUS
"""How many cells away from a share its model is felt: it is blurred twice."""


def guided(guide: Float32Array, share: Float32Array) -> Float32Array:
    """(h, w, 4) a, b of the model share = a . guide + b that holds around each cell.

    Parameters
    ----------
    guide : (h, w, 3) float32 array
        RGB, 0 to 1.
    share : (h, w) float32 array
        What is to follow the edges of the guide.
    """
    r, g, b = cv2.split(guide)
    products = [r * r, r * g, r * b, g * g, g * b, b * b, r * share, g * share, b * share]
    mr, mg, mb, ms, rr, rg, rb, gg, gb, bb, rs, gs, bs = cv2.split(_blurred(cv2.merge([r, g, b, share, *products])))
    # Less the products of the means: covariances.
    rr += _SAME_COLOUR - mr * mr
    gg += _SAME_COLOUR - mg * mg
    bb += _SAME_COLOUR - mb * mb
    rg -= mr * mg
    rb -= mr * mb
    gb -= mg * mb
    rs -= mr * ms
    gs -= mg * ms
    bs -= mb * ms
    # Cramer's rule on the symmetric 3x3 covariances.
    cof_rr, cof_rg, cof_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    cof_gg, cof_gb, cof_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1 / (rr * cof_rr + rg * cof_rg + rb * cof_rb)
    ar = (cof_rr * rs + cof_rg * gs + cof_rb * bs) * scale
    ag = (cof_rg * rs + cof_gg * gs + cof_gb * bs) * scale
    ab = (cof_rb * rs + cof_gb * gs + cof_bb * bs) * scale
    return _blurred(cv2.merge([ar, ag, ab, ms - ar * mr - ag * mg - ab * mb]))


def _blurred(cells: Float32Array) -> Float32Array:
    side = 2 * _RADIUS + 1
    blurred: Float32Array = cv2.blur(cells, (side, side), borderType=cv2.BORDER_REPLICATE)
    return blurred
