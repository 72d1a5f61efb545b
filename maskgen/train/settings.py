"""What decides about a training: ``settings.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from maskgen.catalog.places import SHIPPED, Places
from maskgen.errors import ConfigError
from maskgen.schema import Strict, first_fault

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["fp32", "bf16", "fp16"]
Bits = Literal["fp16", "int8"]

MARGINS: Final[dict[str, tuple[float, float, float]]] = {
    "arcface": (1.0, 0.5, 0.0),
    "cosface": (1.0, 0.0, 0.4),
    "none": (1.0, 0.0, 0.0),
}
"""(m1, m2, m3) by name; ``none`` is plain softmax."""

SETTINGS_FILE: Final = "settings.json"
# Settings that may differ when a training goes on, because no number of the result depends on them; of the catalogs,
# the masks in them are compared.
_FREE: Final = frozenset(
    {"catalog", "workers", "device", "tensorboard", "log_every", "checkpoint_every", "pack", "also", "faces"}
)


class TrainSettings(Strict):
    """All settings of a training.

    Attributes
    ----------
    data : Path
        An output of ``maskgen augment``, or a dataset of any format that says who is on its pictures.
    original : Path or None
        Where the originals of such an output lie; None for beside the masked copies, or where augment read them.
    aligned : bool or None
        The pictures are 112x112 ArcFace crops; None for what an output of augment says, else what their sizes say.
    base : str
        What to start from, see `maskgen.train.bases.load`.
    margin : (m1, m2, m3)
        The target's cosine is cos(m1 * angle + m2) - m3; ArcFace is (1, 0.5, 0), CosFace (1, 0, 0.4).
    masked_margin : float
        What m3 is larger by for pictures that wear a mask: they must come closer to their identity than the others.
    scale : float
        s, what cosines are multiplied by.
    sample_rate : float
        Share of the identities in each softmax.
    min_pictures : int
        Identities with fewer originals are left out.
    holdout : float
        Share of the identities that are kept from training, to validate on; 0 for none.
    mask_prob : float or None
        Put masks on originals while loading, with this probability; None to use the masked copies, one to one.
    mask_share : float or None
        Share of the masked copies among what is shown of the originals that have one; an epoch is no longer or shorter.
        None for one to one.
    model : str
        The pack that finds faces where the data do not give them.
    faces : Path or None
        The cache of observed faces; None for one in the folder of the training.
    catalog : tuple of str
        The catalogs of the masks for ``mask_prob``, as in `maskgen.run.settings.AugmentSettings`.
    teacher : str or None
        Another network like `base`, whose embeddings are learnt; None for the base, frozen.
    distill : float or None
        Weight of 1 - cosine between the embedding and that of the teacher on the unmasked picture; None for 10, from
        scratch for 100 with a teacher and 0 without.
    lr : float or None
        Highest learning rate; None for 0.03, from scratch 0.1; with AdamW 0.0001 and 0.001.
    warmup : float
        Share of the steps in which the rate rises from 0; then it falls to 0, as the square of the share that is left.
    epochs, batch_size, accumulate : int
        Rounds through the data; pictures per pass, over all processes; passes per step.
    precision : {"fp32", "bf16", "fp16"} or None
        Of the backbone; margins and losses are always fp32. None for bf16 on a GPU, fp16 on one that has no bf16, and
        fp32 on a CPU.
    batch_norm : {"frozen", "train"} or None
        Whether batch norms keep the base's statistics; None for frozen, from scratch train.
    freeze : tuple of str
        Beginnings of the names of parameters that stay as they are, such as ``layer1``.
    optimizer : {"sgd", "adamw"}
        What makes steps of gradients.
    momentum : float
        SGD's.
    weight_decay : float or None
        Of weights and centres; None for 0.0005, with AdamW 0.1.
    clip : float
        The largest norm of the backbone's gradient; that of the centres is left as it is.
    flip : bool
        Mirror half of the pictures.
    seed : int
        The same seed gives the same training.
    workers : int or None
        Processes that load pictures; 0 loads in the training's own. None for the cores of the machine, shared among
        the processes that train on it.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    log_every, checkpoint_every : int
        Steps between rows of the history, and between checkpoints; there is one after every epoch anyway.
    pack : str
        The pack whose recogniser ``pack/`` replaces.
    also : tuple of {"fp16", "int8"}
        In which forms the model is written beside ``model.onnx``, if its embeddings stay the same.
    tensorboard : bool
        Also write TensorBoard's files.
    """

    schema_version: Literal[1] = 1
    data: Path
    original: Path | None = None
    aligned: bool | None = None
    base: str
    margin: tuple[Positive, NotNegative, NotNegative] = MARGINS["arcface"]
    masked_margin: NotNegative = 0.0
    scale: Positive = 64.0
    sample_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_pictures: Count = 1
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.02
    mask_prob: Share | None = None
    mask_share: Share | None = None
    model: str = "bundled"
    faces: Path | None = None
    catalog: Places = (SHIPPED,)
    teacher: str | None = None
    distill: NotNegative | None = None
    lr: Positive | None = None
    warmup: Share = 0.1
    epochs: Count = 4
    batch_size: Count = 128
    accumulate: Count = 1
    precision: Precision | None = None
    batch_norm: Literal["frozen", "train"] | None = None
    freeze: tuple[str, ...] = ()
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative | None = None
    clip: Positive = 5.0
    flip: bool = True
    seed: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every: Count = 10
    checkpoint_every: Count = 2000
    pack: str = "bundled"
    also: tuple[Bits, ...] = ()
    tensorboard: bool = False

    @model_validator(mode="after")
    def _somebody_teaches(self) -> TrainSettings:
        if self.is_scratch and self.teacher is None and self.distill:
            raise ValueError("distill: a base from scratch has nothing to teach, and there is no teacher")
        if self.teacher is not None and self.teacher.startswith("scratch:"):
            raise ValueError("teacher: a network from scratch has nothing to teach")
        if self.teacher is not None and self.distill == 0:
            raise ValueError("distill: with weight 0 nothing is learnt from the teacher")
        return self

    @model_validator(mode="after")
    def _copies_are_made_before(self) -> TrainSettings:
        if self.mask_prob is not None and self.mask_share is not None:
            raise ValueError("mask_share: with mask_prob, no masked copies are used")
        return self

    @property
    def is_scratch(self) -> bool:
        """Whether the base has learnt nothing yet."""
        return self.base.startswith("scratch:")

    @property
    def distill_weight(self) -> float:
        """`distill`, or its default."""
        if self.distill is not None:
            return self.distill
        if not self.is_scratch:
            return 10.0
        # Who begins with nothing has a long way to go; with 10 it hardly follows.
        return 0.0 if self.teacher is None else 100.0

    @property
    def highest_lr(self) -> float:
        """`lr`, or its default."""
        if self.lr is not None:
            return self.lr
        if self.optimizer == "adamw":
            return 1e-3 if self.is_scratch else 1e-4
        # Of 0.003, 0.01, 0.03 and 0.1 the best for masked faces (tests/bench/recipe.py).
        return 0.1 if self.is_scratch else 0.03

    @property
    def decay(self) -> float:
        """`weight_decay`, or its default."""
        return (0.1 if self.optimizer == "adamw" else 5e-4) if self.weight_decay is None else self.weight_decay

    @property
    def keeps_statistics(self) -> bool:
        """Whether statistics are frozen: `batch_norm`, or its default."""
        return not self.is_scratch if self.batch_norm is None else self.batch_norm == "frozen"


def settings_of(values: dict[str, Any]) -> TrainSettings:
    """Checked settings.

    Raises
    ------
    ConfigError
        If one is out of range or they contradict each other; names the first.
    """
    try:
        return TrainSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(first_fault(error)) from error


def refuse_others(path: Path, settings: TrainSettings) -> None:
    """Compare settings with those a training began with.

    Raises
    ------
    ConfigError
        If a setting differs on which the result depends.
    """
    try:
        former = TrainSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", "restore it, or choose another {out}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not the settings of a training of this version of maskgen") from error
    for name in TrainSettings.model_fields:
        if name not in _FREE and getattr(former, name) != getattr(settings, name):
            raise ConfigError(
                f"{path.parent}: began with {name} {getattr(former, name)}, now {getattr(settings, name)}",
                "go on with the same setting, or choose another {out}",
            )
