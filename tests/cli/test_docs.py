"""Every command that the README and the topics show is one that there is, and runs."""

import functools
import importlib.util
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from catalogs import small_catalog
from click.testing import CliRunner
from onnx import TensorProto, helper
from photographs import astronaut
from PIL import Image

from maskgen import files
from maskgen.catalog.places import CATALOG_FILE, OWN_CATALOG_VARIABLE, folder_of, user_catalog_dir, whole_places
from maskgen.catalog.store import Catalog
from maskgen.cli import main
from maskgen.detect import DetectorSpec
from maskgen.parallel import InProcess

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "maskgen" / "topics").glob("*.md")))
}
# What stands for itself in scripts of a batch system.
VALUES = {
    "HOST": "node1",
    "PORT": "8786",
    "SLURM_CPUS_PER_TASK": "1",
    "SLURM_ARRAY_TASK_ID": "0",
    "SLURM_ARRAY_TASK_COUNT": "1",
    "SLURM_ARRAY_TASK_MIN": "0",
}
# Commands that take longer than seconds, or need what no test may count on: the tests that run them, and a part of them
# that does.
ELSEWHERE = {
    r"augment --demo ": ("tests/cli/test_cli.py", '"augment", "--demo"'),
    r"augment .*--cluster ": ("tests/run/test_cluster.py", '"--cluster", cluster.url'),
    r"augment .*--model buffalo_l --device cuda": ("tests/cli/test_cli.py", '"--device", "cuda"'),
    r"catalog add ": ("tests/cli/test_cli_catalog.py", 'invoke("add", '),
    r"catalog check": ("tests/cli/test_cli_catalog.py", 'invoke("check")'),
    r"catalog preview ": ("tests/cli/test_cli_catalog.py", 'invoke("preview", '),
    r"catalog render ": ("tests/studio/test_render.py", "invoke(render_command, ["),
    r"convert .*--cluster ": ("tests/run/test_cluster.py", '"--cluster", cluster.url'),
    r"doctor ": ("tests/cli/test_doctor.py", '"doctor", str(ROOT)'),
    r"models fetch ": ("tests/cli/test_cli.py", '"models", "fetch", "buffalo_l"'),
    r"train( |$)": ("tests/train/test_train_loop.py", "train_cli, [*given"),
}


@dataclass(frozen=True)
class Command:
    """A command of a document: the words after ``maskgen``, and the variables that are set before it."""

    line: str
    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def is_run(self):
        return not any(re.match(pattern, " ".join(self.words)) for pattern in ELSEWHERE)


def shell_lines(text):
    """The lines of code that are no Python, TOML or JSON; those that go on in the next one are joined."""
    language = None
    for line in text.replace("\\\n", " ").split("\n"):
        fence = re.fullmatch(r"```(\w*)", line)
        if fence:
            language = fence[1] if language is None else None
        elif language in ("sh", "") or (language is None and line.startswith("    ")):
            yield line.strip()


def commands_in(line, shown=None):
    """The commands of maskgen in a line for a shell, also those that are handed to another program."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    for simple in re.split(r"\0[&|;]+\0", "\0".join(lexer)):
        words, variables = simple.split("\0"), []
        while words and (words[0] == "export" or re.fullmatch(r"\w+=.*", words[0])):
            word = words.pop(0)
            variables += [tuple(word.split("=", 1))] if word != "export" else []
        at = next((i for i, word in enumerate(words) if Path(word).name == "maskgen"), None)
        if at is not None:
            after = (re.sub(r"\$(\w+)", lambda name: VALUES[name[1]], word) for word in words[at + 1 :])
            yield Command(shown or line, tuple(after), tuple(variables))
        for word in words if at is None else []:
            if re.search(r"\bmaskgen\b", word):
                yield from commands_in(word.removeprefix("$(").removesuffix(")"), shown or line)


COMMANDS = {name: [c for line in shell_lines(text) for c in commands_in(line)] for name, text in DOCUMENTS.items()}
IN_TEXT = {
    name: [" ".join(span.split()) for span in re.findall(r"`maskgen ([^`]+)`", text)]
    for name, text in DOCUMENTS.items()
}


def command_of(words):
    """(command, the words that are left for it), as the command line would find it."""
    command, rest = main, list(words)
    if rest[:1] == ["--config"]:
        rest = rest[2:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"no such command: {rest[0]}"
        command, rest = found, rest[1:]
    return command, rest


# ---- every command is one


def test_no_line_with_a_command_is_passed_over():
    for name, text in DOCUMENTS.items():
        lines = [line for line in shell_lines(text) if re.search(r"(?<![\w./-])maskgen [a-z-]", line.partition("#")[0])]
        assert {command.line for command in COMMANDS[name]} >= set(lines)
    assert sum(map(len, COMMANDS.values())) > 90


def test_commands_are_found_wherever_they_stand_in_a_line():
    line = 'A=1 srun x/maskgen stats "a b" && sbatch --wrap "maskgen merge b/" | maskgen help # maskgen no'
    assert [(c.words, c.variables) for c in commands_in(line)] == [
        (("stats", "a b"), (("A", "1"),)),
        (("merge", "b/"), ()),
        (("help",), ()),
    ]
    assert [c.variables for c in commands_in('eval "$(_X=bash maskgen)"')] == [(("_X", "bash"),)]


@pytest.mark.parametrize("name", [name for name, found in COMMANDS.items() if found])
def test_every_command_can_be_parsed(name, monkeypatch):
    for variable, value in VALUES.items():
        monkeypatch.setenv(variable, value)
    for one in COMMANDS[name]:
        command, rest = command_of(one.words)
        if command is not main:
            command.make_context("maskgen", rest)


@pytest.mark.parametrize("name", [name for name, found in IN_TEXT.items() if found])
def test_commands_in_the_text_are_there_with_their_options_and_values(name):
    for said in IN_TEXT[name]:
        words = shlex.split(said)
        if words[0].isupper():
            continue  # COMMAND
        command, rest = command_of(words)
        try:
            command.make_context("maskgen", [word for word in rest if word not in ("TOPIC", "--help")])
        except click.UsageError as error:
            # A sentence may name a command and an option without what they need.
            if not re.search("[Mm]issing|requires", error.format_message()):
                raise


def test_every_command_runs_here_or_in_a_test_that_is_named():
    for pattern, (place, part) in ELSEWHERE.items():
        assert any(re.match(pattern, " ".join(one.words)) for found in COMMANDS.values() for one in found), pattern
        assert part in (ROOT / place).read_text(encoding="utf-8"), (place, part)


def test_every_question_has_an_answer_that_says_what_to_run_or_to_read():
    paragraphs = DOCUMENTS["questions.md"].strip().split("\n\n")[1:]
    assert len(paragraphs) > 25
    for paragraph in paragraphs:
        question, answer = re.fullmatch(r"\*\*(.+?[.?])\*\* (.+)", paragraph, re.DOTALL).groups()
        assert len(answer) > 40, question
        # Licences are no matter of commands.
        assert "`" in answer or "share" in question, question


# ---- they run


def network(path):
    """A recogniser that looks at the mean colours of a crop's quarters."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 112, 112])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 48])
    pool = helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[28, 28], strides=[28, 28])
    flat = helper.make_node("Flatten", ["pooled"], ["y"])
    graph = helper.make_graph([pool, flat], "colours", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def run(*words, variables=()):
    return CliRunner().invoke(main, list(words), env=dict(variables), prog_name="maskgen")


def done(*words):
    result = run(*words)
    assert result.exit_code == 0, (words, result.output)


def loaded_once(load):
    """`Catalog.load`, which reads a catalog again only if it has changed."""
    known = {}

    def load_once(places=None):
        whole = whole_places(places)
        key = tuple((place, files.stamp_of(folder_of(place) / CATALOG_FILE)) for place in whole)
        if key not in known:
            known[key] = load(whole)
        return known[key]

    return load_once


@pytest.fixture(scope="module")
def quick():
    """Networks are loaded once, catalogs read once, and all work is done in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("build", "parser"):
            patch.setattr(DetectorSpec, name, functools.cache(getattr(DetectorSpec, name)))
        for place in ("maskgen.run.crew.LocalExecutor", "maskgen.parallel.LocalExecutor"):
            patch.setattr(place, lambda workers: InProcess())
        patch.setattr(Catalog, "load", loaded_once(Catalog.load))
        for variable, value in VALUES.items():
            patch.setenv(variable, value)
        yield patch


@pytest.fixture(scope="module")
def world(quick, tmp_path_factory):
    """A folder with all that the documents name, made of the sample photographs."""
    root = tmp_path_factory.mktemp("world")
    os.makedirs(root / "halls")
    os.makedirs(root / "patterns")
    os.makedirs(root / "runs" / "r50")
    os.makedirs(root / "runs" / "b")
    os.makedirs(root / "own")
    os.makedirs(root / "my-masks")
    face = Image.fromarray(astronaut(200))
    for name in ("me.jpg", "you.jpg", "bare.jpg", "halls/hall.jpg"):
        face.save(root / name)
    Image.fromarray(np.tile(np.uint8([[[200, 30, 30], [30, 30, 200]]]), (8, 4, 1))).save(root / "patterns" / "p.png")
    pairs = []
    people = "Ann", "Bo", "Cy"
    for number, person in enumerate(people):
        (root / "lfw" / person).mkdir(parents=True)
        for take in (1, 2):
            light = np.uint8(np.clip(np.asarray(face) * (0.8 + 0.05 * number + 0.01 * take), 0, 255))
            Image.fromarray(light).save(root / "lfw" / person / f"{person}_000{take}.jpg")
        pairs += [f"{person}\t1\t2", f"{person}\t1\t{people[number - 1]}\t2"]
    (root / "pairs.txt").write_text("\n".join(pairs) + "\n")
    for copy in ("photos", "in"):
        shutil.copytree(root / "lfw", root / copy)
    for name in ("w600k_r50.onnx", "runs/r50/model.onnx", "runs/b/model.onnx"):
        network(root / name)
    small_catalog(root / "own", {"scarf": 1})
    small_catalog(root / "my-masks", {"mine": 1})
    (root / "maskgen.toml").write_text(re.search(r"```toml\n(.*?)```", DOCUMENTS["settings.md"], re.DOTALL)[1])
    quick.chdir(root)
    done("convert", "photos", "faces_emore", "--align", "112", "--out-format", "recordio", "--workers", "1")
    done("convert", "pairs.txt", "cfp_fp.bin", "--root", "lfw", "--align", "112", "--workers", "1")
    shutil.copy("cfp_fp.bin", "lfw/lfw.bin")
    return root


def emptied_catalog():
    """Whoever gets a zip file has not got what is in it."""
    shutil.rmtree(user_catalog_dir())


def shares_apart():
    for share in (0, 1):
        done("augment", "photos", f"masked-{share}", "--workers", "1", "--shard", f"{share}/2")


def a_set_of_pairs():
    if not os.path.exists("lfw.bin"):
        shutil.copy("lfw/lfw.bin", "lfw.bin")


BEFORE = {
    "catalog import masks.zip": emptied_catalog,
    "eval runs/r50/model.onnx": a_set_of_pairs,
    "merge masked-0/ masked-1/": shares_apart,
}


@pytest.mark.parametrize("name", [name for name, found in COMMANDS.items() if any(one.is_run for one in found)])
def test_the_commands_of_a_document_run_one_after_the_other(name, world, tmp_path, monkeypatch):
    place = shutil.copytree(world, tmp_path / "world")
    monkeypatch.chdir(place)
    monkeypatch.setenv(OWN_CATALOG_VARIABLE, str(place / "own"))
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", tmp_path / "models")
    has_eval = importlib.util.find_spec("matplotlib") is not None
    variables, failed = {}, []
    for one in COMMANDS[name]:
        variables |= dict(one.variables) if not one.words else {}
        if not one.is_run or (one.words[:1] == ("eval",) and not has_eval):
            continue
        said = " ".join(one.words)
        for start, prepare in BEFORE.items():
            if said.startswith(start):
                prepare()
        result = run(*one.words, variables={**variables, **dict(one.variables)})
        if result.exit_code != 0:
            failed.append((one.line, result.exit_code, result.output[-600:], result.exception))
    assert not failed, "\n".join(map(str, failed))
