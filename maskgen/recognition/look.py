"""A picture to what is seen on it: its faces, and all that a mask on them will take after."""

from __future__ import annotations

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.detect import Detector
from maskgen.face import Face
from maskgen.face.align import crop_matrix, moved
from maskgen.masking.augment import Observed, observe
from maskgen.masking.illuminant import scene_of
from maskgen.masking.light import appearance_of
from maskgen.masking.occlude import visible_of
from maskgen.masking.packed import pack
from maskgen.masking.recipe import central
from maskgen.parse import Parser, Regions
from maskgen.recognition.crops import cropped
from maskgen.recognition.seen import Seen, SeenFace


def look_at(
    image: Image,
    detector: Detector | None,
    parser: Parser | None = None,
    *,
    is_aligned: bool = False,
    known: Face | None = None,
    observed: bool = True,
) -> Seen:
    """What is seen on a picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    detector : Detector or None
        Finds the faces that are not known.
    parser : Parser, optional
        Tells what lies in front of them.
    is_aligned : bool
        Whether the picture is an ArcFace crop.
    known : Face, optional
        The face that counts, if it has been found before.
    observed : bool
        Whether more is to be known than where the faces lie.
    """
    size_wh = image.shape[1], image.shape[0]
    if known is None:
        assert detector is not None
        faces = detector.detect(image)
    else:
        faces = [known]
    if not faces:
        return Seen(size_wh, reason="no_face", is_aligned=is_aligned)
    chosen = central(faces, size_wh)
    if not observed:
        return Seen(size_wh, tuple(map(SeenFace, faces)), chosen, None, is_aligned)
    scene = scene_of(image)
    found = [observe(image, face, parser, scene) for face in faces]
    seen = [SeenFace(face, pack(one)) for face, one in zip(faces, found, strict=True)]
    crop = cropped(image, faces[chosen].keypoints, is_aligned)
    if crop is not image:
        matrix = crop_matrix(size_wh, faces[chosen].keypoints, is_aligned)
        inside = _observed_in_crop(crop, moved(faces[chosen], matrix), found[chosen], matrix)
        seen[chosen] = seen[chosen]._replace(in_crop=pack(inside))
    return Seen(size_wh, tuple(seen), chosen, None, is_aligned, True)


def _observed_in_crop(crop: Image, face: Face, observed: Observed, matrix: Float32Array) -> Observed:
    """What is known of a face in its crop, which a similarity (2, 3) cuts; regions are those of the whole picture."""
    appearance = appearance_of(crop, face)
    if observed.regions is None:
        return Observed(appearance)
    back = np.vstack([cv2.invertAffineTransform(matrix), [0, 0, 1]])
    to_regions = (observed.regions.image_to_crop @ back).astype(np.float32)
    regions = Regions(observed.regions.shares, observed.regions.crop, to_regions)
    return Observed(appearance, visible_of(crop, face, regions), observed.covered, regions)
