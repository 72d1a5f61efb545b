"""Rebuild the bundled pack: ``python -m maskgen.packtraining --help``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DATA = click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Labelled photographs."
)
WORK = click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs/pack"),
    show_default=True,
    help="Weights and checkpoints.",
)


def _training(epochs: int, peak: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a training, which begins with its threads set and WORK there.

    Parameters
    ----------
    epochs, peak
        What these options are by default.
    """
    options = (
        DATA,
        WORK,
        click.option("--epochs", default=epochs, show_default=True),
        click.option("--start", type=click.Path(exists=True, path_type=Path), help="Weights to begin with."),
        click.option("--peak", default=peak, show_default=True, help="Highest learning rate."),
        click.option("--device", default="cpu", show_default=True, help="Where the network learns: cpu or cuda."),
        click.option("--workers", default=1, show_default=True, help="Processes that prepare pictures."),
        # Two threads would wait for each other whenever another process takes a core; network and loader fill two
        # cores.
        click.option(
            "--threads", default=1, show_default=True, help="Cores for the network; each worker takes one more."
        ),
    )

    def trained(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def prepared(*, work: Path, threads: int, **others: Any) -> None:
            import torch

            torch.set_num_threads(threads)
            work.mkdir(parents=True, exist_ok=True)
            command(work=work, **others)

        for option in reversed(options):
            prepared = option(prepared)
        return prepared

    return trained


@click.group()
def main() -> None:
    """Train, export and measure the bundled model pack.

    Needs the extra [train]. A training that was interrupted goes on from its last checkpoint.
    """


@main.command()
@DATA
def head(data: Path) -> None:
    """Measure the mean head (maskgen/face/head.npz), and the side of it that straps run over (side.npz)."""
    import dataclasses

    import numpy as np
    from insightface.data import get_object

    from maskgen.masking.ways import measured_skin
    from maskgen.packtraining.mean_head import mean_head

    target = Path(__file__).parents[1] / "face" / "head.npz"
    np.savez_compressed(target, **mean_head(data, get_object("meanshape_68.pkl")))  # type: ignore[arg-type]
    click.echo(target)
    np.savez_compressed(target.with_name("side.npz"), **dataclasses.asdict(measured_skin()))
    click.echo(target.with_name("side.npz"))


@main.command()
@_training(epochs=140, peak=4e-3)
def landmarks(data: Path, work: Path, epochs: int, start: Path | None, peak: float, device: str, workers: int) -> None:
    """Train the landmark network."""
    from maskgen.packtraining.data import landmark_set
    from maskgen.packtraining.landmarks import train

    train(landmark_set(data), work, epochs, start, peak=peak, device=device, workers=workers)


@main.command()
@DATA
@WORK
@click.option("--model", default="bundled", show_default=True, help="The pack whose mistakes are collected.")
@click.option("--windows", default=100_000, show_default=True, help="How many pieces of photographs to look at.")
def mine(data: Path, work: Path, model: str, windows: int) -> None:
    """Collect places without a face in which a pack finds one, as pictures in WORK/negatives.

    Look through them before you train, and delete those that show a face after all.
    """
    import cv2

    from maskgen.detect import FaceDetector
    from maskgen.packtraining.canvases import mine as find
    from maskgen.packtraining.canvases import training_pictures

    folder = work / "negatives"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = training_pictures(data)
    found = find([*pictures["single"], *pictures["scenes"]], FaceDetector(model, threshold=0.2), windows)
    count = 0
    for count, patch in enumerate(found, 1):
        cv2.imwrite(str(folder / f"{count:05d}.png"), patch[..., ::-1])
    click.echo(f"{folder}: {count} pictures")


@main.command()
@_training(epochs=60, peak=3e-3)
@click.option("--negatives", type=click.Path(exists=True, file_okay=False, path_type=Path), help="What 'mine' wrote.")
def detector(
    data: Path,
    work: Path,
    epochs: int,
    start: Path | None,
    peak: float,
    device: str,
    workers: int,
    negatives: Path | None,
) -> None:
    """Train the face detector."""
    import cv2

    from maskgen.packtraining import canvases
    from maskgen.packtraining import detector as training

    cv2.setNumThreads(1)
    pictures = canvases.training_pictures(data)
    if negatives is not None:
        pictures["negatives"] = canvases.negatives(negatives)
    training.train(pictures, work, epochs, start, peak=peak, device=device, workers=workers)


@main.command()
@_training(epochs=75, peak=4e-3)
def parsing(data: Path, work: Path, epochs: int, start: Path | None, peak: float, device: str, workers: int) -> None:
    """Train the network that tells what lies in front of a face, and a larger one beside it that teaches it.

    WORK/guessed.npz holds portraits that a former network labelled, where 'guess' has made it.
    """
    import cv2

    from maskgen.packtraining import portraits
    from maskgen.packtraining.mixed import pieces_of
    from maskgen.packtraining.parsing import train

    cv2.setNumThreads(1)
    labelled, held_out = (portraits.labelled(data, held_out) for held_out in (False, True))
    file = work / "guessed.npz"
    guessed = portraits.load(file) if file.is_file() else []
    pictures = pieces_of(data)
    train(labelled, guessed, pictures, held_out, work, epochs, start, peak=peak, device=device, workers=workers)


@main.command()
@DATA
@WORK
def guess(data: Path, work: Path) -> None:
    """Label more photographs by the larger parsing network in WORK; a training there takes them in."""
    from maskgen.packtraining.parsing import guess as label

    click.echo(f"{work / 'guessed.npz'}: {label(data, work)} pictures")


@main.command()
@DATA
@WORK
@click.option(
    "--pack",
    type=click.Path(path_type=Path),
    default=Path(__file__).parents[1] / "packs" / "bundled",
    show_default=True,
)
def export(data: Path, work: Path, pack: Path) -> None:
    """Write the ONNX files of the pack for which WORK has weights.

    The ranges of their int8 numbers are measured on the photographs.
    """
    from maskgen.packtraining import canvases, landmarks, mixed
    from maskgen.packtraining.data import landmark_set
    from maskgen.packtraining.export import export as write
    from maskgen.packtraining.export import export_parsing

    if (work / "landmarks.pt").is_file():
        crops = landmarks.samples(landmark_set(data), 256)
        write(work, pack, crops, canvases.samples(canvases.training_pictures(data), 128))
    if (work / "parsing.pt").is_file():
        export_parsing(work, pack, mixed.samples(data, 256))
    for file in sorted(pack.rglob("*.onnx")):
        click.echo(f"{file} {file.stat().st_size}")


@main.command()
@DATA
@click.option("--model", default="bundled", show_default=True, help="A pack, as maskgen augment --model takes it.")
@click.option("--limit", type=int, help="At most this many pictures of each kind.")
@click.option("--card", is_flag=True, help="Write the figures into the pack's MODEL_CARD.md.")
@click.option(
    "--failures", "sheets", type=click.Path(path_type=Path), help="Folder for contact sheets of the worst failures."
)
def evaluate(data: Path, model: str, limit: int | None, card: bool, sheets: Path | None) -> None:
    """Measure a pack on people and scenes that training never saw."""
    from maskgen.packs.find import pack_dir
    from maskgen.packtraining.evaluate import evaluate as measure
    from maskgen.packtraining.evaluate import write_card
    from maskgen.packtraining.failures import Failures

    failures = Failures()
    figures = {key: round(value, 3) for key, value in measure(data, model, limit, failures).items()}
    click.echo(json.dumps(figures, indent=1))
    if card:
        write_card(pack_dir(model) / "MODEL_CARD.md", figures)
    for sheet in failures.write(sheets) if sheets else []:
        click.echo(sheet)


@main.command()
@DATA
@click.option("--model", default="bundled", show_default=True, help="A pack, as maskgen augment --model takes it.")
@click.option("--limit", type=int, help="At most this many pictures of each kind.")
@click.option("--card", is_flag=True, help="Write the figures into the pack's PARSING_CARD.md.")
def evaluate_parsing(data: Path, model: str, limit: int | None, card: bool) -> None:
    """Measure what a pack tells of things in front of faces."""
    from maskgen.packs.find import pack_dir
    from maskgen.packtraining.evaluate import write_card
    from maskgen.packtraining.evaluate_parsing import evaluate as measure

    figures = {key: round(value, 3) for key, value in measure(data, model, limit).items()}
    click.echo(json.dumps(figures, indent=1))
    if card:
        write_card(pack_dir(model) / "parsing" / "PARSING_CARD.md", figures, "parsing")


if __name__ == "__main__":
    main()
