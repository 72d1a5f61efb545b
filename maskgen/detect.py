"""An image to its faces, through InsightFace.

BGR lives here, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.errors import ImageError, ModelError
from maskgen.face import Face, HeadPose
from maskgen.face.align import ARCFACE_SIDE, aligned_bbox
from maskgen.face.landmarks import keypoints_of
from maskgen.face.pose import pose_from_68, pose_from_106
from maskgen.images.checking import refuse_other
from maskgen.packs.find import BUNDLED, MEAN_HEAD_KEY, model_sha256, pack_dir, pack_sha256
from maskgen.packs.session import Device, face_analysis
from maskgen.parse import FaceParser, Parser

# A face this small at an input of 320 hints at smaller ones beside it.
_SMALL_FACE: Final = 40
# The longer side of what detection looks at, pixels: twice its largest input.
_LONGEST: Final = 1920
# A picture this many times as long as it is narrow would come to nothing at the smallest input.
_NARROWEST: Final = 64
# Below this score a face may be the wrong way up: 15 % of upright faces stay below, and no upside-down one gets there.
_SURE: Final = 0.85
# Input sizes at which ways up are compared, and the score from which something counts there.
_MANY_SIZES: Final = (192, 256, 320, 448, 576)
_HINT: Final = 0.2
# Half a side of what the landmark network is shown, in longer sides of the box; it sees 0.75.
_PATCH: Final = 0.8
_LANDMARK_TASKS: Final = {68: "landmark_3d_68", 106: "landmark_2d_106"}
_LANDMARK_FILES: Final = {68: "1k3d68*.onnx", 106: "2d106*.onnx"}


class Detector(Protocol):
    """Whatever finds faces; `FaceDetector` does."""

    def detect(self, image: Image) -> list[Face]:
        """The faces of an (H, W, 3) RGB image, largest first."""


class DetectorSource(Protocol):
    """Makes the detector and the parser of each worker process; it is pickled on its way there, and hashable."""

    def build(self) -> Detector:
        """A detector."""

    def parser(self) -> Parser | None:
        """What tells what lies in front of faces; None if nothing does."""

    def sha256(self) -> str:
        """A hash of what decides about the results of both."""

    def __hash__(self) -> int:
        """Of its settings."""


@dataclass(frozen=True)
class DetectorSpec:
    """Makes detectors from a model pack; the fields are the parameters of `FaceDetector`."""

    model: str = BUNDLED
    landmarks: Literal[68, 106] = 68
    aligned: bool = False
    device: Device = "cpu"

    def build(self) -> Detector:
        """A detector.

        Raises
        ------
        ModelError
            If the pack or the device is missing or unusable.
        """
        return FaceDetector(self.model, landmarks=self.landmarks, aligned=self.aligned, device=self.device)

    def parser(self) -> Parser:
        """A parser of the same pack.

        Raises
        ------
        ModelError
            If the pack or the device is missing or unusable.
        """
        return FaceParser(self.model, device=self.device)

    def sha256(self) -> str:
        """The hash of the files that are used with the pack, borrowed ones included.

        Raises
        ------
        ModelError
            If the pack is missing.
        """
        return model_sha256(self.model)


class FaceDetector:
    """Finds faces, their landmarks and head poses.

    Parameters
    ----------
    model : str
        A pack as `pack_dir` takes it.
    landmarks : {68, 106}
        The landmark scheme.
    aligned : bool
        Images are ArcFace crops: no detector runs, every image holds one face at the known place.
    device : {"cpu", "cuda"}
        Where the networks run; on the CPU with one thread each, as many detectors run side by side.
    threshold : float
        Detections of a lower confidence are dropped.

    Raises
    ------
    ModelError
        If the pack or the device is missing or unusable.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> (face,) = FaceDetector().detect(astronaut())
    >>> face.keypoints.shape, face.landmarks_68.shape, abs(face.pose.yaw) < 15
    ((5, 2), (68, 2), True)
    """

    def __init__(
        self,
        model: str = BUNDLED,
        *,
        landmarks: Literal[68, 106] = 68,
        aligned: bool = False,
        device: Device = "cpu",
        threshold: float = 0.5,
    ) -> None:
        self.pack = pack_dir(model)
        self.sha256 = pack_sha256(self.pack)
        self.scheme: Literal[68, 106] = landmarks
        self.aligned = aligned
        self.threshold = threshold
        # What a face must score that is looked for where none was seen.
        self._surer = threshold + (1 - threshold) / 3
        app = face_analysis(self.pack, ["detection", _LANDMARK_TASKS[landmarks]], device)
        self._detector = app.models["detection"]
        self._landmarker = app.models.get(_LANDMARK_TASKS[landmarks])
        if self._landmarker is None:
            raise ModelError(
                f"{self.pack}: no {_LANDMARK_FILES[landmarks]}, which {landmarks} landmarks need",
                "use the other value of {landmarks}, or another {model}",
            )
        metadata = self._landmarker.session.get_modelmeta().custom_metadata_map
        self._on_our_head = metadata.get(MEAN_HEAD_KEY) == "maskgen"

    def detect(self, image: Image) -> list[Face]:
        """The faces of an image, largest first; also those that lie on their side or stand on their head.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.

        Raises
        ------
        ImageError
            If it is no such array, or the detector expects aligned crops and the image is not square.
        """
        refuse_other(image)
        boxes, scores, turns = self._aligned_box(image) if self.aligned else self._boxes(image)
        order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")
        return [self._face(image, boxes[i], float(scores[i]), turns) for i in order]

    def _boxes(self, image: Image) -> tuple[Float32Array, Float32Array, int]:
        """Boxes (K, 4) and scores (K,), and the number of quarter turns counter-clockwise that make the faces upright.

        The boxes lie in the turned image. Detectors know upright faces. One that stands on its head they find too, with
        eyes where the mouth is, but are not sure of it. So where they are not, the picture is looked at in all four
        ways up, and of those with faces the one is taken that shows them best at many sizes.
        """
        reduced = _reduced(image)
        found, turns = self._ladder(reduced), 0
        if _surest(found) < _SURE:
            ways = [np.ascontiguousarray(np.rot90(reduced, number)) for number in range(4)]
            founds = [found, *map(self._ladder, ways[1:])]
            # As upright: where nobody was seen, whoever is found must be surer.
            needed = self.threshold if len(found) else self._surer
            seen = [number for number in range(4) if _surest(founds[number]) >= needed]
            if seen not in ([], [0]):
                turns = max(seen, key=lambda number: self._evidence(ways[number]))
                found = founds[turns]
        scale = np.float32(max(image.shape[:2]) / max(reduced.shape[:2]))
        return found[:, :4] * scale, found[:, 4], turns

    def _evidence(self, bgr: Image) -> float:
        """The mean of the surest score over many sizes: what is wrong way up looks like a face at a few of them."""
        return float(np.mean([_surest(self._look(bgr, [side], 0.0, _HINT)) for side in _MANY_SIZES]))

    def _ladder(self, bgr: Image) -> Float32Array:
        """Detections (K, 5): x1, y1, x2, y2, score, by a ladder of input sizes.

        A detector made for faces of middling size overlooks those that fill the frame (InsightFace issue 2782), and a
        small input those in the back row. Large pictures and crowds get a second look at twice the size; where nobody
        is found, a smaller input, a margin around the picture and a larger input are tried, and must be surer.
        """
        longer = max(bgr.shape[:2])
        found = self._look(bgr, [320], 0.0, self.threshold)
        sides = (found[:, 2:4] - found[:, :2]).max(axis=1)
        if longer > 480 or (sides * 320 / longer < _SMALL_FACE).any():
            found = self._look(bgr, [320, 640], 0.0, self.threshold)
        for inputs, margin in (([160], 0.0), ([160, 320], 0.5), ([640], 0.0), ([960], 0.0)):
            # Beyond that enlargement there is nothing more to see, and texture turns into faces.
            if len(found) or max(inputs) > 2.5 * longer or (max(inputs) == 640 and longer > 480):
                continue
            found = self._look(bgr, inputs, margin, self._surer)
        return found

    def _look(self, bgr: Image, sides: list[int], margin: float, threshold: float) -> Float32Array:
        """Detections (K, 5) at some input sizes; the picture gets a margin that is a share of its longer side."""
        border = round(margin * max(bgr.shape[:2]))
        padded = cv2.copyMakeBorder(bgr, border, border, border, border, cv2.BORDER_CONSTANT) if border else bgr
        found, _ = self._detector.detect(padded, input_size=[(side, side) for side in sides], det_thresh=threshold)
        found = np.asarray(found, np.float32) - np.array([border] * 4 + [0], np.float32)
        sane = ((found[:, 2:4] - found[:, :2]) > 2).all(axis=1) & np.isfinite(found).all(axis=1)
        kept: Float32Array = found[sane]
        return kept

    def _aligned_box(self, image: Image) -> tuple[Float32Array, Float32Array, int]:
        height, width = image.shape[:2]
        if height != width:
            raise ImageError(
                f"an aligned crop is square, this image has {width}x{height} pixels",
                "leave out {aligned} for photographs",
            )
        return (aligned_bbox() * np.float32(width / ARCFACE_SIDE))[None], np.ones(1, np.float32), 0

    def _face(self, image: Image, bbox: Float32Array, score: float, turns: int) -> Face:
        """The face in a box of the image turned by so many quarters counter-clockwise."""
        import insightface.app.common

        bgr, corner = _patch(image, bbox, turns)
        seen = insightface.app.common.Face(bbox=bbox - np.concatenate([corner, corner]))
        points = np.asarray(self._landmarker.get(bgr, seen), np.float32)
        if self.scheme == 106:
            pose = pose_from_106(points)
        elif self._on_our_head:
            # InsightFace's mean shape has its jaw farther back than the bundled pack's points: it reads 0.9 of the yaw.
            pose = pose_from_68(points)
        else:
            pitch, yaw, roll = (float(angle) for angle in seen["pose"])
            pose = HeadPose(yaw=yaw, pitch=pitch, roll=roll)
        points[:, :2] = _turned_back(points[:, :2] + corner, image, turns)
        corners = _turned_back(bbox.reshape(2, 2), image, turns)
        bbox = np.concatenate([corners.min(axis=0), corners.max(axis=0)]).astype(np.float32)
        roll = (pose.roll + 90 * turns + 180) % 360 - 180
        return Face(bbox, keypoints_of(points), points, HeadPose(pose.yaw, pose.pitch, roll), score)


def _surest(found: Float32Array) -> float:
    return float(found[:, 4].max(initial=0.0))


def _reduced(image: Image) -> Image:
    """BGR, no larger than detection looks at, and not so narrow that a side would come to nothing."""
    height, width = image.shape[:2]
    scale = min(_LONGEST / max(height, width), 1.0)
    size_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA) if scale < 1 else image
    lacking = [max(max(size_wh) // _NARROWEST - side, 0) for side in size_wh]
    if any(lacking):
        small = cv2.copyMakeBorder(small, 0, lacking[1], 0, lacking[0], cv2.BORDER_CONSTANT)
    return np.ascontiguousarray(small[..., ::-1])


def _patch(image: Image, bbox: Float32Array, turns: int) -> tuple[Image, Float32Array]:
    """BGR of what the landmark network sees of a box, and a little more; and its top left corner, pixels.

    Box, patch and corner are those of the image turned by so many quarters counter-clockwise.
    """
    turned = np.rot90(image, turns)
    height, width = turned.shape[:2]
    # InsightFace's networks take a square 1.5 times as large as the box.
    reach = _PATCH * max(float(bbox[2] - bbox[0]), float(bbox[3] - bbox[1]))
    x, y = (bbox[:2] + bbox[2:]) / 2
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - reach, x + reach + 1))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - reach, y + reach + 1))
    # A box beyond the edge still needs a pixel to look at.
    left, top = min(left, width - 1), min(top, height - 1)
    patch = turned[top : max(bottom, top + 1), left : max(right, left + 1), ::-1]
    return np.ascontiguousarray(patch), np.array([left, top], np.float32)


def _turned_back(points: Float32Array, image: Image, turns: int) -> Float32Array:
    """Points (N, 2) of the image turned by so many quarters counter-clockwise, in the image itself."""
    height, width = image.shape[:2]
    x, y = points.T
    back = {0: (x, y), 1: (width - 1 - y, x), 2: (width - 1 - x, height - 1 - y), 3: (y, height - 1 - x)}[turns]
    return np.stack(back, axis=1)
