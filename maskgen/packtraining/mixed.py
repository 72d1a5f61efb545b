"""What the parsing network learns from: portraits with things laid before them, and crops of them in whole batches.

Other processes make the portraits; the crops are made on the device that learns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.packtraining import occluders, portraits
from maskgen.packtraining.batches import photographed, sampling_grid
from maskgen.packtraining.data import read
from maskgen.packtraining.portraits import GLASSES, HAT, OTHER, SIDE, UNKNOWN, Portrait
from maskgen.parse import CROP_SIDE, GRID_SIDE, KINDS

_MASKED_SHARE: Final = 0.2
_BEARDED_SHARE: Final = 0.15
# How much more often portraits come up that people labelled, and those with something rare.
_OFTEN_LABELLED: Final = 2.5
_OFTEN_RARE: Final = 2.5


class Mixed(torch.utils.data.Dataset[Tensor]):
    """Portraits with things laid before them, in masks, beards and shadows, as many as are asked for.

    Parameters
    ----------
    labelled : list of Portrait
        By people; things are cut from them.
    guessed : list of Portrait
        By a former network.
    pictures : list of (H, W, 3) uint8 arrays
        To cut pieces from.
    """

    def __init__(
        self, labelled: list[Portrait], guessed: list[Portrait], pictures: list[Image], catalog: Catalog, seed: int
    ) -> None:
        self.labelled, self.bare, self.pictures = labelled, [*labelled, *guessed], pictures
        self.catalog, self.seed = catalog, seed
        rare = np.array([np.isin(portrait.kinds, (GLASSES, HAT, OTHER)).sum() > 100 for portrait in self.bare])
        often = np.where(rare, _OFTEN_RARE, 1.0)
        often[: len(labelled)] *= _OFTEN_LABELLED
        self._often = often / often.sum()

    def __getitem__(self, item: int) -> Tensor:
        """(192, 192, 4) uint8: RGB and kinds."""
        rng = np.random.default_rng((self.seed, item))
        portrait = self.bare[rng.choice(len(self.bare), p=self._often)]
        if rng.random() < _MASKED_SHARE:
            portrait = portraits.masked(portrait, self.catalog, rng)
        elif rng.random() < _BEARDED_SHARE:
            portrait = occluders.bearded(portrait, self.labelled[rng.integers(len(self.labelled))], rng)
        if rng.random() < 0.35:
            portrait = occluders.shaded(portrait, rng)
        for chance in (0.55, 0.25):
            if rng.random() < chance:
                layer = occluders.any_layer(portrait, self.labelled, self.pictures, rng)
                if layer is not None:
                    portrait = occluders.laid_on(portrait, layer)
        return torch.from_numpy(np.dstack([portrait.image, portrait.kinds]))


class Pool:
    """The last portraits that were made, on the device that learns, which cuts batches of crops from them.

    Parameters
    ----------
    size : int
        Portraits to keep.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self._portraits = torch.zeros((size, SIDE, SIDE, 4), dtype=torch.uint8, device=device)
        self._taken = 0

    def take(self, made: Tensor) -> None:
        """Keep some (B, 192, 192, 4) instead of the oldest."""
        places = (self._taken + torch.arange(len(made))) % len(self._portraits)
        self._portraits[places.to(self._portraits.device)] = made.to(self._portraits.device)
        self._taken += len(made)

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Crops (B, 3, 128, 128) in [-1, 1] of portraits drawn at random, and the shares (B, 6, 64, 64) of cells.

        They are turned, resized, moved, mirrored, cut by the edge of a photograph and degraded.
        """
        kept = min(self._taken, len(self._portraits))
        drawn = self._portraits[torch.randint(kept, (number,), device=self._portraits.device)].permute(0, 3, 1, 2)
        uniform, normal = (make(number, 6, device=drawn.device) for make in (torch.rand, torch.randn))
        grid = sampling_grid(
            CROP_SIDE * portraits.MARGIN / SIDE * (0.1 * normal[:, 0]).exp(),
            torch.where(uniform[:, 0] < 0.9, 7 * normal[:, 1], 80 * uniform[:, 1] - 40),
            4 * normal[:, 2:4],
            uniform[:, 2] < 0.5,
            SIDE,
            CROP_SIDE,
        )
        seen = _inside_of_photograph(uniform[:, 3:])
        images = F.grid_sample(drawn[:, :3].float(), grid, align_corners=False) * seen
        # Nearest: between two kinds lies no third. Beyond the portrait, 0 is nothing known.
        numbered = (drawn[:, 3:].int() + 1) % (UNKNOWN + 1)
        kinds = F.grid_sample(numbered.float(), grid, mode="nearest", align_corners=False) * seen
        return as_input(photographed(images)), cell_shares(kinds[:, 0].int() - 1)


def _inside_of_photograph(uniform: Tensor) -> Tensor:
    """(B, 1, 128, 128) false where a photograph, 15 of 100, ends in one side of the crop; from (B, 3) of 0 to 1."""
    is_cut, depth, side = uniform.T
    cut = torch.where(is_cut < 0.15, (4 + 30 * depth).long(), 0)
    place = torch.arange(CROP_SIDE, device=uniform.device)
    strip = place >= cut[:, None]
    strip = torch.where((side < 0.5)[:, None], strip, strip.flip(1))
    rows, columns = strip[:, None, :, None], strip[:, None, None, :]
    across = ((4 * side).long() % 2 == 1)[:, None, None, None]
    return torch.where(across, columns.expand(-1, -1, CROP_SIDE, -1), rows.expand(-1, -1, -1, CROP_SIDE))


def as_input(images: Tensor) -> Tensor:
    """[-1, 1] of pixels, 0 to 255, whole as those that the network sees in use."""
    return (images.floor() - 128) / 128


def cell_shares(kinds: Tensor) -> Tensor:
    """(B, 6, 64, 64) how much of each cell is of each kind; what else stands in kinds (B, 128, 128) is nothing."""
    each = torch.stack([kinds == kind for kind in range(len(KINDS))], dim=1).float()
    return F.avg_pool2d(each, CROP_SIDE // GRID_SIDE)


def pieces_of(data: Path) -> list[Image]:
    """Pictures to cut things from."""
    paths = [*sorted((data / "celeba").glob("*/*.jpg"))[::9], *sorted((data / "scenes").glob("*.jpg"))[::6]]
    return [read(path) for path in paths]


def samples(data: Path, count: int) -> list[Float32Array]:
    """Some (3, 128, 128) pictures as training sees them."""
    mixed = Mixed(portraits.labelled(data, held_out=False), [], pieces_of(data), Catalog.load(), seed=1)
    pool = Pool(count, torch.device("cpu"))
    pool.take(torch.stack([mixed[item] for item in range(count)]))
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        return list(pool.batch(count)[0].numpy())
