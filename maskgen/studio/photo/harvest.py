"""Take a view of a mask from a photograph of somebody who wears it.

photograph -> a face, upright (`crop`) -> is a mask worn on it (`worn`) -> which pixels are the mask (`segment`)
           -> alpha, ear loops, colours without light (`texture`) -> points that hold it -> view
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Image
from maskgen.catalog.schema import Rotation
from maskgen.errors import CatalogError
from maskgen.face import Face, HeadPose
from maskgen.face.head import mean_head, point_in_space, points_on_face
from maskgen.face.pose import rotation_matrix
from maskgen.parse import Parser
from maskgen.studio import control
from maskgen.studio.photo import around, segment, texture, worn
from maskgen.studio.photo.around import Seen
from maskgen.studio.photo.crop import WORK_SCALE, Crop, upright
from maskgen.studio.photo.regions import Parts, Regions, fronted, head_share, parts_of, regions_of
from maskgen.studio.photo.segment import MaskRegion

# Faces smaller than this, in pixels, show too little of a mask.
_SMALLEST: Final = 70
_YAW_LIMIT: Final = 50
_PITCH_LIMIT: Final = 35
_SHARP: Final = 2.5  # see `worn.sharpness`
_BARE: Final = 0.5  # see `worn.skin_score`
_LIKE_SKIN: Final = 0.65  # see `worn.skin_overlap`
_RIM_CONTRAST: Final = 25.0  # see `worn.rim_contrast`
# How likely something must be in front of nose or mouth, and how likely that is sure.
_FRONTED: Final = 0.35
_SURELY_FRONTED: Final = 0.6
# How much of forehead and cheeks must look like a head's.
_HEAD: Final = 0.65
_WEAR_IT: Final = "wear it over nose and chin"
# How far from the pose of the photograph a mask can be used, degrees.
_YAW_REACH: Final = 10.0
_PITCH_REACH: Final = 12.0


class RefusedError(CatalogError):
    """A photograph from which no mask can be taken.

    Attributes
    ----------
    reason : str
        One word for statistics: ``no_face``, ``too_small``, ``blurred``, ``turned_away``, ``dark``, ``overexposed``,
        ``cut_off``, ``no_mask``, ``worn_wrongly``, ``covered``, ``ragged``.
    """

    def __init__(self, reason: str, fault: str, remedy: str = "") -> None:
        super().__init__(fault, remedy)
        self.reason = reason
        # The error is made anew from these when it comes from a worker process.
        self.args = (reason, fault, remedy)


@dataclass(frozen=True)
class Harvest:
    """A mask taken from a photograph.

    Attributes
    ----------
    rgba : (H, W, 4) uint8 array
        Straight alpha, the head upright.
    points : dict
        Control point -> (x, y), pixels.
    rotation : Rotation
        The head rotations it is for.
    colour : str
        In words.
    seen : Seen
        The same without its ear loops.
    """

    rgba: Image
    points: dict[str, tuple[float, float]]
    rotation: Rotation
    colour: str
    seen: Seen


def harvest(
    image: Image, face: Face, points: dict[str, tuple[float, float]] | None = None, parser: Parser | None = None
) -> Harvest:
    """The mask that somebody in a photograph wears, as a view.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    face : Face
        Who wears it.
    points : dict, optional
        Control points placed by hand, pixels of the image, in place of those that are found.
    parser : Parser, optional
        Tells what lies in front of the face: the mask, but no glasses, hair or clothes. Without it, colours alone tell.

    Raises
    ------
    RefusedError
        If no usable mask can be taken; the reason says why.
    """
    _check_face(face)
    crop = upright(image, face)
    work = crop.resized(WORK_SCALE)
    regions = regions_of(work)
    _check_picture(work, regions)
    sharp = worn.sharpness(crop)
    if sharp < _SHARP:
        raise RefusedError(
            "blurred", f"the face is blurred ({sharp:.1f}, {_SHARP} are needed)", "take a sharper photograph"
        )
    parts = None if parser is None else parts_of(work, parser.regions(image, face))
    _check_worn(work, regions, parts)
    found = segment.find(work, parts)
    _check_region(found, work)
    return _view(image, crop, face, found, points)


def _check_worn(crop: Crop, regions: Regions, parts: Parts | None) -> None:
    """Refuse a face without a mask, and one on which it is not where masks belong."""
    if parts is None:
        bare = worn.skin_score(crop, regions)
        if bare > _BARE:
            raise RefusedError("no_mask", f"nose, mouth and chin look like skin ({bare:.2f}): no mask worn")
        return
    nose, mouth, chin = fronted(crop, parts)
    has_colour = worn.has_colour(crop, regions)

    def is_hand(area: BoolArray) -> bool:
        return has_colour and worn.skin_overlap(crop, regions, area) > _LIKE_SKIN

    if max(nose, mouth) < _FRONTED:
        contrast = worn.rim_contrast(crop, regions)
        if chin > _SURELY_FRONTED and contrast > _RIM_CONTRAST and not is_hand(regions.core):
            raise RefusedError("worn_wrongly", "the mask is under the chin, nose and mouth are bare", _WEAR_IT)
        raise RefusedError("no_mask", "nose and mouth are bare: no mask worn")
    is_wrong = min(nose, mouth) < _FRONTED and max(nose, mouth, chin) > _SURELY_FRONTED
    # Of a mask that leaves the nose bare, only what covers the rest may look like a hand.
    if is_hand(worn.mouth_and_chin(crop) if is_wrong and nose < mouth else regions.core):
        raise RefusedError("covered", "a hand is in front of nose and mouth", "take a photograph without it")
    if is_wrong:
        raise RefusedError("worn_wrongly", f"the {'nose' if nose < mouth else 'mouth'} is bare", _WEAR_IT)


def _view(
    image: Image, crop: Crop, face: Face, found: MaskRegion, by_hand: dict[str, tuple[float, float]] | None
) -> Harvest:
    alpha, rgb = texture.outlined(crop, found.region)
    strap = texture.straps(crop, alpha)
    rgb = texture.delit(rgb, alpha, crop)
    # Of a line hardly a pixel wide only the middle has its own colour.
    elastic = texture.local_mean(crop.pixels / np.float32(255), strap**6, 2 * crop.pixels_per_mm)
    rgb = np.where((strap > alpha)[..., None], elastic, rgb).astype(np.float32)
    skin = cv2.resize(found.regions.skin.astype(np.uint8), crop.pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    rgb = texture.in_neutral_light(rgb, alpha, crop, skin > 0, image)
    cloth, alpha = alpha, np.maximum(alpha, strap)
    rotation = rotation_around(face.pose)
    if by_hand is None:
        names = _held_by(crop, alpha, face.pose, rotation)
        points = crop.place(names)
    else:
        names = tuple(by_hand)
        points = np.array(list(by_hand.values()), np.float32) @ crop.from_image[:, :2].T + crop.from_image[:, 2]
    rgba = np.round(np.concatenate([rgb, alpha[..., None]], axis=-1) * 255).astype(np.uint8)
    rgba[rgba[..., 3] == 0] = 0
    rows, columns = np.nonzero(rgba[..., 3])
    top, left = max(int(rows.min()) - 2, 0), max(int(columns.min()) - 2, 0)
    kept = np.s_[top : rows.max() + 3, left : columns.max() + 3]
    rgba, cloth = np.ascontiguousarray(rgba[kept]), np.ascontiguousarray(cloth[kept])
    shifted = points - [left, top]
    placed = {name: (round(float(x), 2), round(float(y), 2)) for name, (x, y) in zip(names, shifted, strict=True)}
    seen = Seen(around.rgba_of(rgba, cloth), placed, face.pose, crop.pixels_per_mm)
    return Harvest(rgba, placed, rotation, texture.colour_of(rgba), seen)


# ---- what cannot be used


def large_faces(faces: Sequence[Face]) -> list[Face]:
    """The faces of a photograph that masks may be taken from, from image left to image right.

    They are the largest and those at least half as large; parts of one that the detector takes for another are left
    out.
    """
    ranked = sorted(faces, key=lambda face: -max(face.size_wh))
    chosen: list[Face] = []
    for face in ranked:
        is_large = max(face.size_wh) > 0.5 * max(ranked[0].size_wh)
        is_sure = face is ranked[0] or face.score > 0.6
        if is_large and is_sure and not any(_lies_on(face, other) for other in chosen):
            chosen.append(face)
    return sorted(chosen, key=lambda face: float(face.bbox[0]))


def _lies_on(face: Face, other: Face) -> bool:
    apart = np.abs(face.bbox.reshape(2, 2).mean(axis=0) - other.bbox.reshape(2, 2).mean(axis=0))
    return bool((apart < 0.5 * np.array(other.size_wh)).all())


def is_head(image: Image, face: Face, parser: Parser) -> bool:
    """Whether a face is one: above the lids there is skin, hair, a hat or glasses, not fruit or a piece of cloth."""
    work = upright(image, face).resized(WORK_SCALE)
    return head_share(work, parser.regions(image, face)) > _HEAD


def _check_face(face: Face) -> None:
    size = max(face.size_wh)
    if size < _SMALLEST:
        raise RefusedError("too_small", f"the face has {size:.0f} pixels, {_SMALLEST} are needed")
    if abs(face.pose.yaw) > _YAW_LIMIT or abs(face.pose.pitch) > _PITCH_LIMIT:
        raise RefusedError(
            "turned_away", f"the head is turned too far: yaw {face.pose.yaw:.0f}, pitch {face.pose.pitch:.0f}"
        )


def _check_picture(crop: Crop, regions: Regions) -> None:
    expected = regions.distance > 0
    outside = float((expected & ~crop.inside).sum() / max(expected.sum(), 1))
    if outside > 0.04:
        raise RefusedError("cut_off", f"{outside:.0%} of where the mask should be lies beyond the picture's edge")
    luma = cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2GRAY)
    face = (regions.skin | expected) & crop.inside
    if float(np.percentile(luma[face], 90)) < 50:
        raise RefusedError("dark", "the face is too dark")
    burnt = float((crop.pixels[expected & crop.inside].min(axis=-1) >= 253).mean())
    if burnt > 0.5:
        raise RefusedError("overexposed", f"{burnt:.0%} of the mask is overexposed")


def _check_region(found: MaskRegion, crop: Crop) -> None:
    region, regions = found.region, found.regions
    expected = float((regions.distance > 0).sum())
    if region.sum() < 0.6 * expected:
        raise RefusedError("covered", f"what is seen of a mask is {region.sum() / expected:.0%} of one")
    if region.sum() > 1.5 * expected:
        raise RefusedError("ragged", "mask and surroundings look alike: no outline found")
    bare = float((found.skinny & regions.core).sum() / max(regions.core.sum(), 1))
    if bare > 0.2:
        raise RefusedError("covered", f"{bare:.0%} of the mask's middle looks like skin: a hand is in front of it")
    contour = max(
        cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea
    )
    solidity = cv2.contourArea(contour) / max(cv2.contourArea(cv2.convexHull(contour)), 1)
    if solidity < 0.8:
        raise RefusedError("ragged", f"the outline found is ragged ({solidity:.2f} of its hull)")
    outside = cv2.dilate((~crop.inside).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge = contour[:, 0]
    touching = float(outside[edge[:, 1], edge[:, 0]].mean())
    if touching > 0.18:
        raise RefusedError("cut_off", f"the picture's edge cuts through the mask ({touching:.0%} of its outline)")


# ---- the points that hold it

_HOLD: Final = (
    ("30",), ("8",), ("27",), ("front_mouth",), ("4", "12"), ("2", "14"), ("under_chin",), ("6", "10"),
    ("front_cheek_image_left", "front_cheek_image_right"), ("36", "45"),
    ("ear_image_left_upper", "ear_image_right_upper"), ("ear_image_left_lower", "ear_image_right_lower"),
    ("front_jaw_image_left", "front_jaw_image_right"), ("28",), ("3", "13"), ("5", "11"), ("1", "15"),
)  # fmt: skip
_SQUEEZE: Final = (0.3, 2.6)
_CLOSEST_MM: Final = 7.0
_HIDDEN_SIDE_DEG: Final = 18


def _held_by(crop: Crop, alpha: Float32Array, pose: HeadPose, rotation: Rotation) -> tuple[str, ...]:
    """Control points whose triangles neither fold nor crush the mask on heads within the rotation interval."""
    every = (*control.BOX, *(name for group in _HOLD for name in group))
    places = dict(zip(every, crop.place(every).astype(np.float64), strict=True))
    heads = []
    mean = mean_head().points_68.astype(np.float64)
    for yaw in (*rotation.yaw, pose.yaw):
        for pitch in (*rotation.pitch, pose.pitch):
            turn = rotation_matrix(HeadPose(yaw=float(yaw), pitch=float(pitch), roll=0.0))
            seen = (mean @ turn.T)[:, :2] * crop.pixels_per_mm
            heads.append(points_on_face(every, seen.astype(np.float32)))
    cloth = np.argwhere(alpha > 0.3)[:, ::-1].astype(np.float64)
    cloth = cloth[:: max(len(cloth) // 4000, 1)]
    groups = [[name for name in group if not _hidden(name, pose.yaw)] for group in _HOLD]
    rule = control.Rule(_SQUEEZE, _CLOSEST_MM * crop.pixels_per_mm, speck=3)
    return control.selected(places, groups, every, np.stack(heads).astype(np.float64), cloth, rule)


def _hidden(name: str, yaw: float) -> bool:
    """Whether a point lies on the side of the head that is turned away."""
    x = float(point_in_space(name)[0])
    return abs(yaw) > _HIDDEN_SIDE_DEG and x * yaw > 0 and abs(x) > 40


def rotation_around(pose: HeadPose) -> Rotation:
    """The head rotations that a mask is for, if it was seen at a pose.

    Its other side was not seen, but the mirrored view serves the opposite rotations.
    """
    yaw = (pose.yaw - _YAW_REACH, pose.yaw + _YAW_REACH)
    pitch = (pose.pitch - _PITCH_REACH, pose.pitch + _PITCH_REACH)
    return Rotation(yaw=_rounded(yaw), pitch=_rounded(pitch))


def _rounded(interval: tuple[float, float]) -> tuple[float, float]:
    return round(interval[0], 1), round(interval[1], 1)
