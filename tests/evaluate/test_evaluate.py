"""Figures of verification: checked against numbers worked out by hand, and against InsightFace's protocol."""

import io
import json
import pickle
import re
import warnings

import numpy as np
import people
import pytest
from click.testing import CliRunner
from fakes import mask
from PIL import Image
from strategies import face_at

pytest.importorskip("matplotlib", reason="evaluation needs the extra [eval]")

from maskgen.cli.eval import evaluate as eval_cli
from maskgen.datasets import listing, pairkeys, pairlists
from maskgen.datasets.pairs import consecutive_folds, write_pairs
from maskgen.detect import DetectorSpec
from maskgen.errors import ConfigError
from maskgen.evaluate import embed, figures, pairs, results
from maskgen.face import HeadPose
from maskgen.parallel import InProcess
from maskgen.recognition import faces

# Five genuine pairs, five impostors.
SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.6, 0.35, 0.2, 0.1, 0.0])
IS_SAME = np.array([True] * 5 + [False] * 5)

# ---- figures by hand


def test_the_roc_by_hand():
    curve = figures.roc(SCORES, IS_SAME)
    assert curve.far.tolist() == [0, 0, 0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.8, 1]
    assert curve.tar.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.6, 0.8, 0.8, 1, 1, 1, 1])


def test_the_area_by_hand():
    # Of 25 comparisons of a genuine pair with an impostor, 0.4 and 0.3 lose to 0.6, 0.3 loses to 0.35.
    assert figures.measure(SCORES, IS_SAME).auc == pytest.approx(22 / 25)


def test_the_equal_error_rate_by_hand():
    # At 0.4: FAR 1/5, FNMR 1/5.
    assert figures.equal_error_rate(figures.roc(SCORES, IS_SAME)) == pytest.approx(0.2)


def test_the_equal_error_rate_between_two_thresholds_lies_on_their_line():
    # FAR, FNMR: (0, 1/2) at 0.9; (1/3, 1/2) at 0.5; (2/3, 1/2) at 0.4: FAR meets 1/2 half way.
    scores, is_same = np.array([0.9, 0.1, 0.5, 0.4, 0.3]), np.array([True, True, False, False, False])
    assert figures.equal_error_rate(figures.roc(scores, is_same)) == pytest.approx(0.5)


@pytest.mark.parametrize(("scores", "rate"), [([0.9, 0.8, 0.1, 0.2], 0.0), ([0.1, 0.2, 0.8, 0.9], 1.0)])
def test_the_equal_error_rate_of_a_perfect_and_of_a_perverse_network(scores, rate):
    is_same = np.array([True, True, False, False])
    assert figures.equal_error_rate(figures.roc(np.array(scores), is_same)) == pytest.approx(rate)


def test_tar_at_far_by_hand():
    curve = figures.roc(SCORES, IS_SAME)
    for far, tar in ((0.1999, 0.6), (0.2, 0.8), (0.4, 1.0)):
        assert figures.tar_at(curve, far, 10**9).rate == pytest.approx(tar)


@pytest.mark.parametrize(("impostors", "is_given"), [(999, False), (1000, True), (1001, True)])
def test_a_far_is_refused_under_ten_impostors_a_unit(impostors, is_given):
    found = figures.tar_at(figures.roc(SCORES, IS_SAME), 1e-2, impostors)
    assert (found.rate is not None) == is_given
    assert is_given or found.reason == "999 impostor pairs, 1000 needed"


def test_fmr100_by_hand():
    # 1000 impostors 0.000 ... 0.999, 10 genuine: above the ten highest impostors lie 4 of them.
    impostors = np.arange(1000) / 1000
    genuine = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.9905, 0.9915, 0.9925, 0.9985])
    found = figures.measure(np.r_[genuine, impostors], np.r_[np.ones(10, bool), np.zeros(1000, bool)])
    assert found.fmr100.rate == pytest.approx(0.6)
    assert found.fmr1000.rate is None
    assert (found.genuine, found.impostor) == (10, 1000)


def naive_folds(distances, is_same, number):
    """InsightFace's evaluation, written out: KFold without shuffling, 400 thresholds, strictly below."""
    from sklearn.model_selection import KFold

    accuracies = []
    for train, test in KFold(number, shuffle=False).split(distances):
        best = max(np.arange(0, 4, 0.01), key=lambda t: (((distances[train] < t) == is_same[train]).mean(), -t))
        accuracies.append(((distances[test] < best) == is_same[test]).mean())
    return np.array(accuracies)


@pytest.mark.parametrize("number", [60, 63])
def test_ten_folds_are_insightfaces(number):
    rng = np.random.default_rng(0)
    is_same = rng.random(number) < 0.5
    distances = np.where(is_same, rng.normal(1.1, 0.4, number), rng.normal(1.7, 0.4, number)).clip(0, 4)
    found = figures.fold_accuracies(distances, is_same, consecutive_folds(number))
    assert found == pytest.approx(naive_folds(distances, is_same, 10))


def test_two_folds_by_hand():
    distances = np.array([0.505, 1.505, 0.705, 1.205])
    is_same = np.array([True, False, True, False])
    # From the second fold the threshold is 0.71, good for the first; from the first 0.51, which rejects 0.705.
    assert figures.fold_accuracies(distances, is_same, np.array([0, 0, 1, 1])).tolist() == [1, 0.5]


def test_rank_1_by_hand():
    gallery = np.eye(3, dtype=np.float32)
    probes = np.float32([[0.9, 0.1, 0], [0.6, 0.4, 0], [0, 0.2, 0.8], [0.1, 0.2, 0.9]])
    assert figures.rank1(gallery, np.array([7, 8, 9]), probes, np.array([7, 8, 9, 9])) == 0.75


@pytest.mark.parametrize(
    ("folds", "reason"),
    [
        (None, "the pairs are not in several folds"),
        (np.zeros(10, int), "the pairs are not in several folds"),
        # Genuine pairs come first, so that each half has one kind: its threshold would be the other half's.
        (np.repeat([0, 1], 5), "fold 0 has no impostor pair"),
        (np.r_[np.tile([0, 1], 4), 2, 2], "fold 2 has no genuine pair"),
    ],
)
def test_without_folds_of_both_kinds_there_is_no_accuracy_and_the_reason_is_given(folds, reason):
    found = figures.measure(SCORES, IS_SAME, folds)
    assert (found.accuracy, found.accuracy_std, found.folds) == (None, None, 0)
    assert found.accuracy_reason == reason


def test_folds_of_both_kinds_give_an_accuracy():
    found = figures.measure(SCORES, IS_SAME, np.tile([0, 1], 5))
    assert found.accuracy is not None
    assert (found.folds, found.accuracy_reason) == (2, None)


# ---- embeddings


def test_embeddings_are_those_of_picture_and_mirror_added_and_normalised():
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)

    def mean_of_left_half(pictures):
        return pictures[..., :40].mean((2, 3))

    found = embed.embeddings_of([crops[:2], crops[2:]], mean_of_left_half)
    scaled = (crops.astype(np.float64) - 127.5) / 127.5
    expected = scaled[:, :, :40].mean((1, 2)) + scaled[:, :, -40:].mean((1, 2))
    assert found == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True), abs=1e-5)


# ---- pairs


def test_plain_pairs_are_read_and_written(tmp_path):
    root = people.folder_of_people(tmp_path / "crops", 4, 3)
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    drawn = pairs.draw_pairs(names, [name.split("/")[0] for name in names], np.random.default_rng(0))
    write_pairs(tmp_path / "pairs.txt", drawn)
    found = pairlists.read_pairs(tmp_path / "pairs.txt", root)

    def named(some):
        columns = zip(some.first, some.second, some.is_same, some.folds, strict=True)
        return {(some.names[a], some.names[b], bool(same), int(fold)) for a, b, same, fold in columns}

    assert named(found) == named(drawn)


def test_drawn_pairs_are_balanced_and_no_person_is_in_two_folds():
    identities = [f"p{i % 12}" for i in range(40)]
    found = pairs.draw_pairs([str(i) for i in range(40)], identities, np.random.default_rng(1), folds=4)
    assert found.is_same.sum() * 2 == len(found.is_same)
    folds_of = {}
    for a, b, same, fold in zip(found.first, found.second, found.is_same, found.folds, strict=True):
        assert (identities[a] == identities[b]) == same
        for index in (a, b):
            folds_of.setdefault(identities[index], set()).add(int(fold))
    assert all(len(found) == 1 for found in folds_of.values())


# ---- the command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch = pytest.importorskip("torch", reason="the network of this test is exported by torch")
    path = tmp_path_factory.mktemp("model") / "mean.onnx"
    # A colour mosaic: knows the made-up people well, and worse with their lower halves covered.
    network = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 112, 112),),
            str(path),
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
    return path


@pytest.fixture
def crops_and_pairs(tmp_path):
    root = people.folder_of_people(tmp_path / "crops", 12, 3)
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    drawn = pairs.draw_pairs(names, [name.split("/")[0] for name in names], np.random.default_rng(0))
    write_pairs(tmp_path / "pairs.txt", drawn)
    return root, tmp_path / "pairs.txt"


@pytest.fixture
def invoke(monkeypatch, catalog_dir):
    class Detector:
        def detect(self, image):
            return [face_at(HeadPose(0, 0, 0), 0.5, (56, 56))]

    monkeypatch.setattr(DetectorSpec, "build", lambda self: Detector())
    monkeypatch.setattr(DetectorSpec, "sha256", lambda self: "f" * 64)
    monkeypatch.setattr("maskgen.parallel.LocalExecutor", lambda workers: InProcess())

    def call(*args):
        faces._detector.cache_clear()
        given = ["--catalog", str(catalog_dir), "--workers", "1", "--threads", "1", "--resamples", "20"]
        return CliRunner().invoke(eval_cli, [*map(str, args), *given])

    yield call
    faces._detector.cache_clear()


def test_eval_makes_a_table_of_models_and_masks(invoke, model, crops_and_pairs, tmp_path):
    root, listed = crops_and_pairs
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes())
    masks = ["--mask", "none", "--mask", "probe", "--mask", "both"]
    result = invoke(
        other, "--before", model, "--pairs", listed, "--root", root, "--aligned", *masks, "--out", tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()[1:7]]
    assert [(row[0], row[1]) for row in rows] == [
        (str(m), c) for m in (model, other) for c in ("none", "probe", "both")
    ]
    assert [row[2:] for row in rows[:3]] == [row[2:] for row in rows[3:]], "all models see the same masks"
    saved = results.EvalReport.model_validate_json((tmp_path / "out/eval.json").read_bytes())
    plain, probe, _ = (row.figures for row in saved.rows[:3])
    assert plain.auc > 0.95
    assert plain.auc >= probe.auc
    assert plain.rank1 == 1.0
    assert (plain.gallery, plain.probes) == (12, 24)
    assert re.search("refused +FAR 0.01: 36 impostor pairs, 1000 needed", result.stdout)
    assert (tmp_path / "out/roc.png").read_bytes().startswith(b"\x89PNG")


def test_figures_by_parts_count_all_pairs_and_tell_how_masks_are_worn(invoke, model, crops_and_pairs):
    root, listed = crops_and_pairs
    options = ["--mask", "none", "--mask", "probe", "--wear", "nose_out=1,correct=1"]
    found = json.loads(invoke(model, "--pairs", listed, "--root", root, "--aligned", *options, "--json").stdout)
    bare, masked = found["rows"]
    for row, kinds in ((bare, {"yaw", "size"}), (masked, {"yaw", "size", "wear", "kind"})):
        assert {part["by"] for part in row["parts"]} == kinds
        for by in kinds:
            parts = [part for part in row["parts"] if part["by"] == by]
            assert sum(part["genuine"] for part in parts) == row["figures"]["genuine"]
            assert sum(part["impostor"] for part in parts) == row["figures"]["impostor"]
    assert {part["part"] for part in masked["parts"] if part["by"] == "wear"} == {"nose_out", "correct"}
    # The detector of this test sees all faces from the front.
    assert [part["part"] for part in bare["parts"] if part["by"] == "yaw"] == ["0..15"]
    said = invoke(model, "--pairs", listed, "--root", root, "--aligned", *options, "--parts").stdout
    assert re.search(r"probe +wear +nose_out +\d+ +\d+", said)


@pytest.mark.parametrize("how", ["in a common folder", "absolute", "as they are"])
def test_rank_1_does_not_depend_on_what_lies_before_the_folder_of_a_person(how, invoke, model, crops_and_pairs):
    root, listed = crops_and_pairs
    # The network hardly knows people turned upside down, so that rank-1 is neither 0 nor 100.
    for path in sorted(root.rglob("1.png")):
        people._write(path, np.rot90(np.asarray(Image.open(path)), 2))
    plain = json.loads(invoke(model, "--pairs", listed, "--root", root, "--aligned", "--json").stdout)
    before = {"in a common folder": "crops/", "absolute": f"{root}/", "as they are": ""}[how]
    lines = [line.split("\t") for line in listed.read_text().splitlines()]
    listed.write_text("".join(f"{before}{one}\t{before}{other}\t{same}\t{fold}\n" for one, other, same, fold in lines))
    found = json.loads(
        invoke(
            model,
            "--pairs",
            listed,
            "--root",
            root.parent if how == "in a common folder" else root,
            "--aligned",
            "--json",
        ).stdout
    )
    keys = ("rank1", "probes", "gallery", "accuracy", "auc")
    one, other = ([value["rows"][0]["figures"][key] for key in keys] for value in (plain, found))
    assert one == other
    assert 0 < one[0] < 0.9
    assert one[1:3] == [24, 12]


def test_eval_gives_no_rank_1_where_nobody_knows_who_is_on_the_pictures(invoke, model, crops_and_pairs):
    root, listed = crops_and_pairs
    flat = root.parent / "flat"
    for path in root.rglob("*.png"):
        people._write(flat / "all" / f"{path.parent.name}_{path.name}", np.asarray(Image.open(path)))
    listed.write_text(
        listed.read_text()
        .replace("person_", "all/person_")
        .replace("/0.", "_0.")
        .replace("/1.", "_1.")
        .replace("/2.", "_2.")
    )
    result = invoke(model, "--pairs", listed, "--root", flat, "--aligned")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[-1] == "-"
    assert re.search(
        "refused +rank-1: neither a folder on the way to the pictures nor their names tell the people of all",
        result.stdout,
    )


def test_a_list_that_begins_with_all_genuine_pairs_gives_the_accuracy_of_a_shuffled_one(invoke, model, crops_and_pairs):
    root, listed = crops_and_pairs
    lines = [line.rpartition("\t")[0] for line in listed.read_text().splitlines()]
    accuracies = []
    for order in (sorted(lines, key=lambda line: line[-1]), sorted(lines, key=lambda line: line[-1], reverse=True)):
        listed.write_text("\n".join(order))
        found = json.loads(invoke(model, "--pairs", listed, "--root", root, "--aligned", "--json").stdout)
        accuracies.append(found["rows"][0]["figures"]["accuracy"])
        assert found["rows"][0]["figures"]["folds"] == 10
    assert min(accuracies) > 0.9


def test_eval_of_a_verification_set(invoke, model, tmp_path):
    def encoded(person, take):
        buffer = io.BytesIO()
        Image.fromarray(people.portrait(person, take)).save(buffer, "PNG")
        return buffer.getvalue()

    pictures, is_same = [], []
    for number in range(20):
        pictures += [encoded(number, 0), encoded(number if number % 2 else number + 50, 1)]
        is_same.append(bool(number % 2))
    (tmp_path / "set.bin").write_bytes(pickle.dumps((pictures, is_same)))
    result = invoke(model, "--bin", tmp_path / "set.bin", "--mask", "none", "--mask", "both", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["condition"] for row in rows] == ["none", "both"]
    assert rows[0]["figures"]["accuracy"] == 1.0
    assert rows[0]["figures"]["rank1"] is None
    assert rows[0]["figures"]["rank1_reason"] == "a verification set does not say who is on its pictures"


def test_eval_leaves_out_pairs_with_pictures_that_cannot_be_used(invoke, model, crops_and_pairs):
    root, listed = crops_and_pairs
    (root / people.name(0, 0)).write_bytes(b"broken")
    result = invoke(model, "--pairs", listed, "--root", root, "--mask", "none", "--mask", "probe", "--json")
    found = json.loads(result.stdout)
    assert found["left_out"] == {"bad_image": 1}
    assert len({row["left_out"] for row in found["rows"]}) == 1, "conditions are compared on the same pairs"
    assert found["rows"][0]["left_out"] >= 2


@pytest.mark.parametrize(
    "options", [["--aligned"], ["--photographs"], ["--mask", "both"], ["--aligned", "--mask", "probe"]]
)
def test_eval_leaves_out_and_counts_pictures_that_are_missing(options, invoke, model, crops_and_pairs):
    root, listed = crops_and_pairs
    gone = people.name(3, 1)
    (root / gone).unlink()
    pairs_of_it = sum(gone in line for line in listed.read_text().splitlines())
    result = invoke(model, "--pairs", listed, "--root", root, *options)
    assert result.exit_code == 0, result.output
    assert re.search(rf"left out +{pairs_of_it} pairs; pictures: missing 1", result.stdout)
    total = len(listed.read_text().splitlines())
    assert re.search(
        rf"measured +{total - pairs_of_it} of {total} pairs, .*rank-1 of 23 pictures against", result.stdout
    )


def test_a_fault_of_the_search_at_one_picture_costs_this_picture_and_names_it(
    invoke, model, crops_and_pairs, monkeypatch, tmp_path
):
    root, listed = crops_and_pairs
    odd = people.portrait(2, 0)[5, 7]

    class Detector:
        def detect(self, image):
            if (image[5, 7] == odd).all():
                raise ZeroDivisionError("no such luck")
            return [face_at(HeadPose(0, 0, 0), 0.5, (56, 56))]

    monkeypatch.setattr(DetectorSpec, "build", lambda self: Detector())
    for _ in range(2):
        result = invoke(model, "--pairs", listed, "--root", root, "--photographs", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "pictures: unexpected 1" in result.stdout
    first = invoke(model, "--pairs", listed, "--root", root, "--photographs")
    assert f"{people.name(2, 0)}: ZeroDivisionError: no such luck" in first.stderr


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (["--out", "file/out"], r"file/out: cannot be written"),
        (["--mask", "both", "--catalog", "no_catalog"], "no_catalog"),
        (["no_such.onnx"], r"no_such\.onnx: no such file"),
        (["--pairs", "no_pairs.txt"], r"no_pairs\.txt: cannot be read"),
    ],
)
def test_what_is_missing_is_named_before_faces_are_searched_for(
    args, match, invoke, model, crops_and_pairs, monkeypatch
):
    root, listed = crops_and_pairs
    monkeypatch.chdir(root.parent)
    (root.parent / "file").write_bytes(b"")
    monkeypatch.setattr(
        "maskgen.recognition.faces.faces_of", lambda *args, **options: pytest.fail("faces were searched")
    )
    result = CliRunner().invoke(eval_cli, [str(model), "--pairs", str(listed), "--root", str(root), *args])
    assert result.exit_code == 1
    assert re.search(rf"^error: .*{match}", result.stderr)


@pytest.mark.parametrize("args", [(), ("--pairs", "x"), ("--pairs", "x", "--root", "y", "--bin", "z")])
def test_eval_wants_pairs_or_a_set(args, invoke, model):
    assert invoke(model, *args).exit_code == 2


def test_eval_names_a_model_that_cannot_be_used(invoke, crops_and_pairs, tmp_path):
    root, listed = crops_and_pairs
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    result = invoke(tmp_path / "broken.onnx", "--pairs", listed, "--root", root, "--aligned")
    assert result.exit_code == 1
    assert re.search(r"^error: .*broken\.onnx", result.stderr)


def test_eval_knows_the_difference_between_a_network_and_its_pth(invoke, crops_and_pairs, tmp_path):
    torch = pytest.importorskip("torch", reason="a .pth needs torch")
    from maskgen.train import export
    from maskgen.train.backbones import build, mobilefacenet

    torch.set_num_threads(1)
    network = build(mobilefacenet(1 / 16, blocks=(1, 1, 1, 1), embedding=16)).eval()
    export.write_onnx(network, tmp_path / "a.onnx")
    export.write_pth(network, tmp_path / "a.pth")
    root, listed = crops_and_pairs
    result = invoke(tmp_path / "a.onnx", tmp_path / "a.pth", "--pairs", listed, "--root", root, "--aligned", "--json")
    one, other = (row["figures"] for row in json.loads(result.stdout)["rows"])
    assert one["auc"] == pytest.approx(other["auc"], abs=1e-3)


# ---- formats


def in_format(job_of, root, out_format):
    job = job_of(root, out_format, masks=False, out_format=out_format)
    mask(job)
    return job.target


@pytest.mark.parametrize("out_format", ["recordio", "webdataset"])
def test_eval_gives_the_same_figures_for_the_same_pictures_in_every_format(
    invoke, model, crops_and_pairs, job_of, out_format
):
    root, listed = crops_and_pairs
    for path in sorted(root.rglob("1.png")):
        people._write(path, np.rot90(np.asarray(Image.open(path)), 2))
    plain = json.loads(invoke(model, "--pairs", listed, "--root", root, "--json").stdout)
    packed = in_format(job_of, root, out_format)
    if out_format == "recordio":
        keys = {
            path: key for key, _, path in (line.split("\t") for line in (packed / "train.lst").read_text().splitlines())
        }
        lines = [line.split("\t") for line in listed.read_text().splitlines()]
        listed.write_text("".join(f"{keys[one]} {keys[two]} {same} {fold}\n" for one, two, same, fold in lines))
    result = invoke(model, "--pairs", listed, "--root", packed, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["rows"] == plain["rows"]
    assert 0 < found["rows"][0]["figures"]["rank1"] < 0.9
    assert "aligned    yes, 112x112 crops: by the sizes of some" in result.stderr
    # Whole keys name the same pictures.
    names = pairlists.read_pairs(listed, root, pairkeys._Keys(packed, listing.listed(packed))).names
    listed.write_text("".join(f"{names[0]} {name} 1\n{names[0]} {names[-1]} 0\n" for name in names[1:3]))
    assert invoke(model, "--pairs", listed, "--root", packed).exit_code == 0


@pytest.mark.parametrize("out_format", ["recordio", "webdataset"])
def test_eval_leaves_out_records_and_samples_that_are_missing_and_says_why_there_is_no_rank_1(
    invoke, model, crops_and_pairs, job_of, out_format
):
    root, listed = crops_and_pairs
    packed = in_format(job_of, root, out_format)
    names = ["1", "2", "4", "5"] if out_format == "recordio" else [people.name(n // 2, n % 2) for n in range(4)]
    a, b, c, d = names
    listed.write_text(f"{a} {b} 1\n{c} {d} 1\n{a} {c} 0\n{a} 999.png 0\n")
    result = invoke(model, "--pairs", listed, "--root", packed)
    assert re.search("measured +3 of 4 pairs.*rank-1 of 2 pictures", result.stdout), result.output
    assert re.search("left out +1 pair; pictures: missing 1", result.stdout)
    listed.write_text(f"{a} {b} 1\n{c} {d} 0\n")
    result = invoke(model, "--pairs", listed, "--root", packed)
    assert re.search("refused +rank-1: the dataset does not say of all pictures who is on them", result.stdout)


def test_a_sample_that_several_shards_have_is_asked_about(crops_and_pairs, job_of):
    root, listed = crops_and_pairs
    packed = in_format(job_of, root, "webdataset")
    (packed / "shard-000001.tar").write_bytes((packed / "shard-000000.tar").read_bytes())
    with pytest.raises(ConfigError, match="but shard-000000/person_00/0 and shard-000001/person_00/0; write in the"):
        pairkeys.read_keyed(listed, packed)


def test_a_folder_of_pictures_may_have_shards_beside_them(invoke, model, crops_and_pairs, job_of):
    root, listed = crops_and_pairs
    plain = invoke(model, "--pairs", listed, "--root", root, "--json").stdout
    (root / "all.tar").write_bytes((in_format(job_of, root, "webdataset") / "shard-000000.tar").read_bytes())
    assert invoke(model, "--pairs", listed, "--root", root, "--json").stdout == plain
