"""What docstrings show is what happens."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import maskgen

ROOT = Path(maskgen.__file__).parent
MODULES = sorted(
    ".".join(("maskgen", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    module = pytest.importorskip(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("name", sorted(set(maskgen.__all__) - {"__version__"}))
def test_every_public_name_is_documented_and_typed(name):
    thing = getattr(maskgen, name)
    assert thing.__doc__
    functions = [thing] if inspect.isfunction(thing) else [thing.__init__]
    for function in functions:
        signature = inspect.signature(function)
        untyped = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name != "self"
        ]
        assert not untyped
    if inspect.isfunction(thing):
        assert inspect.signature(thing).return_annotation is not inspect.Signature.empty


@pytest.mark.parametrize(
    "name",
    ["FaceDetector", "Catalog", "augment_image", "mask_faces", "augment_folder", "open_dataset", "RandomMask"],
)
def test_the_main_public_names_show_an_example(name):
    thing = getattr(maskgen, name)
    assert ">>> " in thing.__doc__
    assert importlib.import_module(thing.__module__).__name__ in MODULES
