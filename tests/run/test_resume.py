"""What a run does with what a former one left: outdated, vanished, foreign and half written files."""

import os
import shutil
import subprocess

import pytest
from fakes import mask, write_picture

from maskgen import files, linelog, manifest, run
from maskgen.datasets import folder_writer
from maskgen.errors import ConfigError
from maskgen.run import stamps

ENDED = "_the_run_was_killed"


def rows_of(folder):
    return {row.key: row for row in manifest.read(folder / "manifest.jsonl")}


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def shown(folder):
    return [name for name in files_in(folder) if not name.startswith(".maskgen")]


@pytest.fixture
def source(tmp_path):
    for name in ("ann/1.png", "bob/2.png", "bob/3.jpg"):
        write_picture(tmp_path / "in" / name)
    write_picture(tmp_path / "in" / "bob" / "4.png", "no_face")
    return tmp_path / "in"


def taken(job):
    """Keys of the pictures that a run works on."""
    keys = [entry.key for entry in run.prepare(job).pending]
    mask(job)
    return keys


def killed_at(job, taken, monkeypatch):
    """Run a job that is killed after some rows, with a chunk that is written and not recorded."""
    with monkeypatch.context() as patch:
        patch.setattr(linelog.Log, "append", _append_until(taken))
        with pytest.raises(KeyboardInterrupt, match=ENDED):
            mask(job)


def _append_until(number):
    append, rows = linelog.Log.append, []

    def stop(log, line):
        if log._path.name == manifest.MANIFEST_FILE:
            if len(rows) == number:
                raise KeyboardInterrupt(ENDED)
            rows.append(line)
        append(log, line)

    return stop


# ---- outdated


def test_nothing_is_done_again_where_nothing_has_changed(source, job_of):
    mask(job_of(source))
    assert taken(job_of(source)) == []
    assert taken(job_of(source, execution={"checksum": True})) == []


def test_an_input_that_has_changed_is_taken_again(source, job_of, hash_of_tree):
    job = job_of(source)
    mask(job)
    write_picture(source / "ann" / "1.png", "two_faces")
    write_picture(source / "bob" / "4.png", "face")
    assert taken(job) == ["ann/1.png", "bob/4.png"]
    assert len(rows_of(job.target)["ann/1.png"].faces) == 2
    fresh = job_of(source, "fresh")
    mask(fresh)
    assert hash_of_tree(job.target) == hash_of_tree(fresh.target)


def test_a_failed_input_that_was_mended_is_taken_again(source, job_of):
    (source / "5.png").write_bytes(b"")
    mask(job_of(source))
    write_picture(source / "5.png")
    assert taken(job_of(source)) == ["5.png"]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), os.remove, lambda path: path.write_bytes(b"x")])
def test_an_output_that_was_emptied_removed_or_changed_is_made_again(source, job_of, hash_of_tree, damage):
    job = job_of(source, originals=True)
    mask(job)
    before = hash_of_tree(job.target)
    damage(job.target / "bob" / "2_m1.png")
    damage(job.target / "bob" / "3.jpg")
    assert taken(job) == ["bob/2.png", "bob/3.jpg"]
    assert hash_of_tree(job.target) == before


def test_a_checksum_sees_what_size_and_time_do_not_and_takes_no_copy_for_a_change(source, job_of):
    job, thorough = job_of(source), job_of(source, execution={"checksum": True})
    mask(job)
    path = job.target / "bob" / "3.jpg"
    status, raw = path.stat(), bytearray(path.read_bytes())
    raw[-20] ^= 1
    path.write_bytes(raw)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(source / "ann" / "1.png")
    assert [entry.key for entry in run.prepare(job).pending] == ["ann/1.png"]
    assert taken(thorough) == ["bob/3.jpg"]


def test_rows_whose_stamps_were_lost_are_made_again(source, job_of, hash_of_tree):
    job = job_of(source)
    mask(job)
    before = hash_of_tree(job.target)
    path = job.target / stamps.STAMPS_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b'{"no": "stamp"}\n["a"]\n\xff\n' + b"".join(lines[2:]))
    assert taken(job) == ["ann/1.png", "bob/2.png"]
    assert hash_of_tree(job.target) == before


def test_two_names_that_clash_no_longer_are_both_done(tmp_path, job_of):
    write_picture(tmp_path / "in" / "a.png")
    write_picture(tmp_path / "in" / "a_m1.png")
    job = job_of(tmp_path / "in", originals=True)
    assert mask(job).counts.reasons == {"name_clash": 1}
    assert taken(job) == []
    assert run.prepare(job).count().settled == 2
    (tmp_path / "in" / "a_m1.png").unlink()
    assert taken(job) == ["a.png"]


def test_a_folder_in_the_input_and_a_picture_to_be_written_clash(tmp_path, job_of):
    write_picture(tmp_path / "in" / "x.jpg")
    write_picture(tmp_path / "in" / "x_m1.jpg" / "1.jpg")
    job = job_of(tmp_path / "in", variants=2)
    mask(job)
    row = rows_of(job.target)["x.jpg"]
    assert (row.reason, row.message) == ("name_clash", "x_m1.jpg would overwrite what comes of x_m1.jpg/1.jpg")
    assert rows_of(job.target)["x_m1.jpg/1.jpg"].status == "done"


# ---- vanished


def test_rows_of_inputs_that_are_gone_stay_and_are_counted_until_they_are_pruned(source, job_of, hash_of_tree):
    job = job_of(source)
    mask(job)
    shutil.rmtree(source / "ann")
    summary = mask(job)
    assert (summary.vanished, summary.counts.inputs, summary.counts.done) == (1, 4, 3)
    assert (job.target / "ann" / "1.png").exists()
    summary = mask(job_of(source, execution={"prune": True}))
    assert (summary.vanished, summary.counts.inputs, summary.counts.done) == (0, 3, 2)
    assert not (job.target / "ann").exists()
    fresh = job_of(source, "fresh")
    mask(fresh)
    assert hash_of_tree(job.target) == hash_of_tree(fresh.target)
    assert len((job.target / stamps.STAMPS_FILE).read_bytes().splitlines()) == 3


def test_an_input_that_lists_nothing_at_all_is_not_pruned(source, job_of):
    mask(job_of(source))
    shutil.rmtree(source)
    source.mkdir()
    with pytest.raises(ConfigError, match="no picture in it"):
        mask(job_of(source, execution={"prune": True}))
    assert len(rows_of(job_of(source).target)) == 4


# ---- foreign


@pytest.mark.parametrize("existing", ["auto", "overwrite"])
@pytest.mark.parametrize("state", ["running", "limited"])
def test_a_foreign_file_in_the_way_is_refused_whatever_the_state_of_the_former_run(
    source, job_of, monkeypatch, hash_of_tree, state, existing
):
    if state == "limited":
        mask(job_of(source, execution={"limit": 1}))
    else:
        killed_at(job_of(source), 1, monkeypatch)
    target = job_of(source).target
    (target / "bob").mkdir(exist_ok=True)
    (target / "bob" / "3.jpg").write_bytes(b"mine")
    before = hash_of_tree(target)
    with pytest.raises(ConfigError, match=r"3\.jpg: in the way, and no run of maskgen wrote it"):
        mask(job_of(source, execution={"existing": existing}))
    assert hash_of_tree(target) == before


def test_a_foreign_file_that_appears_while_a_run_goes_on_is_not_overwritten(source, job_of):
    job = job_of(source, variants=2)

    def intrude(progress):
        if progress.taken == 0:
            (job.target / "bob").mkdir()
            (job.target / "bob" / "2_m2.png").write_bytes(b"mine")

    mask(job, intrude)
    row = rows_of(job.target)["bob/2.png"]
    assert (row.reason, row.message) == ("in_the_way", "bob/2_m2.png: in the way, and no run of maskgen wrote it")
    assert (job.target / "bob" / "2_m2.png").read_bytes() == b"mine"
    assert not (job.target / "bob" / "2_m1.png").exists()
    with pytest.raises(ConfigError, match="in the way"):
        mask(job_of(source, variants=2, execution={"retry_failed": True}))
    (job.target / "bob" / "2_m2.png").unlink()
    assert mask(job_of(source, variants=2, execution={"retry_failed": True})).counts.failed == 0


def test_a_file_system_without_hard_links_is_written_to_and_nothing_overwritten(source, job_of, monkeypatch):
    def no_links(source, target):
        raise OSError(files.errno.EPERM, "no links")

    monkeypatch.setattr(files.os, "link", no_links)
    test_a_foreign_file_that_appears_while_a_run_goes_on_is_not_overwritten(source, job_of)


# ---- killed


def test_what_a_killed_run_wrote_without_a_row_is_its_own(source, job_of, monkeypatch, hash_of_tree):
    mask(job_of(source, "fresh"))
    killed_at(job_of(source), 1, monkeypatch)
    target = job_of(source).target
    assert len(rows_of(target)) == 1
    assert "bob/2.png" in shown(target)  # written, and not recorded
    write_picture(source / "bob" / "2.png", "two_faces")
    mask(job_of(source))
    mask(job_of(source, "fresh"))
    assert hash_of_tree(target) == hash_of_tree(job_of(source, "fresh").target)
    assert not list(target.glob(".maskgen-*"))


def test_overwriting_what_a_killed_run_left_leaves_no_file_without_a_name(source, job_of, monkeypatch):
    killed_at(job_of(source, variants=3), 1, monkeypatch)
    target = job_of(source).target
    assert "bob/2_m3.png" in shown(target)
    mask(job_of(source, execution={"existing": "overwrite"}))
    named = [place for row in rows_of(target).values() for place in row.places]
    assert shown(target) == sorted([*named, "manifest.jsonl", "run.json"])


def test_a_picture_that_fails_at_its_second_variant_leaves_nothing_without_a_name(source, job_of, monkeypatch):
    put = folder_writer.FolderPart.put

    def fail(part, sample, meta):
        if meta.variant == 2:
            raise ZeroDivisionError
        return put(part, sample, meta)

    monkeypatch.setattr(folder_writer.FolderPart, "put", fail)
    job = job_of(source, variants=2)
    mask(job)
    assert shown(job.target) == ["manifest.jsonl", "run.json"]


def test_a_journal_names_no_file_outside_and_none_that_was_changed_since(source, job_of, tmp_path):
    mask(job_of(source))
    target = job_of(source).target
    (tmp_path / "mine.png").write_bytes(b"mine")
    (target / "mine.png").write_bytes(b"mine")
    stamp = files.stamp_of(tmp_path / "mine.png")
    lines = f'["../mine.png", "{stamp}", "a"]\n["mine.png", "4-1", "a"]\nno JSON\n[1, 2, 3]\n'
    (target / ".maskgen-0.journal").write_text(lines)
    mask(job_of(source))
    assert (tmp_path / "mine.png").exists()
    assert (target / "mine.png").exists()


# ---- long manifests


def test_a_long_manifest_is_compressed_and_read_resumed_and_begun_anew_alike(source, job_of, monkeypatch, hash_of_tree):
    job = job_of(source)
    mask(job)
    plain = rows_of(job.target)
    monkeypatch.setattr(manifest.log, "MOST_PLAIN_ROWS", 3)
    monkeypatch.setattr(manifest, "MOST_PLAIN_ROWS", 3)
    packed = job_of(source, "packed")
    mask(packed)
    path = manifest.path_of(packed.target)
    assert path.name == "manifest.jsonl.gz"
    assert {row.key: row for row in manifest.read(path)} == plain
    before = hash_of_tree(packed.target)
    assert mask(packed).progress.taken == 0
    write_picture(source / "ann" / "1.png", "two_faces")
    assert taken(packed) == ["ann/1.png"]
    mask(job_of(source, "fresh"))
    assert hash_of_tree(packed.target) == hash_of_tree(job_of(source, "fresh").target) != before
    mask(job_of(source, "packed", execution={"existing": "overwrite"}))
    assert hash_of_tree(packed.target) == hash_of_tree(job_of(source, "fresh").target)
    assert not (packed.target / "manifest.jsonl").exists()


@pytest.mark.parametrize("killed", ["as it compresses", "as it takes it out"])
def test_a_run_that_is_killed_as_it_compresses_the_manifest_loses_no_row(source, job_of, monkeypatch, killed):
    monkeypatch.setattr(manifest, "MOST_PLAIN_ROWS", 3)
    job = job_of(source)
    mask(job)
    rows = {row.key: row for row in manifest.read(manifest.path_of(job.target))}
    if killed == "as it compresses":
        manifest.unpack(job.target)
        (job.target / "manifest.jsonl.gz").write_bytes(b"half")
    else:
        raw = (job.target / "manifest.jsonl.gz").read_bytes()
        manifest.unpack(job.target)
        (job.target / "manifest.jsonl.gz").write_bytes(raw)
    assert mask(job).progress.taken == 0
    assert {row.key: row for row in manifest.read(manifest.path_of(job.target))} == rows


def test_a_row_leaves_out_what_it_does_not_have(source, job_of):
    mask(job_of(source))
    for line in (job_of(source).target / "manifest.jsonl").read_text().splitlines():
        assert "null" not in line
        assert "schema_version" not in line


# ---- deep


@pytest.fixture
def deep(tmp_path):
    """A folder with so many in each other, and a picture in the last, that Python's own functions fail at it."""
    if os.name == "nt":
        pytest.skip("paths are short there")
    folder = tmp_path.joinpath("in", *["d"] * 1200)
    files.make_folder(folder)
    write_picture(folder / "1.png")
    yield tmp_path / "in"
    # pytest could not remove them.
    subprocess.run(["rm", "-rf", tmp_path / "in", tmp_path / "out"], check=True)


def test_a_thousand_folders_in_each_other_are_read_and_written(deep, job_of):
    job = job_of(deep)
    assert mask(job).counts.done == 1
    assert mask(job).progress.taken == 0


def test_the_writer_finishes_with_the_latest_row_of_each_input(source, job_of, monkeypatch):
    seen = []

    def finish(writer, rows):
        for row in rows:
            seen.append(row.key)
            yield row.model_copy(update={"message": "in its place"})

    monkeypatch.setattr(folder_writer.FolderWriter, "finish", finish)
    monkeypatch.setattr(folder_writer.FolderWriter, "puts_together", True)
    mask(job_of(source))
    assert seen == ["ann/1.png", "bob/2.png", "bob/3.jpg", "bob/4.png"]
    assert {row.message for row in rows_of(job_of(source).target).values()} == {"in its place"}


def test_what_former_rows_name_goes_only_when_the_new_rows_stand(source, job_of, monkeypatch):
    job, stood = job_of(source), []

    def finish(writer, rows):
        for row in rows:
            yield row.model_copy(update={"message": "new"})
        stood.append([row.message for row in rows_of(job.target).values()])

    monkeypatch.setattr(folder_writer.FolderWriter, "finish", finish)
    monkeypatch.setattr(folder_writer.FolderWriter, "puts_together", True)
    mask(job)
    assert stood == [["new"] * 4]
