"""What `same.py` runs: inputs made from photographs, and cases, each some commands of maskgen in its own folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

SAMPLES: Final = (
    ("insightface", "data/images/t1.jpg"),
    ("insightface", "data/images/Tom_Hanks_54745.png"),
    ("skimage", "data/astronaut.png"),
)
"""(package, file in it): a group, an aligned crop of 112x112, and a portrait."""
FACES: Final = (
    ("t1.jpg", 518, 338, 152),
    ("t1.jpg", 959, 129, 152),
    ("t1.jpg", 110, 325, 137),
    ("t1.jpg", 794, 409, 135),
    ("t1.jpg", 318, 207, 126),
    ("t1.jpg", 1178, 333, 127),
    ("astronaut.png", 226, 115, 121),
)
"""Photograph, centre and longer side of the faces in it, pixels."""


def make_inputs(folder: Path, data: Path | None, old: Path) -> None:
    """All that the cases read: pictures, patterns, pairs, and a cut-out with its control points."""
    samples = sample_photographs()
    make_faces(folder, samples)
    for sample in samples.values():
        copy(sample, folder / "photos" / sample.name)
        copy(sample, folder / "few" / sample.name)
    if data is not None:
        take_photographs(folder, data)
    y, x = np.mgrid[:96, :96]
    empty = np.stack([x + y, 2 * x, 255 - y], axis=-1).astype(np.uint8)
    save(Image.fromarray(empty), folder / "few/nobody.png")
    for name, shape in (("stripes", x // 12 % 2), ("dots", (x % 16 - 8) ** 2 + (y % 16 - 8) ** 2 < 25)):
        colours = np.array([[240, 230, 200], [30, 60, 140]], np.uint8)
        save(Image.fromarray(colours[shape.astype(int)]), folder / f"patterns/{name}.png")
    make_odd(folder / "odd", folder / "people")
    for number in range(6):
        copy(folder / f"people/p{number}/0.png", folder / f"flow/{number}.png")
    copy(folder / "people/p0/1.png", folder / "flow/0_m1.png")
    copy(folder / "odd/truncated.jpg", folder / "flow/broken.jpg")
    copy(folder / "odd/empty.jpg", folder / "flow/empty.jpg")
    take_cut_out(folder, old)


def sample_photographs() -> dict[str, Path]:
    """Photographs that the dependencies ship, by name."""
    samples = {}
    for package, file in SAMPLES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"{package} is not installed; its photograph {file} is needed")
        samples[Path(file).name] = Path(spec.origin).parent / file
    return samples


def make_faces(folder: Path, samples: dict[str, Path]) -> None:
    """``crops`` of 112x112 as for ArcFace, ``people`` with three loose crops of each, and the pairs of these."""
    copy(samples["Tom_Hanks_54745.png"], folder / "crops/hanks.png")
    for number, (name, x, y, side) in enumerate(FACES):
        with Image.open(samples[name]) as photograph:
            save(face_of(photograph, x, y, 0.62 * side, 112), folder / f"crops/{number}.png")
            for k in range(3):
                loose = face_of(photograph, x + 4 * k - 4, y + 3 * k, (0.85 + 0.1 * k) * side, 160)
                for place in ("people", "photos", *["few"] * (k == 0)):
                    save(loose, folder / f"{place}/p{number}/{k}.png")
    names = [f"p{number}/{k}.png" for number in range(len(FACES)) for k in range(3)]
    pairs = [f"{a}\t{b}\t{int(a[:2] == b[:2])}\n" for a, b in itertools.combinations(names, 2)]
    (folder / "pairs.txt").write_text("".join(pairs))


def take_photographs(folder: Path, data: Path) -> None:
    """Real photographs, evenly spaced in the order of their names: ``photos``, some also to ``few``; ``worn``."""
    for pattern, number in (("lfw/*/*.jpg", 24), ("celeba/*/*.jpg", 6), ("scenes/*.jpg", 6)):
        found = sorted(data.glob(pattern))
        for index, file in enumerate(found[:: max(len(found) // number, 1)][:number]):
            for place in ("photos", *["few"] * (index % 6 == 0)):
                copy(file, folder / place / file.relative_to(data))
    for file in sorted(data.glob("masked_photos/*.jpg"))[:4]:
        copy(file, folder / "worn" / file.name)


def take_cut_out(folder: Path, old: Path) -> None:
    """The frontal view of a design that ships, as a cut-out, and its control points."""
    command = [sys.executable, "-m", "maskgen", "catalog", "export", "blue.zip", "surgical-blue"]
    subprocess.run(command, cwd=folder, env=environment(old), check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(folder / "blue.zip") as bundle:
        (design,) = json.loads(bundle.read("catalog.json"))["masks"]
        (view,) = (entry for entry in design["views"] if entry["file"].endswith("yaw+00_pitch+00.png"))
        (folder / "cutout.png").write_bytes(bundle.read(view["file"]))
    (folder / "points.json").write_text(json.dumps({"points": view["points"]}))


def make_odd(folder: Path, people: Path) -> None:
    """Files that are damaged, unusual, or not what their names say."""
    with Image.open(people / "p6/0.png") as opened:
        face = opened.convert("RGB")
    ramp = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (160, 1))
    turned = Image.Exif()
    turned[0x0112] = 6
    save(face, folder / "UPPER.JPG")
    save(face, folder / "nested/a/b/face.jpg", quality=70, subsampling=2)
    save(face.rotate(90), folder / "turned.jpg", exif=turned)
    save(face.convert("L"), folder / "grey.jpg")
    save(face.convert("CMYK"), folder / "cmyk.jpg")
    save(Image.merge("RGBA", (*face.split(), Image.fromarray(ramp))), folder / "alpha.png")
    save(Image.fromarray(np.asarray(face.convert("L")).astype(np.uint16) * 257), folder / "deep.png")
    save(face, folder / "lossless.webp", lossless=True)
    save(face, folder / "plain.bmp")
    save(face, folder / "plain.tif")
    save(face.quantize(64), folder / "gif.gif")
    (folder / "gif.gif").rename(folder / "gif.jpg")
    whole = (folder / "UPPER.JPG").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) * 6 // 10])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture\n")
    (folder / "notes.txt").write_text("not a picture\n")
    (folder / "face.xyz").write_bytes(whole)
    (folder / "._face.jpg").write_bytes(b"\0\5\26\7")
    (folder / "nowhere.jpg").symlink_to("missing.jpg")
    (folder / "linked").symlink_to(people / "p0", target_is_directory=True)
    (folder / "nested/loop").symlink_to(folder / "nested", target_is_directory=True)


def face_of(photograph: Image.Image, x: int, y: int, half: float, pixels: int) -> Image.Image:
    """What lies within `half` of (x, y), as a square of so many pixels."""
    box = (round(x - half), round(y - half), round(x + half), round(y + half))
    return photograph.convert("RGB").crop(box).resize((pixels, pixels), Image.Resampling.LANCZOS)


def save(picture: Image.Image, path: Path, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)


def copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


@dataclass(frozen=True)
class Side:
    """A checkout, and the folder of the case that it is to run."""

    checkout: Path
    folder: Path
    inputs: Path

    def maskgen(self, *arguments: object, codes: tuple[int, ...] = (0,)) -> None:
        """Run a command; its exit code and its JSON are kept in ``said/``."""
        command = [sys.executable, "-m", "maskgen", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=environment(self.checkout), capture_output=True, text=True)
        said = self.folder / "said" / f"{len(list(self.folder.glob('said/*.json')))}-{arguments[0]}.json"
        said.parent.mkdir(exist_ok=True)
        said.with_suffix(".stderr").write_text(done.stderr)
        answer: Any = None
        if "--json" in command and done.stdout:
            try:
                answer = json.loads(done.stdout)
            except ValueError:
                answer = done.stdout
        said.write_text(json.dumps({"command": command[3:], "exit": done.returncode, "json": answer}, indent=1))
        if done.returncode not in codes:
            last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
            self.complain(f"{said.name}: exit code {done.returncode}, expected {codes}: {last}")

    def complain(self, what: str) -> None:
        """Note that the case did not go as it must, whatever the other checkout does."""
        with (self.folder / "complaints.txt").open("a") as file:
            file.write(f"{what}\n")


def environment(checkout: Path) -> dict[str, str]:
    """With a checkout before all that is installed, one thread per process, and nothing written into the checkout.

    The catalog for own masks is one of the case, in the folder it runs in: what a user has there takes no part.
    """
    path = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    fixed = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    fixed["MASKGEN_CATALOG"] = "own-catalog"
    return {**os.environ, **fixed}


def augment(folder: str, options: str, codes: tuple[int, ...], side: Side) -> None:
    chosen = options.format(inputs=side.inputs).split()
    side.maskgen("augment", side.inputs / folder, "masked", "--json", *chosen, codes=codes)


def killed(side: Side) -> None:
    """Only the parent is killed. Its workers find out by themselves."""
    options = ["--workers", "2", "--variants", "2", "--originals"]
    side.maskgen("augment", side.inputs / "photos", "whole", *options)
    command = [sys.executable, "-m", "maskgen", "augment", str(side.inputs / "photos"), "resumed", *options]
    run = subprocess.Popen(
        command,
        cwd=side.folder,
        env=environment(side.checkout),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while run.poll() is None and sum(len(files) for _, _, files in os.walk(side.folder / "resumed")) < 30:
            time.sleep(0.01)
        run.kill()
        if run.wait() != -signal.SIGKILL:
            side.complain(f"the run ended with {run.returncode} before it could be killed")
        with contextlib.suppress(ProcessLookupError):
            for _ in range(100):
                os.killpg(run.pid, 0)
                time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    side.maskgen("augment", side.inputs / "photos", "resumed", *options)


def catalog(side: Side) -> None:
    mine = ["--catalog", "mine"]
    about = ["--kind", "surgical", "--license", "CC0-1.0", "--json"]
    points = ["--name", "by-hand", "--points", side.inputs / "points.json"]
    side.maskgen("catalog", "add", side.inputs / "cutout.png", *mine, *about, *points)
    if (side.inputs / "worn").is_dir():
        side.maskgen("catalog", "add", side.inputs / "worn", *mine, *about, "--workers", 1, codes=(0, 3))
    side.maskgen("catalog", "list", "--json", *mine)
    side.maskgen("catalog", "export", "mine.zip", *mine)
    side.maskgen("catalog", "import", "mine.zip", "--catalog", "theirs")
    side.maskgen("catalog", "import", "mine.zip", "by-hand", "--catalog", "theirs", "--rename")
    side.maskgen("catalog", "check", "--json", "--catalog", "theirs")
    side.maskgen("catalog", "list", "--json")
    side.maskgen("augment", side.inputs / "crops", "masked", "--aligned", "--workers", 1, *mine)


def drawn(side: Side) -> None:
    side.maskgen("catalog", "render", "--number", 1, "--seed", 1, "--catalog", "mine", "--json")


def cut_out(side: Side) -> None:
    about = ["--kind", "surgical", "--license", "CC0-1.0", "--json"]
    side.maskgen("catalog", "add", side.inputs / "cutout.png", "--catalog", "mine", *about)


def train(side: Side) -> None:
    options = "--mask-prob 0.5 --epochs 1 --batch-size 4 --holdout 0.3 --workers 0 --log-every 1 --json"
    base = ["--base", "scratch:mbf:0.25", "--device", "cpu", "--precision", "fp32", "--out", "run"]
    side.maskgen("train", side.inputs / "people", *base, *options.split())


def evaluate(side: Side) -> None:
    where = ["--pairs", side.inputs / "pairs.txt", "--root", side.inputs / "people"]
    options = "--mask none --mask probe --workers 1 --threads 1 --out report --json"
    side.maskgen("eval", "../train/run/model.onnx", *where, *options.split())


def flows(side: Side) -> None:
    shutil.copytree(side.inputs / "flow", side.folder / "in")
    run = partial(side.maskgen, "augment", "in", "out", "--json", "--workers", 1)
    side.maskgen("augment", "in", "never", "--dry-run", "--json")
    run("--limit", 4)
    shutil.copytree(side.folder / "out", side.folder / "limited")
    run("--dry-run")
    run("--resume", codes=(3,))
    shutil.copytree(side.folder / "out", side.folder / "resumed")
    run("--resume", "--seed", 9, codes=(1,))
    shutil.copyfile(side.inputs / "odd/UPPER.JPG", side.folder / "in/broken.jpg")
    (side.folder / "out/2.png").unlink()
    run("--retry-failed", codes=(3,))
    shutil.copytree(side.folder / "out", side.folder / "retried")
    run("--overwrite", "--variants", 2, "--originals", codes=(3,))  # 0_m1.png is in the way of what comes of 0.png


CASES: Final[dict[str, Callable[[Side], None]]] = {
    "default": partial(augment, "photos", "--workers 2", (0,)),
    "variants": partial(augment, "few", "--workers 1 --variants 2 --originals --copy-skipped", (0,)),
    "faces-all": partial(augment, "photos", "--workers 1 --faces all --min-face 30", (0,)),
    "wear": partial(
        augment,
        "few",
        "--workers 1 --wear correct=1,nose_out=1,chin_out=1,under_chin=1 --recolor 0.5 --pattern-dir {inputs}/patterns "
        "--quality 80 --max-pixels 1000000",
        (3,),
    ),
    "landmarks": partial(augment, "few", "--workers 1 --landmarks 106 --save-landmarks --kind cloth --kind kn95", (0,)),
    "aligned": partial(augment, "crops", "--workers 1 --aligned", (0,)),
    "killed": killed,
    "catalog": catalog,
    "render": drawn,
    "cut-out": cut_out,
    "train": train,
    "eval": evaluate,
    "odd": partial(augment, "odd", "--workers 1 --copy-skipped", (3,)),
    "flows": flows,
}
ALONE: Final = ("default", "killed", "eval")
"""Use two processes, or what another case made; they are run last. The others run two at a time, slow ones first."""
SLOW: Final = ("render", "cut-out", "train")
ALIKE: Final = {"killed": ("whole", "resumed")}
"""Two folders of a case that must be the same."""


def recipe_of(old: Path, data: Path | None) -> str:
    """What old outputs depend on: this file, the old checkout's place, and the photographs'."""
    return hashlib.sha256(f"{old} {data} {Path(__file__).read_text()}".encode()).hexdigest()


def run_side(checkout: Path, folder: Path, inputs: Path, cases: list[str], recipe: str, reuse: bool = False) -> None:
    """Run cases one or two at a time; if told so, not those that were run before by the same recipe."""

    def run_case(case: str) -> None:
        stamp = folder / f"{case}.json"
        if reuse and stamp.exists() and json.loads(stamp.read_text())["recipe"] == recipe:
            return
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder / case, ignore_errors=True)
        (folder / case).mkdir(parents=True)
        start = time.monotonic()
        side = Side(checkout, folder / case, inputs)
        try:
            CASES[case](side)
        except OSError as error:
            side.complain(f"cannot go on: {error}")
        seconds = round(time.monotonic() - start, 1)
        stamp.write_text(json.dumps({"recipe": recipe, "seconds": seconds}))
        print(f"{folder.name}  {case}  {seconds} s", file=sys.stderr)

    together = sorted((case for case in cases if case not in ALONE), key=lambda case: case not in SLOW)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_case, together))
    for case in ALONE:
        if case in cases:
            run_case(case)
