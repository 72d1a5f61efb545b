"""The whole journey of a picture, from the reader to the writer; runs in worker processes."""

from __future__ import annotations

import hashlib
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath

import cv2
import numpy as np

from maskgen import images, manifest
from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.datasets.base import Entry, Fault, Meta, PartWriter, Reader, Sample, Writer
from maskgen.detect import Detector, DetectorSource
from maskgen.errors import CatalogError, ImageError, MaskgenError, worded
from maskgen.face import Face
from maskgen.face.align import ARCFACE_SIDE, aligned_crop, alignment
from maskgen.manifest import CropRow, MaskRow, PairRow, RecolorRow, Row, VariantRow, Written
from maskgen.masking.augment import Masked, MaskedFace, mask_faces, observe_all
from maskgen.masking.recipe import Patterns, Recipe
from maskgen.masking.vary import Recolor
from maskgen.parse import Parser
from maskgen.run import patterns, saved
from maskgen.run.outcome import Done, Outcome
from maskgen.run.record import catalog_of
from maskgen.run.settings import AugmentSettings
from maskgen.run.stamps import source_of, stamps_of


@dataclass(frozen=True)
class Task:
    """What a worker needs to know once; the hashes make it another task if files have changed."""

    reader: Reader
    writer: Writer
    settings: AugmentSettings
    detectors: DetectorSource
    pack_sha256: str
    catalog_sha256: str
    patterns_sha256: str | None = None


@dataclass(frozen=True)
class _Tools:
    detector: Detector | None
    parser: Parser | None
    catalog: Catalog
    recipe: Recipe


def work(task: Task, chunk: Sequence[Entry]) -> Done:
    """Mask the pictures of a chunk.

    Raises
    ------
    MaskgenError
        If the run cannot go on: the pack or the catalog is unusable, or nothing can be written.
    """
    tools = _tools(task)
    name = uuid.uuid4().hex
    with task.writer.part(name) as part:
        return Done.of([_made(task, tools, part, entry) for entry in chunk], name)


def augment_entry(task: Task, tools: _Tools, part: PartWriter, entry: Entry, sample: Sample) -> Row:
    """Mask the picture of an entry and write what comes of it.

    Raises
    ------
    ImageError
        If the picture cannot be decoded, or cannot be written under its name.
    MaskgenError
        If nothing can be written.
    """
    settings = task.settings
    picture = images.decode(sample.raw, PurePosixPath(entry.key), settings.max_pixels, settings.truncated)
    pixels = picture.pixels
    faces = [] if tools.detector is None else tools.detector.detect(pixels)
    chosen = tools.recipe.chosen(faces, (pixels.shape[1], pixels.shape[0]))
    crop = alignment(faces[chosen].keypoints) if settings.align and faces else None
    is_selected = task.writer.selects(entry)
    variants, reason = list[VariantRow](), None if is_selected else "not_selected"
    if settings.masks and is_selected:
        variants, reason = _variants(task, tools, part, entry, sample, picture, faces, crop)
    is_done = any(variant.place is not None for variant in variants)
    has_copy = not settings.masks or not is_selected or (settings.originals if is_done else settings.copy_skipped)
    original = None
    if settings.align and not faces:
        reason = "no_face"
    elif has_copy:
        # A copy is the input's own bytes, unless it is a crop.
        copy = sample if crop is None else _encoded(pixels, crop, picture, entry, sample, settings)
        original = Written(place=part.put(copy, Meta(entry, None)))
        is_done |= not settings.masks
    return _row(
        entry,
        status="done" if is_done else "skipped",
        reason=None if is_done else reason,
        size_wh=(pixels.shape[1], pixels.shape[0]),
        notes=picture.notes,
        faces=tuple(manifest.face_row(face, "landmarks" in settings.save) for face in faces),
        crop=None if crop is None else _crop_row(crop),
        variants=tuple(variants),
        original=original,
    )


def _variants(
    task: Task,
    tools: _Tools,
    part: PartWriter,
    entry: Entry,
    sample: Sample,
    picture: images.Picture,
    faces: Sequence[Face],
    crop: Float32Array | None,
) -> tuple[list[VariantRow], str | None]:
    """Put the masked pictures; their rows, and why nobody wears a mask if nobody does."""
    observed = observe_all(picture.pixels, faces, tools.parser, tools.recipe)
    variants, reason = [], None
    for number in range(1, task.settings.variants + 1):
        seed = seed_of(task.settings.seed, entry.key, number)
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        masked = mask_faces(picture.pixels, faces, observed, tools.catalog, rng, tools.recipe)
        place, reason, extras = None, masked.reason, None
        if masked.is_masked:
            encoded = _encoded(masked.image, crop, picture, entry, sample, task.settings)
            beside = saved.beside(task.settings.save, masked, observed, crop)
            place = part.put(replace(encoded, saved=beside), Meta(entry, number))
            extras = task.writer.beside(place, beside)
        variants.append(_variant_row(seed, place, extras, masked))
    return variants, reason


def _encoded(
    pixels: Image,
    crop: Float32Array | None,
    picture: images.Picture,
    entry: Entry,
    sample: Sample,
    settings: AugmentSettings,
) -> Sample:
    """Pixels in the size of the picture, as they are to be written, with what lay beside the picture."""
    pixels = pixels if crop is None else aligned_crop(pixels, crop)
    name = PurePosixPath(images.name_of(entry.key, sample.raw))
    return Sample(images.encode(pixels, picture.encoding, name, settings.quality), sample.extras)


def seed_of(seed: int, key: str, variant: int) -> int:
    """128 bits from which the random numbers of one masked picture come, and from nothing else.

    Parameters
    ----------
    seed : int
        Of the run.
    key : str
        Of the input.
    variant : int
        From 1.
    """
    digest = hashlib.sha256(f"{seed}\0{key}\0{variant}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def row_of_fault(fault: Fault) -> Row:
    """The row of an entry that is settled without work."""
    return Row(
        key=fault.key,
        status=fault.status,
        reason=fault.reason,
        message=fault.message or None,
        remedy=worded(fault.remedy) or None,
    )


def failed(entry: Entry, reason: str, message: str, remedy: str = "") -> Row:
    """The row of an input that failed; settings in the remedy are called as in ``run.json``."""
    return _row(
        entry,
        status="failed",
        reason=reason,
        message=message.removeprefix(f"{entry.key}: "),
        remedy=worded(remedy) or None,
    )


@lru_cache(maxsize=1)
def _tools(task: Task) -> _Tools:
    # A worker has one core.
    cv2.setNumThreads(1)
    settings = task.settings
    pictures = Patterns()
    if settings.pattern_dir is not None:
        pictures = patterns.load(settings.pattern_dir)
    recipe = Recipe(
        settings.faces,
        settings.min_face,
        settings.keep_covered,
        settings.wear,
        settings.recolor,
        pictures,
        settings.pattern_share,
    )
    detector = task.detectors.build() if settings.masks or settings.align else None
    parser = task.detectors.parser() if settings.masks else None
    catalog = catalog_of(settings)
    if catalog.sha256 != task.catalog_sha256:
        raise CatalogError(
            f"{', '.join(map(str, catalog.roots))}: masks have changed since the run began",
            "put them back and run the same again, or start anew with {existing=overwrite}",
        )
    return _Tools(detector, parser, catalog, recipe)


def _made(task: Task, tools: _Tools, part: PartWriter, entry: Entry) -> Outcome:
    sample = trace = None
    try:
        sample = task.reader.read(entry)
        row = augment_entry(task, tools, part, entry, sample)
    except ImageError as error:
        row = failed(entry, error.reason, error.fault, error.remedy)
    except MaskgenError:
        raise
    except Exception as error:
        # One picture must not end the run: its row tells, the exit code is 3, and the log shows where.
        row, trace = failed(entry, "unexpected", f"{type(error).__name__}: {error}"), traceback.format_exc()
    if row.status == "failed":
        part.take_back(entry)
    return Outcome(row, stamps_of(row, source_of(sample, task.reader, entry), part), trace)


def _row(entry: Entry, **fields: object) -> Row:
    pair = entry.pair
    return Row.model_validate(
        {
            "key": entry.key,
            "identity": entry.identity,
            "label": entry.label,
            "pair": None if pair is None else PairRow(index=pair.index, side=pair.side, is_same=pair.is_same),
            **fields,
        }
    )


def _variant_row(seed: int, place: str | None, extras: Mapping[str, str] | None, masked: Masked) -> VariantRow:
    return VariantRow(
        place=place,
        seed=f"{seed:032x}",
        masks=tuple(_mask_row(face) for face in masked.faces),
        extras=manifest.Extras.model_validate(extras) if extras else None,
    )


def _mask_row(face: MaskedFace) -> MaskRow:
    return MaskRow(
        design=face.design,
        view=face.view,
        reason=face.reason,
        wear=face.wear,
        recolor=None if face.recolor is None else _recolor_row(face.recolor),
        pattern=face.pattern,
    )


def _crop_row(matrix: Float32Array) -> CropRow:
    along, down = (tuple(round(float(value), 6) for value in row) for row in matrix)
    return CropRow.model_validate({"matrix": (along, down), "size_wh": (ARCFACE_SIDE, ARCFACE_SIDE)})


def _recolor_row(recolor: Recolor) -> RecolorRow:
    red, green, blue = (round(channel, 4) for channel in recolor.tint)
    return RecolorRow(
        hue_deg=round(recolor.hue_deg, 2),
        saturation=round(recolor.saturation, 4),
        brightness=round(recolor.brightness, 4),
        tint=(red, green, blue),
    )
