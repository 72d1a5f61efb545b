"""Count what `maskgen catalog add` takes and refuses, and draw what it takes.

    python tests/bench/intake.py OUT [PHOTOGRAPHS]

Without PHOTOGRAPHS, a folder of pictures of people who wear masks, it looks at the product-like pictures that
tests/products.py makes. OUT gets ``taken.png``, each picture beside the mask that was taken from it, on three turned
heads if it was rendered from all sides, and ``counts.txt``. Nothing else is written.
"""

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from products import REFUSED, USABLE

from maskgen import images
from maskgen.arrays import Image
from maskgen.catalog.edit import NewDesign
from maskgen.studio import intake, pictured

TILE = 150
YAWS = (0, 30, 60)
PAPER = (180, 90, 180)


def tile(rgba: Image) -> Image:
    scale = TILE / max(rgba.shape[:2])
    size_wh = tuple(max(round(side * scale), 1) for side in rgba.shape[1::-1])
    small = cv2.resize(rgba, size_wh, interpolation=cv2.INTER_AREA)
    if small.shape[2] == 4:
        alpha = small[..., 3:] / 255
        small = (small[..., :3] * alpha + np.array(PAPER) * (1 - alpha)).astype(np.uint8)
    result = np.full((TILE, TILE, 3), 230, np.uint8)
    result[: small.shape[0], : small.shape[1]] = small
    return result


def shown(picture: Path, design: NewDesign) -> Image:
    """A picture and the views of its design at some yaws, side by side."""
    tiles = [tile(images.decode(picture.read_bytes(), picture).pixels)]
    for yaw in YAWS:
        views = [view for view in design.views if view.rotation.holds(yaw, 0)]
        decoded = [cv2.imdecode(np.frombuffer(view.png, np.uint8), cv2.IMREAD_UNCHANGED) for view in views[:1]]
        tiles += [tile(cv2.cvtColor(one, cv2.COLOR_BGRA2RGBA)) for one in decoded] or [tile(np.zeros((9, 9, 3), "u1"))]
    return np.concatenate(tiles, axis=1)


def products(folder: Path) -> list[Path]:
    paths = []
    for name, make in {**USABLE, **REFUSED}.items():
        image = make().image
        paths.append(folder / f"{name}.png")
        code = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(image, code))
    return paths


def main(out: Path, photographs: Path | None) -> None:
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    request = intake.Request(pictured.About())
    counts, lines, rows = Counter[str](), [], []
    with TemporaryDirectory() as folder:
        paths = products(Path(folder)) if photographs is None else sorted(photographs.iterdir())
        started = process_time()
        for path in paths:
            result = intake.take_one(intake.Mask((path,)), request)
            if isinstance(result, intake.Refusal):
                counts[result.reason] += 1
                lines.append(f"{path.name}  {result.reason}  {result.message.removeprefix(str(path))}")
            else:
                counts["taken"] += len(result)
                lines += [f"{path.name}  taken  {design.colour}" for design in result]
                rows += [shown(path, design) for design in result]
        seconds = process_time() - started
    lines += [f"{reason:14} {number}" for reason, number in counts.most_common()]
    lines.append(f"{seconds / len(paths):.1f} s of processor time per picture")
    (out / "counts.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    if rows:
        cv2.imwrite(str(out / "taken.png"), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
