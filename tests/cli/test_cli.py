"""The command line: answers to stdout, messages to stderr, exit codes that scripts can trust."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fakes import FakeDetectors, write_picture
from PIL import Image

from maskgen import manifest, run
from maskgen.cli import augment as augment_cli
from maskgen.cli import console, main
from maskgen.detect import DetectorSpec
from maskgen.errors import ModelError
from maskgen.packs.fetch import KNOWN
from maskgen.packs.find import BUNDLED, pack_dir, pack_sha256
from maskgen.packs.web import Remote
from maskgen.parallel import InProcess

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TOPICS = {path.stem: path.read_text() for path in sorted((ROOT / "maskgen" / "topics").glob("*.md"))}
HAS_PACK = any(pack_dir(BUNDLED).glob("det*.onnx"))


def commands(command=main, path=()):
    """(path, command) of all commands."""
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            yield from commands(command.get_command(ctx, name), (*path, name))
    else:
        yield path, command


COMMANDS = dict(commands())


@pytest.fixture
def invoke(monkeypatch, catalog_dir):
    """Runs the command line with the fake detector and the small catalog."""
    monkeypatch.setattr(DetectorSpec, "build", lambda self: FakeDetectors().build())
    monkeypatch.setattr(DetectorSpec, "parser", lambda self: None)
    monkeypatch.setattr(DetectorSpec, "sha256", lambda self: "f" * 64)
    monkeypatch.setattr("maskgen.run.crew.LocalExecutor", lambda workers: InProcess())

    def call(*args):
        args = [str(arg) for arg in args]
        if args[:1] == ["augment"]:
            args += ["--catalog", str(catalog_dir), "--workers", "1"]
        return CliRunner().invoke(main, args)

    return call


# ---- help and README


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_every_option_has_help(path):
    command = COMMANDS[path]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    result = CliRunner().invoke(main, [*path, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_in_the_readme(path):
    assert re.search(rf"^maskgen {' '.join(path)}\b", README.read_text(), re.MULTILINE)


@pytest.mark.parametrize("option", [p.opts[0] for p in COMMANDS["augment",].params if isinstance(p, click.Option)])
def test_every_option_of_augment_stands_in_the_readme_or_in_a_topic(option):
    assert any(re.search(rf"{option}\b", text) for text in (README.read_text(), *TOPICS.values()))


def test_the_readme_is_a_tour_of_less_than_200_lines():
    assert len(README.read_text().splitlines()) < 200


def test_every_topic_that_help_texts_the_readme_and_topics_name_is_there():
    helps = [command.get_help(click.Context(command)) for command in (main, *COMMANDS.values())]
    named = re.findall(r"maskgen\s+help\s+([a-z-]+)", "\n".join((README.read_text(), *TOPICS.values(), *helps)))
    assert set(named) == set(TOPICS)


def test_the_pictures_of_the_readme_are_there_and_small():
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", README.read_text())
    assert pictures
    assert all((ROOT / picture).stat().st_size < 400_000 for picture in pictures)


# ---- help


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_prints_as_it_stands_in_a_pipe(topic, invoke):
    result = invoke("help", topic)
    assert result.exit_code == 0
    assert result.stdout == TOPICS[topic]
    assert result.stderr == ""


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_laid_out_on_a_terminal(topic, invoke, monkeypatch):
    paged = []
    monkeypatch.setattr(click, "echo_via_pager", paged.append)
    monkeypatch.setattr("maskgen.cli.console._is_terminal", lambda: True)
    assert invoke("help", topic).exit_code == 0
    (text,) = paged
    assert "|---" not in text
    assert "```" not in text


def test_help_alone_lists_the_topics_with_a_line_each(invoke):
    lines = invoke("help").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(TOPICS)
    assert all(len(line.split()) > 2 for line in lines)


def test_an_unknown_topic_is_wrong_usage_that_lists_the_topics(invoke):
    result = invoke("help", "nosuch")
    assert result.exit_code == 2
    assert all(f"'{topic}'" in result.stderr for topic in TOPICS)


def test_defaults_of_options_are_those_of_the_settings():
    fields = run.AugmentSettings.model_fields
    with click.Context(COMMANDS["augment",]) as ctx:
        options = {option.name: option for option in ctx.command.params}
        # Whether anything is masked is what tells augment from convert.
        assert fields.keys() - {"masks"} <= options.keys()
        for name, field in fields.items():
            if name != "masks" and not options[name].multiple:  # which have none: an empty list
                assert options[name].get_default(ctx) == field.default, name


# ---- augment


def test_augment_masks_a_folder_and_says_so_on_stdout(tree, tmp_path, invoke):
    result = invoke("augment", tree, tmp_path / "out")
    assert result.exit_code == 3  # two inputs are broken
    assert "done     5: 5 masks" in result.stdout
    assert "bad_image 2" in result.stdout
    assert result.stderr == "masks      2 designs, 2 of your own: 100 % of the masks\n"


def test_augment_json_is_the_only_thing_on_stdout(tree, tmp_path, invoke):
    result = invoke("augment", tree, tmp_path / "out", "--json")
    summary = json.loads(result.stdout)
    assert (summary["state"], summary["inputs"], summary["done"], summary["failed"]) == ("complete", 10, 5, 2)
    assert summary["reasons"] == {"bad_image": 2, "no_face": 1, "no_view_for_pose": 1, "not_an_image": 1}


def test_exit_code_0_although_pictures_were_skipped(tmp_path, invoke):
    write_picture(tmp_path / "in" / "a.png", "no_face")
    assert invoke("augment", tmp_path / "in", tmp_path / "out").exit_code == 0


def test_exit_code_1_and_one_line_for_our_own_errors(tree, invoke):
    result = invoke("augment", tree, tree / "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert re.fullmatch(r"error: .*lie in each other.*\n", result.stderr)


@pytest.mark.parametrize(
    "args",
    [
        ["in"],
        ["in", "out", "more"],
        ["--demo", "in", "out"],
        ["in", "out", "--variants", "0"],
        ["in", "out", "--quality", "101"],
    ],
)
def test_exit_code_2_for_wrong_usage(args, invoke):
    result = invoke("augment", *args)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_exit_code_130_after_ctrl_c_and_a_line_on_how_to_go_on(tmp_path, invoke):
    write_picture(tmp_path / "in" / "1.png")
    write_picture(tmp_path / "in" / "2.png", "interrupt")
    result = invoke("augment", tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1:] == [
        "interrupted: 1 of 2 inputs recorded; the same command again goes on from there"
    ]
    assert len(list(manifest.read(tmp_path / "out" / "manifest.jsonl"))) == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", ["maskgen.cli", "maskgen.cli.augment", "maskgen.detect"])
@pytest.mark.parametrize("inside", [False, True], ids=["", "exec"])
def test_a_signal_at_any_moment_ends_a_command_with_one_line_and_130(tmp_path, name, where, inside):
    write_picture(tmp_path / "in" / "1.png")
    # The signal comes while a module is imported: the command line, the command, or what the command needs.
    code = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {where!r}:
            if {inside}:
                exec("os.kill(os.getpid(), signal.{name})", globals())
            os.kill(os.getpid(), signal.{name})
signal.signal(signal.SIGINT, signal.default_int_handler)
from maskgen.__main__ import main
sys.meta_path.insert(0, Finder())
sys.argv = ["maskgen", "augment", {str(tmp_path / "in")!r}, {str(tmp_path / "out")!r}]
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr.startswith("interrupted")
    assert ended.stderr.count("\n") == 1


def test_resume_overwrite_retry_and_limit_reach_the_run(tree, tmp_path, invoke):
    out = tmp_path / "out"
    assert invoke("augment", tree, out, "--resume").exit_code == 1
    first = json.loads(invoke("augment", tree, out, "--json", "--limit", 1).stdout)
    assert (first["state"], first["taken"], first["left"]) == ("limited", 2, 8)
    assert json.loads(invoke("augment", tree, out, "--json", "--resume").stdout)["taken"] == 8
    assert json.loads(invoke("augment", tree, out, "--json").stdout)["taken"] == 0
    assert json.loads(invoke("augment", tree, out, "--json", "--retry-failed").stdout)["taken"] == 2
    assert invoke("augment", tree, out, "--seed", 5).exit_code == 1
    assert json.loads(invoke("augment", tree, out, "--json", "--seed", 5, "--overwrite").stdout)["taken"] == 10


def test_settings_reach_the_run(tree, tmp_path, invoke):
    out = tmp_path / "out"
    invoke(
        "augment", tree, out, "--seed", 9, "--variants", 2, "--originals", "--copy-skipped", "--faces", "all",
        "--min-face", 3, "--landmarks", 106, "--kind", "cloth", "--tag", "red", "--design", "red", "--save-landmarks",
        "--save", "alpha",
        "--quality", 90, "--max-pixels", 1000000, "--truncated", "keep", "--aligned", "--model", "some",
        "--device", "cuda", "--in-format", "folder", "--out-format", "folder", "--mask-side", "both",
        "--shard-size", 5, "--keep-covered",
        "--wear", "correct=3,nose_out=1", "--recolor", 0.5, "--pattern-dir", tree / "ann", "--pattern-share", 0.2,
    )  # fmt: skip
    settings = manifest.read_run(out / "run.json").settings
    assert {name: settings[name] for name in settings if name not in ("catalog", "pattern_dir")} == {
        "seed": 9, "variants": 2, "originals": True, "copy_skipped": True, "faces": "all", "min_face": 3.0,
        "landmarks": 106, "kinds": ["cloth"], "tags": ["red"], "designs": ["red"], "save": ["alpha", "landmarks"],
        "quality": 90, "max_pixels": 1000000, "truncated": "keep", "aligned": True, "model": "some", "device": "cuda",
        "wear": [["correct", 0.75], ["nose_out", 0.25]], "recolor": 0.5, "pattern_share": 0.2, "masks": True,
        "in_format": "folder", "out_format": "folder", "mask_side": "both", "shard_size": 5, "align": None,
        "keep_covered": True, "small_faces": False,
    }  # fmt: skip


def test_small_faces_are_looked_for_on_demand_and_the_record_says_so(tree, tmp_path, invoke):
    invoke("augment", tree, tmp_path / "out", "--small-faces")
    assert manifest.read_run(tmp_path / "out" / "run.json").settings["small_faces"] is True
    refused = invoke("augment", tree, tmp_path / "crops", "--small-faces", "--aligned")
    assert refused.exit_code == 2
    assert "a crop holds one face" in refused.stderr


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tree, tmp_path, invoke):
    result = invoke("augment", tree, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0
    assert re.search("would mask +9 pictures", result.stdout)
    assert json.loads(invoke("augment", tree, tmp_path / "out", "--dry-run", "--json").stdout)["pending"] == 9
    assert not (tmp_path / "out").exists()


def test_verbose_shows_where_an_unknown_fault_comes_from(tmp_path, invoke, caplog):
    write_picture(tmp_path / "in" / "a.png", "bug")
    write_picture(tmp_path / "in" / "b.png")
    assert invoke("augment", tmp_path / "in", tmp_path / "out", "--verbose").exit_code == 3
    assert "ZeroDivisionError" in caplog.text


def test_the_demo_takes_the_photographs_that_the_dependencies_ship(tmp_path, invoke):
    result = invoke("augment", "--demo", tmp_path / "out", "--json")
    assert result.exit_code == 0
    rows = list(manifest.read(tmp_path / "out" / "manifest.jsonl"))
    assert [row.key for row in rows] == ["Tom_Hanks_54745.png", "astronaut.png", "t1.jpg"]
    record = manifest.read_run(tmp_path / "out" / "run.json")
    assert (record.source, record.settings["faces"]) == ("demo photographs", "all")
    assert json.loads(invoke("augment", "--demo", tmp_path / "out", "--json").stdout)["taken"] == 0


@pytest.mark.skipif(not HAS_PACK, reason="maskgen/packs/bundled holds no detector yet")
def test_the_demo_masks_every_photograph_with_the_bundled_pack(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "maskgen",
            "augment",
            "--demo",
            str(tmp_path / "out"),
            "--json",
            "--quiet",
            "--workers",
            "1",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    summary = json.loads(result.stdout)
    assert (summary["done"], summary["skipped"], summary["failed"]) == (3, 0, 0)
    assert summary["masked"] >= 7  # six people in t1.jpg, of whom one or two turn away, and one in each other
    assert result.stderr == ""


def test_a_missing_demo_photograph_is_named(monkeypatch, invoke, tmp_path):
    monkeypatch.setattr(augment_cli, "DEMO", (("skimage", "data/gone.png"),))
    result = invoke("augment", "--demo", tmp_path / "out")
    assert result.exit_code == 1
    assert "gone.png is missing" in result.stderr


# ---- models


@pytest.fixture
def installed(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", folder)
    return folder


def test_models_list_shows_the_bundled_pack_and_the_installed(installed, invoke):
    (installed / "buffalo_l").mkdir()
    (installed / "buffalo_l" / "det_10g.onnx").write_bytes(b"")
    (installed / "antelopev2").mkdir()
    lines = invoke("models", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["bundled", "antelopev2", "buffalo_l"]
    packs = json.loads(invoke("models", "list", "--json").stdout)
    assert [pack["complete"] for pack in packs[1:]] == [False, True]


def test_models_path_prints_the_folder_or_says_where_it_looked(tmp_path, invoke):
    assert invoke("models", "path", tmp_path).stdout == f"{tmp_path}\n"
    result = invoke("models", "path", "no-such-pack")
    assert result.exit_code == 1
    assert "no-such-pack" in result.stderr


@pytest.fixture
def downloads(monkeypatch, tmp_path):
    """Stands in for the network; gives the list of what was brought."""
    brought = []

    def download(remote, part, on_progress):
        brought.append(remote.url.rpartition("/")[2])
        on_progress(remote.size)
        with zipfile.ZipFile(part, "w") as archive:
            archive.writestr(f"{brought[-1].removesuffix('.zip')}/det.onnx", b"")

    monkeypatch.setattr("maskgen.packs.web.look", lambda url: Remote(url, 12_345_678, '"1"'))
    monkeypatch.setattr("maskgen.packs.web.download", download)
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", tmp_path)
    monkeypatch.setattr("maskgen.packs.fetch.INSTALLED", tmp_path)
    monkeypatch.setattr("maskgen.packs.fetch.KNOWN", dict.fromkeys(KNOWN))
    return brought


def test_models_fetch_says_size_place_and_licence_first_and_downloads_nothing_without_consent(downloads):
    for answer in ("n\n", ""):
        result = CliRunner().invoke(main, ["models", "fetch", "buffalo_l"], input=answer)
        assert result.exit_code == 1
        assert "buffalo_l: 12.3 MB, from https://github.com/deepinsight/insightface/" in result.stderr
        assert "no SHA-256 of it is known: that of what comes is recorded" in result.stderr
        assert "non-commercial research" in result.stderr
        assert ("--yes accepts the terms" in result.stderr) == (not answer)
    assert downloads == []


def test_models_fetch_of_a_pack_that_is_there_asks_nothing_and_uses_no_network(downloads, tmp_path, monkeypatch):
    (tmp_path / "buffalo_l").mkdir()
    (tmp_path / "buffalo_l" / "det.onnx").write_bytes(b"")
    monkeypatch.delattr("maskgen.packs.web.look")
    result = CliRunner().invoke(main, ["models", "fetch", "buffalo_l"])
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'buffalo_l'}\n")
    assert downloads == []


def test_models_fetch_says_what_a_former_fetch_left(downloads, tmp_path, monkeypatch):
    monkeypatch.setattr("maskgen.packs.web.held", lambda remote, part: 2_000_000)
    result = CliRunner().invoke(main, ["models", "fetch", "buffalo_l"], input="n\n")
    assert "12.3 MB, of which 2.0 MB are here from a former fetch" in result.stderr


@pytest.mark.parametrize(("args", "answer"), [(["--yes"], ""), ([], "y\n")])
def test_models_fetch_downloads_with_consent_and_prints_the_folder(downloads, tmp_path, args, answer):
    result = CliRunner().invoke(main, ["models", "fetch", "antelopev2", *args], input=answer)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [str(tmp_path / "antelopev2")]
    assert "no hash to compare it with is known; recorded, and compared by the next fetch" in result.stderr
    assert downloads == ["antelopev2.zip"]
    assert (tmp_path / "antelopev2" / "det.onnx").is_file()  # lifted out of the folder in the archive


def test_models_list_shows_the_hash_of_a_fetched_pack(downloads, tmp_path, invoke):
    assert invoke("models", "fetch", "buffalo_m", "--yes").exit_code == 0
    sha256 = pack_sha256(tmp_path / "buffalo_m")
    assert f"{tmp_path / 'buffalo_m'}  (fetched with SHA-256 {sha256})" in invoke("models", "list").stdout
    rows = json.loads(invoke("models", "list", "--json").stdout)
    assert {("bundled", None), ("buffalo_m", sha256)} <= {(row["name"], row["sha256"]) for row in rows}


def test_models_fetch_explains_a_failed_download_in_one_line(downloads, monkeypatch):
    def fail(url):
        raise ModelError(f"{url}: no route\nto host", "see to it")

    monkeypatch.setattr("maskgen.packs.web.look", fail)
    result = CliRunner().invoke(main, ["models", "fetch", "buffalo_s", "--yes"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: https://github.com/")
    assert result.stderr.endswith("buffalo_s.zip: no route\\nto host; see to it\n")


def test_version_is_printed(invoke):
    assert invoke("--version").stdout.startswith("maskgen 0.")


@pytest.mark.parametrize("columns", [None, 40])
def test_no_cell_of_a_table_is_cut_off_however_narrow_the_terminal(monkeypatch, capsys, columns):
    rows = [("a" * 30, "1" * 20, "word " * 30), ("b", "2", "end")]
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(console, "_is_terminal", lambda: True)
    console.table(rows, header=("name", "number", "text"), right=(1,))
    printed = capsys.readouterr().out
    assert "a" * 30 + "  " + "1" * 20 in printed
    assert printed.count("word") == 30
    assert len(printed.splitlines()) == (3 if columns is None else printed.count("\n"))
    assert not any(line != line.rstrip() for line in printed.splitlines())


# ---- one picture


def test_one_picture_becomes_one_picture_encoded_as_its_name_says(tmp_path, invoke):
    write_picture(tmp_path / "me.png")
    result = invoke("augment", tmp_path / "me.png", tmp_path / "masked.jpg")
    assert result.exit_code == 0
    assert "1 picture to" in result.stdout
    with Image.open(tmp_path / "masked.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (200, 200))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["masked.jpg", "me.png"]


def test_one_picture_is_never_overwritten_unasked_nor_written_over_itself(tmp_path, invoke):
    write_picture(tmp_path / "me.png")
    (tmp_path / "there.jpg").write_bytes(b"mine")
    before = (tmp_path / "me.png").read_bytes()
    assert "is there already" in invoke("augment", tmp_path / "me.png", tmp_path / "there.jpg").stderr
    assert (tmp_path / "there.jpg").read_bytes() == b"mine"
    assert invoke("augment", tmp_path / "me.png", tmp_path / "there.jpg", "--overwrite").exit_code == 0
    assert "never written to" in invoke("augment", tmp_path / "me.png", tmp_path / "me.png", "--overwrite").stderr
    assert (tmp_path / "me.png").read_bytes() == before


def test_one_picture_that_gets_no_mask_is_an_error_that_says_why(tmp_path, invoke):
    write_picture(tmp_path / "me.png", "no_face")
    result = invoke("augment", tmp_path / "me.png", tmp_path / "masked.png")
    assert result.exit_code == 1
    assert "me.png: no mask was put on it: no_face" in result.stderr
    assert not (tmp_path / "masked.png").exists()


@pytest.mark.parametrize("options", [["--variants", "2"], ["--originals"], ["--copy-skipped"]])
def test_one_picture_gives_one(tmp_path, invoke, options):
    write_picture(tmp_path / "me.png")
    assert invoke("augment", tmp_path / "me.png", tmp_path / "masked.png", *options).exit_code == 2
    assert invoke("augment", tmp_path / "me.png", tmp_path / "folder").exit_code == 2
