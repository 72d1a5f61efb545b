"""Zip files and catalogs made to harm: each is refused in one line, soon, in little memory, and nothing is written."""

import hashlib
import io
import json
import os
import random
import re
import stat
import struct
import time
import tracemalloc
import zipfile

import cv2
import numpy as np
import pytest
from catalogs import small_catalog

from maskgen.catalog import bundle, check, edit, png
from maskgen.catalog.store import CATALOG_FILE, Catalog
from maskgen.errors import CatalogError, MaskgenError

CATALOG_ENTRY = b"PK\x01\x02"
END_OF_CATALOG = b"PK\x05\x06"


@pytest.fixture
def packed(catalog_dir, tmp_path):
    bundle.export(Catalog.load(catalog_dir), tmp_path / "masks.zip")
    return tmp_path / "masks.zip"


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries, compression=zipfile.ZIP_DEFLATED):
    """A zip of entries: name or ZipInfo -> bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, raw in entries.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


def refusal(raw, tmp_path):
    """What is said of a zip."""
    (tmp_path / "bad.zip").write_bytes(raw)
    with pytest.raises(CatalogError) as refused:
        bundle.import_(tmp_path / "bad.zip", tmp_path / "other")
    assert len(str(refused.value).splitlines()) == 1
    assert not list((tmp_path / "other").rglob("*.png"))
    assert not (tmp_path / "other" / CATALOG_FILE).exists()
    return str(refused.value)


def in_directory(raw, place, value, number=0):
    """A zip with other bytes in the record of an entry, that of catalog.json by default."""
    changed = bytearray(raw)
    start = [match.start() for match in re.finditer(re.escape(CATALOG_ENTRY), raw)][number] + place
    changed[start : start + len(value)] = value
    return bytes(changed)


# ---- what is unpacked


def many_designs(number, picture):
    """A catalog of designs that all name one picture."""
    points = {"0": (-1, -1), "16": (601, -1), "5": (-1, 601), "11": (601, 601)}
    view = {
        "file": "all.png",
        "sha256": hashlib.sha256(picture).hexdigest(),
        "rotation": {"yaw": (-20, 20), "pitch": (-20, 20)},
        "points": points,
    }
    masks = [{"name": f"d{k}", "kind": "cloth", "license": "CC0-1.0", "views": [view]} for k in range(number)]
    return {CATALOG_FILE: json.dumps({"schema_version": 1, "masks": masks}).encode(), "all.png": picture}


def noisy_png(side):
    return edit.png_of(np.random.default_rng(0).integers(1, 255, (side, side, 4), np.uint8))


def test_a_picture_that_many_designs_name_is_held_once_and_written_once(tmp_path):
    picture = noisy_png(600)
    assert len(picture) > 1_400_000
    (tmp_path / "x.zip").write_bytes(zipped(many_designs(400, picture)))
    tracemalloc.start()
    try:
        added = bundle.import_(tmp_path / "x.zip", tmp_path / "other")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(added) == 400
    assert peak < 30e6
    assert len(list((tmp_path / "other").rglob("*.png"))) == 1
    loaded = Catalog.load(tmp_path / "other")
    assert not list(check.faults_of(loaded.designs[399]))
    edit.remove(tmp_path / "other", ["d0"])
    assert Catalog.load(tmp_path / "other").designs[0].views[0].textures


def test_same_pictures_under_two_names_are_held_once(tmp_path):
    entries = many_designs(2, noisy_png(60))
    contents = json.loads(entries[CATALOG_FILE])
    contents["masks"][1]["views"][0]["file"] = "again.png"
    entries |= {CATALOG_FILE: json.dumps(contents).encode(), "again.png": entries["all.png"]}
    (tmp_path / "x.zip").write_bytes(zipped(entries))
    one, two = (design.views[0].png for design in bundle.read(tmp_path / "x.zip"))
    assert one is two


def test_what_is_really_unpacked_is_limited_and_designs_can_be_imported_one_by_one(packed, tmp_path, monkeypatch):
    size = sum(len(raw) for raw in entries_of(packed).values())
    monkeypatch.setattr(bundle, "MAX_TOTAL_BYTES", size - 1)
    with pytest.raises(CatalogError, match=f"unpacks to more than the {size - 1:,} bytes"):
        bundle.read(packed)
    assert [design.name for design in bundle.read(packed, ["blue"])] == ["blue"]


def test_a_catalog_of_20_000_designs_is_looked_through_in_seconds(tmp_path):
    entries = many_designs(20_000, noisy_png(80))
    (tmp_path / "x.zip").write_bytes(zipped(entries))
    started = time.process_time()
    assert len(bundle.read(tmp_path / "x.zip")) == 20_000
    assert time.process_time() - started < 20


def test_a_directory_of_a_million_entries_is_not_even_listed(tmp_path):
    record = struct.pack("<4s4B4HL2L5H2L", CATALOG_ENTRY, *[0] * 4, *[0] * 4, 0, 0, 0, 1, *[0] * 4, 0, 0) + b"x"
    number = 1_000_000
    directory = record * number
    end = struct.pack("<4s4H2LH", END_OF_CATALOG, 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    tracemalloc.start()
    try:
        said = refusal(directory + end, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "more than" in said
    assert peak < 120e6


# ---- what a zip says of itself


HEADERS = {
    "encrypted": (8, b"\x01\x00", "encrypted"),
    "LZMA": (10, b"\x0e\x00", "compressed in a way"),
    "bzip2": (10, b"\x0c\x00", "compressed in a way"),
    "no known compression": (10, b"\x63\x00", "compressed in a way"),
    "a version of the far future": (6, b"\xff\x00", "zip file that can be read"),
    "a wrong checksum": (16, b"\x00\x00\x00\x01", "CRC|hash"),
    "4 GB of it": (24, b"\xfe\xff\xff\xff", "too much"),
    "an offset past the end": (42, b"\xff\xff\xff\x7f", "zip file that can be read|cannot be read"),
    "extra fields past the end": (30, b"\xff\xff", "zip file that can be read"),
    "a name past the end": (28, b"\xff\xff", "."),
    "a comment past the end": (32, b"\xff\xff", "."),
}


@pytest.mark.parametrize(("place", "value", "says"), HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_lies_is_one_line(packed, tmp_path, place, value, says):
    said = refusal(in_directory(packed.read_bytes(), place, value), tmp_path)
    assert any(part in said for part in says.split("|")), said


@pytest.mark.parametrize("size", [2**16 - 1, 2**31 - 1, 2**32 - 1])
def test_a_directory_that_lies_about_its_size_or_place_is_one_line(packed, tmp_path, size):
    raw = packed.read_bytes()
    end = raw.rindex(END_OF_CATALOG)
    for place in (12, 16):
        refusal(raw[: end + place] + struct.pack("<L", size) + raw[end + place + 4 :], tmp_path)


def test_zip64_fields_that_lie_are_one_line(packed, tmp_path):
    raw = packed.read_bytes()
    end = raw.rindex(END_OF_CATALOG)
    for number in (0, 1, 2**63, 2**64 - 1):
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, number, number)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
        refusal(raw[:end] + record + locator + raw[end:], tmp_path)


def test_damaged_compressed_bytes_are_one_line(tmp_path, packed):
    raw = bytearray(zipped(entries_of(packed)))
    raw[60:90] = b"\xff" * 30
    assert "bad.zip" in refusal(bytes(raw), tmp_path)


def test_entries_that_share_bytes_are_refused(packed, tmp_path):
    raw = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        place = archive.infolist()[-2].header_offset
    said = refusal(in_directory(raw, 42, struct.pack("<L", place), number=-1), tmp_path)
    assert "share bytes" in said or "zip file that can be read" in said


def test_names_that_are_no_text_are_one_line(packed, tmp_path):
    raw = zipped({**entries_of(packed), "ü.png": b"x"})
    assert "zip file that can be read" in refusal(raw.replace("ü".encode(), b"\xff\xfe"), tmp_path)


NAMES = {
    "a zero byte": ("one\0.png", "outside the catalog"),
    "256 bytes": (f"{'x' * 252}.png", "255 bytes"),
    "a folder of 256 bytes": (f"{'ü' * 128}/x.png", "255 bytes"),
    "an escape sequence": ("\x1b[2J.png", "belongs to no design"),
    "a zip": ("more.zip", "neither catalog.json nor a PNG"),
    "another case": ("RED_0.png", "one file on some computers"),
    "nothing": (".", "outside the catalog"),
}


@pytest.mark.parametrize(("name", "says"), NAMES.values(), ids=NAMES.keys())
def test_a_name_that_would_do_harm_is_refused(packed, tmp_path, name, says):
    place = "N" * len(name.encode())
    raw = zipped({**entries_of(packed), place: b"x"})
    assert says in refusal(raw.replace(place.encode(), name.encode()), tmp_path)


def test_names_that_differ_only_in_the_form_of_accents_are_refused(packed, tmp_path):
    raw = zipped({**entries_of(packed), "e\u0301.png": b"x", "\u00e9.png": b"x"})
    assert "one file on some computers" in refusal(raw, tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused_even_as_the_catalog_itself(packed, tmp_path, kind):
    entries = entries_of(packed)
    info = zipfile.ZipInfo(CATALOG_FILE)
    info.external_attr = (kind | 0o777) << 16
    assert "a link or a device" in refusal(
        zipped({info: entries.pop(CATALOG_FILE), **entries}), tmp_path
    )  # fmt: skip


# ---- zips that users make


def test_a_folder_around_everything_and_what_systems_leave_do_not_matter(packed, tmp_path):
    left = {
        "mine/.lock": b"",
        "mine/.DS_Store": b"x",
        "__MACOSX/mine/._red_0.png": b"x",
        "mine/._catalog.json": b"x",
        "mine/Thumbs.db": b"x",
        "mine/": b"",
    }
    wrapped = {f"mine/{name}": raw for name, raw in entries_of(packed).items()}
    (tmp_path / "x.zip").write_bytes(zipped({**left, **wrapped}))
    assert bundle.import_(tmp_path / "x.zip", tmp_path / "other") == ["red", "blue"]


def test_two_catalogs_in_one_zip_are_refused_with_what_to_do(packed, tmp_path):
    entries = entries_of(packed)
    both = {f"{folder}/{name}": raw for folder in ("a", "b") for name, raw in entries.items()}
    assert "pack each in a zip file of its own" in refusal(zipped(both), tmp_path)


def test_a_zip_that_is_a_folder_or_a_pipe_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    for path in (tmp_path, tmp_path / "pipe.zip"):
        with pytest.raises(CatalogError, match="not a regular file"):
            bundle.read(path)


# ---- catalog.json


def at(field):
    """Makes a change that sets a field of the first view or design."""

    def change(value):
        def changed(contents):
            design = contents["masks"][0]
            (design if field in design else design["views"][0])[field] = value

        return changed

    return change


ROTATION = {"yaw": [-5, 5], "pitch": [-5, 5]}
CONTENTS = {
    "a zero byte in a file": at("file")("a\0.png"),
    "an escape sequence in a file": at("file")("\x1b[2J.png"),
    "a file of 256 bytes": at("file")("x" * 252 + ".png"),
    "a file of 10 MB": at("file")("x" * 10_000_000),
    "an escape sequence in a name": at("name")("\x1b[2J"),
    "a name of 255 bytes": at("name")("x" * 255),
    "a colour of 10 MB": at("colour")("x" * 10_000_000),
    "a million tags": at("tags")([1] * 1_000_000),
    "an infinite weight": at("weight")(float("inf")),
    "a weight of 1e300": at("weight")(1e300),
    "a weight that is no number": at("weight")(float("nan")),
    "a point that is no number": at("points")({"30": [float("nan"), 1], "2": [0, 0], "8": [9, 9]}),
    "an infinite point": at("points")({"30": [float("-inf"), 1], "2": [0, 0], "8": [9, 9]}),
    "many points": at("points")({str(k): [] for k in range(100_000)}),
    "a rotation that is no number": at("rotation")({**ROTATION, "yaw": [float("nan"), 5]}),
    "a reversed rotation": at("rotation")({**ROTATION, "pitch": [5, -5]}),
    "many fields": at("rotation")({str(k): 1 for k in range(100_000)}),
    "a million designs": lambda contents: contents.update(masks=[{}] * 1_000_000),
    "a million views": at("views")([{}] * 1_000_000),
    "no designs but a number": lambda contents: contents.update(masks=1e300),
}


def one_line(root):
    with pytest.raises(CatalogError) as refused:
        Catalog.load(root)
    assert len(str(refused.value)) < 1000
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


@pytest.mark.parametrize("change", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_catalog_that_would_do_harm_is_one_short_line(catalog_dir, change):
    contents = json.loads((catalog_dir / CATALOG_FILE).read_text())
    change(contents)
    (catalog_dir / CATALOG_FILE).write_text(json.dumps(contents))
    assert CATALOG_FILE in one_line(catalog_dir)


@pytest.mark.parametrize("opening", [b"[", b'{"masks":', b'{"masks":[{"views":'])
def test_deep_nesting_is_one_line(catalog_dir, opening):
    (catalog_dir / CATALOG_FILE).write_bytes(opening * 500_000)
    one_line(catalog_dir)


def test_a_huge_catalog_is_not_read(catalog_dir):
    with (catalog_dir / CATALOG_FILE).open("ab") as file:
        file.truncate(100_000_000)
    assert "100,000,000 bytes, more than" in one_line(catalog_dir)
    with pytest.raises(CatalogError, match="more than"):
        edit.remove(catalog_dir, ["red"])


def folder(path):
    path.mkdir()


def loop(path):
    path.symlink_to(path.name)


@pytest.mark.skipif(os.name == "nt", reason="no pipes there")
@pytest.mark.parametrize("make", [folder, os.mkfifo, loop])
def test_a_catalog_or_picture_that_is_no_file_is_one_line_and_not_waited_for(catalog_dir, make):
    for name in (CATALOG_FILE, "red_0.png"):
        old = (catalog_dir / name).read_bytes()
        (catalog_dir / name).unlink()
        make(catalog_dir / name)
        assert name in one_line(catalog_dir)
        (catalog_dir / name).rename(catalog_dir / "away")
        (catalog_dir / name).write_bytes(old)
        away = catalog_dir / "away"
        away.rmdir() if away.is_dir() else away.unlink()


# ---- whatever else


def mutated(raw, rng):
    """Bytes with a few flipped, cut, repeated or replaced."""
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(changed))
        headers = [k for k in range(len(changed) - 46) if changed[k : k + 2] == b"PK"]
        if headers and rng.random() < 0.4:
            changed[rng.choice(headers) + rng.randrange(46)] = rng.randrange(256)
        elif rng.random() < 0.4:
            changed[place] ^= 1 << rng.randrange(8)
        elif rng.random() < 0.5:
            start = rng.randrange(len(raw))
            changed[place:place] = raw[start : start + rng.randrange(60)]
        elif rng.random() < 0.5:
            del changed[place : place + rng.randrange(1, 40)]
        else:
            changed[place : place + 4] = rng.choice((b"\xff" * 4, b"PK\x01\x02", b"PK\x05\x06", b"1e99", b"[[[["))
    return bytes(changed)


def checked(root):
    return [[*check.faults_of(design), *check.folds_of(design)] for design in Catalog.load(root).designs]


def said_by(act, path):
    """What an error of our own says, if one comes out."""
    try:
        act(path)
    except MaskgenError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_the_bytes_only_our_own_errors_come_out(tmp_path, seed):
    root = small_catalog(tmp_path, {"red": 1})
    bundle.export(Catalog.load(root), tmp_path / "x.zip")
    raw, contents = (tmp_path / "x.zip").read_bytes(), (root / CATALOG_FILE).read_bytes()
    rng = random.Random(seed)
    started = time.monotonic()
    for _ in range(60):
        (tmp_path / "x.zip").write_bytes(mutated(raw, rng))
        (root / CATALOG_FILE).write_bytes(mutated(contents, rng))
        said = [said_by(bundle.read, tmp_path / "x.zip"), said_by(checked, root)]
        assert all(len(text.splitlines()) <= 1 and len(text) < 2000 for text in said)
    assert time.monotonic() - started < 60


def test_a_png_of_a_side_that_no_reader_takes_is_one_line(tmp_path):
    raw = bytearray(cv2.imencode(".png", np.full((1, 9, 4), 200, np.uint8))[1].tobytes())
    raw[16:20] = (2_000_000).to_bytes(4, "big")
    assert "not an 8-bit RGBA PNG" in refusal(zipped(many_designs(1, bytes(raw))), tmp_path)


def test_a_png_whose_chunk_claims_gigabytes_is_refused_before_room_is_made_for_them():
    whole = noisy_png(40)
    place = whole.index(b"IDAT") - 4
    claims = whole[:place] + (3_000_000_000).to_bytes(4, "big") + whole[place + 4 :]
    png.decode(whole, "x.png")
    with pytest.raises(CatalogError, match="a part of it is longer than the file"):
        png.decode(claims, "x.png")
