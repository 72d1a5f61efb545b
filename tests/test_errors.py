"""An error says what is wrong and what to do; the library names settings, the command line its options."""

import ast
import pickle
import re
from pathlib import Path

import click
import pytest

from maskgen.cli import main
from maskgen.cli.console import Command, option_of
from maskgen.errors import ConfigError, MaskgenError, worded

PACKAGE = Path(__file__).parents[1] / "maskgen"
LIBRARY = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not {"cli", "packtraining"} & set(path.relative_to(PACKAGE).parts) and path.name != "errors.py"
]


def commands(command=main):
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            yield from commands(command.get_command(ctx, name))
    else:
        yield command


def strings(path):
    """The string constants of a file, those in f-strings too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_library_never_names_a_flag():
    named = {(path.name, text) for path in LIBRARY for text in strings(path) if re.search(r"(^|[\s'(])--[a-z]", text)}
    assert not named


def remedies(path):
    """The second arguments of errors that are raised in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and len(node.args) > 1:
            constants = (part.value for part in ast.walk(node.args[1]) if isinstance(part, ast.Constant))
            yield from (value for value in constants if isinstance(value, str))


def test_every_setting_that_a_remedy_names_is_an_option_of_some_command():
    params = {param.name for command in commands() for param in command.params}
    named = {
        name for path in LIBRARY for text in remedies(path) for name in re.findall(r"\{([a-z_]+)(?:=\w+)?\}", text)
    }
    assert {"max_pixels", "existing", "device"} <= named
    assert named <= params


def test_every_command_words_its_errors():
    assert all(isinstance(command, Command) for command in commands())


@click.command(cls=Command)
@click.argument("out")
@click.option("--max-pixels", type=int)
@click.option("--overwrite", "existing", flag_value="overwrite")
@click.option("--resume", "existing", flag_value="resume")
@click.option("--json", "as_json", is_flag=True)
def command(**values):
    """For the tests below."""


@pytest.mark.parametrize(
    ("setting", "option"),
    [
        (("max_pixels", None), "--max-pixels"),
        (("max_pixels", "9"), "--max-pixels 9"),
        (("existing", "overwrite"), "--overwrite"),
        (("existing", "resume"), "--resume"),
        (("as_json", None), "--json"),
        (("out", None), "OUT"),
        (("elsewhere", None), "elsewhere"),
    ],
)
def test_a_setting_is_worded_as_the_option_of_its_command(setting, option):
    assert option_of(command, *setting) == option


def test_words_that_only_look_like_settings_stay_as_they_are():
    assert worded("see {Path} and {x.jpg} and {}") == "see {Path} and {x.jpg} and {}"


def test_fault_and_remedy_survive_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(ConfigError("a: wrong", "use {seed}")))
    assert (error.fault, error.remedy, str(error)) == ("a: wrong", "use {seed}", "a: wrong; use seed")
    assert str(MaskgenError("a: wrong")) == "a: wrong"
