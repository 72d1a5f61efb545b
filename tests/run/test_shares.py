"""Several processes that share the work of one run, and outputs that are brought together."""

import shutil
import threading

import pytest
from fakes import mask, write_picture

from maskgen import files, manifest, run
from maskgen.errors import ConfigError
from maskgen.run import merge, plan, shares
from maskgen.run.settings import Share

MANY = ["folder", "webdataset"]


@pytest.fixture
def source(tmp_path, monkeypatch):
    # So that a few pictures are shared.
    monkeypatch.setattr(plan, "_BLOCK", 2)
    for name in ("ann/1.png", "ann/2.png", "bob/3.jpg", "bob/4.jpg", "eve/5.png", "eve/6.png"):
        write_picture(tmp_path / "in" / name)
    write_picture(tmp_path / "in" / "eve" / "7.png", "no_face")
    (tmp_path / "in" / "notes.txt").write_text("mine")
    return tmp_path / "in"


def rows_of(folder):
    return {row.key: row for row in manifest.read(manifest.path_of(folder))}


def share(job_of, source, index, of, target="out", **settings):
    return job_of(source, target, execution={"shard": Share(index, of)}, **settings)


def hidden(folder):
    return sorted(path.name for path in folder.glob(".maskgen*") if "lock" not in path.name and "door" not in path.name)


@pytest.mark.parametrize("out_format", MANY)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shards_come_to_the_bytes_of_one_run_and_the_last_finishes(source, job_of, hash_of_tree, out_format, order):
    settings = {"out_format": out_format, "originals": True}
    mask(job_of(source, "alone", **settings))
    *firsts, last = (share(job_of, source, index, 3, **settings) for index in order)
    for number, job in enumerate(firsts, start=1):
        assert mask(job).shares == run.Shares(number, 3)
    summary = mask(last)
    assert (summary.shares, summary.record.state) == (None, "complete")
    assert summary.counts.inputs == 8
    assert hash_of_tree(last.target, ("run.json",)) == hash_of_tree(last.target.with_name("alone"), ("run.json",))
    assert not [name for name in hidden(last.target) if "rows" in name or "done" in name or "parts" in name]


def test_every_input_is_taken_by_one_shard(source, job_of):
    taken = [mask(share(job_of, source, index, 3)).progress.taken for index in (0, 1)]
    summary = mask(share(job_of, source, 2, 3))
    assert sum(taken) + summary.progress.taken == 8
    assert all(taken)


def test_shards_at_work_at_one_time_write_beside_each_other(source, job_of, hash_of_tree):
    mask(job_of(source, "alone"))
    summaries = {}
    # Each begins before another ends.
    barrier = threading.Barrier(3)

    def start(index):
        waited = []

        def wait(progress):
            if not waited:
                waited.append(barrier.wait(60))

        summaries[index] = mask(share(job_of, source, index, 3), wait)

    threads = [threading.Thread(target=start, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    target = job_of(source).target
    assert sorted(summary.shares is None for summary in summaries.values()) == [False, False, True]
    assert hash_of_tree(target, ("run.json",)) == hash_of_tree(target.with_name("alone"), ("run.json",))


def test_a_share_that_is_taken_another_number_and_a_run_alone_are_refused_meanwhile(source, job_of):
    target = job_of(source).target
    with shares.shared(target, Share(0, 2)):
        with pytest.raises(files.LockedError, match="another process"):
            mask(share(job_of, source, 0, 2))
        with pytest.raises(files.LockedError, match=r"shard 0/2 is at work there, this is 0/3"):
            mask(share(job_of, source, 0, 3))
        with pytest.raises(files.LockedError, match=r"shard 0/2 is at work there"):
            mask(job_of(source))
        with pytest.raises((files.LockedError, ConfigError)):
            merge.finish(target)
    with shares.alone(target), pytest.raises(files.LockedError, match="another process"):
        mask(share(job_of, source, 0, 2))


def test_another_number_of_shards_goes_on_where_the_first_stopped(source, job_of, hash_of_tree):
    mask(job_of(source, "alone"))
    first = mask(share(job_of, source, 0, 3)).progress.taken
    second = mask(share(job_of, source, 0, 2)).progress.taken
    summary = mask(share(job_of, source, 1, 2))
    assert first + second + summary.progress.taken == 8
    assert summary.record.state == "complete"
    target = job_of(source).target
    assert hash_of_tree(target, ("run.json",)) == hash_of_tree(target.with_name("alone"), ("run.json",))


def test_a_run_alone_goes_on_where_shards_stopped(source, job_of):
    taken = mask(share(job_of, source, 1, 3)).progress.taken
    summary = mask(job_of(source))
    assert summary.progress.taken == 8 - taken
    assert summary.counts.inputs == 8
    assert mask(job_of(source)).progress.taken == 0


def test_a_shard_that_was_killed_is_made_good_by_its_next_start(source, job_of, hash_of_tree):
    mask(job_of(source, "alone"))

    def stop(progress):
        if progress.taken == 2:
            raise KeyboardInterrupt

    mask(share(job_of, source, 0, 2))
    with pytest.raises(KeyboardInterrupt):
        mask(share(job_of, source, 1, 2), stop)
    summary = mask(share(job_of, source, 1, 2))
    assert summary.progress.taken == 1 + (8 // 2 - 3)
    target = job_of(source).target
    assert hash_of_tree(target, ("run.json",)) == hash_of_tree(target.with_name("alone"), ("run.json",))


def test_merge_finishes_by_hand_and_says_whether_inputs_may_be_left(source, job_of):
    mask(share(job_of, source, 0, 2))
    target = job_of(source).target
    record = merge.finish(target)
    assert (record.state, record.counts.inputs) == ("limited", len(rows_of(target)))
    assert 0 < record.counts.inputs < 8
    summary = mask(share(job_of, source, 1, 2))
    assert summary.shares == run.Shares(1, 2)
    assert merge.finish(target).counts.inputs == 8
    assert mask(job_of(source)).record.state == "complete"


# ---- outputs that lie apart


@pytest.mark.parametrize("out_format", MANY)
def test_shards_with_outputs_that_lie_apart_are_joined_to_the_bytes_of_one_run(
    source, job_of, hash_of_tree, tmp_path, out_format
):
    settings = {"out_format": out_format, "originals": True}
    mask(job_of(source, "alone", **settings))
    for index in (0, 1):
        mask(share(job_of, source, index, 2, f"out{index}", **settings))
    before = [hash_of_tree(tmp_path / name) for name in ("out0", "out1")]
    record = merge.join([tmp_path / "out0", tmp_path / "out1"], tmp_path / "all")
    assert (record.state, record.counts.inputs) == ("complete", 8)
    assert hash_of_tree(tmp_path / "all", ("run.json",)) == hash_of_tree(tmp_path / "alone", ("run.json",))
    assert [hash_of_tree(tmp_path / name) for name in ("out0", "out1")] == before
    assert mask(job_of(source, "all", **settings)).progress.taken == 0


def test_outputs_of_two_datasets_are_joined(source, job_of, tmp_path):
    mask(job_of(source, "one"))
    (tmp_path / "in2").mkdir()
    write_picture(tmp_path / "in2" / "zoe" / "1.png")
    mask(job_of(tmp_path / "in2", "two"))
    record = merge.join([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    assert (record.state, record.counts.inputs) == ("complete", 9)
    for name, row in rows_of(tmp_path / "all").items():
        for place in row.places:
            home = tmp_path / ("two" if name.startswith("zoe") else "one")
            assert (tmp_path / "all" / place).read_bytes() == (home / place).read_bytes()


def test_outputs_of_other_settings_or_with_another_row_of_one_input_are_not_joined(source, job_of, tmp_path):
    mask(job_of(source, "one"))
    mask(job_of(source, "two", seed=5))
    with pytest.raises(ConfigError, match=r"two: made with other settings than .*one \(seed: 0 then, 5 now\)"):
        merge.join([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    shutil.copytree(source, tmp_path / "in2")
    write_picture(tmp_path / "in2" / "ann" / "1.png", "two_faces")
    mask(job_of(tmp_path / "in2", "three"))
    with pytest.raises(ConfigError, match=r"ann/1\.png: .*one and .*three do not have the same of it"):
        merge.join([tmp_path / "one", tmp_path / "three"], tmp_path / "all")


def test_a_picture_that_is_gone_is_a_row_of_the_joined_output_and_made_by_the_next_run(source, job_of, tmp_path):
    mask(job_of(source, "one"))
    (tmp_path / "one" / "bob" / "3.jpg").unlink()
    record = merge.join([tmp_path / "one"], tmp_path / "all")
    assert record.counts.reasons["lost"] == 1
    assert rows_of(tmp_path / "all")["bob/3.jpg"].status == "failed"
    summary = mask(job_of(source, "all"))
    assert (summary.progress.taken, summary.counts.failed) == (1, 0)


def test_nothing_foreign_is_joined_to(source, job_of, tmp_path):
    mask(job_of(source, "one"))
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        merge.join([tmp_path / "one"], tmp_path / "all")
    with pytest.raises(ConfigError, match="lies in"):
        merge.join([tmp_path / "one"], tmp_path / "one" / "all")
    with pytest.raises(ConfigError, match=r"no run\.json"):
        merge.finish(tmp_path / "in")
