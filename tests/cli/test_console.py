"""What the console prints: nothing that a terminal would obey, whatever it is handed."""

import io
import json
import logging
import subprocess
import sys
import unicodedata

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from maskgen.cli import console, main
from maskgen.cli.text import shown
from maskgen.errors import MaskgenError

HARMFUL = {
    "a clear screen": ("\x1b[2J", r"\x1b[2J"),
    "a title": ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
    "C1 controls": ("\x9b2J\x85", r"\x9b2J\x85"),
    "a return to the line's start": ("done\rlost", r"done\rlost"),
    "a line break": ("a\nerror: b", r"a\nerror: b"),
    "line separators": ("a\u2028b\u2029", r"a\u2028b\u2029"),
    "a tab": ("a\tb", r"a\tb"),
    "a zero byte": ("a\0", r"a\x00"),
    "delete": ("a\x7f", r"a\x7f"),
    "text turned round": ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
    "an invisible tag": ("a\U000e0041", r"a\U000e0041"),
    "bytes that are no text": ("a\udcff", r"a\udcff"),
}
LETTERS = "Zoë Ωμέγα Юлия 山田 שלום نیم‌فاصله 👩‍🔬 é"


def spoken(act):
    """(stdout, stderr) of a command that does this."""
    result = CliRunner().invoke(click.Command("x", callback=act), standalone_mode=True, catch_exceptions=False)
    return result.stdout, result.stderr


def said_by_error(text):
    def fail():
        raise MaskgenError(text)

    return CliRunner().invoke(console.Command("x", callback=fail)).stderr


@pytest.mark.parametrize(("harmful", "shown"), HARMFUL.values(), ids=HARMFUL.keys())
def test_what_a_terminal_would_obey_is_escaped_wherever_it_is_printed(harmful, shown):
    assert spoken(lambda: console.answer(harmful)) == (f"{shown}\n", "")
    assert spoken(lambda: console.note(harmful)) == ("", f"{shown}\n")
    assert said_by_error(harmful) == f"error: {shown}\n"
    table = spoken(lambda: console.table([("file", harmful)], header=("what", harmful)))[0]
    assert table.count(shown) == 2
    assert len(table.splitlines()) == 2

    def advance():
        console._Lines(harmful, iter([0.0, 10.0]).__next__).show(console.Advance(1, 2))

    assert spoken(advance) == ("", f"{shown}: 1 of 2, 0.1/s, 10 s left\n")


@pytest.mark.parametrize("harmful", [harmful for harmful, _ in HARMFUL.values()], ids=HARMFUL.keys())
def test_json_stays_json_and_holds_nothing_that_a_terminal_would_obey(harmful):
    value = {harmful: [harmful, LETTERS], "n": 1}
    for indent in (None, 1):
        out, _ = spoken(lambda: console.answer_json(value, indent=indent))  # noqa: B023
        assert json.loads(out) == value
        assert LETTERS in out
        assert all(character == "\n" or not is_harmful(character) for character in out)


def is_harmful(character):
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\u200c\u200d"


@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_at_all_is_one_line_that_can_be_encoded(text):
    said = shown(text)
    said.encode()
    assert len(said.splitlines()) <= 1
    assert not any(map(is_harmful, said))


def test_the_log_is_escaped_line_by_line(monkeypatch):
    # Or pytest keeps the line, and cannot hand it from one process to another.
    monkeypatch.setattr(logging.getLogger("maskgen"), "propagate", False)
    console.show_log()
    log = logging.getLogger("maskgen.some.room")
    try:
        assert spoken(lambda: log.error("a\x1b[2J\nb\udcff")) == ("", "a\\x1b[2J\nb\\udcff\n")
    finally:
        parent = logging.getLogger("maskgen")
        parent.handlers.clear()
        parent.setLevel(logging.NOTSET)


def test_letters_of_any_script_stay_as_they_are():
    assert shown(LETTERS) == LETTERS


def test_letters_that_the_output_cannot_hold_are_escaped_and_stop_nothing():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert shown("Zoë 山", stream) == r"Zo\xeb \u5c71"


def lines_of(steps):
    """What is said of (second, Advance)."""
    clock = iter([0.0, *(second for second, _ in steps)])
    lines = console._Lines("pictures", clock.__next__)
    return spoken(lambda: [lines.show(now) for _, now in steps])[1].splitlines()


def test_without_a_terminal_a_line_every_ten_seconds_tells_rate_and_time_left_and_failures():
    steps = [(second, console.Advance(10 * second, 1000, skipped=second, failed=second // 5)) for second in range(25)]
    assert lines_of(steps) == [
        "pictures: 100 of 1000, 10.0/s, 90 s left, skipped 10, failed 2",
        "pictures: 200 of 1000, 10.0/s, 80 s left, skipped 20, failed 4",
    ]


def test_the_end_gets_a_line_where_the_way_there_had_some():
    assert lines_of([(1, console.Advance(5, 10)), (2, console.Advance(10, 10))]) == []
    long = [(11, console.Advance(5, 10)), (12, console.Advance(10, 10)), (13, console.Advance(10, 10))]
    assert lines_of(long)[1:] == ["pictures: 10 of 10, 0.8/s"]


def test_what_takes_long_each_tells_how_long():
    assert lines_of([(28, console.Advance(2, 10))]) == ["pictures: 2 of 10, 14 s each, 2 min left"]


def test_a_job_of_unknown_length_tells_how_far_it_is():
    assert lines_of([(20, console.Advance(100, None))]) == ["pictures: 100 of unknown, 5.0/s"]


def test_quiet_shows_no_progress_but_warnings(monkeypatch):
    @click.command(cls=console.Command)
    @console.quiet_option
    def job():
        console.note("a warning")
        console.tell("a step")
        with console.progress("pictures") as show:
            show(console.Advance(1, 2))

    monkeypatch.setattr(console, "_EVERY", 0.0)
    assert CliRunner().invoke(job, ["--quiet"]).stderr == "a warning\n"
    assert "a step\npictures: 1 of 2" in CliRunner().invoke(job, []).stderr


def test_a_bar_takes_its_label_as_it_is(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")

    def advance():
        with console.progress("[/red] \x1b[2J") as show:
            show(console.Advance(1, 2))

    assert "\x1b[2J" not in spoken(advance)[1].replace("\x1b[2K", "")
    assert r"[/red] \x1b[2J" in spoken(advance)[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--\x1b[2J",),
        ("\x1b[2J",),
        ("catalog", "\x1b[2J"),
        ("catalog", "list", "--\x1b[2J"),
        ("catalog", "list", "--kind", "\x1b[2J"),
        ("catalog", "list", "--catalog", "\x1b[2J"),
        ("catalog", "list", "\x1b[2J\udcff"),
        ("catalog", "render", "--colour", "\x1b[2J"),
        ("catalog", "export", "x.zip", "\x1b[2J"),
        ("help", "\x1b[2J"),
    ],
)
def test_wrong_usage_and_errors_quote_the_command_line_escaped(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert "\x1b" not in result.output
    assert r"\x1b[2J" in result.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_a_file_name_that_is_no_text_does_not_keep_the_error_from_being_printed(tmp_path):
    command = [sys.executable, "-m", "maskgen", "catalog", "list", "--catalog", bytes(tmp_path) + b"/\xff\x1b[2J"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert rb"\udcff\x1b[2J" in done.stderr
    assert b"\x1b" not in done.stderr
    assert b"Traceback" not in done.stderr
