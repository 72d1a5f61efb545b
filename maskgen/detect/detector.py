"""An image to its faces, through InsightFace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.detect.ladder import SURE, Ladder, surest
from maskgen.detect.networks import BOX, SCORE, BoxNetwork, PointNetwork
from maskgen.detect.tiles import SMALLEST_PICTURE, in_tiles, outside
from maskgen.detect.ways import Ways, box_in, turned
from maskgen.errors import ImageError, ModelError
from maskgen.face import Face
from maskgen.face.align import ARCFACE_SIDE, aligned_bbox
from maskgen.face.landmarks import keypoints_of
from maskgen.images.checking import refuse_other
from maskgen.packs.find import BUNDLED, model_sha256, pack_dir, pack_sha256
from maskgen.packs.session import Device, face_analysis
from maskgen.parse import FaceParser, Parser

# The longer side of what detection looks at, pixels: twice its largest input.
_LONGEST: Final = 1920
# A picture this many times as long as it is narrow would come to nothing at the smallest input.
_NARROWEST: Final = 64
# A head that leans by more than this, degrees, gets its landmarks upright; they must then say that it stands upright.
_LEANS: Final = 25
_AGREES: Final = 15
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
    bystanders: bool = True
    small_faces: bool = False
    central: bool = True

    def build(self) -> Detector:
        """A detector.

        Raises
        ------
        ModelError
            If the pack or the device is missing or unusable.
        """
        return FaceDetector(
            self.model,
            landmarks=self.landmarks,
            aligned=self.aligned,
            device=self.device,
            bystanders=self.bystanders,
            small_faces=self.small_faces,
            central=self.central,
        )

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
    bystanders : bool
        Find faces too that are tiny beside a large one, under a tenth of the picture's longer side. Without them a
        small picture of one large face costs a quarter.
    small_faces : bool
        Look through large pictures tile by tile, so that faces from about 36 pixels on are found in them.
    central : bool
        Find the face in the middle too where it is tiny beside a large one at the edge. Without bystanders and without
        that, a picture of a large face anywhere costs a glimpse.

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
        bystanders: bool = True,
        small_faces: bool = False,
        central: bool = True,
    ) -> None:
        self.pack = pack_dir(model)
        self.sha256 = pack_sha256(self.pack)
        self.aligned = aligned
        self.small_faces = small_faces
        task = _LANDMARK_TASKS[landmarks]
        models = face_analysis(self.pack, ["detection", task], device).models
        if task not in models:
            raise ModelError(
                f"{self.pack}: no {_LANDMARK_FILES[landmarks]}, which {landmarks} landmarks need",
                "use the other value of {landmarks}, or another {model}",
            )
        self._points = PointNetwork(models[task])
        self._boxes = BoxNetwork(models["detection"])
        self._ladder = Ladder(self._boxes, threshold, bystanders=bystanders, central=central)
        self._ways = Ways(self._ladder, self._points)

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
        seen = [_aligned(image)] if self.aligned else self._seen(image)
        seen.sort(key=lambda sighting: -sighting.area)
        faces = (self._face(image, sighting) for sighting in seen)
        return [face for face in faces if face is not None]

    def _seen(self, image: Image) -> list[_Sighting]:
        """Where faces are.

        Detectors know upright faces. One that stands on its head they find too, with eyes where the mouth is, but are
        not sure of it. So where they are not, the picture is turned until its heads stand upright.
        """
        reduced, scale = _reduced(image)
        glimpse = self._ladder.glimpse(reduced)
        found = self._ladder.all_in(glimpse, reduced)
        if found is None:
            found = self._with_small(self._ladder.climb(reduced, glimpse), image, scale)
        if max(surest(glimpse.found), surest(found)) >= SURE or self._ways.is_upright(reduced, found):
            return [_Sighting(one[BOX] * np.float32(scale), float(one[SCORE])) for one in found]
        if lean := self._ways.lean(reduced, found):
            # Large pictures are turned in the size that detection looks at, unless their tiles are looked at too.
            whole, to_image = (image, 1.0) if self.small_faces else (reduced, scale)
            picture, back = turned(whole, lean)
            smaller, to_picture = _reduced(picture)
            upright = self._with_small(self._ladder.climb(smaller), picture, to_picture)
            upright = self._ways.confirmed(picture, _scaled(upright, to_picture))
            if len(upright):
                boxes = [box_in(one[BOX], back) * np.float32(to_image) for one in upright]
                return [_Sighting(box, float(one[SCORE]), lean) for box, one in zip(boxes, upright, strict=True)]
        found = self._ways.confirmed(image, _scaled(found, scale))
        return [_Sighting(one[BOX], float(one[SCORE])) for one in found]

    def _with_small(self, found: Float32Array, image: Image, scale: float) -> Float32Array:
        """Detections (K, 15) in the reduced picture, and those of small faces in the picture itself if asked for."""
        if not self.small_faces or max(image.shape[:2]) <= SMALLEST_PICTURE:
            return found
        small = _scaled(in_tiles(self._boxes, image, self._ladder.threshold), 1 / scale)
        return self._boxes.merged([found, outside(small, found)])

    def _face(self, image: Image, sighting: _Sighting) -> Face | None:
        """The face that was seen; None if it is none that leans as the picture was turned."""
        bbox, roll_deg = sighting.bbox, sighting.roll_deg
        points = self._points.points(image, bbox, roll_deg)
        pose = self._points.pose(points)
        if abs(_between(pose.roll, roll_deg)) > _LEANS:
            # The network knows upright heads best.
            again = self._points.points(image, bbox, pose.roll)
            pose_again = self._points.pose(again)
            if abs(_between(pose_again.roll, pose.roll)) < _AGREES:
                points, pose = again, pose_again
            elif roll_deg:
                return None
        return Face(bbox, keypoints_of(points), points, pose, sighting.score)


@dataclass(frozen=True)
class _Sighting:
    """A box (4,), its score, and how far clockwise the heads of the picture lean."""

    bbox: Float32Array
    score: float
    roll_deg: float = 0.0

    @property
    def area(self) -> float:
        x1, y1, x2, y2 = self.bbox
        return float((x2 - x1) * (y2 - y1))


def _aligned(image: Image) -> _Sighting:
    height, width = image.shape[:2]
    if height != width:
        raise ImageError(
            f"an aligned crop is square, this image has {width}x{height} pixels",
            "leave out {aligned} for photographs",
        )
    return _Sighting(aligned_bbox() * np.float32(width / ARCFACE_SIDE), 1.0)


def _between(first_deg: float, second_deg: float) -> float:
    """How far one angle lies from another, -180 to 180 degrees."""
    return (first_deg - second_deg + 180) % 360 - 180


def _scaled(found: Float32Array, scale: float) -> Float32Array:
    """Detections (K, 15) in a picture that is so many times as large."""
    factors = np.full(found.shape[1], scale, np.float32)
    factors[SCORE] = 1
    scaled: Float32Array = found * factors
    return scaled


def _reduced(image: Image) -> tuple[Image, float]:
    """The picture, no larger than detection looks at, and not so narrow that a side would come to nothing.

    Also how many times as large the picture itself is.
    """
    times = 1.0
    while max(image.shape[:2]) > _LONGEST:
        # To halves is seven times as fast as to any other size, and faster than decoding once more, smaller.
        size_wh = max(image.shape[1] // 2, 1), max(image.shape[0] // 2, 1)
        even = image[: 2 * size_wh[1], : 2 * size_wh[0]]
        image = np.asarray(cv2.resize(even, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        times *= 2
    lacking = [max(max(image.shape[:2]) // _NARROWEST - side, 0) for side in image.shape[:2]]
    if any(lacking):
        image = np.asarray(cv2.copyMakeBorder(image, 0, lacking[0], 0, lacking[1], cv2.BORDER_CONSTANT), np.uint8)
    return image, times
