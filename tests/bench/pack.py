"""Time two model packs against each other, picture by picture in turn, on one core.

    python tests/bench/pack.py FIRST [SECOND] [--pictures FOLDER]

Either is a pack as ``maskgen augment --model`` takes it; SECOND is the bundled one unless told otherwise. Without a
folder the photographs that the dependencies ship are used. Printed are medians in milliseconds and the median of the
ratios second / first within a pair, below 1 where the second is the faster.
"""

import statistics
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import click
import cv2
import numpy as np

from maskgen.detect import FaceDetector
from maskgen.packs.find import pack_dir

ROUNDS = 200


def shipped() -> list[np.ndarray]:
    """InsightFace's group and scikit-image's astronaut, RGB."""
    pictures = []
    for package, path in (("insightface", "data/images/t1.jpg"), ("skimage", "data/astronaut.png")):
        with resources.as_file(resources.files(package) / path) as file:
            pictures.append(cv2.imread(str(file))[..., ::-1])
    return pictures


def detection(detector: FaceDetector) -> Callable[[np.ndarray], object]:
    """The detector at an input of 320."""
    return lambda rgb: detector._boxes.look(rgb, [320], 0.5)


def landmarks(detector: FaceDetector) -> Callable[[np.ndarray], object]:
    """Landmarks and pose of a face whose place is known."""
    return lambda rgb: detector.detect(cv2.resize(rgb, (112, 112)))


@click.command()
@click.argument("first")
@click.argument("second", default="bundled")
@click.option("--pictures", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(first: str, second: str, pictures: Path | None) -> None:
    """Time two packs."""
    cv2.setNumThreads(1)
    files = sorted(pictures.rglob("*.jpg"))[:ROUNDS] if pictures else []
    images = [cv2.imread(str(file))[..., ::-1] for file in files] or shipped()
    images = [np.ascontiguousarray(image) for image in images]
    packs = (first, second)
    whole = [FaceDetector(pack) for pack in packs]
    aligned = [FaceDetector(pack, aligned=True) for pack in packs]
    for name, tasks in (
        ("detect at 320", [detection(one) for one in whole]),
        ("landmarks of a face", [landmarks(one) for one in aligned]),
        ("a picture, both", [one.detect for one in whole]),
    ):
        times: list[list[float]] = [[], []]
        for turn in range(ROUNDS + 4):
            for which in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()
                tasks[which](images[turn % len(images)])
                times[which].append(1000 * (time.perf_counter() - start))
        before, after = times[0][4:], times[1][4:]  # the first rounds warm up
        ratio = statistics.median(b / a for a, b in zip(before, after, strict=True))
        print(f"{name:20} {statistics.median(before):7.2f} {statistics.median(after):7.2f}   ratio {ratio:.2f}")
    sizes = [sum(file.stat().st_size for file in pack_dir(pack).glob("*.onnx")) / 1e6 for pack in packs]
    print(f"{'megabytes':20} {sizes[0]:7.2f} {sizes[1]:7.2f}   ratio {sizes[1] / sizes[0]:.2f}")


if __name__ == "__main__":
    main()
