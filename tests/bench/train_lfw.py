"""Does training on maskgen's output help? A MobileFaceNet learns LFW's people unmasked, then with masks.

    python tests/bench/train_lfw.py --lfw lfw/ --work runs/lfw

LFW's people are split: the larger share is learnt, the others are only tested. Every step is a command of maskgen,
printed before it runs; one that is done is not done again, and one that was stopped goes on. At the end a table says
how well the people held out are known, before and after, unmasked and masked, over the same pairs and the same masks.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from maskgen.datasets.pairs import write_pairs
from maskgen.evaluate.pairs import draw_pairs
from maskgen.evaluate.results import EvalReport

SEED = 0
# A few thousand identities at most: the usual scale of 64 is for more (tests/bench/recipe.py).
COMMON = ["--scale", "32", "--batch-size", "64", "--holdout", "0.05"]
# Under four pictures each are too few for a network from scratch to learn with a margin: a plain softmax gets farther
# in this time. Fine-tuning takes the default.
SCRATCH = ["--margin", "none", *COMMON]
HELD_OUT = 0.25
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True, help="LFW: one folder per person")
    parser.add_argument("--work", type=Path, default=Path("runs/lfw"), help="gets everything")
    parser.add_argument("--width", default="0.25", help="of the MobileFaceNet, 1 is arcface_torch's mbf")
    parser.add_argument("--epochs", type=int, default=12, help="from scratch, unmasked")
    parser.add_argument("--masked-epochs", type=int, default=4, help="on originals and masked copies")
    parser.add_argument("--people", type=int, default=0, help="take only so many people, to try it out")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)

    people = sorted(path.name for path in given.lfw.iterdir() if path.is_dir())[: given.people or None]
    held_out = sorted(np.random.default_rng(SEED).choice(people, round(HELD_OUT * len(people)), replace=False))
    learnt = sorted(set(people) - set(held_out))
    copy_people(given.lfw, work / "people", learnt)
    pairs_of(given.lfw, held_out, work / "pairs.txt")

    workers = ["--workers", str(given.workers)]
    run(
        work,
        "augment",
        ["augment", work / "people", work / "masked", "--originals", "--save-landmarks", "--seed", SEED, *workers],
    )
    # No masks at all: what a network is like that has never seen one.
    unmasked = ["train", work / "masked", "--base", f"scratch:mbf:{given.width}", "--mask-prob", "0"]
    unmasked += ["--out", work / "unmasked", "--epochs", given.epochs, *SCRATCH]
    run(work, "unmasked", [*unmasked, "--resume", "--device", "cpu", "--workers", 1])
    masked = ["train", work / "masked", "--base", work / "unmasked" / "model.onnx"]
    masked += ["--out", work / "with-masks", "--epochs", given.masked_epochs, *COMMON]
    run(work, "with-masks", [*masked, "--resume", "--device", "cpu", "--workers", 1])
    models = ["--before", work / "unmasked" / "model.onnx", work / "with-masks" / "model.onnx"]
    masks = ["--mask", "none", "--mask", "probe", "--mask", "both"]
    run(
        work,
        "eval",
        ["eval", *models, "--pairs", work / "pairs.txt", "--root", given.lfw, *masks, "--out", work / "eval", *workers],
    )
    seconds = json.loads((work / "seconds.json").read_text())
    print(table(EvalReport.model_validate_json((work / "eval" / "eval.json").read_bytes()), seconds))
    verdict(EvalReport.model_validate_json((work / "eval" / "eval.json").read_bytes()))


def copy_people(lfw: Path, target: Path, people: list[str]) -> None:
    for person in people:
        if not (target / person).is_dir():
            shutil.copytree(lfw / person, target / f"{person}.part")
            (target / f"{person}.part").rename(target / person)


def pairs_of(lfw: Path, people: list[str], path: Path) -> None:
    names = [f"{person}/{picture.name}" for person in people for picture in sorted((lfw / person).iterdir())]
    write_pairs(path, draw_pairs(names, [name.split("/")[0] for name in names], np.random.default_rng(SEED)))


def run(work: Path, step: str, arguments: list[object], codes: tuple[int, ...] = (0,)) -> None:
    """Run a command of maskgen, unless it is done; these exit codes say that it is."""
    record = work / "seconds.json"
    seconds = json.loads(record.read_text()) if record.exists() else {}
    command = [sys.executable, "-m", "maskgen", *map(str, arguments)]
    print("$ maskgen", shlex.join(command[3:]), flush=True)
    if step in seconds:
        print(f"  done before, in {seconds[step]:.0f} s", flush=True)
        return
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, check=False, env=environment)
    if done.returncode not in codes:
        done.check_returncode()
    seconds[step] = round(time.monotonic() - started, 1)
    record.write_text(json.dumps(seconds, indent=1))


def table(report: EvalReport, seconds: dict[str, float]) -> str:
    """For the README."""
    lines = [
        "| network | mask | pairs | accuracy | AUC | EER | TAR@FAR 0.01 | rank-1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report.rows:
        found = row.figures
        tar = next((rate.rate for rate in found.tar_at_far if rate.far == 0.01), None)
        network = "before" if "unmasked" in row.model else "after"
        shares = [found.accuracy, found.auc, found.eer, tar, found.rank1]
        cells = ["refused" if share is None else f"{100 * share:.2f}" for share in shares]
        lines.append(f"| {network} | {row.condition} | {found.genuine} + {found.impostor} | {' | '.join(cells)} |")
    times = ", ".join(f"{step} {value / 60:.1f}" for step, value in seconds.items())
    return "\n".join([*lines, "", f"minutes: {times}; together {sum(seconds.values()) / 60:.1f}"])


def verdict(report: EvalReport) -> None:
    before, after = ({row.condition: row.figures for row in report.rows[i : i + 3]} for i in (0, 3))
    for condition in ("none", "probe", "both"):
        gain = {
            name: 100 * (getattr(after[condition], name) - getattr(before[condition], name))
            for name in ("accuracy", "auc", "rank1")
        }
        print(f"mask {condition:5}", ", ".join(f"{name} {change:+.2f} points" for name, change in gain.items()))


if __name__ == "__main__":
    main()
