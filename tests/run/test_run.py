"""The promises of a run: the input untouched, a row for everything, the same bytes whatever happens."""

import concurrent.futures
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from catalogs import small_catalog
from fakes import FakeDetectors, mask, write_picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskgen import files, formats, images, linelog, manifest, run
from maskgen.catalog.store import Catalog
from maskgen.datasets import folder, folder_writer
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.errors import CatalogError, ConfigError, ImageError, MaskgenError, ModelError
from maskgen.masking import light
from maskgen.masking.augment import augment_image
from maskgen.parallel import local
from maskgen.run import worker


def rows_of(folder):
    return {row.key: row for row in manifest.read(folder / "manifest.jsonl")}


def state_of(folder):
    return manifest.read_run(folder / "run.json").state


def files_in(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".maskgen"))
    return sorted(str(path.relative_to(folder)) for path in found)


def interrupted(job):
    with pytest.raises(KeyboardInterrupt):
        mask(job)


class NoModel:
    def build(self):
        raise ModelError("no such pack")

    def parser(self):
        return None

    def sha256(self):
        return ""


# ---- the main journey


def test_every_input_has_one_row_and_every_masked_picture_its_file(tree, job_of):
    job = job_of(tree)
    summary = mask(job)
    rows = rows_of(job.target)
    assert list(rows) == sorted(files_in(tree))
    assert {path: (row.status, row.reason) for path, row in rows.items()} == {
        "Zoë/bild ü.1.PNG": ("done", None),
        "Zoë/deep/er/x.bmp": ("done", None),
        "Zoë/turned.webp": ("skipped", "no_view_for_pose"),
        "ann/1.jpg": ("done", None),
        "ann/2.b.JPG": ("done", None),
        "ann/3.png": ("skipped", "no_face"),
        "broken.jpg": ("failed", "bad_image"),
        "empty.png": ("failed", "bad_image"),
        "readme.txt": ("skipped", "not_an_image"),
        "y.tiff": ("done", None),
    }
    done = [path for path, row in rows.items() if row.status == "done"]
    assert files_in(job.target) == sorted([*done, "manifest.jsonl", "run.json"])
    assert summary.counts == manifest.read_run(job.target / "run.json").counts
    assert (summary.counts.inputs, summary.counts.done, summary.counts.skipped, summary.counts.failed) == (10, 5, 3, 2)
    assert state_of(job.target) == "complete"


def test_the_input_is_never_written_to(tree, job_of, hash_of_tree):
    before = hash_of_tree(tree)
    stamps = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    mask(job_of(tree, originals=True, variants=2, copy_skipped=True))
    assert hash_of_tree(tree) == before
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == stamps


def test_output_keeps_name_format_and_size_and_changes_the_picture(tree, job_of):
    job = job_of(tree)
    mask(job)
    for path, row in rows_of(job.target).items():
        if row.status == "done":
            with Image.open(tree / path) as before, Image.open(job.target / path) as after:
                assert after.format == before.format
                assert after.size == before.size == row.size_wh
                assert np.abs(np.asarray(before, int) - np.asarray(after.convert("RGB"), int)).max() > 5


def test_failed_rows_say_what_is_wrong_without_naming_where_the_folder_lies(tree, job_of):
    job = job_of(tree)
    mask(job)
    rows = rows_of(job.target)
    assert rows["empty.png"].message == "empty file (0 bytes)"
    assert all(row.remedy for row in rows.values() if row.status == "failed")
    assert rows["broken.jpg"].message.startswith("cut short: pixels at its end are missing")
    assert str(tree.parent) not in (job.target / "manifest.jsonl").read_text()


def test_rows_hold_faces_masks_and_seeds_and_landmarks_when_asked(tree, job_of):
    job = job_of(tree, faces="all", save_landmarks=True)
    mask(job)
    row = rows_of(job.target)["y.tiff"]
    assert len(row.faces) == len(row.variants[0].masks) == 2
    assert [mask.design in {"red", "blue"} for mask in row.variants[0].masks] == [True, True]
    assert len(row.faces[0].landmarks) == 68
    assert row.faces[0].keypoints[2] == row.faces[0].landmarks[30][:2]
    assert int(row.variants[0].seed, 16) == worker.seed_of(0, "y.tiff", 1)
    x1, y1, x2, y2 = row.faces[0].bbox
    assert 0 < x1 < x2 < 200
    assert 0 < y1 < y2 < 200


def test_the_largest_face_alone_gets_a_mask_unless_all_are_asked_for(tree, job_of):
    job = job_of(tree)
    mask(job)
    masks = rows_of(job.target)["y.tiff"].variants[0].masks
    assert masks[0].design is not None
    assert masks[1].reason == "not_largest"
    assert rows_of(job.target)["y.tiff"].faces[0].landmarks is None


def test_small_faces_are_left_alone(tree, job_of):
    job = job_of(tree, min_face=1000)
    assert mask(job).counts.done == 0
    assert rows_of(job.target)["ann/1.jpg"].reason == "too_small"


def test_progress_ends_at_the_number_of_rows(tree, job_of):
    told = []
    mask(job_of(tree), told.append)
    taken = [progress.taken for progress in told]
    assert taken[0] == 0
    assert taken == sorted(set(taken))
    assert told[-1] == run.Progress(10, 5, 3, 2)


def test_the_counts_that_workers_send_are_those_of_the_manifest(tree, job_of, monkeypatch):
    job = job_of(tree, variants=2, faces="all", originals=True)
    read = []
    monkeypatch.setattr(manifest.log, "row_of", lambda path, number, line: read.append(line))
    counted = mask(job).counts
    assert not read  # the rows were not parsed to be counted
    monkeypatch.undo()
    assert counted == manifest.sort(job.target / "manifest.jsonl")


def test_a_resumed_run_counts_the_rows_of_both(tree, job_of):
    job = job_of(tree)
    whole = mask(job).counts
    other = job_of(tree, target="other", execution={"limit": 3})
    assert mask(other).counts.inputs < whole.inputs
    assert mask(job_of(tree, target="other")).counts == whole


def test_a_kill_between_rows_and_stamps_of_a_chunk_costs_nothing(tree, job_of, monkeypatch):
    job, alone = job_of(tree), job_of(tree, target="alone")
    mask(alone)
    append, written = linelog.Log.append, []

    def dies(log, *lines):
        append(log, *lines)
        written.append(lines)
        if len(written) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(linelog.Log, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        mask(job)
    monkeypatch.undo()
    mask(job)
    assert (job.target / "manifest.jsonl").read_bytes() == (alone.target / "manifest.jsonl").read_bytes()


# ---- names


def test_with_originals_the_copy_is_exact_and_the_masked_picture_beside_it(tree, job_of):
    job = job_of(tree, originals=True)
    mask(job)
    assert (job.target / "ann/2.b.JPG").read_bytes() == (tree / "ann/2.b.JPG").read_bytes()
    row = rows_of(job.target)["ann/2.b.JPG"]
    assert row.places == ("ann/2.b.JPG", "ann/2.b_m1.JPG")
    assert all((job.target / file).is_file() for file in row.places)
    assert not (job.target / "ann/3.png").exists()


def test_variants_differ_and_each_has_its_seed(tree, job_of):
    job = job_of(tree, variants=8)
    mask(job)
    row = rows_of(job.target)["ann/1.jpg"]
    assert [variant.place for variant in row.variants] == [f"ann/1_m{number}.jpg" for number in range(1, 9)]
    assert len({variant.seed for variant in row.variants}) == 8
    assert {variant.masks[0].design for variant in row.variants} == {"red", "blue"}
    assert not (job.target / "ann/1.jpg").exists()


def test_skipped_pictures_are_copied_only_if_asked_for(tree, job_of):
    job = job_of(tree, copy_skipped=True)
    mask(job)
    assert (job.target / "ann/3.png").read_bytes() == (tree / "ann/3.png").read_bytes()
    assert rows_of(job.target)["ann/3.png"].original.place == "ann/3.png"
    assert not (job.target / "readme.txt").exists()
    assert not (job.target / "broken.jpg").exists()


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(names, st.sampled_from(["jpg", "JPeG", "png", "tar.png"]), st.integers(1, 3), st.booleans())
def test_outputs_stay_in_the_folder_of_their_input_and_keep_its_ending(stem, suffix, variants, originals):
    path = f"ann/{stem}.{suffix}"
    outputs = FolderWriter(Path("out"), variants, originals).places(path)
    assert len(set(outputs)) == variants
    assert {os.path.dirname(name) for name in outputs} == {"ann"}
    assert {formats.format_of(name) for name in outputs} == {formats.format_of(path)}
    assert (path in outputs) == (variants == 1 and not originals)


def test_two_inputs_that_would_be_written_to_one_name_clash_and_the_copy_wins(tmp_path, job_of):
    source = tmp_path / "in"
    write_picture(source / "a.png")
    write_picture(source / "a_m1.png", "two_faces")
    job = job_of(source, originals=True)
    mask(job)
    rows = rows_of(job.target)
    assert (rows["a.png"].status, rows["a.png"].reason) == ("failed", "name_clash")
    assert rows["a.png"].message == "a_m1.png would overwrite what comes of a_m1.png"
    assert rows["a_m1.png"].places == ("a_m1.png", "a_m1_m1.png")
    assert (job.target / "a_m1.png").read_bytes() == (source / "a_m1.png").read_bytes()


def test_names_that_differ_in_case_alone_clash_where_the_file_system_ignores_case(tmp_path, job_of, monkeypatch):
    source = tmp_path / "in"
    write_picture(source / "A.png")
    write_picture(source / "a.png")
    monkeypatch.setattr(folder_writer, "ignores_case_of", lambda folder: True)
    job = job_of(source)
    mask(job)
    assert {path: row.status for path, row in rows_of(job.target).items()} == {"A.png": "done", "a.png": "failed"}


def test_this_file_system_is_asked_whether_it_ignores_case(tmp_path):
    (tmp_path / "Probe").mkdir()
    assert folder_writer.ignores_case_of(tmp_path / "Probe") == (tmp_path / "pROBE").exists()


# ---- listing


def test_links_are_followed_and_loops_are_not(tmp_path, job_of):
    source, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    write_picture(elsewhere / "bob" / "1.png")
    source.mkdir()
    (source / "linked").symlink_to(elsewhere)
    (source / "again").symlink_to(source)
    (source / "one.png").symlink_to(elsewhere / "bob" / "1.png")
    (source / "nowhere.png").symlink_to(tmp_path / "gone.png")
    job = job_of(source)
    mask(job)
    assert {path: (row.status, row.reason) for path, row in rows_of(job.target).items()} == {
        "again": ("skipped", "folder_loop"),
        "linked/bob/1.png": ("done", None),
        "nowhere.png": ("failed", "bad_image"),
        "one.png": ("done", None),
    }
    assert not (job.target / "one.png").is_symlink()


def test_pipes_and_resource_forks_are_no_pictures(tmp_path, job_of):
    source = tmp_path / "in"
    write_picture(source / "a.png")
    write_picture(source / "._a.png")
    os.mkfifo(source / "pipe.png")
    job = job_of(source)
    mask(job)
    rows = rows_of(job.target)
    assert [rows[path].reason for path in ("._a.png", "a.png", "pipe.png")] == ["no_data", None, "not_an_image"]


def test_a_name_that_is_not_unicode_fails_with_a_row(tmp_path, job_of):
    source = tmp_path / "in"
    for name in (b"/\xe9.png", b"/\\udce9.png", b"/\\udce9\xff.png", b"/\xe9\xff.png"):
        write_picture(source / "a.png")
        try:
            os.rename(os.fsencode(source / "a.png"), os.fsencode(source) + name)
        except OSError:
            pytest.skip("this file system refuses such names")
    job = job_of(source)
    mask(job)
    assert {row.key: row.reason for row in rows_of(job.target).values()} == {
        "\\udce9.png": None,
        "\\udce9.png (2)": "bad_name",
        "\\udce9\\udcff.png": "bad_name",
        "\\udce9\\udcff.png (2)": "bad_name",
    }


def test_a_folder_that_cannot_be_listed_fails_with_a_row(tree, job_of, monkeypatch):
    scandir = os.scandir

    def refuse(folder):
        if not isinstance(folder, int) and Path(folder).name == "ann":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(folder.os, "scandir", refuse)
    job = job_of(tree)
    assert mask(job).counts.reasons["unreadable_folder"] == 1
    assert rows_of(job.target)["ann"].message == "cannot be listed: Permission denied"


def test_a_folder_without_pictures_is_refused_and_nothing_is_written(tmp_path, job_of):
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match="no picture in it, it is empty"):
        mask(job_of(tmp_path / "in"))
    (tmp_path / "in" / "notes.txt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"no picture in it, but 1 not_an_image, such as notes\.txt"):
        mask(job_of(tmp_path / "in"))
    assert not (tmp_path / "out").exists()


def test_an_input_of_which_nothing_can_be_read_ends_with_an_error_after_all_rows_are_written(tmp_path, job_of):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(b"")
    (tmp_path / "in" / "2.png").write_bytes(b"no picture")
    with pytest.raises(run.NothingReadError, match="no picture in it could be read: 2 bad_image"):
        mask(job_of(tmp_path / "in"))
    assert [row.reason for row in rows_of(tmp_path / "out").values()] == ["bad_image", "bad_image"]
    write_picture(tmp_path / "in" / "3.png")
    assert mask(job_of(tmp_path / "in")).counts.read == 1


# ---- folders that are refused


@pytest.mark.parametrize("target", ["in", "in/out", "in/ann/out", ".", "link/out", "in/../in/out"])
def test_an_output_folder_in_the_input_or_around_it_is_refused(tree, job_of, tmp_path, target, hash_of_tree):
    (tmp_path / "link").symlink_to(tree)
    before = hash_of_tree(tree)
    with pytest.raises(ConfigError, match="lie in each other"):
        mask(job_of(tree, target))
    assert hash_of_tree(tree) == before


def test_a_link_in_the_input_that_leads_to_the_output_is_refused(tree, job_of, tmp_path):
    (tmp_path / "out").mkdir()
    (tree / "link").symlink_to(tmp_path / "out")
    with pytest.raises(ConfigError, match="leads to the output folder"):
        mask(job_of(tree))


def test_a_link_in_the_output_that_leads_out_of_it_is_not_written_through(tree, job_of, tmp_path, hash_of_tree):
    job = job_of(tree, execution={"limit": 1})
    mask(job)
    (job.target / "ann").symlink_to(tree / "ann")
    before = hash_of_tree(tree)
    with pytest.raises(ConfigError, match=r"a link that leads out of the output folder|in the way"):
        mask(job_of(tree))
    assert hash_of_tree(tree) == before


@pytest.mark.parametrize("existing", ["auto", "resume", "overwrite"])
def test_a_folder_with_foreign_files_is_refused_and_left_as_it_is(tree, job_of, tmp_path, existing):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear reader")
    with pytest.raises(ConfigError, match="not empty, and no run of maskgen made it"):
        mask(job_of(tree, execution={"existing": existing}))
    assert files_in(tmp_path / "out") == ["thesis.tex"]


def test_source_and_target_must_be_folders(tree, job_of, tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        mask(job_of(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="the output must be a new or empty folder"):
        mask(job_of(tree, "file"))


def test_two_runs_do_not_write_to_one_folder(tree, job_of):
    job = job_of(tree)
    lock = job.target / files.LOCK_FILE
    with files.locked(lock), pytest.raises(MaskgenError, match="another process is writing there"):
        mask(job)
    mask(job)


# ---- same seed, same bytes


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """(source, catalog, output of one worker) for runs that must come to the same."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "catalog").mkdir()
    catalog = small_catalog(folder / "catalog", {"red": 1, "blue": 2})
    for number in range(6):
        write_picture(folder / "in" / f"id{number % 2}" / f"{number}.jpg", "two_faces" if number % 3 else "face")
    write_picture(folder / "in" / "bare.png", "no_face")
    (folder / "in" / "broken.jpg").write_bytes(b"")
    mask(run.Job(folder / "in", folder / "one", settings_of(catalog), run.Execution(1), detectors=FakeDetectors()))
    return folder / "in", catalog, folder / "one"


def settings_of(catalog, **changes):
    return run.AugmentSettings(**({"catalog": catalog, "faces": "all", "variants": 2, "seed": 3} | changes))


def test_two_workers_write_the_same_bytes_as_one(plain_run, tmp_path, hash_of_tree):
    source, catalog, one = plain_run
    mask(run.Job(source, tmp_path / "two", settings_of(catalog), run.Execution(2), detectors=FakeDetectors()))
    assert hash_of_tree(tmp_path / "two") == hash_of_tree(one)


def test_a_resumed_run_writes_the_same_bytes_as_one_that_was_never_stopped(plain_run, tmp_path, hash_of_tree):
    source, catalog, one = plain_run
    job = run.Job(source, tmp_path / "out", settings_of(catalog), run.Execution(1), detectors=FakeDetectors())

    def stop_after_three(progress):
        if progress.taken >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mask(job, stop_after_three)
    assert state_of(job.target) == "running"
    recorded = len(rows_of(job.target))
    assert 3 <= recorded < 8
    raw = (job.target / "manifest.jsonl").read_bytes()
    (job.target / "manifest.jsonl").write_bytes(raw[:-20])  # as if the last row had been cut by a kill
    (job.target / "id0" / files.temporary_name()).write_bytes(b"half a pict")
    assert mask(job).progress.taken == 8 - (recorded - 1)
    assert hash_of_tree(job.target) == hash_of_tree(one)


def test_the_seed_of_a_row_gives_its_picture_again(tmp_path, job_of, catalog_dir):
    source = tmp_path / "in"
    for number in range(12):
        write_picture(source / f"{number}.png")
    job = job_of(source)
    mask(job)
    rows = rows_of(job.target)
    assert {row.variants[0].masks[0].design for row in rows.values()} == {"red", "blue"}
    catalog = Catalog.load(catalog_dir)
    for key, row in rows.items():
        image = images.read(source / key).pixels
        rng = np.random.default_rng(np.random.SeedSequence(int(row.variants[0].seed, 16)))
        masked = augment_image(image, FakeDetectors().build(), catalog, rng)
        assert np.array_equal(masked.image, images.read(job.target / key).pixels)


def test_variants_of_one_picture_differ_in_grain_too(tmp_path, job_of):
    source = tmp_path / "in"
    noise = np.random.default_rng(0).normal(120, 6, (200, 200, 1)).clip(100, 140).repeat(3, 2).astype(np.uint8)
    source.mkdir()
    Image.fromarray(noise).save(source / "1.png")
    job = job_of(source, variants=2, designs=("red",))
    mask(job)
    first, second = (images.read(job.target / f"1_m{n}.png").pixels.astype(int) for n in (1, 2))
    changed = (first != noise).any(axis=2) & (second != noise).any(axis=2)
    assert (first != second).any(axis=2)[changed].mean() > 0.5


def test_another_seed_writes_other_masks(plain_run, tmp_path):
    source, catalog, one = plain_run
    job = run.Job(source, tmp_path / "out", settings_of(catalog, seed=4), run.Execution(1), detectors=FakeDetectors())
    mask(job)
    masks = [[row.variants for row in rows_of(folder).values()] for folder in (one, job.target)]
    assert masks[0] != masks[1]


def test_more_inputs_change_nothing_for_those_that_were_there(plain_run, tmp_path):
    source, catalog, one = plain_run
    more = tmp_path / "in"
    shutil.copytree(source, more)
    write_picture(more / "a" / "first.jpg")
    job = run.Job(more, tmp_path / "out", settings_of(catalog), run.Execution(1), detectors=FakeDetectors())
    mask(job)
    before = rows_of(one)
    assert {path: row for path, row in rows_of(job.target).items() if path in before} == before
    for file in (file for row in before.values() for file in row.places):
        assert (job.target / file).read_bytes() == (one / file).read_bytes()


@given(st.integers(0, 2**64), names, st.integers(1, 9))
def test_seeds_are_128_bits_and_depend_on_seed_path_and_variant(seed, path, variant):
    value = worker.seed_of(seed, path, variant)
    assert 0 <= value < 2**128
    assert value == worker.seed_of(seed, path, variant)
    assert value not in {
        worker.seed_of(seed + 1, path, variant),
        worker.seed_of(seed, path + "x", variant),
        worker.seed_of(seed, path, variant + 1),
    }


# ---- interrupted, resumed, retried


def test_ctrl_c_in_a_picture_ends_the_run_and_the_next_goes_on(tmp_path, job_of):
    source = tmp_path / "in"
    for name, kind in (("1.png", "face"), ("2.png", "interrupt"), ("3.png", "face")):
        write_picture(source / name, kind)
    interrupted(job_of(source))
    assert list(rows_of(tmp_path / "out")) == ["1.png"]
    stamp = (tmp_path / "out" / "1.png").stat().st_mtime_ns
    summary = mask(job_of(source, detectors=FakeDetectors(interrupts=False)))
    assert summary.progress.taken == 2
    assert summary.counts.done == 3
    assert (tmp_path / "out" / "1.png").stat().st_mtime_ns == stamp


STOP_ITSELF = """
import os, signal, sys, time
sys.path[:0] = {path}
from dataclasses import dataclass
from pathlib import Path
from fakes import FakeDetector, FakeDetectors
from maskgen import run

@dataclass(frozen=True)
class SlowDetector(FakeDetector):
    def detect(self, image):
        time.sleep(0.2)
        return super().detect(image)

class SlowDetectors(FakeDetectors):
    def build(self):
        return SlowDetector()

def on_progress(progress):
    if progress.taken == 2:
        {stop}
        time.sleep(10)

folder = Path({folder!r})
job = run.Job(folder / "in", folder / "out", run.AugmentSettings(catalog=folder / "catalog"), run.Execution(2),
              detectors=SlowDetectors())
try:
    run.run(job, on_progress)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_in_a_terminal_ends_workers_quietly_and_leaves_a_manifest_to_resume(tmp_path, catalog_dir, job_of):
    for number in range(12):
        write_picture(tmp_path / "in" / f"{number}.png")
    code = STOP_ITSELF.format(path=sys.path, folder=str(tmp_path), stop="os.killpg(0, signal.SIGINT)")
    # A session of its own, so that the signal reaches the run and its workers, as Ctrl-C does, and not pytest.
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "")
    assert 2 <= len(rows_of(tmp_path / "out")) < 12
    assert mask(job_of(tmp_path / "in")).counts.done == 12


def test_workers_of_a_run_that_is_killed_end_with_it_and_the_next_run_goes_on(tmp_path, catalog_dir, job_of):
    for number in range(12):
        write_picture(tmp_path / "in" / f"{number}.png")
    code = STOP_ITSELF.format(path=sys.path, folder=str(tmp_path), stop="os.kill(os.getpid(), signal.SIGKILL)")
    # The workers hold the captured streams open: this returns when the last of them has ended.
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert 2 <= len(rows_of(tmp_path / "out")) < 12
    assert mask(job_of(tmp_path / "in")).counts.done == 12


def test_a_picture_that_kills_its_worker_fails_and_costs_no_other(tmp_path, job_of):
    source = tmp_path / "in"
    for number in range(8):
        write_picture(source / f"{number}.png", "kill" if number in (1, 6) else "face")
    summary = mask(job_of(source, execution={"workers": 2}))
    assert (summary.counts.done, summary.counts.failed) == (6, 2)
    rows = rows_of(tmp_path / "out")
    assert {path for path, row in rows.items() if row.reason == "crashed"} == {"1.png", "6.png"}
    assert rows["1.png"].remedy == "retry_failed with fewer workers tries again"
    assert state_of(tmp_path / "out") == "complete"


def test_pictures_whose_worker_was_killed_once_are_done_after_all(tmp_path, job_of):
    source = tmp_path / "in"
    for number in range(6):
        write_picture(source / f"{number}.png", "kill" if number == 2 else "face")
    detectors = FakeDetectors(kills_once=tmp_path / "killed")
    summary = mask(job_of(source, execution={"workers": 2}, detectors=detectors))
    assert (tmp_path / "killed").exists()
    assert (summary.counts.done, summary.counts.failed) == (6, 0)


def test_workers_that_die_as_they_start_give_a_clear_error_and_the_next_run_goes_on(tmp_path, job_of, monkeypatch):
    source = tmp_path / "in"
    for number in range(2):
        write_picture(source / f"{number}.png")

    def die_at_once(*_):
        raise concurrent.futures.BrokenExecutor

    with monkeypatch.context() as patch:
        patch.setattr(local, "_pool", die_at_once)
        with pytest.raises(MaskgenError, match=r"die as they start.*run the same again"):
            mask(job_of(source, execution={"workers": 2}))
    assert mask(job_of(source)).counts.done == 2


def test_a_complete_run_is_not_done_again_and_stays_as_it_is(tree, job_of, hash_of_tree):
    job = job_of(tree)
    mask(job)
    before = hash_of_tree(job.target)
    stamps = {path: path.stat().st_mtime_ns for path in job.target.rglob("*.jpg")}
    summary = mask(job)
    assert summary.progress.taken == 0
    assert summary.counts.inputs == 10
    assert hash_of_tree(job.target) == before
    assert {path: path.stat().st_mtime_ns for path in job.target.rglob("*.jpg")} == stamps


def test_new_inputs_are_taken_by_the_next_run(tree, job_of):
    mask(job_of(tree))
    write_picture(tree / "new" / "n.jpg")
    assert mask(job_of(tree)).progress == run.Progress(1, done=1)


def test_a_picture_that_somebody_removed_from_the_output_is_made_again(tree, job_of, hash_of_tree):
    job = job_of(tree)
    mask(job)
    before = hash_of_tree(job.target)
    (job.target / "y.tiff").unlink()
    assert mask(job).progress.taken == 1
    assert hash_of_tree(job.target) == before


def test_failed_inputs_are_left_alone_unless_they_are_to_be_retried(tmp_path, job_of):
    source = tmp_path / "in"
    write_picture(source / "1.png", "bug")
    write_picture(source / "2.png")
    assert mask(job_of(source)).progress == run.Progress(2, done=1, failed=1)
    assert mask(job_of(source)).progress.taken == 0
    assert mask(job_of(source, execution={"retry_failed": True})).progress == run.Progress(1, failed=1)


def test_resume_insists_on_a_former_run(tree, job_of):
    with pytest.raises(ConfigError, match="no former run to resume"):
        mask(job_of(tree, execution={"existing": "resume"}))
    mask(job_of(tree))
    mask(job_of(tree, execution={"existing": "resume"}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"faces": "all"}, "faces: largest then, all now"),
        ({"quality": 80}, "quality: None then, 80 now"),
        ({"detectors": FakeDetectors(hash="e" * 64)}, "hash of the model pack: ffffffffffff then, eeeeeeeeeeee now"),
    ],
)
def test_a_resume_with_other_settings_is_refused_and_names_them(tree, job_of, changes, named, hash_of_tree):
    job = job_of(tree)
    mask(job)
    before = hash_of_tree(job.target)
    with pytest.raises(ConfigError) as caught:
        mask(job_of(tree, **changes))
    assert named in str(caught.value)
    assert "{existing=overwrite}" in caught.value.remedy
    assert hash_of_tree(job.target) == before


def test_a_resume_with_another_catalog_or_source_is_refused(tree, job_of, catalog_dir, tmp_path):
    mask(job_of(tree))
    shutil.copytree(tree, tmp_path / "in2")
    with pytest.raises(ConfigError, match="source: "):
        mask(job_of(tmp_path / "in2"))
    small_catalog(catalog_dir, {"green": 1})
    with pytest.raises(ConfigError, match="hash of the catalog"):
        mask(job_of(tree))


def test_settings_that_change_no_bytes_may_change_between_runs(tree, job_of):
    mask(job_of(tree, execution={"limit": 2}))
    mask(job_of(tree, execution={"workers": 1, "limit": None}))


def test_overwrite_deletes_what_the_former_run_wrote_and_nothing_else(tree, job_of, tmp_path):
    mask(job_of(tree, originals=True, variants=2))
    (tmp_path / "out" / "ann" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "Zoë" / "mine.jpg").write_bytes(b"mine")
    mask(job_of(tree, seed=1, execution={"existing": "overwrite"}))
    assert files_in(tmp_path / "out") == sorted(
        ["manifest.jsonl", "run.json", "Zoë/mine.jpg", "ann/notes.txt"]
        + ["Zoë/bild ü.1.PNG", "Zoë/deep/er/x.bmp", "ann/1.jpg", "ann/2.b.JPG", "y.tiff"]
    )
    assert (tmp_path / "out" / "Zoë" / "mine.jpg").read_bytes() == b"mine"
    assert manifest.read_run(tmp_path / "out" / "run.json").settings["seed"] == 1


def test_overwrite_refuses_before_it_deletes_when_a_foreign_file_is_in_the_way(tree, job_of, tmp_path, hash_of_tree):
    mask(job_of(tree))
    (tmp_path / "out" / "ann" / "3.png").write_bytes(b"mine")
    before = hash_of_tree(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"3\.png: in the way"):
        mask(job_of(tree, seed=1, execution={"existing": "overwrite"}))
    assert hash_of_tree(tmp_path / "out") == before


def test_folders_left_empty_by_overwrite_are_removed(tree, job_of, tmp_path):
    mask(job_of(tree))
    shutil.rmtree(tree / "Zoë" / "deep")
    mask(job_of(tree, execution={"existing": "overwrite"}))
    assert not (tmp_path / "out" / "Zoë" / "deep").exists()


# ---- limits and failures


def test_limit_takes_the_first_pictures_and_a_later_run_the_rest(tree, job_of):
    summary = mask(job_of(tree, execution={"limit": 2}))
    assert (summary.left, summary.record.state) == (7, "limited")
    rows = rows_of(job_of(tree).target)
    assert sorted(rows) == ["Zoë/bild ü.1.PNG", "Zoë/deep/er/x.bmp", "readme.txt"]
    summary = mask(job_of(tree))
    assert (summary.left, summary.record.state, summary.counts.inputs) == (0, "complete", 10)


def test_a_dry_run_writes_nothing(tree, job_of):
    plan = run.prepare(job_of(tree))
    assert len(plan.pending) == 9
    assert [fault.key for fault in plan.faults] == ["readme.txt"]
    assert not job_of(tree).target.exists()


def test_an_unknown_fault_fails_one_picture_and_keeps_its_traceback(tmp_path, job_of, caplog):
    source = tmp_path / "in"
    write_picture(source / "1.png", "bug")
    write_picture(source / "2.png")
    with caplog.at_level("DEBUG", "maskgen"):
        summary = mask(job_of(source))
    row = rows_of(tmp_path / "out")["1.png"]
    assert (row.reason, row.message) == ("unexpected", "ZeroDivisionError: no such luck")
    assert "fakes.py" in caplog.text
    assert summary.counts.done == 1


def test_huge_pictures_fail_with_a_row(tree, job_of):
    job = job_of(tree, max_pixels=10_000)
    with pytest.raises(run.NothingReadError):
        mask(job)
    assert "more than the 10,000 allowed" in rows_of(job.target)["ann/1.jpg"].message


def test_pictures_that_were_cut_short_fail_or_are_kept_and_noted_as_the_settings_say(tree, job_of):
    cut = tree / "ann" / "cut.jpg"
    cut.write_bytes((tree / "ann" / "1.jpg").read_bytes()[:-2])
    for setting, status in (("fail", "failed"), ("keep", "done")):
        job = job_of(tree, setting, truncated=setting)
        mask(job)
        row = rows_of(job.target)["ann/cut.jpg"]
        assert row.status == status
        assert row.notes == (("no_end_marker",) if setting == "keep" else ())
        assert ("truncated=keep" in (row.remedy or "")) == (setting == "fail")


def test_files_that_are_too_large_for_any_picture_fail_with_a_row(tree, job_of):
    with (tree / "ann" / "huge.jpg").open("wb") as file:
        file.truncate(3 * 2**30)
    job = job_of(tree)
    mask(job)
    row = rows_of(job.target)["ann/huge.jpg"]
    assert (row.status, row.reason) == ("failed", "bad_image")
    assert "max_pixels" in row.remedy


@pytest.mark.parametrize("workers", [1, 2])
def test_a_detector_that_cannot_be_built_ends_the_run_with_its_error(tree, job_of, workers):
    with pytest.raises(ModelError, match="no such pack"):
        mask(job_of(tree, detectors=NoModel(), execution={"workers": workers}))


def test_a_catalog_without_a_fitting_design_ends_the_run_before_it_starts(tree, job_of):
    with pytest.raises(CatalogError, match="no design"):
        mask(job_of(tree, kinds=("duckbill",)))


def test_a_full_disk_ends_the_run_and_the_next_goes_on(tree, job_of, monkeypatch):
    def full(path, data, announce):
        with files.named_faults(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_new", full)
        with pytest.raises(MaskgenError, match="No space left on device") as caught:
            mask(job_of(tree))
    assert not isinstance(caught.value, ImageError)
    assert mask(job_of(tree)).counts.done == 5


def test_a_picture_is_detected_once_for_all_its_variants(tmp_path, job_of, monkeypatch):
    calls = []
    source = tmp_path / "in"
    write_picture(source / "1.png")
    detect = FakeDetectors().build().__class__.detect
    monkeypatch.setattr("fakes.FakeDetector.detect", lambda self, image: calls.append(1) or detect(self, image))
    mask(job_of(source, variants=5))
    assert len(calls) == 1


def test_each_face_is_observed_once_on_the_bare_photograph_whatever_the_variants(tmp_path, job_of, monkeypatch):
    source, seen = tmp_path / "in", []
    write_picture(source / "1.png", "two_faces")
    appearance_of = light.appearance_of
    monkeypatch.setattr(light, "appearance_of", lambda image, *rest: seen.append(image) or appearance_of(image, *rest))
    mask(job_of(source, variants=3, faces="all"))
    assert len(seen) == 2
    assert all(np.array_equal(image, images.read(source / "1.png").pixels) for image in seen)


def test_faces_that_get_no_mask_are_not_observed(tmp_path, job_of, monkeypatch):
    source, seen = tmp_path / "in", []
    write_picture(source / "1.png", "two_faces")
    appearance_of = light.appearance_of
    monkeypatch.setattr(
        light, "appearance_of", lambda image, face, *rest: seen.append(face) or appearance_of(image, face, *rest)
    )
    mask(job_of(source))
    assert len(seen) == 1


def test_settings_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match="colour"):
        run.AugmentSettings(colour="red")
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        run.AugmentSettings(variants=0)


def test_run_json_holds_all_settings(tree, job_of):
    job = job_of(tree, tags=("red",))
    mask(job)
    stored = json.loads((job.target / "run.json").read_text())
    assert stored["settings"].keys() == run.AugmentSettings.model_fields.keys()
    assert stored["settings"]["tags"] == ["red"]
    assert stored["catalog_sha256"]
    assert stored["source"] == str(tree)
