"""An image and a face in it to regions: skin, hair, glasses, a hat, whatever else lies in front of the face.

The network sees a fixed part of the head, upright and in a fixed size, and gives shares on a grid of half its pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.errors import ModelError
from maskgen.face import Face
from maskgen.face.head import head_to_image
from maskgen.packs.find import BUNDLED, parsing_file
from maskgen.packs.session import Device, session

Kind = Literal["background", "skin", "hair", "glasses", "hat", "other"]

KINDS: Final[tuple[Kind, ...]] = ("background", "skin", "hair", "glasses", "hat", "other")
"""What the network tells apart. Skin is the face, ears and neck, with beard, brows, eyes and mouth; background is what
lies behind the head, with clothes; other is what lies in front of it: hands, microphones, masks."""
CROP_SIDE: Final = 128
"""Width and height of what the network sees, pixels."""
GRID_SIDE: Final = 64
"""Width and height of what it gives."""
PATCH_SIDE: Final = 4
"""Width and height of what the network takes in as one, pixels: a convolution over few channels costs more."""
_PATCHES: Final = CROP_SIDE // PATCH_SIDE
_INPUT: Final = ("data", "tensor(uint8)", [1, _PATCHES, _PATCHES, 3 * PATCH_SIDE**2])
_OUTPUT_SHAPE: Final = [1, len(KINDS), GRID_SIDE, GRID_SIDE]
# Cells for a pixel of the crop, and how their centres lie to each other.
_CELLS: Final = GRID_SIDE / CROP_SIDE
_TO_CELL: Final = np.array([[0, 0, (_CELLS - 1) / 2]] * 2, np.float32)
_FIELD_MM: Final = 230.0
# The middle of the field on the mean head: under the nose, and as far back as keeps a profile in the middle.
_MIDDLE_MM: Final = np.array([0.0, 42.0, -10.0], np.float32)


@dataclass(frozen=True)
class Regions:
    """What a face and its surroundings consist of.

    Attributes
    ----------
    shares : (6, 64, 64) float32 array
        How likely each of `KINDS` is, 0 to 1, in cells of the crop; they sum to 1.
    crop : (128, 128, 3) uint8 array
        RGB, the upright crop; two pixels by two make a cell.
    image_to_crop : (2, 3) float32 array
        The similarity that cut it.
    """

    shares: Float32Array
    crop: Image
    image_to_crop: Float32Array

    def of(self, *kinds: Kind) -> Float32Array:
        """(64, 64) how likely it is one of some kinds, in cells of the crop."""
        first, *others = (self.shares[KINDS.index(kind)] for kind in kinds)
        share: Float32Array = first.copy()
        for other in others:
            share += other
        return share

    def at(self, region: tuple[slice, slice], *kinds: Kind) -> Float32Array:
        """(h, w) how likely it is one of some kinds, in some rows and columns of the image; 0 beyond the crop."""
        return on_image(self.of(*kinds), self.image_to_crop, region)

    def at_points(self, points: Float32Array, *kinds: Kind) -> Float32Array:
        """(N,) how likely it is one of some kinds at points (N, 2) of the image, pixels; 0 beyond the crop."""
        cells = cv2.transform(points[:, None], self.image_to_crop * np.float32(_CELLS) + _TO_CELL)
        share: Float32Array = cv2.remap(self.of(*kinds), cells, None, cv2.INTER_LINEAR)[:, 0]
        return share


class Parser(Protocol):
    """Whatever tells what lies in front of faces; `FaceParser` does."""

    def regions(self, image: Image, face: Face) -> Regions:
        """What a face in an (H, W, 3) RGB image consists of."""


class FaceParser:
    """Tells skin, hair, glasses, hats and other things in front of faces.

    Parameters
    ----------
    model : str
        A pack as `maskgen.packs.find.pack_dir` takes it; one without such a network borrows that of the bundled pack.
    device : {"cpu", "cuda"}
        Where the network runs; on the CPU with one thread.

    Raises
    ------
    ModelError
        If the pack or the device is missing or unusable.
    """

    def __init__(self, model: str = BUNDLED, *, device: Device = "cpu") -> None:
        self.path: Path = parsing_file(model)
        self._session = session(self.path, threads=1, device=device)
        inputs, outputs = (
            [(port.name, port.type, list(port.shape)) for port in ports]
            for ports in (self._session.get_inputs(), self._session.get_outputs())
        )
        if inputs != [_INPUT] or [shape for _, _, shape in outputs] != [_OUTPUT_SHAPE]:
            raise ModelError(
                f"{self.path}: takes {inputs} and gives {outputs}, expected {[_INPUT]} and {_OUTPUT_SHAPE}",
                "use another {model}, or delete the file: the pack borrows that of the bundled pack then",
            )

    def regions(self, image: Image, face: Face) -> Regions:
        """What a face consists of.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.
        face : Face
            Its landmarks say where to look.
        """
        matrix = face_crop(face.landmarks_68)
        crop = upright_crop(image, matrix)
        (scores,) = self._session.run(None, {"data": network_input(crop)})
        return Regions(_softmax(scores[0]), crop, matrix)


def face_crop(landmarks_68: Float32Array) -> Float32Array:
    """The similarity (2, 3), image -> crop, that brings the head upright and in a fixed size into the crop.

    It comes from the camera that sees the mean head as these landmarks lie, so that a profile is as large as a frontal
    face; five keypoints would enlarge it.

    Parameters
    ----------
    landmarks_68 : (68, 2) array
        Pixels.
    """
    camera = head_to_image(landmarks_68)
    axes = camera[:, :3]
    scale = CROP_SIDE / _FIELD_MM / max(float(np.sqrt(np.square(axes).sum() / 2)), 1e-3)
    down = axes[:, 1]
    length = max(float(np.hypot(*down)), 1e-6)
    cosine, sine = scale * float(down[1]) / length, scale * float(-down[0]) / length
    turned = np.array([[cosine, sine], [-sine, cosine]], np.float32)
    middle = (CROP_SIDE - 1) / 2 - turned @ (axes @ _MIDDLE_MM + camera[:, 3])
    return np.concatenate([turned, middle[:, None]], axis=1).astype(np.float32)


def upright_crop(image: Image, matrix: Float32Array, side: int = CROP_SIDE) -> Image:
    """What a similarity (2, 3), image -> crop, cuts from an image (H, W, 3); a square, black beyond its edge."""
    shrink = 1 / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)
    if shrink < 2:
        return np.asarray(cv2.warpAffine(image, matrix, (side, side)), np.uint8)
    # Averaged before it is sampled, and no more of the image than is seen. OpenCV makes halves the fastest.
    halvings = max(int(math.log2(shrink)) - 1, 0)
    step = int(shrink / 2**halvings)
    rows, columns = (
        _in_steps(span, step * 2**halvings, length)
        for span, length in zip(window_of(matrix, image.shape, side), image.shape, strict=False)
    )
    small = image[rows, columns]
    for times in (*[2] * halvings, step):
        small_wh = max(small.shape[1] // times, 1), max(small.shape[0] // times, 1)
        small = np.asarray(cv2.resize(small, small_wh, interpolation=cv2.INTER_AREA), np.uint8)
    along = (columns.stop - columns.start) / small.shape[1]
    down = (rows.stop - rows.start) / small.shape[0]
    # A pixel x of the small picture is x * along + (along - 1) / 2 of the part.
    to_image = np.array(
        [[along, 0, columns.start + (along - 1) / 2], [0, down, rows.start + (down - 1) / 2], [0, 0, 1]], np.float32
    )
    return np.asarray(cv2.warpAffine(small, matrix @ to_image, (side, side)), np.uint8)


def _in_steps(span: slice, step: int, length: int) -> slice:
    """A span as a whole number of steps, if there is room for one: OpenCV averages many times as fast by whole numbers.

    It holds as much and a little more, or, if that is not there, a little less of the edge.
    """
    wanted = -(-(span.stop - span.start) // step) * step
    size = min(wanted, max(length // step * step, min(step, length)))
    start = min(span.start, length - size)
    return slice(start, start + size)


def window_of(matrix: Float32Array, shape: tuple[int, ...], side: int = CROP_SIDE) -> tuple[slice, slice]:
    """Rows and columns of an image of that shape which hold all that a similarity (2, 3) brings into the crop."""
    back = cv2.invertAffineTransform(matrix)
    edge = float(side)
    corners = np.array([[0, 0], [edge, 0], [0, edge], [edge, edge]], np.float32) - np.float32(0.5)
    corners = corners @ back[:, :2].T + back[:, 2]
    limit = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(corners.min(axis=0)), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, low + 1, limit).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def grid_map(image_to_crop: Float32Array, region: tuple[slice, slice]) -> Float32Array:
    """The (2, 3) map that takes pixels of some rows and columns of the image to cells of the grid."""
    matrix: Float32Array = image_to_crop * np.float32(_CELLS) + _TO_CELL
    rows, columns = region
    matrix[:, 2] += matrix[:, :2] @ np.array([columns.start, rows.start], np.float32)
    return matrix


def on_image(
    cells: Float32Array, image_to_crop: Float32Array, region: tuple[slice, slice], beyond: float = 0.0
) -> Float32Array:
    """(h, w) or (h, w, C): cells (64, 64) or (64, 64, C) of the crop in some rows and columns of the image."""
    size_wh = region[1].stop - region[1].start, region[0].stop - region[0].start
    placed: Float32Array = cv2.warpAffine(
        cells,
        grid_map(image_to_crop, region),
        size_wh,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(beyond,) * 4,
    )
    return placed


def network_input(crop: Image) -> Image:
    """(1, 32, 32, 48) of an RGB crop (128, 128, 3): patches of four by four pixels, row by row."""
    patches = crop.reshape(_PATCHES, PATCH_SIDE, _PATCHES, 3 * PATCH_SIDE).swapaxes(1, 2)
    channels_last: Image = patches.reshape(_INPUT[2])
    return channels_last


def _softmax(scores: Float32Array) -> Float32Array:
    shares: Float32Array = scores - scores.max(axis=0)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=0)
    return shares
