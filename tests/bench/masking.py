"""What masking costs in place, stage by stage, between the decoding and the encoding of each picture.

    python tests/bench/masking.py FOLDER [--count 100] [--side 1000] [--crops]
    python tests/bench/masking.py FOLDER --against OLD_CHECKOUT [--sheet sheet.png]

Each picture is decoded, searched for faces, masked and encoded, so that no stage finds the caches as it left them.
``--against`` runs two checkouts in two processes that take turns picture by picture, and prints how far the masked
pictures lie apart. ``--side`` enlarges pictures first, sharpened so that they are not blurred photographs. ``--crops``
cuts ArcFace's 112x112 first, and observes each face beforehand, as a loader with cached faces does.

Times are those of the processor, medians over the pictures. A stage that a checkout does not have is left out.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import cv2
import numpy as np

ROOT: Final = Path(__file__).resolve().parents[2]
# Stage -> functions that are timed wherever they are called from. What two stages share counts in both.
STAGES: Final = {
    "observe: appearance": ("maskgen.masking.light:appearance_of",),
    "observe: parse": ("maskgen.parse:FaceParser.regions",),
    "observe: visible": ("maskgen.masking.occlude:visible_of", "maskgen.masking.occlude:covered_share"),
    "choose": ("maskgen.masking.choose:choose",),
    "draw": ("maskgen.masking.vary:draw",),
    "points": ("maskgen.masking.augment:points_on_face", "maskgen.masking.fit:fitted", "maskgen.masking.fit:placed"),
    "texture": ("maskgen.masking.warp:fitting_scale", "maskgen.masking.vary:applied"),
    "warp": ("maskgen.masking.warp:warp", "maskgen.masking.warp:drawn"),
    "of it detail": tuple(f"maskgen.masking.detail:Detail.{name}" for name in ("over", "folds", "moves", "gain")),
    "straps": ("maskgen.masking.straps:with_straps",),
    "blend": ("maskgen.masking.blend:over",),
}
TOTALS: Final = ("decode + encode", "detect", "observe", "mask", "observe + mask, no parse")


class Clock:
    """Adds up the processor time of stages."""

    def __init__(self) -> None:
        self.spent = defaultdict[str, float](float)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                self.spent[stage] += time.thread_time() - start

        return run


def instrument(clock: Clock) -> None:
    """Time the functions of STAGES."""
    import importlib.util

    for stage, names in STAGES.items():
        for name in names:
            module_name, _, path = name.partition(":")
            if importlib.util.find_spec(module_name) is None:
                continue
            owner: Any = importlib.import_module(module_name)
            *parents, last = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent, None)
            if hasattr(owner, last):
                setattr(owner, last, clock.timed(stage, getattr(owner, last)))


def enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """A picture whose longer side has so many pixels, its edges as steep as a sharp photograph's."""
    factor = side / max(pixels.shape[:2])
    size_wh = round(pixels.shape[1] * factor), round(pixels.shape[0] * factor)
    large = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LANCZOS4)
    for _ in range(2):
        large = cv2.addWeighted(large, 2.0, cv2.GaussianBlur(large, (0, 0), 0.5 * factor), -1.0, 0)
    return large


def serve(args: argparse.Namespace) -> None:
    """Mask the pictures whose names come in; times and results go out."""
    from maskgen import images
    from maskgen.catalog.store import Catalog
    from maskgen.detect import DetectorSpec
    from maskgen.face import Face
    from maskgen.face.align import aligned_crop, alignment
    from maskgen.face.landmarks import bbox_of_points, keypoints_of
    from maskgen.masking import detail
    from maskgen.masking.augment import mask_faces, observe_all
    from maskgen.masking.recipe import Look, Recipe
    from maskgen.parse import FaceParser

    cv2.setNumThreads(1)
    detector, parser, catalog = DetectorSpec().build(), FaceParser(), Catalog.load()
    # Made once per worker. Versions differ in where they are.
    try:
        from maskgen.masking import cloth

        creases_of, weave_of, count = cloth.softened, cloth.weave_of, cloth.CREASE_FIELDS
    except ImportError:
        creases_of, weave_of = getattr(detail, "_softened", detail._creases), detail._weave
        count = detail.CREASE_FIELDS
    for number in range(count):
        creases_of(number)
    for weave in detail._WEAVE_GAIN:
        weave_of(weave)
    recipe = Recipe(alike=args.alike, recolor_share=args.recolor, look=Look(noise=not args.no_noise))
    clock = Clock()
    instrument(clock)
    while (job := pickle.load(sys.stdin.buffer)) is not None:
        path, number = job
        clock.spent.clear()
        start = time.thread_time()
        picture = images.decode(path.read_bytes(), PurePosixPath(path.name))
        spent = {"decode": time.thread_time() - start}
        pixels = picture.pixels if args.side is None else enlarged(picture.pixels, args.side)
        start = time.thread_time()
        faces = detector.detect(pixels)
        spent["detect"] = time.thread_time() - start
        for face in faces[:1]:
            load(catalog, face, number)
        if args.crops and faces:
            matrix = alignment(faces[0].keypoints)
            pixels = aligned_crop(pixels, matrix)
            points = (faces[0].landmarks_68 @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
            faces = [Face(bbox_of_points(points), keypoints_of(points), points, faces[0].pose)]
            observed = observe_all(pixels, faces, parser, recipe)
            images.encode(picture.pixels, picture.encoding, PurePosixPath(path.name))
            clock.spent.clear()
        start = time.thread_time()
        if not args.crops:
            observed = observe_all(pixels, faces, parser, recipe)
        between = time.thread_time()
        masked = mask_faces(pixels, faces, observed, catalog, np.random.default_rng(number), recipe)
        after = time.thread_time()
        spent["observe"], spent["mask"] = between - start, after - between
        images.encode(masked.image, picture.encoding, PurePosixPath(path.name))
        spent["encode"] = time.thread_time() - after
        spent |= clock.spent
        spent["decode + encode"] = spent["decode"] + spent["encode"]
        spent["observe + mask, no parse"] = after - start - spent.get("observe: parse", 0.0)
        size = max(faces[0].size_wh) if faces else 0.0
        views = [(face.view, face.reason) for face in masked.faces]
        pickle.dump((spent, pixels, masked.image, masked.alpha, views, size), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def load(catalog: Any, face: Any, number: int) -> None:
    """Read the picture of the mask that a face is going to wear, which is done once per worker."""
    import importlib.util

    from maskgen.masking import choose

    view = choose.choose(catalog, face, np.random.default_rng(number))
    if view is None:
        return
    _ = view.textures, view.triangles
    if importlib.util.find_spec("maskgen.masking.mesh"):  # older checkouts have none
        from maskgen.masking import mesh, ways

        mesh.mesh_of(view)
        if view.straps is not None and view.fastenings:
            ways.ways_of(view)


class Server:
    """A checkout that masks pictures in a process of its own."""

    def __init__(self, checkout: Path, options: list[str]) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=checkout,
        )

    def ask(self, job: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(job, self._process.stdin)
        self._process.stdin.flush()
        return None if job is None else pickle.load(self._process.stdout)


def pictures_of(folder: Path, count: int) -> Iterator[Path]:
    """Some pictures of a folder and of those in it, evenly spread."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    yield from paths[:: max(len(paths) // count, 1)][:count]


def apart(old: tuple[Any, ...], new: tuple[Any, ...]) -> float | None:
    """How far two masked pictures lie apart inside either mask, in grey levels; None if they wear other views."""
    if old[4] != new[4]:
        return None
    inside = (old[3] > 0.02) | (new[3] > 0.02)
    if not inside.any():
        return None
    return float(np.abs(old[2][inside].astype(int) - new[2][inside].astype(int)).mean())


def cut(result: tuple[Any, ...], around: np.ndarray, side: int = 320) -> np.ndarray:
    """The mask of a result and some of its surroundings, as a square tile."""
    rows, columns = np.flatnonzero(around.any(axis=1)), np.flatnonzero(around.any(axis=0))
    middle = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    reach = round(0.7 * max(np.ptp(rows), np.ptp(columns), 8))
    image = cv2.copyMakeBorder(result[2], reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    tile = image[middle[0] : middle[0] + 2 * reach, middle[1] : middle[1] + 2 * reach]
    return cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA if 2 * reach > side else cv2.INTER_LINEAR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--against", type=Path, metavar="OLD_CHECKOUT")
    parser.add_argument("--side", type=int)
    parser.add_argument("--crops", action="store_true")
    parser.add_argument("--recolor", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--alike", action="store_true", help="masks as they are in the catalog")
    parser.add_argument("--no-noise", action="store_true", help="compare without grain")
    parser.add_argument("--sheet", type=Path, help="old above new, picture by picture")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
        return
    options = [
        f"--recolor={args.recolor}",
        *(["--crops"] * args.crops),
        *(["--no-noise"] * args.no_noise),
        *(["--alike"] * args.alike),
    ]
    options += [] if args.side is None else [f"--side={args.side}"]
    checkouts = {"new": ROOT} if args.against is None else {"old": args.against, "new": ROOT}
    servers = {name: Server(checkout.resolve(), options) for name, checkout in checkouts.items()}
    times = {name: defaultdict[str, list[float]](list) for name in servers}
    differences, others, tiles, sizes = list[float](), 0, list[np.ndarray](), list[float]()
    for number, path in enumerate(pictures_of(args.folder, args.count)):
        results = {name: server.ask((path.resolve(), number)) for name, server in servers.items()}
        for name, result in results.items():
            for stage, seconds in result[0].items():
                times[name][stage].append(1000 * seconds)
        sizes.append(results["new"][5])
        if "old" in results:
            difference = apart(results["old"], results["new"])
            if difference is None:
                others += 1
            else:
                differences.append(difference)
                around = np.maximum(results["old"][3], results["new"][3]) > 0.02
                tiles.append(np.concatenate([cut(results["old"], around), cut(results["new"], around)]))
    for server in servers.values():
        server.ask(None)
    report(times, sizes)
    if differences:
        highest = sorted(differences)[-3:]
        print(f"mean difference inside the mask {statistics.mean(differences):.2f} grey levels over {len(differences)}")
        print(f"farthest {', '.join(f'{one:.2f}' for one in highest)}; {others} with another view, or none")
    if args.sheet and tiles:
        rows = [np.concatenate(tiles[first : first + 8], axis=1) for first in range(0, len(tiles) // 8 * 8, 8)]
        sheet = np.concatenate(rows or [np.concatenate(tiles, axis=1)])
        cv2.imwrite(str(args.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def report(times: dict[str, Any], sizes: list[float]) -> None:
    """Print each stage's median and its ratio to decoding and encoding the same pictures."""
    print(f"{len(sizes)} pictures, median face {statistics.median(sizes):.0f} px; ms, and over decode + encode")
    print(f"{'':26}" + "".join(f"{name:>20}" for name in times))
    for stage in (*TOTALS, *STAGES):
        line = f"{stage:26}"
        for spent in times.values():
            found = spent.get(stage)
            unit = statistics.median(spent["decode + encode"])
            line += (
                f"{'-':>20}"
                if not found
                else f"{statistics.median(found):12.2f} {statistics.median(found) / unit:6.2f}x"
            )
        print(line)


if __name__ == "__main__":
    main()
