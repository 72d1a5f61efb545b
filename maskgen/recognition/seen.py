"""What was seen on a picture: its faces and what was observed of them, and how that is written.

Convention
----------
Points lie in the picture, in pixels; of a picture that is an aligned crop, that is the crop. The face that counts has a
second set of what was observed, in its ArcFace crop.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from maskgen.arrays import Image
from maskgen.face import Face, HeadPose
from maskgen.face.align import ARCFACE_SIDE, crop_matrix, moved
from maskgen.masking import packed
from maskgen.masking.augment import Observed
from maskgen.masking.packed import Packed

Reason = Literal["no_face", "bad_image", "crashed", "unexpected"]
"""Why a picture has no face."""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
# How many numbers the landmarks of each scheme have, by number of points and coordinates.
_SCHEMES: Final = ((68, 2), (68, 3), (106, 2))
ROW: Final = np.dtype(
    [
        ("key", "S16"),  # a digest
        ("stamp", "<u8"),
        ("container", "<u8"),
        ("first_face", "<u8"),
        ("maps_at", "<u8"),
        ("maps_size", "<u4"),
        ("text_size", "<u4"),  # of the key itself, which comes first among the maps
        ("size_wh", "<u4", 2),
        ("faces", "<u2"),
        ("chosen", "<u2"),
        ("reason", "u1"),  # 0 for none, else one more than its number
        ("is_observed", "u1"),
        ("check", "<u4"),
    ]
)
FACE: Final = np.dtype(
    [
        ("bbox", "<f4", 4),
        ("keypoints", "<f4", (5, 2)),
        ("scheme", "u1"),
        ("landmarks", "<f4", max(points * axes for points, axes in _SCHEMES)),
        ("pose", "<f8", 3),
        ("score", "<f8"),
        ("in_picture", packed.NUMBERS),
        ("in_crop", packed.NUMBERS),
        ("maps_at", "<u4"),  # from the row's own on
        ("maps_size", "<u4"),
    ]
)


class SeenFace(NamedTuple):
    """A face and what was observed of it: in the picture, and in its ArcFace crop where that is another picture."""

    face: Face
    in_picture: Packed | None = None
    in_crop: Packed | None = None


@dataclass(frozen=True)
class Seen:
    """What was seen on a picture.

    Attributes
    ----------
    size_wh : (int, int)
        Of the picture; (0, 0) if it could not be read.
    faces : tuple of SeenFace
        Largest first.
    chosen : int
        The number of the one that counts.
    reason : str or None
        Why there is none.
    is_aligned : bool
        Whether the picture is an aligned crop.
    is_observed : bool
        Whether more is known than where faces lie.
    """

    size_wh: tuple[int, int]
    faces: tuple[SeenFace, ...] = ()
    chosen: int = 0
    reason: Reason | None = None
    is_aligned: bool = False
    is_observed: bool = False

    @property
    def face(self) -> Face:
        """The face that counts, in the picture."""
        return self.faces[self.chosen].face

    def observed(self, image: Image) -> list[Observed]:
        """What is known of the faces of the picture (H, W, 3), which is given."""
        return [packed.unpack(_there(seen.in_picture), image, seen.face) for seen in self.faces]

    def in_crop(self, crop: Image) -> tuple[Face, Observed]:
        """The face that counts as it lies in its crop (112, 112, 3), which is given, and what is known of it there."""
        seen = self.faces[self.chosen]
        if self.is_aligned and self.size_wh == (ARCFACE_SIDE, ARCFACE_SIDE):
            return seen.face, packed.unpack(_there(seen.in_picture), crop, seen.face)
        face = moved(seen.face, crop_matrix(self.size_wh, seen.face.keypoints, self.is_aligned))
        return face, packed.unpack(_there(seen.in_crop), crop, face)


def _there(seen: Packed | None) -> Packed:
    assert seen is not None, "only faces were looked for"
    return seen


class Stamps(NamedTuple):
    """What changes when a picture does, and what changes when the file of many pictures does in which it lies."""

    picture: str | None = None
    container: str | None = None


NO_STAMPS: Final = Stamps()


class Encoded(NamedTuple):
    """What was seen on a picture, as it is written; `row` and `faces` count places from 0."""

    row: Any
    faces: npt.NDArray[Any]
    maps: bytes


def encoded(key: str, seen: Seen, stamps: Stamps = NO_STAMPS) -> Encoded:
    """What was seen on the picture of a key, as it is written; small enough to be sent to another process."""
    text = key.encode("utf-8", "surrogatepass")
    row, faces, maps = np.zeros((), ROW), np.zeros(len(seen.faces), FACE), [text]
    row["key"], row["stamp"], row["container"] = digest(key), *(number_of(stamp) for stamp in stamps)
    row["text_size"], row["size_wh"] = len(text), seen.size_wh
    row["faces"], row["chosen"], row["is_observed"] = len(seen.faces), seen.chosen, seen.is_observed
    row["reason"] = 0 if seen.reason is None else 1 + REASONS.index(seen.reason)
    for number, one in enumerate(seen.faces):
        maps.append(_encode_face(faces[number : number + 1], one, sum(map(len, maps))))
    blob = b"".join(maps)
    row["maps_size"] = len(blob)
    row["check"] = _check(row, faces, blob)
    return Encoded(row, faces, blob)


def decoded(row: Any, faces: npt.NDArray[Any], maps: bytes, is_aligned: bool) -> Seen | None:
    """What was seen on a picture; None if what was written is damaged.

    Parameters
    ----------
    row : () array of `ROW`
        Wherever its places count from.
    faces : (K,) array of `FACE`
        Those that the row names.
    maps : bytes
        Those that the row names.
    is_aligned : bool
        As in `Seen`.
    """
    if _check(row, faces, maps) != row["check"]:
        return None
    width, height = row["size_wh"].tolist()
    return Seen(
        (width, height),
        tuple(_decode_face(face, maps) for face in faces),
        int(row["chosen"]),
        REASONS[row["reason"] - 1] if row["reason"] else None,
        is_aligned,
        bool(row["is_observed"]),
    )


def _check(row: Any, faces: npt.NDArray[Any], maps: bytes) -> int:
    """A checksum of what is written of a picture, wherever it lies."""
    own = row.copy()
    own["first_face"] = own["maps_at"] = own["check"] = 0
    return zlib.crc32(maps, zlib.crc32(faces.tobytes(), zlib.crc32(own.tobytes())))


def _encode_face(record: npt.NDArray[Any], seen: SeenFace, at: int) -> bytes:
    """The maps of a face, which begin there; its record, an array of one, is filled."""
    face = seen.face
    record["bbox"], record["keypoints"], record["score"] = face.bbox, face.keypoints, face.score
    record["scheme"] = _SCHEMES.index((len(face.landmarks), face.landmarks.shape[1]))
    record["landmarks"][0, : face.landmarks.size] = face.landmarks.ravel()
    record["pose"] = face.pose.yaw, face.pose.pitch, face.pose.roll
    maps, shares = [], b""
    for name, part in (("in_picture", seen.in_picture), ("in_crop", seen.in_crop)):
        if part is not None:
            record[name] = part.numbers
            maps.append(part.maps)
            shares = part.shares
    raw = b"".join([*maps, shares])
    blob = zlib.compress(raw, 6) if raw else b""
    record["maps_at"], record["maps_size"] = at, len(blob)
    return blob


def _decode_face(record: Any, maps: bytes) -> SeenFace:
    points, axes = _SCHEMES[int(record["scheme"])]
    yaw, pitch, roll = record["pose"].tolist()
    face = Face(
        np.array(record["bbox"]),
        np.array(record["keypoints"]),
        np.array(record["landmarks"][: points * axes]).reshape(points, axes),
        HeadPose(yaw, pitch, roll),
        float(record["score"]),
    )
    if not record["maps_size"]:
        return SeenFace(face)
    at = int(record["maps_at"])
    raw = zlib.decompress(maps[at : at + int(record["maps_size"])])
    (first, shares), (second, more) = packed.sizes(record["in_picture"]), packed.sizes(record["in_crop"])
    tail = raw[first + second :]
    return SeenFace(
        face,
        Packed(record["in_picture"], raw[:first], tail[:shares]) if record["in_picture"]["is_there"] else None,
        Packed(record["in_crop"], raw[first : first + second], tail[:more]) if record["in_crop"]["is_there"] else None,
    )


def digest(key: str) -> bytes:
    """What stands for a key, 16 bytes."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def number_of(stamp: str | None) -> int:
    """A stamp as a number; 0 for none."""
    if stamp is None:
        return 0
    return int.from_bytes(hashlib.blake2b(stamp.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
