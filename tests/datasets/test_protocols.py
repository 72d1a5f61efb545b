"""The layouts in which protocols are handed out: list and pictures are found, or the error says what was sought."""

import re

import pytest
from PIL import Image

from maskgen.datasets.protocols import find
from maskgen.errors import ConfigError

LFW = "1\t1\nAnn\t1\t2\nAnn\t1\tBo\t1\n"
# Headerless, as MaskTheFace's.
MFR2 = "Ann 1 2\nAnn 1 Bo 1\n"
FLAT = "Ann_0001.jpg 1\nAnn_0002.jpg 1\nAnn_0001.jpg 0\nBo_0001.jpg 0\n"


def lay(root, text, *names):
    """A list at the first name under a root, pictures at the others."""
    listed, *pictures = names
    (root / listed).parent.mkdir(parents=True, exist_ok=True)
    (root / listed).write_text(text)
    for name in pictures:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)


def people(folder, ending="jpg"):
    return [f"{folder}Ann/Ann_0001.{ending}", f"{folder}Ann/Ann_0002.{ending}", f"{folder}Bo/Bo_0001.{ending}"]


def flat(folder):
    return [f"{folder}/Ann_0001.jpg", f"{folder}/Ann_0002.jpg", f"{folder}/Bo_0001.jpg"]


@pytest.mark.parametrize(
    ("protocol", "text", "names", "root", "folder"),
    [
        # LFW: the list beside the pictures or among them; the folder that is given is either.
        ("lfw", LFW, ["pairs.txt", *people("lfw/")], "", "lfw"),
        ("lfw", LFW, ["pairs.txt", *people("lfw/")], "lfw", "lfw"),
        ("lfw", LFW, ["lfw/pairs.txt", *people("lfw/")], "lfw", "lfw"),
        ("lfw", LFW, ["lfw/pairs.txt", *people("lfw/")], "", "lfw"),
        ("lfw", LFW, ["pairs.txt", *people("lfw-deepfunneled/")], "", "lfw-deepfunneled"),
        ("lfw", LFW, ["pairs.txt", *people("my pictures/", "png")], "", "my pictures"),
        ("lfw", LFW, ["pairs.txt", *people("lfw/"), *people("lfw_funneled/")], "", "lfw"),
        ("lfw", LFW, ["pairs.txt", *people("lfw/"), *people("lfw_funneled/")], "lfw_funneled", "lfw_funneled"),
        ("mfr2", MFR2, ["mfr2/pairs.txt", *people("mfr2/", "png"), "mfr2/labels/x.png"], "mfr2", "mfr2"),
        ("mfr2", MFR2, ["pairs.txt", *people("mfr2/", "png")], "", "mfr2"),
        ("mfr2", MFR2, ["MFR2/pairs.txt", *people("MFR2/", "png")], "", "MFR2"),
        ("calfw", FLAT, ["calfw/pairs_CALFW.txt", *flat("calfw/aligned images")], "calfw", "calfw/aligned images"),
        ("calfw", FLAT, ["calfw/pairs_CALFW.txt", *flat("calfw/aligned images")], "", "calfw/aligned images"),
        (
            "cplfw",
            FLAT,
            ["cplfw/pairs_CPLFW.txt", *flat("cplfw/images"), *flat("cplfw/aligned images")],
            "cplfw",
            "cplfw/aligned images",
        ),
        ("mlfw", FLAT, ["MLFW/pairs.txt", *flat("MLFW/aligned"), *flat("MLFW/origin")], "MLFW", "MLFW/aligned"),
    ],
)  # fmt: skip
def test_list_and_pictures_are_found(protocol, text, names, root, folder, tmp_path):
    lay(tmp_path, text, *names)
    found = find(protocol, tmp_path / root)
    assert found.folder == tmp_path / folder
    assert found.path == tmp_path / names[0]
    assert found.pairs.is_same.tolist() == [True, False]
    assert not found.pairs.missing
    assert found.pairs.identities.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("protocol", "names", "match"),
    [
        ("lfw", ["other.txt", *people("lfw/")], r"no pairs\.txt in it, in a folder 'lfw' of it, or beside it"),
        ("calfw", ["pairs.txt", *flat("aligned images")], r"no pairs_CALFW\.txt in it, in a folder 'calfw' of it"),
        ("lfw", ["pairs.txt", "lfw/Cy/Cy_0001.jpg"], "none of its pictures is in .*, in a folder called 'lfw', 'lfw-d"),
        ("lfw", ["pairs.txt", *people("a/"), *people("b/")], "pictures of it lie in .*/a and in .*/b"),
    ],
)
def test_what_was_sought_and_where_is_said(protocol, names, match, tmp_path):
    lay(tmp_path / "root", LFW, *names)
    with pytest.raises(ConfigError, match=match) as caught:
        find(protocol, tmp_path / "root")
    assert re.search(r"\{(root|pairs)\}", caught.value.remedy)


def test_a_root_that_is_not_there_and_a_list_that_is_none_are_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such folder"):
        find("lfw", tmp_path / "nowhere")
    lay(tmp_path, "Ann\tx\ty\n", "pairs.txt", *people("lfw/"))
    with pytest.raises(ConfigError, match=r"pairs\.txt, line 1: expected"):
        find("lfw", tmp_path)


def test_two_lists_of_a_protocol_are_asked_about(tmp_path):
    lay(tmp_path, FLAT, "pairs.txt", *flat("aligned"))
    lay(tmp_path, FLAT, "pairs_MLFW.txt")
    with pytest.raises(ConfigError, match=r"has pairs\.txt and pairs_MLFW\.txt"):
        find("mlfw", tmp_path)
