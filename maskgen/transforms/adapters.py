"""`RandomMask` as a transform of torchvision and of Albumentations, which are imported when it is asked for.

Their classes are made on first use, under names of this module, so that copies find them in other processes.
"""

from __future__ import annotations

import importlib
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from maskgen.errors import ConfigError
from maskgen.transforms.maker import MaskMaker
from maskgen.transforms.pictures import is_pil, is_tensor
from maskgen.transforms.samples import key_in, no_key, one_picture

if TYPE_CHECKING:
    TorchvisionTransform = Any
    Albumentation = Any


def for_torchvision(mask: MaskMaker) -> TorchvisionTransform:
    """As `RandomMask.torchvision`."""
    return _class("TorchvisionTransform")(mask)


def for_albumentations(mask: MaskMaker) -> Albumentation:
    """As `RandomMask.albumentations`."""
    return _class("Albumentation")(mask)


class _Key(str):
    """A key among what torchvision hands to a transform."""


def _torchvision_class() -> type[Any]:
    v2, tv_tensors = _installed("torchvision.transforms.v2"), _installed("torchvision.tv_tensors")

    def is_pure(value: Any) -> bool:
        return is_tensor(value) and not isinstance(value, tv_tensors.TVTensor)

    class TorchvisionTransform(v2.Transform):  # type: ignore[misc,name-defined]
        """`RandomMask` for ``torchvision.transforms.v2``: changes the one picture; boxes, keypoints, masks pass."""

        _transformed_types = (tv_tensors.Image, is_pil, is_pure, _Key)

        def __init__(self, mask: MaskMaker) -> None:
            super().__init__()
            self.mask = mask

        def set_epoch(self, epoch: int) -> None:
            self.mask.set_epoch(epoch)

        def forward(self, *inputs: Any) -> Any:
            # What chooses a mask is no picture, but make_params must see it.
            key = _key_among(inputs)
            if key is None:
                raise no_key()
            *outputs, _ = super().forward(*inputs, _Key(key))
            return tuple(outputs) if len(inputs) > 1 else outputs[0]

        def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
            (key,) = (value for value in flat_inputs if isinstance(value, _Key))
            pictures = [value for value in flat_inputs if not isinstance(value, _Key)]
            return self.mask.params_of(one_picture(pictures), str(key))

        def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
            if isinstance(inpt, _Key):
                return inpt
            masked = self.mask.applied(inpt, params)
            return tv_tensors.wrap(masked, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else masked

    return TorchvisionTransform


def _key_among(values: Iterable[Any]) -> str | None:
    """The key of the first mapping that has one."""
    for value in values:
        if isinstance(value, Mapping):
            key = key_in(value)
            found = _key_among(value.values()) if key is None else key
        else:
            found = _key_among(value) if isinstance(value, list | tuple) else None
        if found is not None:
            return found
    return None


# Those that a replay in this process finds again.
_LIVE: Final[weakref.WeakValueDictionary[str, MaskMaker]] = weakref.WeakValueDictionary()


def _albumentations_class() -> type[Any]:
    library = _installed("albumentations")

    class Albumentation(library.ImageOnlyTransform):  # type: ignore[misc,name-defined]
        """`RandomMask` for Albumentations; a replay makes it anew from its settings, or finds it by its name."""

        class InitSchema(library.ImageOnlyTransform.InitSchema):  # type: ignore[misc,name-defined]
            mask: Any
            settings: Any
            name: Any

        def __init__(
            self, mask: MaskMaker | None = None, settings: Any = None, name: str | None = None, p: float = 1.0
        ) -> None:
            super().__init__(p=p)
            self.name = name or uuid.uuid4().hex
            self.mask = mask or _LIVE.get(self.name) or MaskMaker.of_settings(settings)
            _LIVE[self.name] = self.mask

        def set_epoch(self, epoch: int) -> None:
            self.mask.set_epoch(epoch)

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            return {"drawn": self.mask.params_of(data["image"], key_in(data))}

        def apply(self, img: Any, drawn: Mapping[str, Any] | None = None, **params: Any) -> Any:
            assert drawn is not None
            return self.mask.applied(img, drawn)

        def get_transform_init_args(self) -> dict[str, Any]:
            return {"settings": self.mask.settings(), "name": self.name}

    return Albumentation


_MAKERS: Final[Mapping[str, Callable[[], type[Any]]]] = {
    "TorchvisionTransform": _torchvision_class,
    "Albumentation": _albumentations_class,
}


def __getattr__(name: str) -> Any:
    # For pickle, too: a process that gets a copy finds the class here.
    if name not in _MAKERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = _MAKERS[name]()
    made.__qualname__ = name
    globals()[name] = made
    return made


def _class(name: str) -> type[Any]:
    found: type[Any] = globals().get(name) or __getattr__(name)
    return found


def _installed(module: str) -> Any:
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{library} cannot be imported: {error}", f"install it with: pip install {library}"
        ) from error
