"""Time detection in place, between decoding and masking, against another checkout, and see that it finds the same.

    python tests/bench/detect.py speed FOLDER --against OLD_CHECKOUT [--aligned]
    python tests/bench/detect.py rolls FOLDER [--against OLD_CHECKOUT]

`speed` takes every picture through decode, detect, mask and encode, in one process per checkout, in turn. Printed are
CPU milliseconds and their ratio to decode + encode of the same pictures, the faces of one checkout that the other
lacks, and how far the points lie apart. `rolls` turns pictures of single faces by multiples of 15 degrees and counts
those where the mouth is found, nobody is, and something else is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import click
import numpy as np

HERE = Path(__file__).parents[2]
WARM_UP = 5


class Checkout:
    """A process that runs the code of a checkout."""

    def __init__(self, path: Path, options: dict) -> None:
        environment = {**os.environ, "PYTHONPATH": str(path), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "serve", json.dumps(options)]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, question: dict) -> dict:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def pictures_in(folder: Path, count: int) -> list[Path]:
    files = sorted(file for kind in ("jpg", "png") for file in folder.rglob(f"*.{kind}"))
    return files[:: max(len(files) // count, 1)][:count]


@click.group()
def main() -> None:
    """Time detection and see what it finds."""


@main.command()
@click.argument("options")
def serve(options: str) -> None:
    """Answer questions on stdin: what the other commands start."""
    import cv2

    from maskgen import images
    from maskgen.catalog.store import Catalog
    from maskgen.detect import DetectorSpec
    from maskgen.masking.augment import mask_faces, observe_all

    cv2.setNumThreads(1)
    given = json.loads(options)
    known = {name: value for name, value in given.items() if name in DetectorSpec.__dataclass_fields__}
    spec = DetectorSpec(**known)
    detector, parser, catalog = spec.build(), spec.parser(), Catalog.load()
    for line in sys.stdin:
        asked = json.loads(line)
        path = Path(asked["path"])
        marks = [time.process_time()]
        picture = images.decode(path.read_bytes(), PurePosixPath(path.name), 10**9, "keep")
        pixels = picture.pixels
        if asked.get("turn_deg"):
            height, width = pixels.shape[:2]
            matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -asked["turn_deg"], 1)
            pixels = cv2.warpAffine(pixels, matrix, (width, height))
        marks.append(time.process_time())
        faces = detector.detect(pixels)
        marks.append(time.process_time())
        if not asked.get("only_faces"):
            masked = mask_faces(pixels, faces, observe_all(pixels, faces, parser), catalog, np.random.default_rng(0))
            marks.append(time.process_time())
            images.encode(masked.image, picture.encoding, PurePosixPath(path.name), None)
            marks.append(time.process_time())
        answer = {
            "ms": (1000 * np.diff(marks)).tolist(),
            "boxes": [face.bbox.tolist() for face in faces],
            "points": [face.landmarks_68.tolist() for face in faces],
            "rolls": [face.pose.roll for face in faces],
        }
        print(json.dumps(answer), flush=True)


AGAINST = click.option("--against", type=click.Path(exists=True, path_type=Path), help="Another checkout.")


@main.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@AGAINST
@click.option("--count", default=200, show_default=True)
@click.option("--aligned", is_flag=True)
@click.option("--bystanders", is_flag=True, help="Look for faces that are tiny beside a large one.")
def speed(folder: Path, against: Path | None, count: int, aligned: bool, bystanders: bool) -> None:
    """Time detection in place."""
    places = [HERE] + [against] * (against is not None)
    checkouts = [Checkout(place, {"aligned": aligned, "bystanders": bystanders}) for place in places]
    answers = []
    for number, file in enumerate(pictures_in(folder, count)):
        order = range(len(checkouts)) if number % 2 else reversed(range(len(checkouts)))
        replies = {which: checkouts[which].ask({"path": str(file)}) for which in order}
        answers.append((str(file), [replies[which] for which in range(len(checkouts))]))
    for which, place in enumerate(places):
        times = np.array([reply[which]["ms"] for _, reply in answers[WARM_UP:]])
        codec = times[:, 0] + times[:, 3]
        print(f"{place}: {len(times)} pictures, CPU ms, median and mean")
        for name, column in zip(("decode", "detect", "mask", "encode"), times.T, strict=True):
            print(f"  {name:8} {np.median(column):8.2f} {column.mean():8.2f}")
        print(
            f"  detect over decode + encode: {np.median(times[:, 1]) / np.median(codec):.2f} by medians,"
            f" {times[:, 1].mean() / codec.mean():.2f} by means"
        )
    if against is not None:
        _compare([reply for _, reply in answers], [name for name, _ in answers])


def _compare(answers: list[list[dict]], names: list[str]) -> None:
    lacking, more, shifts, largest = [], [], [], 0
    for (new, old), name in zip(answers, names, strict=True):
        where = [_nearest(points, new["points"]) for points in old["points"]]
        lacking += [(name, box) for box, found in zip(old["boxes"], where, strict=True) if found is None]
        more += [name] * max(len(new["boxes"]) - sum(found is not None for found in where), 0)
        largest += bool(where) and where[0] != 0
        shifts += [
            _apart(points, new["points"][found])
            for points, found in zip(old["points"], where, strict=True)
            if found is not None
        ]
    print(f"faces: {sum(len(old['boxes']) for _, old in answers)} before, {len(lacking)} of them lost, {len(more)} new")
    for name, box in lacking[:20]:
        print(f"  lost: {name} {np.round(box).astype(int).tolist()}")
    for name in more[:20]:
        print(f"  new: {name}")
    print(f"another face is the largest: {largest}")
    print(f"points moved, per cent of the eye distance: median {100 * np.median(shifts):.2f}", end="")
    print(f", 95th percentile {100 * np.percentile(shifts, 95):.2f}")


@main.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@AGAINST
@click.option("--count", default=40, show_default=True)
@click.option("--step", default=15, show_default=True)
def rolls(folder: Path, against: Path | None, count: int, step: int) -> None:
    """Turn pictures of single faces, and see where the mouth is found."""
    checkouts = [Checkout(place, {"bystanders": False}) for place in [HERE] + [against] * (against is not None)]
    upright = [
        (str(file), checkouts[0].ask({"path": str(file), "only_faces": True})) for file in pictures_in(folder, count)
    ]
    single = [(path, np.array(reply["points"][0])) for path, reply in upright if len(reply["points"]) == 1]
    print(f"{len(single)} pictures; per angle: on the mouth, nobody, elsewhere, CPU ms of detection")
    totals = np.zeros((len(checkouts), 3), int)
    for angle in range(0, 360, step):
        row = [f"{angle:4}"]
        for which, checkout in enumerate(checkouts):
            kinds, times = np.zeros(3, int), []
            for path, points in single:
                reply = checkout.ask({"path": path, "turn_deg": angle, "only_faces": True})
                kinds[_kind(points, reply, path, angle)] += 1
                times.append(reply["ms"][1])
            totals[which] += kinds
            row.append(f"{kinds[0]:4} {kinds[1]:4} {kinds[2]:4} {np.mean(times):7.1f}")
        print("   |".join(row))
    for shares in totals / totals.sum(axis=1, keepdims=True):
        print("on the mouth {:.2%}, nobody {:.2%}, elsewhere {:.2%}".format(*shares))


def _kind(points: np.ndarray, reply: dict, path: str, angle: int) -> int:
    """0 if the largest face is the one that was turned, 1 if there is none, 2 if it is something else."""
    import cv2

    if not reply["points"]:
        return 1
    height, width = cv2.imread(path).shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -angle, 1)
    expected = points @ matrix[:, :2].T + matrix[:, 2]
    return 0 if _apart(expected, reply["points"][0]) < 0.2 else 2


def _apart(first: list, second: list) -> float:
    """Mean distance of two times 68 points, as a share of the first's distance between outer eye corners."""
    one, other = np.array(first), np.array(second)
    return float(np.linalg.norm(one - other, axis=1).mean() / max(np.linalg.norm(one[36] - one[45]), 1e-6))


def _nearest(points: list, others: list) -> int | None:
    apart = [_apart(points, other) for other in others]
    number = int(np.argmin(apart)) if apart else 0
    return number if apart and apart[number] < 0.4 else None


if __name__ == "__main__":
    main()
