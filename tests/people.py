"""Small datasets of made-up people: aligned 112x112 crops whose colours and stripes say who is on them."""

from pathlib import Path

import numpy as np
from PIL import Image

from maskgen import linelog, manifest
from maskgen.face.align import ARCFACE_KEYPOINTS
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.manifest import FaceRow, MaskRow, PoseRow, Row, RunFile, VariantRow, Written

SIDE = 112
SEED = "0" * 32


def portrait(person: int, take: int) -> np.ndarray:
    """(112, 112, 3) uint8: a pattern of the person's, with noise of this take's."""
    who, noise = np.random.default_rng(person), np.random.default_rng([person, take])
    coarse = who.integers(40, 215, (7, 7, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return np.clip(coarse + noise.normal(0, 25, coarse.shape), 0, 255).astype(np.uint8)


def masked(image: np.ndarray) -> np.ndarray:
    """The lower half covered."""
    covered = image.copy()
    covered[SIDE // 2 :] = (120, 160, 200)
    return covered


def folder_of_people(root: Path, people: int = 6, takes: int = 3) -> Path:
    """``person_00/0.png``: one folder per identity."""
    for person in range(people):
        for take in range(takes):
            _write(root / name(person, take), portrait(person, take))
    return root


def augmented_people(root: Path, people: int = 6, takes: int = 3, variants: int = 1) -> Path:
    """What ``maskgen augment --aligned --originals`` would have written."""
    rows = []
    for person in range(people):
        for take in range(takes):
            image = portrait(person, take)
            file = name(person, take)
            _write(root / file, image)
            copies = []
            for variant in range(variants):
                copy = file.replace(".png", f"_m{variant + 1}.png")
                _write(root / copy, masked(image))
                copies.append(VariantRow(place=copy, seed=SEED, masks=(MaskRow(design="cloth", view="front"),)))
            rows.append(
                Row(
                    key=file,
                    identity=file.split("/")[0],
                    status="done",
                    faces=(face_row(),),
                    variants=tuple(copies),
                    original=Written(place=file),
                )
            )
    write_run(root, rows, {"aligned": True})
    return root


def write_run(root: Path, rows: list[Row], settings: dict, source: str = "nowhere") -> None:
    with linelog.Log(root / manifest.MANIFEST_FILE) as log:
        for row in rows:
            log.append(row.model_dump_json())
    record = RunFile(
        maskgen="0", state="complete", source=source, settings=settings, pack_sha256="", catalog_sha256="", versions={}
    )
    manifest.write_run(root / manifest.RUN_FILE, record)


def face_row(landmarks: np.ndarray | None = None) -> FaceRow:
    points = None if landmarks is None else tuple(tuple(float(v) for v in point) for point in landmarks)
    bbox = (20.0, 10.0, 90.0, 105.0) if landmarks is None else tuple(float(v) for v in bbox_of_points(landmarks))
    five = np.array(ARCFACE_KEYPOINTS) if landmarks is None else keypoints_of(landmarks)
    keypoints = tuple(tuple(float(v) for v in point) for point in five)
    pose = PoseRow(yaw=0, pitch=0, roll=0)
    return FaceRow(bbox=bbox, score=1.0, pose=pose, keypoints=keypoints, landmarks=points)


def name(person: int, take: int) -> str:
    return f"person_{person:02d}/{take}.png"


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
