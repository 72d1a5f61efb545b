"""Lists of pairs: every usual way to write one is read, and none is guessed."""

import codecs
import unicodedata

import numpy as np
import pytest

from maskgen.datasets.pairlists import read_pairs
from maskgen.datasets.pairs import consecutive_folds, folds_of, identities_of, of_bin
from maskgen.errors import ConfigError

TAKES = {"Ann_A": 3, "Bo": 2, "Cy": 1}
EXPECTED = [
    ("Ann_A/Ann_A_0001.jpg", "Ann_A/Ann_A_0003.jpg", True),
    ("Ann_A/Ann_A_0002.jpg", "Bo/Bo_0001.jpg", False),
    ("Bo/Bo_0001.jpg", "Bo/Bo_0002.jpg", True),
    ("Cy/Cy_0001.jpg", "Bo/Bo_0002.jpg", False),
]
LFW = "Ann_A\t1\t3\nAnn_A\t2\tBo\t1\nBo\t1\t2\nCy\t1\tBo\t2\n"
PLAIN = "".join(f"{one}\t{other}\t{int(same)}\n" for one, other, same in EXPECTED)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.fixture
def lfw(tmp_path):
    names = [f"{who}/{who}_{take:04d}.jpg" for who, takes in TAKES.items() for take in range(1, takes + 1)]
    return touch(tmp_path / "lfw", *names)


@pytest.fixture
def read(tmp_path):
    """Reads a list of this text, or these bytes."""

    def call(content, root, **options):
        path = tmp_path / "pairs.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(**options))
        return read_pairs(path, root)

    return call


def named(pairs):
    return [
        (pairs.names[a], pairs.names[b], bool(same))
        for a, b, same in zip(pairs.first, pairs.second, pairs.is_same, strict=True)
    ]


@pytest.mark.parametrize("header", ["2\t1\n", "2 1\n", "2\n", ""])
@pytest.mark.parametrize("between", ["\t", " ", ",", ";", ", ", "   "])
def test_lfws_list_is_read_with_and_without_its_first_line(header, between, lfw, read):
    found = read(header + LFW.replace("\t", between), lfw)
    assert named(found) == EXPECTED
    assert not found.missing
    assert found.folds.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("between", ["\t", " ", ",", ";", " , ", " \t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", " \n"])
def test_two_paths_and_a_flag_are_read(between, end, lfw, read):
    assert named(read(PLAIN.replace("\t", between).replace("\n", end), lfw)) == EXPECTED


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "utf-8"),
    ],
)
@pytest.mark.parametrize("text", [PLAIN, "2\t1\n" + LFW, LFW])
def test_text_is_read_as_its_mark_says(text, mark, encoding, lfw, read):
    assert named(read(mark + text.encode(encoding), lfw)) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin1"])
def test_text_that_is_no_utf8_and_has_no_mark_is_refused_with_the_remedy(encoding, lfw, read):
    with pytest.raises(ConfigError, match=r"no text in UTF-8.*; save the list as UTF-8"):
        read(("Zo\xeb/1.jpg\tBo/Bo_0001.jpg\t0\n").encode(encoding), lfw)


@pytest.mark.parametrize("flags", [("1", "0"), ("10", "0"), ("3", "0")])
@pytest.mark.parametrize("between", [" ", "\t", ","])
def test_two_lines_per_pair_are_read_as_calfw_and_cplfw_have_them(flags, between, lfw, read):
    lines = [f"{name}{between}{flags[0] if same else flags[1]}\n" for *pair, same in EXPECTED for name in pair]
    assert named(read("".join(lines), lfw)) == EXPECTED


def test_a_list_of_mfr2s_kind_finds_its_png_pictures(tmp_path, read):
    root = touch(
        tmp_path / "mfr2", "AdrianDunbar/AdrianDunbar_0001.png", "AdrianDunbar/AdrianDunbar_0004.png", "Bo/Bo_0002.png"
    )
    found = read("AdrianDunbar 1 4\nAdrianDunbar 4 Bo 2\n", root)
    assert named(found) == [
        ("AdrianDunbar/AdrianDunbar_0001.png", "AdrianDunbar/AdrianDunbar_0004.png", True),
        ("AdrianDunbar/AdrianDunbar_0004.png", "Bo/Bo_0002.png", False),
    ]


@pytest.mark.parametrize("listed", ["a/1.jpg", "a/1.JPEG", "a/1", "a\\1.jpg", "./a/1.jpg", '"a/1.png"', "'a/1.png'"])
def test_a_picture_is_found_whatever_ending_and_slashes_the_list_has(listed, tmp_path, read):
    root = touch(tmp_path / "root", "a/1.png", "b/2.png", "a/10.png")
    assert named(read(f"{listed} b/2.png 0\n", root))[0][1] == "b/2.png"
    assert not read(f"{listed} b/2.png 0\n", root).missing


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_accents_are_the_same_in_both_forms_of_unicode(form, other, tmp_path, read):
    on_disk, listed = (unicodedata.normalize(one, "Zo\xeb/Ren\xe9e_0001.jpg") for one in (form, other))
    root = touch(tmp_path / "root", on_disk, "Bo/1.jpg")
    assert named(read(f"{listed}\tBo/1.jpg\t0\n", root)) == [(on_disk, "Bo/1.jpg", False)]


@pytest.mark.parametrize(
    "line", ['"Ann B/1.jpg" "Bo, C/1.jpg" 0', "Ann B/1.jpg\tBo, C/1.jpg\t0", 'Ann B/1.jpg,"Bo, C/1.jpg",0']
)
def test_names_with_blanks_and_commas_are_read(line, tmp_path, read):
    root = touch(tmp_path / "root", "Ann B/1.jpg", "Bo, C/1.jpg")
    assert named(read(line + "\n", root)) == [("Ann B/1.jpg", "Bo, C/1.jpg", False)]


def test_names_with_an_apostrophe_are_read(tmp_path, read):
    root = touch(tmp_path / "root", "O'Neal/1.jpg", "D'Arcy/1.jpg")
    assert named(read("O'Neal/1.jpg D'Arcy/1.jpg 0\n", root)) == [("O'Neal/1.jpg", "D'Arcy/1.jpg", False)]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no pairs"),
        ("0 300\n", "no pairs"),
        ("10 300\nAnn_A 1\n", "line 2: expected 'name 1 2'"),
        ("a.jpg b.jpg maybe\n", "line 1: expected two paths and 1"),
        ("a.jpg b.jpg 1 first\n", "line 1: expected two paths and 1"),
        ("one,two,same\n" + PLAIN.replace("\t", ","), "line 1: .*delete it if it is a heading"),
        ("a.jpg b.jpg 1 0\nc.jpg d.jpg 0\n", "line 2: expected the number of a fold on all lines or on none"),
        ("Bo/Bo_0001.jpg 1\nBo/Bo_0002.jpg 1\nCy/Cy_0001.jpg 0\n", "line 3: expected a second line of this pair"),
        ("Bo/Bo_0001.jpg 1\nBo/Bo_0002.jpg 0\n", "line 2: expected a path and the number of the line before"),
        ("Bo/Bo_0001.jpg Bo/Bo_0001.jpg 0\n", "line 1: Bo/Bo_0001.jpg twice, and said to show two people"),
        (PLAIN + "Bo/Bo_0002.jpg\tBo/Bo_0001.jpg\t0\n", "line 5: says the opposite of line 3 about the same two"),
    ],
)
def test_lists_that_are_none_are_explained(text, match, lfw, read):
    with pytest.raises(ConfigError, match=match):
        read(text, lfw)


@pytest.mark.parametrize("header", ["10 300", "2 2", "1 1", "3", "1"])
def test_a_first_line_that_does_not_fit_the_list_is_refused(header, lfw, read):
    with pytest.raises(
        ConfigError, match=rf"line 1: {header} announces \d+ genuine and as many .* there are 2 and 2; restore"
    ):
        read(f"{header}\n{LFW}", lfw)


def test_a_list_with_two_meanings_is_read_by_the_pictures_that_are_there(tmp_path, read):
    # Numbered pictures 1 of person 1 and of person 0; or the paths 1 and 1 in one fold 1, two people.
    text = "12 3 1 4\n12 4 0 3\n"
    lfw = touch(tmp_path / "lfw", "12/12_0003.jpg", "1/1_0004.jpg", "12/12_0004.jpg", "0/0_0003.jpg")
    assert named(read(text, lfw))[0] == ("12/12_0003.jpg", "1/1_0004.jpg", False)
    flat = touch(tmp_path / "flat", "12.jpg", "3.jpg", "4.jpg")
    found = read(text, flat)
    assert named(found) == [("12.jpg", "3.jpg", True), ("12.jpg", "4.jpg", False)]
    assert found.folds.tolist() == [4, 3]
    both = touch(tmp_path / "both", "12/12_0003.jpg", "12.jpg")
    for root in (both, tmp_path):
        with pytest.raises(ConfigError, match="can be read as LFW's numbered pictures and as two paths"):
            read(text, root)


def test_two_files_that_could_be_meant_are_refused_not_guessed(tmp_path, read):
    root = touch(tmp_path / "root", "a/1.png", "a/1.bmp", "b/1.jpg", "b/1.png")
    with pytest.raises(ConfigError, match=r"has no 1\.jpg, but 1\.bmp and 1\.png; write in the list"):
        read("a/1.jpg b/1.jpg 0\n", root)
    assert named(read("a/1.png b/1.jpg 0\n", root)) == [("a/1.png", "b/1.jpg", False)]


def test_missing_pictures_are_named_and_the_rest_is_read(lfw, read):
    found = read(PLAIN + "Bo\\gone.jpg\tCy/Cy_0001.jpg\t0\n" + "x" * 300 + ".jpg\tCy/Cy_0001.jpg\t0\n", lfw)
    assert found.missing == {"Bo/gone.jpg", "x" * 300 + ".jpg"}
    assert named(found)[:4] == EXPECTED


def test_a_list_none_of_whose_pictures_are_there_is_refused(tmp_path, read):
    with pytest.raises(ConfigError, match=r"none of the 6 pictures .* such as Ann_A/Ann_A_0001\.jpg; set root to"):
        read(LFW, tmp_path)


# ---- folds


def kinds_of_folds(folds, is_same):
    return [sorted(set(is_same[folds == fold].tolist())) for fold in np.unique(folds)]


@pytest.mark.parametrize("order", ["genuine first", "impostor first", "shuffled", "lfw"])
@pytest.mark.parametrize(("genuine", "impostor"), [(300, 300), (30, 300), (7, 9), (2, 100)])
def test_every_fold_has_both_kinds_of_pairs_whatever_the_order_of_the_list(order, genuine, impostor):
    is_same = np.r_[np.ones(genuine, bool), np.zeros(impostor, bool)]
    if order == "impostor first":
        is_same = is_same[::-1].copy()
    elif order == "shuffled":
        np.random.default_rng(0).shuffle(is_same)
    elif order == "lfw":
        is_same = np.r_[tuple(part for _ in range(10) for part in (is_same[:genuine], is_same[genuine:]))]
    folds = folds_of(is_same)
    assert kinds_of_folds(folds, is_same) == [[False, True]] * min(10, int(is_same.sum()), int((~is_same).sum()))


def test_folds_are_consecutive_as_insightfaces_are_where_that_can_be():
    is_same = np.tile(np.repeat([True, False], 30), 10)
    assert np.array_equal(folds_of(is_same), consecutive_folds(600))
    assert np.array_equal(of_bin(is_same).folds, consecutive_folds(600))


# ---- who is on the pictures


def identities(*pairs):
    """Of pairs (path, path, is_same)."""
    names = sorted({name for one, other, _ in pairs for name in (one, other)})
    first, second = (np.array([names.index(pair[side]) for pair in pairs]) for side in (0, 1))
    found, reason = identities_of(names, first, second, np.array([same for *_, same in pairs]))
    return None if found is None else dict(zip(names, found.tolist(), strict=True)), reason


@pytest.mark.parametrize("before", ["", "data/", "/mnt/data/lfw/", "train/x/"])
@pytest.mark.parametrize("behind", ["", "session/", "session/camera/"])
def test_a_person_is_the_folder_that_tells_pairs_apart_wherever_it_lies(before, behind):
    paths = {f"{who}{take}": f"{before}{who}/{behind}{take}.jpg" for who in "abc" for take in "12"}
    found, _ = identities(
        (paths["a1"], paths["a2"], True),
        (paths["b1"], paths["b2"], True),
        (paths["a1"], paths["b2"], False),
        (paths["c1"], paths["b2"], False),
    )
    assert {path.split("/")[before.count("/")]: number for path, number in found.items()} == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    "pairs",
    [
        [("a1.jpg", "a2.jpg", True), ("a1.jpg", "b1.jpg", False)],
        [("all/a1.jpg", "all/a2.jpg", True), ("all/a1.jpg", "all/b1.jpg", False)],
        [("bare/a/1.jpg", "masked/a/2.jpg", True), ("bare/1.jpg", "masked/b/2.jpg", False)],
        [("a/1.jpg", "b/1.jpg", True), ("a/1.jpg", "c/1.jpg", False)],
    ],
)
def test_where_no_folder_tells_people_apart_nobody_is_known_and_the_reason_is_given(pairs):
    assert identities(*pairs) == (
        None,
        "neither a folder on the way to the pictures nor their names tell the people of all pairs apart",
    )


def test_people_in_parts_of_a_dataset_are_told_apart_by_their_own_folders():
    found, _ = identities(("bare/a/1.jpg", "masked/a/2.jpg", True), ("bare/a/1.jpg", "masked/b/2.jpg", False))
    assert found == {"bare/a/1.jpg": 0, "masked/a/2.jpg": 0, "masked/b/2.jpg": 1}
