"""How much weight must the distance to a teacher have, for a small network from scratch to follow it?

    python -m tests.bench.teacher --teacher big.onnx --learnt learnt/ --judged judged/ --work runs/teacher

``learnt/`` and ``judged/`` are outputs of ``maskgen augment --align 112 --originals`` with no person in common. A small
MobileFaceNet learns the first by the teacher, once per weight and seed; what is done is not done again. The table says
how near it then is to the teacher on the second, and how well it knows people there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.datasets.dataset import open_people
from maskgen.evaluate.embed import Embedder, embeddings_of
from maskgen.train.results import METRICS_FILE
from tests.bench.recipe import judge
from tests.bench.train_lfw import run

_BATCH: Final = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True, help="model.onnx")
    parser.add_argument("--learnt", type=Path, required=True)
    parser.add_argument("--judged", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/teacher"), help="gets everything")
    parser.add_argument("--base", default="scratch:mbf:0.0625")
    parser.add_argument("--weights", nargs="+", default=["10", "30", "100", "300", "1000"])
    parser.add_argument("--seeds", nargs="+", default=["0"])
    parser.add_argument("--epochs", default="6")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    rows = list[dict[str, Any]]()
    for seed in given.seeds:
        for weight in given.weights:
            name = f"{weight}-s{seed}"
            out = given.work / name
            options = ["--teacher", given.teacher, "--base", given.base, "--distill", weight, "--epochs", given.epochs]
            options += ["--batch-size", "32", "--holdout", "0.05", "--seed", seed, "--device", "cpu", "--workers", "0"]
            run(given.work, name, ["train", given.learnt, "--out", out, "--resume", *options])
            found = {condition: aucs[0] for condition, aucs in judge(out / "model.onnx", given.judged).items()}
            found |= followed(out / "model.onnx", given.teacher, given.judged)
            last = json.loads((out / METRICS_FILE).read_text())["history"][-1]
            rows.append({"weight": weight, "seed": seed, **found, "margin_loss": last["margin_loss"]})
            print(
                "  ".join(
                    f"{key} {value if isinstance(value, str) else f'{value:.4f}'}" for key, value in rows[-1].items()
                )
            )
    (given.work / "teacher.json").write_text(json.dumps(rows, indent=1))
    of_teacher = {condition: aucs[0] for condition, aucs in judge(given.teacher, given.judged).items()}
    print("teacher", "  ".join(f"{condition} {value:.4f}" for condition, value in of_teacher.items()))


def followed(student: Path, teacher: Path, judged: Path) -> dict[str, float]:
    """The mean cosine of the student's embeddings, bare and with masks on, to the teacher's bare ones."""
    people = open_people(judged)
    items = [item for item in people.items if item.masked]
    clean: Image = np.stack([people.read(item.original) for item in items])
    masked: Image = np.stack([people.read(item.masked[0]) for item in items])
    goals = _embeddings(teacher, clean)
    return {
        "cosine": float(np.mean(np.sum(goals * _embeddings(student, clean), axis=1))),
        "cosine_masked": float(np.mean(np.sum(goals * _embeddings(student, masked), axis=1))),
    }


def _embeddings(model: Path, crops: Image) -> Float32Array:
    return embeddings_of(np.array_split(crops, -(-len(crops) // _BATCH)), Embedder(model, threads=1))


if __name__ == "__main__":
    main()
