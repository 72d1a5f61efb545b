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
from maskgen.packs.find import BUNDLED, MEAN_HEAD_KEY, pack_dir, pack_sha256
from maskgen.packs.session import Device, face_analysis

# A face this small at an input of 320 hints at smaller ones beside it.
_SMALL_FACE: Final = 40
_LANDMARK_TASKS: Final = {68: "landmark_3d_68", 106: "landmark_2d_106"}
_LANDMARK_FILES: Final = {68: "1k3d68*.onnx", 106: "2d106*.onnx"}


class Detector(Protocol):
    """Whatever finds faces; `FaceDetector` does."""

    def detect(self, image: Image) -> list[Face]:
        """The faces of an (H, W, 3) RGB image, largest first."""


class DetectorSource(Protocol):
    """Makes the detector of each worker process; it is pickled on its way there, and hashable."""

    def build(self) -> Detector:
        """A detector."""

    def sha256(self) -> str:
        """A hash of what decides about its results."""


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

    def sha256(self) -> str:
        """The hash of the pack's files.

        Raises
        ------
        ModelError
            If the pack is missing.
        """
        return pack_sha256(pack_dir(self.model))


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
        """The faces of an image, largest first.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.

        Raises
        ------
        ImageError
            If the detector expects aligned crops and the image is not square.
        """
        bgr = np.ascontiguousarray(image[..., ::-1])
        boxes, scores = self._aligned_box(bgr) if self.aligned else self._boxes(bgr)
        order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")
        return [self._face(bgr, boxes[i], float(scores[i])) for i in order]

    def _boxes(self, bgr: Image) -> tuple[Float32Array, Float32Array]:
        """Boxes (K, 4) and scores (K,), by a ladder of input sizes.

        A detector made for faces of middling size overlooks those that fill the frame (InsightFace issue 2782), and a
        small input those in the back row. Large pictures and crowds get a second look at twice the size; where nobody
        is found, a smaller input, a margin around the picture and a larger input are tried, and must be surer.
        """
        longer = max(bgr.shape[:2])
        found = self._look(bgr, [320], 0.0, self.threshold)
        sides = (found[:, 2:4] - found[:, :2]).max(axis=1)
        if longer > 480 or (sides * 320 / longer < _SMALL_FACE).any():
            found = self._look(bgr, [320, 640], 0.0, self.threshold)
        surer = self.threshold + (1 - self.threshold) / 3
        for inputs, margin in (([160], 0.0), ([160, 320], 0.5), ([640], 0.0), ([960], 0.0)):
            # Beyond that enlargement there is nothing more to see, and texture turns into faces.
            if len(found) or max(inputs) > 2.5 * longer or (max(inputs) == 640 and longer > 480):
                continue
            found = self._look(bgr, inputs, margin, surer)
        return found[:, :4], found[:, 4]

    def _look(self, bgr: Image, sides: list[int], margin: float, threshold: float) -> Float32Array:
        """Detections (K, 5): x1, y1, x2, y2, score; the picture gets a margin that is a share of its longer side."""
        border = round(margin * max(bgr.shape[:2]))
        padded = cv2.copyMakeBorder(bgr, border, border, border, border, cv2.BORDER_CONSTANT) if border else bgr
        found, _ = self._detector.detect(padded, input_size=[(side, side) for side in sides], det_thresh=threshold)
        found = np.asarray(found, np.float32) - np.array([border] * 4 + [0], np.float32)
        sane = ((found[:, 2:4] - found[:, :2]) > 2).all(axis=1) & np.isfinite(found).all(axis=1)
        kept: Float32Array = found[sane]
        return kept

    def _aligned_box(self, bgr: Image) -> tuple[Float32Array, Float32Array]:
        height, width = bgr.shape[:2]
        if height != width:
            raise ImageError(
                f"an aligned crop is square, this image has {width}x{height} pixels",
                "leave out {aligned} for photographs",
            )
        return (aligned_bbox() * np.float32(width / ARCFACE_SIDE))[None], np.ones(1, np.float32)

    def _face(self, bgr: Image, bbox: Float32Array, score: float) -> Face:
        import insightface.app.common

        seen = insightface.app.common.Face(bbox=bbox.copy())
        points = np.asarray(self._landmarker.get(bgr, seen), np.float32)
        if self.scheme == 106:
            pose = pose_from_106(points)
        elif self._on_our_head:
            # InsightFace's mean shape has its jaw farther back than the bundled pack's points: it reads 0.9 of the yaw.
            pose = pose_from_68(points)
        else:
            pitch, yaw, roll = (float(angle) for angle in seen["pose"])
            pose = HeadPose(yaw=yaw, pitch=pitch, roll=roll)
        return Face(bbox.astype(np.float32), keypoints_of(points), points, pose, score)
