"""Protocols and the sets that are made, from the command line; figures worked out by hand."""

import hashlib
import json
import re
from csv import DictReader
from importlib.resources import files
from itertools import pairwise
from typing import get_args

import colours
import pytest
from click.testing import CliRunner
from fakes import FakeDetectors, write_picture

pytest.importorskip("matplotlib", reason="evaluation needs the extra [eval]")

from maskgen.cli.eval import evaluate as eval_cli
from maskgen.datasets import protocols
from maskgen.evaluate import make, results
from maskgen.evaluate.results import EvalReport
from maskgen.parallel import InProcess
from maskgen.run import job as running
from maskgen.run.settings import Execution

# Degrees between red and green: the network sees nothing else. Genuine pairs lie 10, 20, 30 and 100 apart, impostors
# 130, 70, 140 and 50: of 16 comparisons 100 loses to 70 and 50. Up to 50, one impostor is accepted, one genuine not.
ANGLES = {"Ann": (0, 10), "Bo": (40, 60), "Cy": (100, 130), "Di": (200, 300)}
IMPOSTORS = (("Ann", 1, "Cy", 2), ("Cy", 2, "Di", 1), ("Bo", 2, "Di", 1), ("Ann", 2, "Bo", 2))
AUC, EER = 14 / 16, 1 / 4
# Best on the other fold is any threshold that accepts up to 20 degrees: in each fold one genuine pair is then rejected.


def lfw_lines():
    folds = [(("Ann", "Bo"), IMPOSTORS[:2]), (("Cy", "Di"), IMPOSTORS[2:])]
    for genuine, impostors in folds:
        yield from (f"{name}\t1\t2" for name in genuine)
        yield from ("\t".join(map(str, pair)) for pair in impostors)


def flat_lines():
    for line in lfw_lines():
        parts = line.split("\t")
        first, second = (parts[0], parts[1]), (parts[-2] if len(parts) == 4 else parts[0], parts[-1])
        label = 2 if len(parts) == 3 else 0
        yield from (f"{name}_{int(number):04d}.jpg {label}" for name, number in (first, second))


def lfw(root):
    (root / "lfw").mkdir(parents=True)
    (root / "pairs.txt").write_text("2\t2\n" + "\n".join(lfw_lines()) + "\n")
    pictures(root / "lfw", "{0}/{0}_{1:04d}.png")


def mfr2(root):
    root.mkdir()
    (root / "pairs.txt").write_text("\n".join(line.replace("\t", " ") for line in lfw_lines()))
    (root / "mfr2_labels.txt").write_text("Ann,1,unmasked\n")
    pictures(root, "{0}/{0}_{1:04d}.png")


def calfw(root):
    root.mkdir()
    (root / "pairs_CALFW.txt").write_text("\n".join(flat_lines()))
    pictures(root / "aligned images", "{0}_{1:04d}.png")


def pictures(folder, pattern):
    for name, angles in ANGLES.items():
        for number, angle in enumerate(angles, start=1):
            colours.picture(folder / pattern.format(name, number), angle)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return colours.network(tmp_path_factory.mktemp("model") / "colour.onnx")


def call(*args):
    return CliRunner().invoke(eval_cli, list(map(str, args)))


@pytest.mark.parametrize("lay", [lfw, mfr2, calfw])
def test_a_protocol_gives_the_figures_worked_out_by_hand_and_says_what_it_took(lay, model, tmp_path):
    lay(tmp_path / "root")
    name = lay.__name__
    result = call(model, "--protocol", name, "--root", tmp_path / "root", "--out", tmp_path / "out", "--threads", 1)
    assert result.exit_code == 0, result.output
    published = 848 if name == "mfr2" else 6000
    assert re.search(
        rf"protocol +{name}: 8 pairs of .*pairs.*txt, which was published with {published}; pictures in", result.stderr
    )
    report = EvalReport.model_validate_json((tmp_path / "out" / "eval.json").read_bytes())
    (row,) = report.rows
    found = row.figures
    assert (found.genuine, found.impostor, row.left_out) == (4, 4, 0)
    assert (found.auc, found.eer) == pytest.approx((AUC, EER))
    # The first picture of each person is the gallery: of 10, 60, 130 and 300 degrees, 10 is nearest to Ann's 0, 60 to
    # Bo's 40, 130 to Cy's 100, and 300 to Ann's, which is 60 away, as Di's is 100.
    assert (found.rank1, found.probes, found.gallery) == (0.75, 4, 4)
    assert report.protocol == name
    assert report.bootstrap.reason == "4 people, 10 needed"
    assert found.folds == (4 if name != "lfw" else 2)


def test_the_folds_of_lfw_are_those_of_its_first_line(model, tmp_path):
    lfw(tmp_path)
    found = json.loads(call(model, "--protocol", "lfw", "--root", tmp_path, "--json").stdout)["rows"][0]["figures"]
    # Fold 0: genuine 10, 20; impostors 130, 70. Fold 1: 30, 100; 140, 50. The first threshold that is best on fold 1
    # accepts 30 and no 50: all right in fold 0. That of fold 0 accepts 20 and no 30: half of fold 1.
    assert (found["accuracy"], found["accuracy_std"], found["folds"]) == pytest.approx((0.75, 0.25, 2))


@pytest.mark.parametrize(
    "args",
    [
        ["--protocol", "lfw"],
        ["--protocol", "lfw", "--root", "x", "--pairs", "y"],
        ["--protocol", "lfw", "--bin", "x"],
        ["--protocol", "ijbc", "--root", "x"],
        ["--make", "lfw-sm"],
        ["--make", "lfw-sm", "out", "--root", "x"],
        ["--make", "lfw-sm", "out", "--mask", "both"],
        ["--make", "lfw-sm", "out", "--out", "x"],
    ],
)
def test_wrong_usage_of_protocols_is_refused(args, model):
    assert call(model, *args).exit_code == 2


def test_the_error_of_a_protocol_names_options(model, tmp_path):
    result = call(model, "--protocol", "calfw", "--root", tmp_path)
    assert result.exit_code == 1
    assert re.search(r"no pairs_CALFW\.txt in it.*set --pairs to it", result.stderr)


# ---- what is written


@pytest.fixture(scope="module")
def measured(model, tmp_path_factory):
    """A report with intervals: twelve people, whose pictures lie 5 degrees apart."""
    root = tmp_path_factory.mktemp("twelve")
    for person in range(12):
        for take in range(2):
            colours.picture(root / f"p{person:02d}" / f"{take}.png", 30 * person + 5 * take)
    pairs = [f"p{n:02d}/0.png p{n:02d}/1.png 1\n" for n in range(12)]
    pairs += [f"p{one:02d}/0.png p{other:02d}/1.png 0\n" for one, other in pairwise([*range(12), 0])]
    (root / "pairs.txt").write_text("".join(pairs))
    result = call(model, "--pairs", root / "pairs.txt", "--root", root, "--out", root / "out", "--resamples", 50)
    assert result.exit_code == 0, result.output
    return root


def test_a_report_is_written_as_json_markdown_and_csv_with_intervals(measured):
    report = results.EvalReport.model_validate_json((measured / "out/eval.json").read_bytes())
    found = report.rows[0].figures
    assert (report.bootstrap.resamples, report.bootstrap.people, report.schema_version) == (50, 12, 2)
    (row,) = DictReader((measured / "out/eval.csv").read_text().splitlines())
    assert (row["mask"], row["by"], row["genuine"]) == ("none", "all", "12")
    assert (float(row["auc"]), float(row["auc_low"]), float(row["auc_high"])) == (found.auc, *found.intervals["auc"])
    assert row["tar@0.001"] == ""
    text = (measured / "out/eval.md").read_text()
    low, high = (100 * end for end in found.intervals["eer"])
    assert f"{100 * found.eer:.2f} [{low:.2f}, {high:.2f}]" in text
    assert "- intervals: 95 %, 50 resamples of 12 people" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "- refused: threshold of unmasked pairs: 12 impostor pairs, 100 needed" in text


@pytest.mark.parametrize(
    ("form", "begins"), [("markdown", "# Verification: "), ("csv", "model,mask,by,"), ("json", "{")]
)
def test_what_is_printed_has_the_form_that_was_asked_for(form, begins, measured, model):
    result = call(
        model, "--pairs", measured / "pairs.txt", "--root", measured, "--format", form, "--resamples", 0
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(begins)


def test_reports_of_schema_1_are_read():
    rate = {"far": 0.01, "rate": None, "reason": "36 impostor pairs, 1000 needed"}
    figures = {"genuine": 1, "impostor": 2, "accuracy": None, "accuracy_std": None, "auc": 1.0, "eer": 0.0}
    figures |= {"tar_at_far": [rate], "fmr100": rate, "fmr1000": rate}
    rows = [{"model": "m", "condition": "none", "left_out": 0, "figures": figures}]
    old = {"schema_version": 1, "pairs": "pairs.txt", "seed": 0, "left_out": {}, "rows": rows}
    report = EvalReport.model_validate(old)
    assert (report.bootstrap, report.rows[0].figures.at_bare, report.rows[0].parts) == (None, None, ())
    with pytest.raises(ValueError, match="schema_version"):
        EvalReport.model_validate(old | {"schema_version": 3})


# ---- LFW with simulated masks


@pytest.fixture
def small_lfw(tmp_path):
    for person, kinds in {"Ann": ("face", "face"), "Bo": ("face", "face"), "Cy": ("face", "no_face")}.items():
        for number, kind in enumerate(kinds, start=1):
            write_picture(tmp_path / f"in/lfw/{person}/{person}_{number:04d}.jpg", kind)
    listed = "1\t2\nAnn\t1\t2\nBo\t1\t2\nAnn\t1\tBo\t1\nBo\t2\tCy\t2\n"
    (tmp_path / "in/pairs.txt").write_text(listed)
    return tmp_path / "in"


@pytest.fixture
def made(small_lfw, catalog_dir, monkeypatch):
    """Calls --make, with a detector that needs no model and a catalog that is small."""
    job_of = make.job_of

    def fake(*args):
        job = job_of(*args)
        assert job.settings.catalog == ("shipped",)
        settings = job.settings.model_copy(update={"catalog": (str(catalog_dir),)})
        return running.Job(job.source, job.target, settings, Execution(1), None, FakeDetectors())

    run = running.run
    monkeypatch.setattr(make, "job_of", fake)
    monkeypatch.setattr("maskgen.run.run", lambda job, *args, **options: run(job, *args, InProcess(), **options))

    def call_it(out, *args, source=small_lfw):
        result = call("--make", "lfw-sm", source, out, *args)
        assert result.exit_code == 0, result.output
        return result

    return call_it


def test_masked_lfw_is_the_same_from_the_same_seed_and_its_hashes_tell(made, tmp_path, small_lfw):
    said = [made(tmp_path / name, "--seed", seed, "--json") for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    one, same, other = (json.loads(result.stdout) for result in said)
    assert one["sums_sha256"] == same["sums_sha256"] != other["sums_sha256"]
    assert (one["pictures"], one["without_mask"], one["reasons"], one["pairs"]) == (5, 1, {"no_face": 1}, 4)
    assert one["settings"]["seed"] == 3
    sums = (tmp_path / "a/SHA256SUMS").read_text()
    assert hashlib.sha256(sums.encode()).hexdigest() == one["sums_sha256"]
    named = dict(line.split("  ")[::-1] for line in sums.splitlines())
    assert set(named) == {"pairs.txt", *(str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*.jpg"))}
    for name, digest in named.items():
        assert hashlib.sha256((tmp_path / "a" / name).read_bytes()).hexdigest() == digest
    assert json.loads((tmp_path / "a/lfw-sm.json").read_text()) == one
    assert (tmp_path / "a/pairs.txt").read_bytes() == (small_lfw / "pairs.txt").read_bytes()
    bare, masked = ((root / "Ann/Ann_0001.jpg").read_bytes() for root in (small_lfw / "lfw", tmp_path / "a/lfw-sm"))
    assert bare != masked


def test_masked_lfw_is_read_as_the_protocol_that_it_is_of(made, tmp_path):
    said = made(tmp_path / "out").stdout
    assert re.search(r"pictures +5, without a mask and left out 1: no_face 1", said)
    found = protocols.find("lfw", tmp_path / "out")
    assert found.folder == tmp_path / "out/lfw-sm"
    assert found.pairs.missing == {"Cy/Cy_0002.jpg"}
    assert made(tmp_path / "out").stdout == said, "the same command again changes nothing"


@pytest.mark.parametrize("out", ["in", "in/lfw", "in/lfw/out", "in/out", "others"])
def test_masked_lfw_is_never_written_into_its_input_nor_over_files_of_others(out, small_lfw, tmp_path):
    (tmp_path / "others").mkdir()
    (tmp_path / "others/pairs.txt").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = call("--make", "lfw-sm", small_lfw, tmp_path / out)
    assert result.exit_code == 1
    assert re.search("which is never written to|pairs.txt: is there already", result.stderr)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_masked_lfw_may_lie_beside_its_input(made, small_lfw, tmp_path, monkeypatch):
    monkeypatch.chdir(small_lfw)
    made("out", source="lfw/")
    assert (small_lfw / "out/lfw-sm/Ann/Ann_0001.jpg").is_file()
    for taken in (".", "lfw"):
        result = call("--make", "lfw-sm", "lfw/", taken)
        assert (result.exit_code, "which is never written to" in result.stderr) == (1, True)


def test_another_seed_in_the_same_folder_is_refused(made, tmp_path, small_lfw):
    made(tmp_path / "out", "--seed", 1)
    sums = (tmp_path / "out/SHA256SUMS").read_bytes()
    result = call("--make", "lfw-sm", small_lfw, tmp_path / "out", "--seed", 2)
    assert result.exit_code == 1
    assert "seed: 1 then, 2 now" in result.stderr
    assert "existing" not in result.stderr, "there is no such option"
    assert "make it as before to go on with it, delete it to start anew, or choose another folder" in result.stderr
    assert (tmp_path / "out/SHA256SUMS").read_bytes() == sums


# ---- what is documented


def test_every_option_of_eval_is_explained_in_its_topic():
    text = (files("maskgen") / "topics/evaluation.md").read_text()
    options = {name for param in eval_cli.params for name in param.opts if name.startswith("--")}
    assert {name for name in options if not re.search(rf"{name}\b", text)} == set()


def test_the_parts_of_a_report_are_named_in_its_topic_as_they_are_printed():
    text = (files("maskgen") / "topics/evaluation.md").read_text()
    for name in get_args(protocols.Protocol):
        assert re.search(rf"^\| .*`{name}`", text, re.MULTILINE)
        for of_it in (*protocols.LAYOUTS[name].lists, *protocols.LAYOUTS[name].folders):
            assert of_it in text
