"""What a training came to: ``metrics.json``, and what its checkpoints say. Imports pydantic and nothing heavier."""

from __future__ import annotations

from typing import Final, Literal

from maskgen.evaluate.results import ConditionReport
from maskgen.schema import Strict
from maskgen.train.settings import Bits, TrainSettings

METRICS_FILE: Final = "metrics.json"


class UsedMasks(Strict):
    """The masks that are put on while loading (``masks.json``): the names of the designs, and their hash."""

    designs: tuple[str, ...]
    sha256: str


class HistoryRow(Strict):
    """A point of the curves: means over the steps since the last one.

    Attributes
    ----------
    step : int
        Steps done.
    epoch : float
        The same in epochs.
    loss, margin_loss, distance : float
        The whole loss; that of the margin softmax; the mean of 1 - cosine to the teacher.
    lr, gradient_norm, centres_norm : float
        Of the last step; the norms are those of the gradients of backbone and centres before clipping, None if fp16
        skipped the step.
    """

    step: int
    epoch: float
    loss: float
    margin_loss: float
    distance: float
    lr: float
    gradient_norm: float | None
    centres_norm: float | None = None


class Validation(Strict):
    """How well the people held out are known after an epoch; epoch 0 is the base."""

    epoch: int
    reports: tuple[ConditionReport, ...]

    @property
    def score(self) -> float:
        """What the best checkpoint is chosen by: the mean AUC over unmasked and masked pairs."""
        return sum(report.figures.auc for report in self.reports) / len(self.reports)


class TrainState(Strict):
    """How far a training is; it is written with every checkpoint.

    Attributes
    ----------
    step : int
        Steps done.
    history, validations : tuple
        All rows and validations so far.
    sums, passes : (3,) floats, int
        Sums of loss, margin loss and distance since the last row of the history, and the number of passes in them.
    unreadable : tuple of str
        Files that could not be decoded.
    seconds : float
        Spent in the loop, over all resumes.
    """

    schema_version: Literal[1] = 1
    step: int = 0
    history: tuple[HistoryRow, ...] = ()
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)
    passes: int = 0
    validations: tuple[Validation, ...] = ()
    unreadable: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def best(self) -> Validation | None:
        """The first validation of the highest score after training began; the base does not count."""
        trained = [validation for validation in self.validations if validation.epoch > 0]
        return max(trained, key=lambda validation: validation.score, default=None)


class Variant(Strict):
    """The model in another form.

    Attributes
    ----------
    bits : {"fp16", "int8"}
        What it computes in.
    file : str or None
        Its name; None if it was not written, because its embeddings are others.
    size : int
        Bytes.
    mean_cosine, min_cosine : float
        Between its embeddings and those of ``model.onnx``, over pictures that its ranges were not measured on.
    pictures : int
        How many.
    """

    bits: Bits
    file: str | None
    size: int
    mean_cosine: float
    min_cosine: float
    pictures: int


class Metrics(Strict):
    """``metrics.json``.

    Attributes
    ----------
    settings : TrainSettings
        As asked for.
    identities, pictures, masked_pictures : int
        How many there are to learn from.
    single_picture_identities : int
        Of the identities, those with one original.
    left_out : dict
        Reason -> how many entries of the data are not used for it.
    unreadable : int
        Pictures that could not be decoded in training; others took their place.
    unreadable_examples : tuple of str
        The first of them.
    base_difference : float or None
        Largest difference between the base's ONNX and the network mapped from it.
    export_difference : float
        Largest difference between ``model.onnx`` and the trained network.
    variants : tuple of Variant
        The other forms that were asked for.
    steps : int
        Optimizer steps.
    seconds, pictures_per_second : float
        Spent in the loop, loading included.
    best_epoch : int or None
        The epoch that ``model.onnx`` comes from; None for the last one, if nobody is held out.
    not_validated : str or None
        Why nobody is held out although that was asked for.
    before, after : tuple of ConditionReport
        Figures on the people held out, with the base and with ``model.onnx``.
    """

    schema_version: Literal[1] = 1
    maskgen: str
    settings: TrainSettings
    identities: int
    pictures: int
    masked_pictures: int
    single_picture_identities: int
    left_out: dict[str, int]
    unreadable: int
    unreadable_examples: tuple[str, ...]
    base_difference: float | None
    export_difference: float
    variants: tuple[Variant, ...] = ()
    steps: int
    seconds: float
    pictures_per_second: float
    best_epoch: int | None
    not_validated: str | None = None
    before: tuple[ConditionReport, ...]
    after: tuple[ConditionReport, ...]
    history: tuple[HistoryRow, ...]
    validations: tuple[Validation, ...]
