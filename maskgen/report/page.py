"""What a run wrote, or a training, as a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

import maskgen
from maskgen import manifest
from maskgen.errors import ConfigError
from maskgen.evaluate.results import ConditionReport, EvalReport, Figures
from maskgen.evaluate.tables import thresholds
from maskgen.manifest import Row, RunFile
from maskgen.report import charts
from maskgen.report.examples import Examples
from maskgen.report.pictures import Pictures
from maskgen.run.merge import output_of
from maskgen.run.stats import Stats, counting, in_order
from maskgen.schema import first_fault
from maskgen.train.results import METRICS_FILE, Metrics

R = TypeVar("R", bound=BaseModel)
EVAL_FILE: Final = "eval.json"
"""What ``maskgen eval`` writes."""


@dataclass(frozen=True)
class Shown:
    """An input on the page: its key, a line about it, and pictures as data URIs."""

    key: str
    about: str
    before: str | None
    after: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why inputs have no mask."""

    status: str
    reason: str
    number: int
    examples: tuple[Shown, ...]


@dataclass(frozen=True)
class RunSection:
    """What the page tells of a run."""

    name: str
    record: RunFile
    settings: tuple[tuple[str, str], ...]
    stats: Stats
    charts: tuple[charts.Bars, ...]
    reasons: tuple[Reason, ...]
    gallery: tuple[Shown, ...]
    worst: tuple[tuple[str, tuple[Shown, ...]], ...]


@dataclass(frozen=True)
class Measured:
    """A row of the table of a training: figures of the people held out, with the base and with the trained network."""

    condition: str
    before: Figures
    after: Figures


@dataclass(frozen=True)
class TrainSection:
    """What the page tells of a training."""

    name: str
    metrics: Metrics
    settings: tuple[tuple[str, str], ...]
    measured: tuple[Measured, ...]
    charts: tuple[charts.Lines, ...]


@dataclass(frozen=True)
class EvalSection:
    """What the page tells of an evaluation."""

    name: str
    report: EvalReport
    thresholds: tuple[str, ...]
    charts: tuple[charts.Lines, ...]


def page(paths: Sequence[Path]) -> str:
    """The HTML of a page on what ``maskgen augment``, ``train`` and ``eval`` wrote, in the order of the paths.

    Raises
    ------
    ConfigError
        If a path is none of them, or cannot be read.
    """
    # Nothing else needs it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("maskgen.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    runs, trainings, evaluations = list[RunSection](), list[TrainSection](), list[EvalSection]()
    for path in paths:
        if (path / METRICS_FILE).is_file():
            trainings.append(training(path))
        elif (path / EVAL_FILE).is_file():
            evaluations.append(evaluation(path))
        else:
            runs.append(run_of(path))
    template = environment.get_template("page.html")
    return template.render(
        runs=runs, trainings=trainings, evaluations=evaluations, version=maskgen.__version__, width=charts.WIDTH,
        height=charts.HEIGHT,
    )  # fmt: skip


def run_of(path: Path) -> RunSection:
    """What a run wrote, in figures and pictures; the manifest is read once."""
    output = output_of(path)
    stats, chosen = Stats(), Examples()
    for row in counting(manifest.read(manifest.path_of(output.home)), stats):
        chosen.offer(row)
    pictures = Pictures(output.record, output.writer, {row.key for row in chosen.rows()})
    return RunSection(
        str(path),
        output.record,
        _plain(output.record.settings),
        stats,
        tuple(
            charts.bars(title, counts)
            for title, counts in (
                ("Yaw of masked faces, degrees", in_order(stats.yaw_deg)),
                ("Pitch of masked faces, degrees", in_order(stats.pitch_deg)),
                ("Longer side of masked faces, pixels", in_order(stats.face_px)),
                ("How masks are worn", stats.wears.most_common()),
                ("Designs", stats.designs.most_common()),
            )
            if counts
        ),
        tuple(
            Reason(status, reason, number, tuple(_failed(row, pictures) for row in rows))
            for status, reason, number, rows in chosen.reasons()
        ),
        tuple(_masked(row, _worn(row), pictures) for row in chosen.gallery),
        (
            ("The detector was least sure", _each(chosen.unsure, "score {:.2f}", pictures)),
            ("Turned farthest", _each(chosen.turned, "yaw {:.0f}", pictures)),
        ),
    )


def training(path: Path) -> TrainSection:
    """What a training came to."""
    metrics = _read(path / METRICS_FILE, Metrics)
    history = metrics.history
    by_step = [(row.step, row) for row in history]
    drawn = [
        charts.lines(
            "Loss", "step", [("loss", [(step, row.loss) for step, row in by_step]),
                             ("margin", [(step, row.margin_loss) for step, row in by_step])],
        ),
        charts.lines("Distance to the base", "step", [("distance", [(step, row.distance) for step, row in by_step])]),
        charts.lines("Learning rate", "step", [("rate", [(step, row.lr) for step, row in by_step])]),
        charts.lines("AUC of the people held out", "epoch", _by_condition(metrics)),
        _roc([*_curves("base", metrics.before), *_curves("trained", metrics.after)]),
    ]  # fmt: skip
    return TrainSection(
        str(path),
        metrics,
        _plain(metrics.settings.model_dump(mode="json")),
        tuple(
            Measured(before.condition, before.figures, after.figures)
            for before, after in zip(metrics.before, metrics.after, strict=False)
        ),
        tuple(one for one in drawn if one.lines),
    )


def evaluation(path: Path) -> EvalSection:
    """What an evaluation found."""
    report = _read(path / EVAL_FILE, EvalReport)
    drawn = _roc([one for row in report.rows for one in _curves(row.model, [row])])
    return EvalSection(str(path), report, tuple(thresholds(report)), (drawn,) if drawn.lines else ())


def _read(file: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{file}: {first_fault(error)}; another version of maskgen wrote it") from error


def _by_condition(metrics: Metrics) -> list[tuple[str, list[tuple[float, float]]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for validation in metrics.validations:
        for report in validation.reports:
            series.setdefault(f"mask {report.condition}", []).append((validation.epoch, report.figures.auc))
    return list(series.items())


def _roc(curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> charts.Lines:
    return charts.lines("TAR at FAR", "FAR", curves, log_x=True, y_range=(0.0, 1.0))


def _curves(name: str, reports: Sequence[ConditionReport]) -> list[tuple[str, list[tuple[float, float]]]]:
    return [
        (
            f"{name}, mask {report.condition}",
            # Files of older versions have no curve.
            list(report.roc) or [(rate.far, rate.rate) for rate in report.figures.tar_at_far if rate.rate is not None],
        )
        for report in reports
    ]


def _plain(settings: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Settings as text; what nobody set is left out."""
    return tuple(
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in settings.items()
        if value not in (None, [], {})
    )


def _each(rows: Sequence[tuple[float, Row]], words: str, pictures: Pictures) -> tuple[Shown, ...]:
    return tuple(_masked(row, f"{words.format(figure)}; {_worn(row)}", pictures) for figure, row in rows)


def _masked(row: Row, about: str, pictures: Pictures) -> Shown:
    return Shown(row.key, about, pictures.before(row), pictures.after(row))


def _failed(row: Row, pictures: Pictures) -> Shown:
    about = row.message or ""
    return Shown(row.key, f"{about}; {row.remedy}" if row.remedy else about, pictures.before(row))


def _worn(row: Row) -> str:
    """What the first masked picture shows, in words."""
    masks = [mask for mask in row.variants[0].masks if mask.design is not None]
    texts = [mask.design if mask.wear in (None, "correct") else f"{mask.design}, {mask.wear}" for mask in masks]
    return "; ".join(text for text in texts if text)
