"""A report as tables: on a terminal, in Markdown and CSV, and as a picture of its ROC."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from maskgen import files
from maskgen.evaluate import figures
from maskgen.evaluate.figures import Roc
from maskgen.evaluate.results import ConditionReport, EvalReport, Figures, PartReport, RateAtFar
from maskgen.plural import counted, tally

# Names of CSV's columns that are no figures.
_KEYS: Final = ("model", "mask", "by", "part", "genuine", "impostor")


class _Column(NamedTuple):
    """A figure: its heading, its name among the intervals, its value as a share, what stands where there is none."""

    heading: str
    name: str
    value: float | None
    instead: str = "refused"


def _columns(found: Figures) -> list[_Column]:
    rates = [("FMR100", "fmr100", found.fmr100), ("FMR1000", "fmr1000", found.fmr1000)]
    rates += [(f"TAR@{rate.far:g}", f"tar@{rate.far:g}", rate) for rate in found.tar_at_far]
    columns = [
        _Column("accuracy", "accuracy", found.accuracy, "-"),
        _Column("AUC", "auc", found.auc),
        _Column("EER", "eer", found.eer),
        *(_Column(heading, name, rate.rate) for heading, name, rate in rates),
    ]
    bare = found.at_bare
    if bare is not None:
        at = "" if bare.bare_fmr is None else f"({_fmr(bare.bare_fmr)})"
        columns += [_Column(f"FNMR@T{at}", "fnmr", bare.fnmr), _Column("FMR@T", "fmr", bare.fmr)]
    return [*columns, _Column("rank-1", "rank1", found.rank1, "-")]


def _fmr(fmr: float) -> str:
    return f"{fmr:.2g}"


def table(report: EvalReport, with_intervals: bool = False) -> list[list[str]]:
    """The report as cells: a header, then one row per model and condition; shares in per cent."""
    rows = list[list[str]]()
    for row in report.rows:
        found = row.figures
        columns = _columns(found)
        if not rows:
            rows.append(["model", "mask", "genuine", "impostor", *(column.heading for column in columns)])
        cells = [_cell(column, found, with_intervals) for column in columns]
        rows.append([row.model, row.condition, str(found.genuine), str(found.impostor), *cells])
    return rows


def _cell(column: _Column, found: Figures, with_intervals: bool) -> str:
    if column.value is None:
        return column.instead
    said = f"{100 * column.value:.2f}"
    if column.name == "accuracy":
        said += f"+-{100 * (found.accuracy_std or 0):.2f}"
    if with_intervals and column.name in found.intervals:
        low, high = found.intervals[column.name]
        said += f" [{100 * low:.2f}, {100 * high:.2f}]"
    return said


def parts_table(report: EvalReport) -> list[list[str]]:
    """The parts as cells: a header, then one row per model, condition and part; empty where there are none."""
    rows = [
        [row.model, row.condition, part.by, part.part, str(part.genuine), str(part.impostor)]
        + ["refused" if value is None else f"{100 * value:.2f}" for value in (part.auc, part.fnmr, part.fmr)]
        for row, part in _parts(report)
    ]
    header = ["model", "mask", "by", "part", "genuine", "impostor", "AUC", "FNMR@T", "FMR@T"]
    return [header, *rows] if rows else []


def _parts(report: EvalReport) -> Iterator[tuple[ConditionReport, PartReport]]:
    return ((row, part) for row in report.rows for part in row.parts)


def markdown(report: EvalReport) -> str:
    """The report as a text in Markdown: the table with its intervals, the parts, and what the figures are over."""
    what = f" of {report.protocol}" if report.protocol else ""
    lines = [f"# Verification{what}: {report.pairs}", "", "All figures are in per cent.", ""]
    lines += _markdown_table(table(report, with_intervals=True), text_columns=2)
    lines += ["", *(f"- {name}: {text}" for name, text in facts(report))]
    parts = parts_table(report)
    if parts:
        lines += ["", "## By faces and masks", "", *_markdown_table(parts, text_columns=4)]
    return "\n".join(lines) + "\n"


def _markdown_table(rows: list[list[str]], text_columns: int) -> list[str]:
    header, *others = ([" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows)
    rule = ["---" if place < text_columns else "---:" for place in range(len(header))]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *others)]


def comma_separated(report: EvalReport) -> str:
    """The report as CSV for a spreadsheet: all figures as shares, with their intervals.

    One row per model and mask condition, with ``all`` in the column ``by``, and one per part. A figure that is refused
    is an empty cell.
    """
    rows = list[dict[str, object]]()
    for row in report.rows:
        found = row.figures
        cells = _keys(row, "all", "", found)
        for column in _columns(found):
            cells[column.name] = column.value
            cells[f"{column.name}_low"], cells[f"{column.name}_high"] = found.intervals.get(column.name, (None, None))
        cells["accuracy_std"] = found.accuracy_std
        if found.at_bare is not None:
            cells["bare_fmr"], cells["threshold"] = found.at_bare.bare_fmr, found.at_bare.threshold
        rows.append(cells)
        for part in row.parts:
            rows.append(_keys(row, part.by, part.part, part) | {"auc": part.auc, "fnmr": part.fnmr, "fmr": part.fmr})
    names = list(dict.fromkeys([*_KEYS, *(name for cells in rows for name in cells)]))
    # Nobody has intervals of these, nor of anything where people are unknown.
    empty = {name for name in names if name.endswith(("_low", "_high")) and all(row.get(name) is None for row in rows)}
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [name for name in names if name not in empty], "", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _keys(row: ConditionReport, by: str, part: str, counts: Figures | PartReport) -> dict[str, object]:
    numbers = counts.genuine, counts.impostor
    return dict(zip(_KEYS, (row.model, row.condition, by, part, *numbers), strict=True))


def facts(report: EvalReport) -> list[tuple[str, str]]:
    """What must be known beside the table, as name and text: what T is, what is refused, over what the figures are."""
    found = [("T", said) for said in thresholds(report)]
    found += [("refused", reason) for reason in refusals(report)]
    found += [("intervals", said) for said in _intervals(report)]
    found.append(("measured", extent(report)))
    found.append(("left out", f"{counted(report.rows[0].left_out, 'pair')}; pictures: {tally(report.left_out)}"))
    return found


def thresholds(report: EvalReport) -> list[str]:
    """What T is, at which FNMR and FMR are told; nothing where there is none."""
    bare = report.rows[0].figures.at_bare if report.rows else None
    if bare is None or bare.bare_fmr is None:
        return []
    said = f"each model's threshold at FMR {_fmr(bare.bare_fmr)} on the pairs with no masks put on"
    if bare.bare_fmr > figures.BARE_FMR:
        said += f"; {_fmr(figures.BARE_FMR)} needs {round(figures.IMPOSTORS_NEEDED / figures.BARE_FMR)} impostor pairs"
    return [said]


def _intervals(report: EvalReport) -> list[str]:
    how = report.bootstrap
    if how is None:
        return []
    if not how.resamples:
        return [f"none: {how.reason}"]
    return [f"{100 * how.level:g} %, {how.resamples} resamples of {how.people} people"]


def refusals(report: EvalReport) -> list[str]:
    """Why figures of a report are not given, each reason once."""
    reasons = list[str]()
    for found in (row.figures for row in report.rows):
        rates: tuple[RateAtFar, ...] = (*found.tar_at_far, found.fmr100, found.fmr1000)
        reasons += [f"FAR {rate.far:g}: {rate.reason}" for rate in rates if rate.reason is not None]
        if found.at_bare is not None and found.at_bare.reason is not None:
            reasons.append(f"threshold of unmasked pairs: {found.at_bare.reason}")
        named = (("accuracy", found.accuracy_reason), ("rank-1", found.rank1_reason))
        reasons += [f"{name}: {reason}" for name, reason in named if reason is not None]
    return list(dict.fromkeys(reasons))


def extent(report: EvalReport) -> str:
    """Over how many pairs and pictures the figures are; the same for all models and conditions."""
    row, found = report.rows[0], report.rows[0].figures
    pairs = found.genuine + found.impostor
    said = f"{pairs} of {counted(pairs + row.left_out, 'pair')}"
    if found.folds:
        said += f", accuracy over {counted(found.folds, 'fold')}"
    if found.gallery:
        said += f", rank-1 of {counted(found.probes, 'picture')} against one picture of each of {found.gallery} people"
    return said


def draw_roc(path: Path, report: EvalReport, curves: list[Roc]) -> None:
    """The ROC of every row as a PNG, FAR on a logarithmic axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="FAR", ylabel="TAR", ylim=(0, 1.01))
    for row, curve in zip(report.rows, curves, strict=True):
        is_seen = curve.far > 0
        axes.step(curve.far[is_seen], curve.tar[is_seen], where="post", label=f"{row.model}, mask: {row.condition}")
    found = report.rows[0].figures
    axes.set_title(f"{found.genuine} genuine, {found.impostor} impostor pairs", fontsize="small")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    files.write_whole(path, buffer.getvalue())


def write(folder: Path, report: EvalReport, curves: list[Roc]) -> tuple[str, ...]:
    """Write a report in all its forms; the names of the files."""
    texts = {
        "eval.json": report.model_dump_json(indent=1) + "\n",
        "eval.md": markdown(report),
        "eval.csv": comma_separated(report),
    }
    for name, text in texts.items():
        files.write_whole(folder / name, text.encode("utf-8", "backslashreplace"))
    draw_roc(folder / "roc.png", report, curves)
    return (*texts, "roc.png")
