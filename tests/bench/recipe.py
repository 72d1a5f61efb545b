"""Which recipe of fine-tuning knows people with masks best? One factor at a time from today's, then the best together.

    python -m tests.bench.recipe --lfw lfw/ --photos masked/ --work runs/recipe

A small MobileFaceNet learns some of LFW's people unmasked, once per seed. Each recipe fine-tunes it. Whoever is judged
wears masks cut out from the photographs in ``masked/``, which should be such that nothing was tuned on. Recipes are
chosen by people and masks that the final figures do not see. Every step is a command of maskgen, as in `train_lfw`, and
one that is done is not done again. ``--table`` writes what is known so far.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen.arrays import BoolArray, Float64Array, Image, IntArray
from maskgen.datasets.dataset import open_people
from maskgen.evaluate import figures
from maskgen.evaluate.bootstrap import Resampling
from maskgen.evaluate.embed import Embedder, embeddings_of
from maskgen.evaluate.pairs import draw_pairs
from tests.bench.train_lfw import COMMON, HELD_OUT, SCRATCH, SEED, copy_people, run

CONDITIONS: Final = ("none", "probe", "both")
SCREENING, FINAL = (0, 1), (0, 1, 2, 3, 4)
"""Seeds."""
MOST: Final = 60
"""Fine-tunings."""
RESAMPLES: Final = 1000
"""How often people are drawn again for intervals."""
IMPOSTORS: Final = 10
"""Per genuine pair: few would be a noise of their own."""
MOST_LOST: Final = 1.0
"""Points of unmasked AUC that a recipe may cost."""
# Fewer people than `train_lfw` learns make fewer steps.
BATCH: Final = ["--batch-size", "32"]
WORKERS: Final = ["--workers", "1"]

COPIES: Final[dict[str, list[str]]] = {
    "copies": [],
    "one design": ["--design", "surgical-blue"],
    "three copies": ["--variants", "3"],
    "all wears": ["--wear", "correct=7,nose_out=1,chin_out=1,under_chin=1"],
}
"""Masked copies to learn from, and the options of ``maskgen augment`` that make them."""


@dataclass(frozen=True)
class Recipe:
    """What differs from today's: options of ``maskgen train``, and the masked copies."""

    factor: str
    value: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    copies: str = "copies"

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.factor, self.value) if part).replace(" ", "-")

    @property
    def differences(self) -> dict[str, str]:
        return {**self.options, **({} if self.copies == "copies" else {"copies": self.copies})}


def _levels(factor: str, option: str, values: Sequence[str]) -> list[Recipe]:
    return [Recipe(factor, value, {option: value}) for value in values]


TODAY: Final = Recipe("today")
# What it would be like without masks: how much of a change comes from training on.
NO_MASKS: Final = Recipe("masked share", "0", {"--mask-share": "0"})
RECIPES: Final = (
    *_levels("rate", "--lr", ["0.01", "0.1"]),
    *_levels("distill", "--distill", ["3", "30", "0"]),
    *_levels("batch norm", "--batch-norm", ["train"]),
    *_levels("margin", "--margin", ["none", "cosface"]),
    *_levels("masked margin", "--masked-margin", ["0.3"]),
    *_levels("scale", "--scale", ["64"]),
    *_levels("masked share", "--mask-share", ["0.75", "0.25"]),
    NO_MASKS,
    *_levels("clip", "--clip", ["50", "1"]),
    Recipe("designs", "one", copies="one design"),
    Recipe("clip", "1e6 at a tenth of the rate", {"--clip": "1e6", "--lr": "0.003"}),
    *_levels("rate", "--lr", ["0.003"]),
    Recipe("wears", "all", copies="all wears"),
    Recipe("variants", "3", copies="three copies"),
)
"""The most promising first."""


# Arithmetic.


def split(people: Sequence[str], learnt: int, choosing: int) -> dict[str, list[str]]:
    """People to learn, to choose recipes by, and for the final figures: those that `train_lfw` holds out."""
    final = sorted(np.random.default_rng(SEED).choice(people, round(HELD_OUT * len(people)), replace=False).tolist())
    others = sorted(set(people) - set(final))
    order = np.random.default_rng(SEED).permutation(len(others))
    return {
        "learnt": sorted(others[i] for i in order[:learnt]),
        "choosing": sorted(others[i] for i in order[learnt : learnt + choosing]),
        "final": final,
    }


@dataclass(frozen=True)
class Judges:
    """Pairs of pictures of people.

    Attributes
    ----------
    first, second : (P,) int array
        Pictures.
    is_same : (P,) bool array
        Whether they show one person.
    resampling : Resampling
        Draws people, and pairs follow.
    """

    first: IntArray
    second: IntArray
    is_same: BoolArray
    resampling: Resampling


def judges_of(names: Sequence[str], identities: Sequence[str]) -> Judges:
    """All genuine pairs, and `IMPOSTORS` times as many impostor pairs."""
    drawn = [draw_pairs(names, identities, np.random.default_rng([SEED, i]), folds=1) for i in range(IMPOSTORS)]
    # The genuine pairs are the same each time.
    chosen = [~pairs.is_same | (number == 0) for number, pairs in enumerate(drawn)]
    first, second, is_same = (
        np.concatenate([getattr(pairs, name)[use] for pairs, use in zip(drawn, chosen, strict=True)])
        for name in ("first", "second", "is_same")
    )
    _, who = np.unique(identities, return_inverse=True)
    return Judges(first, second, is_same, Resampling.of(who[first], who[second], RESAMPLES))


def aucs(scores: Float64Array, judges: Judges) -> list[float]:
    """The AUC of scores (P,), then one for each time that people were drawn; the same people for all recipes."""
    scored = figures.Scored.of(scores, judges.is_same)
    return [figures.area(scored.roc(weights)) for weights in (None, *judges.resampling.weights())]


def gain(after: Sequence[Float64Array], before: Sequence[Float64Array]) -> tuple[float, float, float]:
    """Points gained in the mean over seeds, and the ends of the 95 % interval over people; (R,) AUCs per seed."""
    change = 100 * (np.mean(after, axis=0) - np.mean(before, axis=0))
    low, high = np.percentile(change[1:], [2.5, 97.5])
    return float(change[0]), float(low), float(high)


def is_accepted(masked: Sequence[float], unmasked: Sequence[Sequence[float]]) -> bool:
    """Whether the masked gain's interval is above 0, and each of the unmasked losses' is below `MOST_LOST`."""
    return masked[1] > 0 and all(change[1] > -MOST_LOST for change in unmasked)


def is_hopeless(row: dict[str, Any] | None) -> bool:
    """Whether no other seed needs to be tried: the interval of the masked gain is below 0, or nothing is learnt."""
    return row is not None and (row.get("failed", False) or row["masked"][2] < 0)


def together(recipes: Sequence[Recipe]) -> Recipe:
    """Recipes as one; of two that set one thing, the first counts."""
    options, copies = dict[str, str](), "copies"
    for recipe in recipes:
        if not set(recipe.options) & set(options) and (recipe.copies == "copies" or copies == "copies"):
            options |= recipe.options
            copies = recipe.copies if recipe.copies != "copies" else copies
    return Recipe("together", options=options, copies=copies)


def finalists(rows: Sequence[dict[str, Any]]) -> list[Recipe]:
    """Of screened rows: the best one, and all that pass the rule together."""
    known = {recipe.name: recipe for recipe in RECIPES}
    passed = [row for row in rows if row["accepted"] and row["name"] in known]
    passed.sort(key=lambda row: -row["masked"][0])
    best = [known[row["name"]] for row in passed]
    if not best:
        return []
    joined = together(best)
    return [best[0]] if joined.differences == best[0].differences else [joined, best[0]]


# What is run.


@dataclass(frozen=True)
class Bench:
    """Where everything is, and how long trainings are."""

    lfw: Path
    photos: Path
    work: Path
    width: str
    learnt: int
    choosing: int
    people: int
    epochs: int
    masked_epochs: int

    def prepare(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        people = sorted(path.name for path in self.lfw.iterdir() if path.is_dir())[: self.people or None]
        photographs = sorted(self.photos.iterdir())
        parts = split(people, self.learnt, self.choosing)
        for part, names in parts.items():
            copy_people(self.lfw, self.work / f"people-{part}", names)
        for number, part in enumerate(("choosing", "final")):
            masks = self.work / f"masks-{part}"
            # A photograph may give no mask.
            command = ["catalog", "add", *photographs[number::2], "--catalog", masks, *WORKERS]
            run(self.work, masks.name, command, (0, 3))
        self.augment("learnt-copies", "learnt", [])

    def augment(self, out: str, part: str, options: list[object]) -> Path:
        command = ["augment", self.work / f"people-{part}", self.work / out, "--align", 112, "--originals"]
        run(self.work, out, [*command, "--copy-skipped", "--seed", SEED, *options, *WORKERS], (0, 3))
        return self.work / out

    def learn(self, seed: int, recipe: Recipe | None) -> Path | None:
        """The folder of the network that a recipe makes of the base, or of the base; None if its loss is not finite."""
        base = self.work / f"base-s{seed}"
        common = ["--resume", "--device", "cpu", "--workers", 0, "--seed", seed]
        if recipe is None:
            data, out = self.work / "learnt-copies", base
            options = ["--base", f"scratch:mbf:{self.width}", "--mask-prob", 0, "--epochs", self.epochs]
            options += ["--faces", self.work / "faces", *SCRATCH, *BATCH]
        else:
            copies = COPIES[recipe.copies]
            data = self.augment(f"learnt-{recipe.copies.replace(' ', '-')}", "learnt", list(copies))
            out = self.work / f"{recipe.name}-s{seed}"
            own = [part for option in recipe.options.items() for part in option]
            options = ["--base", base / "model.onnx", "--epochs", self.masked_epochs, *COMMON, *BATCH, *own]
        try:
            run(self.work, out.name, ["train", data, "--out", out, *common, *options])
        except subprocess.CalledProcessError:
            if not (out / "not_finite.txt").exists():
                raise
            return None
        return out

    def result(self, part: str, seed: int, recipe: Recipe | None) -> dict[str, Any] | None:
        """What is known about a recipe, or the base, by the people of a part; None if nothing is yet."""
        name = "base" if recipe is None else recipe.name
        path = self.work / "results" / f"{name}-s{seed}-{part}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def measure(self, part: str, seed: int, recipe: Recipe | None) -> None:
        if self.result(part, seed, recipe) is not None:
            return
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        out = self.learn(seed, recipe)
        name = "base" if recipe is None else recipe.name
        found: dict[str, Any] = {"name": name, "seed": seed, "part": part, "failed": out is None}
        found["seconds"] = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, 1)
        if out is not None:
            judged = self.augment(f"judged-{part}", part, ["--catalog", self.work / f"masks-{part}"])
            found |= {"auc": judge(out / "model.onnx", judged), **learning(out / "metrics.json")}
        path = self.work / "results" / f"{name}-s{seed}-{part}.json"
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".part").write_text(json.dumps(found))
        path.with_suffix(".part").rename(path)


def judge(model: Path, judged: Path) -> dict[str, list[float]]:
    """Condition -> the AUC, then those of people drawn again."""
    people = open_people(judged)
    items = [item for item in people.items if item.masked]
    clean: Image = np.stack([people.read(item.original) for item in items])
    masked: Image = np.stack([people.read(item.masked[0]) for item in items])
    judges = judges_of([item.name for item in items], [item.identity for item in items])
    embed = Embedder(model, threads=1)
    bare, worn = (embeddings_of(np.array_split(crops, -(-len(crops) // 64)), embed) for crops in (clean, masked))
    sides = {"none": (bare, bare), "probe": (bare, worn), "both": (worn, worn)}
    scores = {
        condition: np.sum(one[judges.first] * other[judges.second], axis=1, dtype=np.float64)
        for condition, (one, other) in sides.items()
    }
    return {condition: np.round(aucs(found, judges), 7).tolist() for condition, found in scores.items()}


def learning(path: Path) -> dict[str, Any]:
    """How a training went: the best epoch, and the norms of its gradients."""
    metrics = json.loads(path.read_text())
    norms = [row["gradient_norm"] for row in metrics["history"]]
    return {"best_epoch": metrics["best_epoch"], "gradient_norms": norms, "steps": metrics["steps"]}


# What it says.


def masked_of(result: dict[str, Any]) -> Float64Array:
    """The mean of the AUCs with one and with both masked."""
    return np.mean([result["auc"]["probe"], result["auc"]["both"]], axis=0)


def row_of(bench: Bench, part: str, seeds: Sequence[int], recipe: Recipe) -> dict[str, Any] | None:
    """A row of the table, over the seeds with which the recipe, today's and the base are measured; None if none are.

    Only what is measured with all of them can be accepted.
    """
    each = (recipe, TODAY, None)
    done = [seed for seed in seeds if all(bench.result(part, seed, one) is not None for one in each)]
    if not done:
        return None
    found = [[bench.result(part, seed, one) or {} for seed in done] for one in each]
    after = found[0]
    row: dict[str, Any] = {"name": recipe.name, "differences": recipe.differences, "seeds": len(done)}
    if any(result["failed"] for results in found for result in results):
        return {**row, "failed": True, "accepted": False}
    bare = [[np.array(result["auc"]["none"]) for result in results] for results in found]
    worn = [[masked_of(result) for result in results] for results in found]
    row["masked"] = gain(worn[0], worn[1])
    row["masked_by_seed"] = [100 * float(a[0] - b[0]) for a, b in zip(worn[0], worn[1], strict=True)]
    row["unmasked"] = gain(bare[0], bare[1])
    row["unmasked_from_base"] = gain(bare[0], bare[2])
    row["auc"] = {c: 100 * float(np.mean([result["auc"][c][0] for result in after])) for c in CONDITIONS}
    row["gradient_norm"] = float(np.median([norm for result in after for norm in result["gradient_norms"]]))
    row["seconds"] = float(np.mean([result["seconds"] for result in after]))
    is_known = len(done) == len(seeds)
    row["accepted"] = is_known and is_accepted(row["masked"], [row["unmasked"], row["unmasked_from_base"]])
    return row


def base_row(bench: Bench, part: str, seeds: Sequence[int]) -> dict[str, Any] | None:
    results = [found for seed in seeds if (found := bench.result(part, seed, None)) is not None]
    if not results:
        return None
    auc = {c: 100 * float(np.mean([result["auc"][c][0] for result in results])) for c in CONDITIONS}
    return {
        "name": "base",
        "seeds": len(results),
        "auc": auc,
        "seconds": float(np.mean([r["seconds"] for r in results])),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a table; points of AUC, with 95 % intervals over people."""
    lines = [
        "| recipe | seeds | bare | one masked | both masked | masked gain | by seed | unmasked "
        "| unmasked, from the base | gradient | CPU s | accepted |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.get("failed"):
            lines.append(f"| {row['name']} | the loss is no finite number |" + " |" * 10)
            continue
        cells = [row["name"], str(row["seeds"]), *(f"{row['auc'][c]:.2f}" for c in CONDITIONS)]
        if "masked" in row:
            cells += [said(row["masked"]), ", ".join(f"{change:+.2f}" for change in row["masked_by_seed"])]
            cells += [said(row["unmasked"]), said(row["unmasked_from_base"]), f"{row['gradient_norm']:.0f}"]
            cells += [f"{row['seconds']:.0f}", "yes" if row["accepted"] else "no"]
        else:
            cells += ["", "", "", "", "", f"{row['seconds']:.0f}", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def said(change: Sequence[float]) -> str:
    return f"{change[0]:+.2f} [{change[1]:+.2f}, {change[2]:+.2f}]"


def report(bench: Bench) -> list[Recipe]:
    """Write ``recipe.json`` and ``recipe.md`` from what is known, and give the finalists so far."""
    screened = [row_of(bench, "choosing", SCREENING, recipe) for recipe in (TODAY, *RECIPES)]
    chosen = finalists([row for row in screened if row is not None])
    final = [row_of(bench, "final", FINAL, recipe) for recipe in (TODAY, NO_MASKS, *chosen)]
    tables = {
        part: [row for row in (base_row(bench, part, seeds), *rows) if row is not None]
        for part, seeds, rows in (("choosing", SCREENING, screened), ("final", FINAL, final))
    }
    (bench.work / "recipe.json").write_text(json.dumps(tables, indent=1))
    text = "\n\n".join(f"{part}\n\n{markdown(rows)}" for part, rows in tables.items())
    (bench.work / "recipe.md").write_text(text + "\n")
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lfw", type=Path, required=True, help="LFW: one folder per person")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs of people who wear masks")
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"), help="gets everything")
    parser.add_argument("--width", default="0.125", help="of the MobileFaceNet, 1 is arcface_torch's mbf")
    parser.add_argument("--learnt", type=int, default=360, help="people to learn")
    parser.add_argument("--choosing", type=int, default=240, help="people to choose recipes by")
    parser.add_argument("--people", type=int, default=0, help="take only so many people, to try it out")
    parser.add_argument("--epochs", type=int, default=16, help="from scratch, unmasked")
    parser.add_argument("--masked-epochs", type=int, default=3, help="of each fine-tuning")
    parser.add_argument("--factors", help="try only these, such as rate or clip-50,distill-3  [default: all]")
    parser.add_argument("--table", action="store_true", help="only write the table of what is known")
    given = vars(parser.parse_args())
    only_table, factors = given.pop("table"), given.pop("factors")
    tried = [recipe for recipe in RECIPES if factors is None or {recipe.factor, recipe.name} & {*factors.split(",")}]
    bench = Bench(**given)
    if not only_table:
        bench.prepare()
        for recipe in (TODAY, *tried):
            for seed in SCREENING:
                bench.measure("choosing", seed, None)
                bench.measure("choosing", seed, recipe)
                report(bench)
                if is_hopeless(row_of(bench, "choosing", SCREENING, recipe)):
                    break
        chosen = report(bench)
        tunings = {(recipe.name, seed) for recipe in (TODAY, *tried) for seed in SCREENING}
        tunings |= {(recipe.name, seed) for recipe in (TODAY, NO_MASKS, *chosen) for seed in FINAL}
        assert len(tunings) <= MOST
        for seed in FINAL:
            for each in (None, TODAY, *chosen):
                bench.measure("final", seed, each)
                report(bench)
        for seed in FINAL:
            bench.measure("final", seed, NO_MASKS)
    report(bench)
    print((bench.work / "recipe.md").read_text())


if __name__ == "__main__":
    main()
