"""``MODEL_CARD.md``: what a network was made from and how, what it can do, and what is not known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from maskgen import manifest
from maskgen.errors import ConfigError, ModelError
from maskgen.evaluate.embed import file_of
from maskgen.evaluate.results import ConditionReport
from maskgen.packs.find import INSTALLED
from maskgen.plural import counted, tally
from maskgen.train.results import Metrics
from maskgen.train.settings import TrainSettings

CARD_FILE: Final = "MODEL_CARD.md"
_CHUNK: Final = 1 << 20
# They do not decide about the result, or stand elsewhere in the card.
_NOT_RECIPE: Final = frozenset(
    {"schema_version", "data", "original", "faces", "workers", "device", "tensorboard", "log_every", "checkpoint_every"}
)


def card(metrics: Metrics) -> str:
    """The card of a training, in Markdown."""
    settings = metrics.settings
    parts = [
        _heading(settings),
        "## Data\n",
        *_data(metrics),
        "\n## Recipe\n",
        f"{counted(metrics.steps, 'step')} of {settings.batch_size * settings.accumulate} pictures in "
        f"{metrics.seconds / 3600:.1f} hours, by maskgen {metrics.maskgen}. The settings, with defaults as `null`:\n",
        *_table(("setting", "value"), _recipe(settings)),
        "\n## Figures\n",
        *_figures(metrics),
        "\n## Files\n",
        *_files(metrics),
        "\n## Limits\n",
        *_limits(metrics),
        "\n## Licence\n",
        *_licence(settings),
    ]
    return "\n".join(parts) + "\n"


def _heading(settings: TrainSettings) -> str:
    start = "from scratch" if settings.is_scratch else f"from {_called(settings.base)}"
    teacher = "" if settings.teacher is None else f", taught by {_called(settings.teacher)}"
    return (
        f"# A face recognition network, trained {start}{teacher}\n\n"
        "It takes aligned RGB crops of 112x112 pixels, scaled by (x - 127.5) / 127.5, and gives embeddings that are "
        "compared by their cosine. It was trained by `maskgen train` to know people with and without masks.\n"
    )


def _called(base: str) -> str:
    return base if base.startswith("scratch:") else f"`{Path(base).name}`"


def _data(metrics: Metrics) -> list[str]:
    settings = metrics.settings
    rows = [
        ("data", f"`{settings.data.resolve().name}`"),
        ("identities", str(metrics.identities)),
        ("of these with one picture", str(metrics.single_picture_identities)),
        ("originals", str(metrics.pictures)),
        ("masked copies", _copies(metrics)),
        ("left out", tally(metrics.left_out)),
        ("unreadable, others took their place", str(metrics.unreadable)),
    ]
    root = settings.data if settings.data.is_dir() else settings.data.parent
    if (run := root / manifest.RUN_FILE).is_file():
        rows += [
            (f"SHA-256 of `{path.name}`", sha256(path)) for path in (manifest.path_of(root), run) if path.is_file()
        ]
        rows += _run(run)
    return _table(("what", "value"), rows)


def _copies(metrics: Metrics) -> str:
    probability = metrics.settings.mask_prob
    return str(metrics.masked_pictures) if probability is None else f"put on while loading, probability {probability:g}"


def _run(path: Path) -> list[tuple[str, str]]:
    try:
        run = manifest.read_run(path)
    except ConfigError:  # the training did without it, and so does its card
        return []
    return [
        ("masked by", f"maskgen {run.maskgen}, seed {run.settings.get('seed', 'unknown')}"),
        ("SHA-256 of the masks", run.catalog_sha256 or "unknown"),
        ("SHA-256 of the pack that found faces", run.pack_sha256 or "unknown"),
    ]


def sha256(path: Path) -> str:
    """Of a file, which may be large."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _recipe(settings: TrainSettings) -> list[tuple[str, str]]:
    values = settings.model_dump(mode="json")
    for name in ("base", "teacher"):
        value = values[name]
        if value is not None and not value.startswith("scratch:"):
            values[name] = Path(value).name
            if (digest := _sha256_of(value)) is not None:
                values[f"{name}, SHA-256"] = digest
    return [(name, f"`{_said(value)}`") for name, value in sorted(values.items()) if name not in _NOT_RECIPE]


def _said(value: Any) -> str:
    return "null" if value is None else str(value)


def _sha256_of(base: str) -> str | None:
    try:
        return sha256(file_of(base))
    except (ModelError, OSError):  # it was there when the training began
        return None


def _figures(metrics: Metrics) -> list[str]:
    if not metrics.after:
        return [f"None: nobody was held out ({metrics.not_validated or 'as asked for'})."]
    people = "People of the same data who took no part in the training, before it and after it. "
    rows = [
        (network, *_figure_row(report))
        for report_pair in zip(metrics.before, metrics.after, strict=True)
        for network, report in zip(("base", "trained"), report_pair, strict=True)
    ]
    header = ("network", "masks", "genuine pairs", "impostor pairs", "accuracy", "AUC", "EER")
    return [people + "With masks, one picture of each pair wears one.\n", *_table(header, rows)]


def _figure_row(report: ConditionReport) -> tuple[str, ...]:
    found = report.figures
    masks = {"none": "none", "probe": "one of two"}.get(report.condition, report.condition)
    shares = (found.accuracy, found.auc, found.eer)
    said = ("refused: too few pairs" if share is None else f"{share:.4f}" for share in shares)
    return (masks, str(found.genuine), str(found.impostor), *said)


def _files(metrics: Metrics) -> list[str]:
    rows = [
        ("`model.onnx`", f"its embeddings differ from the trained network's by {metrics.export_difference:.1e} at most")
    ]
    for variant in metrics.variants:
        cosines = (
            f"cosine to `model.onnx` on {counted(variant.pictures, 'picture')}: mean {variant.mean_cosine:.5f}, "
            f"least {variant.min_cosine:.5f}"
        )
        rows.append((f"`model.{variant.bits}.onnx`", cosines if variant.file else f"not written: {cosines}"))
    return _table(("file", "what is known"), rows)


def _limits(metrics: Metrics) -> list[str]:
    settings = metrics.settings
    said = [
        "* The masks it learnt from were drawn by a program. How it does on masks that people really wear is not "
        "measured here: `maskgen eval` does that on pictures of your own.",
        "* The people held out come from the same data as those it learnt from. On pictures of other cameras, ages, "
        "poses and groups of people it does worse, and not alike for all. Measure it on the people it will meet.",
        "* Pairs drawn from few people say little about rare errors. The counts of pairs above bound what can be said.",
        "* A threshold chosen without masks is not right with them: measure both.",
    ]
    if settings.is_scratch:
        said.append(f"* It began from nothing, and knows only the {metrics.identities} people of these data.")
    if metrics.best_epoch is not None:
        said.append(
            f"* It is the best of {counted(settings.epochs, 'epoch')} on the people held out, a little too good."
        )
    return said


def _licence(settings: TrainSettings) -> list[str]:
    said = [
        "maskgen's code is under the MIT licence, its masks are under CC0-1.0. The weights of this network are yours "
        "only as far as what they were made from allows:\n"
    ]
    for role, base in (("base", settings.base), ("teacher", settings.teacher)):
        if base is None or base.startswith("scratch:"):
            continue
        note = f"* The terms of the {role} {_called(base)} go on to hold."
        if _is_insightfaces(base):
            note += " It is one of InsightFace's packs, which are for non-commercial research only."
        else:
            note += (
                " InsightFace's own models, such as `buffalo_l` and `w600k_r50`, are for non-commercial research only."
            )
        said.append(note)
    said.append("* So do the terms of the pictures, and the rights of the people on them.")
    return said


def _is_insightfaces(base: str) -> bool:
    try:
        return file_of(base).is_relative_to(INSTALLED.expanduser())
    except ModelError:
        return False


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = (header, ("---",) * len(header), *rows)
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
