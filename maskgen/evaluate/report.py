"""Measure a model on pairs of pictures under mask conditions, and report: what ``maskgen eval`` prints."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from maskgen import files
from maskgen.arrays import BoolArray, Float32Array, Image
from maskgen.datasets.pairs import Pairs
from maskgen.errors import ConfigError, ImageError
from maskgen.evaluate import figures
from maskgen.evaluate.embed import Embed, embeddings_of
from maskgen.evaluate.figures import Roc
from maskgen.evaluate.results import Condition, ConditionReport, EvalReport
from maskgen.face.align import ARCFACE_SIDE
from maskgen.plural import counted
from maskgen.recognition.cache import FaceCache
from maskgen.recognition.crops import Cropper

_BATCH: Final = 64


@dataclass(frozen=True)
class Pictures:
    """The crops of all pictures of a list of pairs.

    Attributes
    ----------
    clean : (N, 112, 112, 3) uint8 array
        RGB.
    masked : (N, 112, 112, 3) uint8 array or None
        The same with masks on.
    is_usable : (N,) bool array
        Whether there is such a crop.
    left_out : dict
        Reason -> how many pictures have none for it.
    """

    clean: Image
    masked: Image | None
    is_usable: BoolArray
    left_out: Mapping[str, int]


def collect(
    names: tuple[str, ...],
    keys: Mapping[str, str],
    missing: Collection[str],
    faces: FaceCache | None,
    cropper: Cropper,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pictures:
    """The crops of pictures, masked too if the cropper has a catalog.

    Parameters
    ----------
    names : tuple of str
        The pictures; a mask depends on the seed and on the place of its picture in this tuple.
    keys : mapping
        Name -> what the cropper reads.
    missing : collection of str
        Names of pictures that are not there.
    faces : FaceCache or None
        Knows the faces of the others; aligned crops without masks need none.
    cropper : Cropper
        Reads and masks.
    seed : int
        Of the masks.
    on_progress : callable
        Gets the number of pictures done, and of all.
    """
    wants_masks = cropper.catalog is not None
    clean = np.zeros((len(names), ARCFACE_SIDE, ARCFACE_SIDE, 3), np.uint8)
    masked = np.zeros_like(clean) if wants_masks else None
    is_usable = np.zeros(len(names), bool)
    left_out: dict[str, int] = {}
    for index, name in enumerate(names):
        seen = None if faces is None or name in missing else faces.get(name)
        reason: str | None = "missing" if name in missing else None if seen is None else seen.reason
        try:
            if reason is not None:
                pass
            elif masked is None:
                clean[index] = cropper.clean(keys[name], None if seen is None else seen.face.keypoints)
            else:
                assert seen is not None
                clean[index], worn = cropper.masked(keys[name], seen, np.random.default_rng([seed, index]))
                if worn is None:
                    reason = "no_view_for_pose"
                else:
                    masked[index] = worn
        except ImageError:
            reason = "bad_image"
        is_usable[index] = reason is None
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + 1
        on_progress(index + 1, len(names))
    return Pictures(clean, masked, is_usable, left_out)


def evaluate(
    model: str, embed: Embed, pairs: Pairs, pictures: Pictures, conditions: tuple[Condition, ...]
) -> tuple[list[ConditionReport], list[Roc]]:
    """A model's figures and ROC under each condition.

    Raises
    ------
    ConfigError
        If no genuine or no impostor pair is left.
    """
    kept = pictures.is_usable[pairs.first] & pictures.is_usable[pairs.second]
    is_same = pairs.is_same[kept]
    if not is_same.any() or is_same.all():
        raise ConfigError(
            f"{counted(int(kept.sum()), 'pair')} can be compared, {is_same.sum()} of one person: "
            "too few to measure anything"
        )
    clean = embeddings_of(_batches(pictures.clean), embed)  # (N, E)
    masked = None if pictures.masked is None else embeddings_of(_batches(pictures.masked), embed)
    reports, curves = list[ConditionReport](), list[Roc]()
    for condition in conditions:
        if condition != "none" and masked is None:
            raise ValueError(f"condition {condition!r} needs masked crops")
        first = masked if condition == "both" and masked is not None else clean
        second = clean if condition == "none" or masked is None else masked
        scores = np.sum(first[pairs.first[kept]] * second[pairs.second[kept]], axis=1)
        found = figures.measure(scores, is_same, pairs.folds[kept])
        found = found.model_copy(update=_identification(first, second, pairs, pictures.is_usable))
        reports.append(ConditionReport(model=model, condition=condition, left_out=int((~kept).sum()), figures=found))
        curves.append(figures.roc(scores, is_same))
    return reports, curves


def _identification(gallery: Float32Array, probes: Float32Array, pairs: Pairs, usable: BoolArray) -> dict[str, object]:
    """Closed set: the first usable picture of each person is the gallery, the other pictures are probes."""
    if pairs.identities is None:
        return {"rank1_reason": pairs.no_identities or "who is on the pictures is not known"}
    places = np.flatnonzero(usable)
    _, where = np.unique(pairs.identities[places], return_index=True)
    enrolled = places[where]
    others = np.setdiff1d(places, enrolled)
    if len(enrolled) < 2 or not len(others):
        people = counted(len(enrolled), "person", "people")
        return {"rank1_reason": f"{counted(len(places), 'picture')} of {people} leave nothing to find"}
    share = figures.rank1(gallery[enrolled], pairs.identities[enrolled], probes[others], pairs.identities[others])
    return {"rank1": share, "probes": len(others), "gallery": len(enrolled)}


def _batches(crops: Image) -> Iterator[Image]:
    for start in range(0, len(crops), _BATCH):
        yield crops[start : start + _BATCH]


def table(report: EvalReport) -> list[list[str]]:
    """The report as cells: a header, then one row per model and condition; shares in per cent."""
    header = ["model", "mask", "genuine", "impostor", "accuracy", "AUC", "EER", "FMR100", "FMR1000"]
    header += [f"TAR@{far:g}" for far in figures.FARS] + ["rank-1"]
    rows = [header]
    for row in report.rows:
        found = row.figures
        accuracy = (
            "-" if found.accuracy is None else f"{100 * found.accuracy:.2f}+-{100 * (found.accuracy_std or 0):.2f}"
        )
        rates = [found.fmr100.rate, found.fmr1000.rate, *(rate.rate for rate in found.tar_at_far)]
        rows.append(
            [row.model, row.condition, str(found.genuine), str(found.impostor), accuracy]
            + [f"{100 * found.auc:.2f}", f"{100 * found.eer:.2f}"]
            + ["refused" if rate is None else f"{100 * rate:.2f}" for rate in rates]
            + ["-" if found.rank1 is None else f"{100 * found.rank1:.2f}"]
        )
    return rows


def refusals(report: EvalReport) -> list[str]:
    """Why figures of a report are not given, each reason once."""
    reasons = list[str]()
    for found in (row.figures for row in report.rows):
        rates = (*found.tar_at_far, found.fmr100, found.fmr1000)
        reasons += [f"FAR {rate.far:g}: {rate.reason}" for rate in rates if rate.reason is not None]
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
