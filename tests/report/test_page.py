"""The page on runs and trainings: what it tells is what the manifest says, and it holds all that it shows."""

import html.parser
import json
import re

import pytest
from fakes import mask, write_picture
from metrics_files import metrics

from maskgen import manifest
from maskgen.errors import ConfigError
from maskgen.report import charts
from maskgen.report.examples import GALLERY, PER_REASON, Examples
from maskgen.report.page import page, run_of


class Parsed(html.parser.HTMLParser):
    """Elements of a page: their names and attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def masked(job_of, tree, tmp_path):
    """A run over all that can happen to a picture."""
    mask(job_of(tree))
    return tmp_path / "out"


def test_the_page_tells_totals_and_reasons_with_examples(masked):
    section = run_of(masked)
    rows = list(manifest.read(masked / "manifest.jsonl"))
    assert section.stats.inputs == len(rows)
    assert section.stats.done == sum(row.status == "done" for row in rows)
    told = {(one.status, one.reason): one for one in section.reasons}
    for row in rows:
        if row.reason is not None:
            one = told[row.status, row.reason]
            assert one.number == sum(other.reason == row.reason for other in rows)
            assert {example.key for example in one.examples} <= {r.key for r in rows if r.reason == row.reason}
    # Failures come first.
    statuses = [one.status for one in section.reasons]
    assert statuses == sorted(statuses)
    text = Parsed(page([masked])).text
    assert "failed: bad_image" in text
    assert "broken.jpg" in text


def test_pictures_are_shown_before_and_after(masked):
    section = run_of(masked)
    assert len(section.gallery) == section.stats.done
    for one in section.gallery:
        assert one.before.startswith("data:image/jpeg;base64,")
        assert one.after.startswith("data:image/jpeg;base64,")
        assert one.before != one.after


def test_the_page_is_whole_in_itself_and_every_picture_has_words(masked):
    text = page([masked])
    parsed = Parsed(text)
    assert parsed.open == []
    assert all(image["src"].startswith("data:") and image["alt"] for image in parsed.all("img"))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in parsed.all("svg"))
    assert all(control["aria-label"] for control in parsed.all("input"))
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert parsed.all("html") == [{"lang": "en"}]
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_names_from_files_are_text_and_nothing_else(job_of, tmp_path):
    write_picture(tmp_path / "in" / "<script>alert(1)<" / 'a&b".png')
    write_picture(tmp_path / "in" / "x" / "<img src=x>.png", "no_face")
    mask(job_of(tmp_path / "in"))
    parsed = Parsed(page([tmp_path / "out"]))
    assert len(parsed.all("script")) == 1
    assert all(image["src"].startswith("data:") for image in parsed.all("img"))
    assert "<img src=x>.png" in parsed.text


def test_without_the_input_only_what_was_written_is_shown(masked, tree):
    import shutil

    shutil.rmtree(tree)
    section = run_of(masked)
    assert all(one.before is None and one.after for one in section.gallery)
    assert "masked: ann/1.jpg" in page([masked])


@pytest.mark.parametrize("out_format", ["webdataset", "recordio"])
def test_pictures_in_containers_are_shown_too(out_format, job_of, tmp_path):
    for name in ("ann/1.png", "bob/2.png"):
        write_picture(tmp_path / "in" / name)
    size = {"align": 112, "faces": "central"} if out_format == "recordio" else {}
    mask(job_of(tmp_path / "in", out_format=out_format, **size))
    section = run_of(tmp_path / "out")
    assert len(section.gallery) == 2
    assert all(one.before and one.after for one in section.gallery)
    # And a run from such a container.
    mask(job_of(tmp_path / "out", "again", in_format=out_format, aligned=out_format == "recordio"))
    again = run_of(tmp_path / "again")
    assert all(one.before and one.after for one in again.gallery)


def test_a_run_that_has_not_ended_says_so(job_of, tree, tmp_path):
    mask(job_of(tree, execution={"limit": 2}))
    assert "has not ended (limited)" in Parsed(page([tmp_path / "out"])).text


def test_of_many_rows_some_are_drawn_and_the_worst_are_kept(masked):
    (done, *_) = [row for row in manifest.read(masked / "manifest.jsonl") if row.status == "done"]
    chosen = Examples()
    for number in range(500):
        face = done.faces[0].model_copy(update={"score": 0.5 + number / 1000})
        chosen.offer(done.model_copy(update={"key": f"{number:03}", "faces": (face, *done.faces[1:])}))
        chosen.offer(done.model_copy(update={"key": f"x{number}", "status": "skipped", "reason": "no_face"}))
    assert len(chosen.gallery) == GALLERY
    ((_, reason, number, examples),) = chosen.reasons()
    assert (reason, number, len(examples)) == ("no_face", 500, PER_REASON)
    assert [row.key for _, row in chosen.unsure] == ["000", "001", "002", "003", "004", "005"]
    # Drawn from all over, and the same each time.
    assert max(int(row.key) for row in chosen.gallery) > 250


def test_a_training_shows_figures_and_curves(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics()))
    parsed = Parsed(page([tmp_path / "run"]))
    assert "none, trained" in parsed.text
    assert "97.5 %" in parsed.text
    labels = " ".join(svg["aria-label"] for svg in parsed.all("svg"))
    assert "Loss by step: loss, margin" in labels
    assert "TAR at FAR by FAR: base, mask none, trained, mask none" in labels


def points_drawn(text, name):
    """How many points the line of this name has."""
    line = re.search(rf'<polyline class="line c\d" points="([^"]*)"><title>{name}</title>', text)
    return len(line[1].split())


def test_a_training_and_an_evaluation_draw_their_roc_and_old_ones_the_rates_that_they_have(tmp_path):
    found = metrics()
    roc = [[number / 100, number / 200 + 0.5 * (number > 0)] for number in range(101)]
    measured = {"pairs": "pairs.txt", "seed": 3, "left_out": {}, "rows": [{**found["before"][0], "roc": roc}]}
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "eval.json").write_text(json.dumps(measured))
    (tmp_path / "run").mkdir()
    found["after"][0]["roc"] = roc
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(found))
    text = page([tmp_path / "run", tmp_path / "measured"])
    assert points_drawn(text, "base, mask none") == 2
    assert points_drawn(text, "trained, mask none") == 100  # FAR 0 has no place on a logarithmic axis
    assert points_drawn(text, "m, mask none") == 100
    parsed = Parsed(text)
    assert parsed.open == []
    assert "measured: evaluation" in parsed.text
    assert "90.0 %" in parsed.text


def test_an_evaluation_shows_fnmr_at_the_threshold_of_unmasked_pairs_and_says_what_that_is(tmp_path):
    row = metrics()["before"][0]
    at_bare = {"bare_fmr": 0.0125, "threshold": 0.3, "fnmr": 0.4321, "fmr": 0.01}
    row["figures"]["at_bare"] = at_bare
    measured = {"pairs": "pairs.txt", "seed": 3, "left_out": {}, "rows": [row]}
    (tmp_path / "eval.json").write_text(json.dumps(measured))
    text = Parsed(page([tmp_path])).text
    assert "FNMR@T" in text
    assert "43.2 %" in text
    assert "threshold at FMR 0.013 on the pairs with no masks put on" in text
    row["figures"]["at_bare"] = None  # as in files of schema 1
    (tmp_path / "eval.json").write_text(json.dumps(measured))
    text = Parsed(page([tmp_path])).text
    assert "43.2 %" not in text
    assert "T: " not in text


def test_an_evaluation_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "eval.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"eval\.json"):
        page([tmp_path])


def test_what_is_no_output_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"no run\.json"):
        page([tmp_path])
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"metrics\.json"):
        page([tmp_path])


def test_lines_pass_through_their_points_and_leave_out_what_is_no_number():
    chart = charts.lines("t", "x", [("a", [(0, 0.0), (1, float("nan")), (2, 1.0)])])
    assert chart.lines[0].points == f"0.0,{charts.HEIGHT}.0 {charts.WIDTH}.0,0.0"
    log = charts.lines("t", "x", [("a", [(0, 0.5), (1e-4, 0.0), (1e-2, 1.0)])], log_x=True)
    assert [tick.label for tick in log.x_ticks][:: len(log.x_ticks) - 1] == ["0.0001", "0.01"]
    assert charts.lines("t", "x", [("a", [])]).lines == ()


def test_thousands_of_points_are_drawn_as_hundreds():
    chart = charts.lines("t", "x", [("a", [(step, step / 2) for step in range(10_000)])])
    assert len(chart.lines[0].points.split()) <= 600
