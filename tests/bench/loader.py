"""How many pictures per second one core loads with masks put on: what `maskgen train --mask-prob` feeds a GPU with.

    python tests/bench/loader.py DATA [NUMBER]

DATA is a folder of photographs, such as LFW; the first NUMBER (200) with a face are made 112x112 crops, as ArcFace
learns from them. Figures are medians of five rounds, of the time that the processor was busy.
"""

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from maskgen import RandomMask, images
from maskgen.catalog.store import Catalog
from maskgen.datasets.dataset import open_dataset
from maskgen.detect import DetectorSpec
from maskgen.face.align import aligned_crop, alignment
from maskgen.masking.augment import mask_faces
from maskgen.masking.recipe import Recipe
from maskgen.parallel import InProcess
from maskgen.recognition.crops import Cropper
from maskgen.recognition.faces import faces_of

ROUNDS = 5


def crops_of(data: Path, folder: Path, number: int) -> Path:
    """A folder of JPEG crops with one folder per identity."""
    detector, made = DetectorSpec().build(), 0
    for path in sorted(data.rglob("*.jpg")):
        image = images.read(path).pixels
        faces = detector.detect(image)
        if not faces:
            continue
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        crop = aligned_crop(image, alignment(faces[0].keypoints))
        cv2.imwrite(str(target), crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        made += 1
        if made == number:
            break
    return folder


def main(data: Path, number: int = 200) -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as work:
        dataset = open_dataset(crops_of(data, Path(work) / "crops", number), aligned=True)
        detectors = DetectorSpec(aligned=True)
        started = time.process_time()
        cache = faces_of(dataset, Path(work) / "seen", detectors, InProcess())
        filled = time.process_time() - started
        bytes_used = sum(path.stat().st_size for path in (Path(work) / "seen").rglob("*") if path.is_file())
        catalog = Catalog.load()
        catalog.preload()
        cropper = Cropper(dataset.read, True, catalog)
        mask = RandomMask(catalog, 1, cache, Recipe(keep_covered=True))
        times = defaultdict(list)
        for round in range(1 + ROUNDS):
            spent = defaultdict(float)

            def timed(what, work, spent=spent):
                begun = time.process_time()
                result = work()
                spent[what] += time.process_time() - begun
                return result

            for place, item in enumerate(dataset.items):
                rng = np.random.default_rng([0, round, place])
                timed("loader", lambda: cropper.masked(item.original, cache.get(item.name), rng))  # noqa: B023
                image = timed("  decode", lambda: dataset.read(item.original))  # noqa: B023
                seen = timed("  look up", lambda: cache.get(item.name))  # noqa: B023
                face, observed = timed("  unpack", lambda: seen.in_crop(image))  # noqa: B023
                rng = np.random.default_rng([0, round, place])
                timed("  mask", lambda: mask_faces(image, [face], [observed], catalog, rng, mask.recipe))  # noqa: B023
                timed("RandomMask", lambda: mask(image, item.name))  # noqa: B023
            if round:  # the first one reads what all later ones need
                for what, seconds in spent.items():
                    times[what].append(seconds / len(dataset.items))
        print(f"{len(dataset.items)} crops, {bytes_used / len(dataset.items) / 1e3:.1f} kB each in the cache")
        print(f"{'look once':12} {1e3 * filled / len(dataset.items):6.2f} ms")
        for what, seconds in times.items():
            middle = float(np.median(seconds))
            print(f"{what:12} {1e3 * middle:6.2f} ms {1 / middle:6.0f} per second")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
