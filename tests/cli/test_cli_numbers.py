"""Options that are numbers take finite ones alone, in the range that their settings have."""

import math

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field, ValidationError

from maskgen.catalog.schema import wear_shares
from maskgen.cli import main
from maskgen.cli.settings import Number, setting
from maskgen.run import AugmentSettings
from maskgen.train.settings import TrainSettings

# What options of several numbers take.
OF_SEVERAL = {"wear": "correct={},nose_out=1", "margin": "1,{},0"}


def options(command=main, path="maskgen"):
    """(command, option) of all commands."""
    yield from ((path, param) for param in command.params if isinstance(param, click.Option))
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            yield from options(command.get_command(ctx, name), f"{path} {name}")


def is_number(option):
    return isinstance(option.type, click.types.FloatParamType)


NUMBERS = [(path, option) for path, option in options() if is_number(option) or option.name in OF_SEVERAL]


def test_there_are_such_options_and_all_of_their_commands_are_looked_at():
    names = {option.opts[0] for _, option in NUMBERS}
    assert names >= {
        "--weight",
        "--min-face",
        "--recolor",
        "--wear",
        "--lr",
        "--scale",
        "--margin",
        "--distill",
        "--clip",
    }


@pytest.mark.parametrize(("path", "option"), NUMBERS, ids=[f"{path} {option.opts[0]}" for path, option in NUMBERS])
def test_no_option_takes_what_is_no_finite_number(path, option):
    for text in ("nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "x", ""):
        with pytest.raises(click.BadParameter):
            option.type.convert(OF_SEVERAL.get(option.name, "{}").format(text), option, None)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "data", "--base", "x.onnx", "--out", "out", "--distill"),
        ("train", "data", "--base", "x.onnx", "--out", "out", "--lr"),
        ("augment", "in", "out", "--min-face"),
        ("catalog", "add", "x.png", "--weight"),
    ],
)
def test_such_a_number_is_wrong_usage_and_the_option_is_named(arguments, text):
    result = CliRunner().invoke(main, [*arguments, text])
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[-1]}'" in result.output


@pytest.mark.parametrize("model", [AugmentSettings, TrainSettings])
def test_an_option_takes_what_its_setting_takes(model):
    tried = 0
    for _, option in NUMBERS:
        if not is_number(option) or option.name not in model.model_fields:
            continue
        for number in (-1.0, -1e-9, 0.0, 1e-9, 0.5, 1 - 1e-9, 1.0, 1 + 1e-9, 2.0, 1e9):
            tried += 1
            try:
                taken = option.type.convert(str(number), option, None)
            except click.BadParameter:
                taken = None
            expected = number
            try:
                model.model_validate({option.name: number})
            except ValidationError as error:  # others are missing
                expected = None if any(one["loc"] == (option.name,) for one in error.errors()) else number
            assert taken == expected, (option.name, number)
    assert tried >= 20


def test_the_range_of_an_option_is_that_of_its_field():
    class Model(BaseModel):
        a: float = Field(default=0.5, gt=0, lt=1)
        b: float | None = Field(default=None, ge=0)

    command = click.Command("x", params=[])
    for name in Model.model_fields:
        command = setting(Model, f"--{name}", name, type=float)(command)
    kinds = {param.name: param.type for param in command.params}
    assert all(isinstance(kind, Number) for kind in kinds.values())
    assert (kinds["a"].min, kinds["a"].min_open, kinds["a"].max, kinds["a"].max_open) == (0, True, 1, True)
    assert (kinds["b"].min, kinds["b"].min_open, kinds["b"].max) == (0, False, None)
    # An end that there is not is not shown.
    assert "None" not in command.get_help(click.Context(command))


def test_weights_whose_sum_is_no_number_are_refused():
    with pytest.raises(ValueError, match="too large"):
        wear_shares({"correct": 1e308, "nose_out": 1e308})
    shares = wear_shares({"correct": 1e307, "nose_out": 1e307})
    assert math.isclose(sum(share for _, share in shares), 1)
