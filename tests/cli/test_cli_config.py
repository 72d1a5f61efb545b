"""Settings from a file and from variables: options win over variables, variables over the file."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

from maskgen import manifest
from maskgen.cli import main


@pytest.fixture
def written(tmp_path):
    """Writes a settings file."""

    def write(text):
        path = tmp_path / "maskgen.toml"
        path.write_text(text)
        return path

    return write


def called(*args, **variables):
    return CliRunner().invoke(main, [str(arg) for arg in args], env=variables)


def shown(*args, **variables):
    """Option -> (value, from) of what ``config show`` tells."""
    result = called(*args, "--json", **variables)
    assert result.exit_code == 0, result.output
    return {f"{row['command']} {row['option']}": (row["value"], row["from"]) for row in json.loads(result.stdout)}


def test_without_file_and_variables_nothing_is_set():
    assert shown("config", "show") == {}


def test_a_file_gives_values_of_all_kinds(written):
    path = written(
        '[augment]\nmin-face = 40\nkind = ["surgical", "kn95"]\noriginals = true\noverwrite = true\nresume = false\n'
        'wear = "correct=0.5,nose_out=0.5"\n[catalog.add]\nlicense = "CC0-1.0"\n'
    )
    assert shown("--config", path, "config", "show") == {
        "augment --min-face": (40.0, str(path)),
        "augment --kind": (["surgical", "kn95"], str(path)),
        "augment --originals": (True, str(path)),
        "augment --overwrite": (True, str(path)),
        "augment --wear": ([["correct", 0.5], ["nose_out", 0.5]], str(path)),
        "catalog add --license": ("CC0-1.0", str(path)),
    }


def test_names_may_be_written_with_underscores(written):
    path = written("[augment]\nmin_face = 40\n")
    assert shown("--config", path, "config", "show")["augment --min-face"][0] == 40.0


def test_a_variable_wins_over_the_file_and_an_option_over_both(written, tmp_path):
    path = written("[augment]\nseed = 1\nvariants = 2\n")
    told = shown("config", "show", "augment", MASKGEN_CONFIG=str(path), MASKGEN_AUGMENT_SEED="2")
    assert told["augment --seed"] == (2, "MASKGEN_AUGMENT_SEED")
    assert told["augment --variants"] == (2, str(path))
    assert told["augment --limit"] == (None, "default")
    (tmp_path / "in").mkdir()
    Image.new("RGB", (112, 112)).save(tmp_path / "in" / "a.png")
    places = tmp_path / "in", tmp_path / "out"
    # Crops need no detector.
    called("--config", path, "augment", *places, "--aligned", "--seed", "3", MASKGEN_AUGMENT_SEED="2")
    settings = manifest.read_run(tmp_path / "out" / "run.json").settings
    assert (settings["seed"], settings["variants"]) == (3, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[augment]\nmin-fac = 4\n", "[augment]: min-fac: no such setting; did you mean min-face"),
        ("[augmnt]\n", "[augmnt]: no such command; did you mean augment?"),
        ("[catalog.ad]\n", "[catalog.ad]: no such command; did you mean add?"),
        ("[catalog]\nlicense = 'x'\n", "[catalog.license]: no such command"),
        ("seed = 1\n", "[seed]: no such command"),
        ("augment = 1\n", "augment: settings stand in the table of a command"),
        ("[augment]\nseed = 'x'\n", "[augment]: seed: 'x' is not a valid integer"),
        ("[augment]\nseed = -1\n", "[augment]: seed: -1 is not in the range"),
        ("[augment]\nseed = true\n", "[augment]: seed: expected a value, got True"),
        ("[augment]\nseed = [1]\n", "[augment]: seed: expected a value, got [1]"),
        ("[augment]\nkind = 'kn95'\n", "[augment]: kind: expected a list, got 'kn95'"),
        ("[augment]\nkind = ['kn59']\n", "[augment]: kind: 'kn59' is not one of"),
        ("[augment]\noriginals = 'yes'\n", "[augment]: originals: expected true or false, got 'yes'"),
        ("[augment]\nhelp = true\n", "[augment]: help: no such setting"),
        ("[augment\n", "not TOML"),
        ("[augment]\nseed = 1\nseed = 2\n", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(text, said, written):
    path = written(text)
    result = called("--config", path, "config", "show")
    assert result.exit_code == 2
    assert f"{path}: {said}" in result.stderr


def test_a_file_that_is_not_there_is_told(tmp_path):
    result = called("--config", tmp_path / "none.toml", "config", "show")
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def test_a_variable_that_no_option_has_is_told_with_the_nearest():
    result = called("augment", "a", "b", MASKGEN_AUGMENT_SED="1")
    assert result.exit_code == 2
    assert "MASKGEN_AUGMENT_SED: no such setting; did you mean MASKGEN_AUGMENT_SEED" in result.stderr


def test_help_is_there_whatever_the_file_says(written):
    result = called("--config", written("[augment]\nx = 1\n"), "augment", "--help")
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("augmnt",), "No such command 'augmnt'; did you mean augment?"),
        (("catalog", "sho"), "No such command 'sho'; did you mean show?"),
        (("config", "show", "catalg"), "catalg: no such command; did you mean catalog?"),
        (("config", "show", "augment", "x"), "augment has no commands, such as x"),
    ],
)
def test_of_an_unknown_command_the_nearest_are_told(args, said):
    result = called(*args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_all_commands_of_a_group_are_shown():
    told = shown("config", "show", "catalog")
    assert {name.rsplit(" ", 1)[0] for name in told} >= {"catalog add", "catalog list", "catalog check"}


def test_the_shell_completes_commands_and_options():
    def completed(words, at):
        variables = {"_MASKGEN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        code = "from maskgen.cli import main; main(prog_name='maskgen')"
        done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
        return done.stdout.split()

    assert "plain,augment" in completed("maskgen aug", 1)
    assert "plain,--min-face" in completed("maskgen augment --min", 2)
    assert "plain,kn95" in completed("maskgen augment --kind k", 3)
