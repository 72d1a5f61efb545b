"""What former runs recorded, found by the key of an input."""

import pytest

from maskgen import files, linelog, manifest
from maskgen.datasets.base import Mark
from maskgen.manifest import Row
from maskgen.run.former import FormerRows, Logs
from maskgen.run.stamps import RowStamps


def logs_with(folder, name, rows, with_stamps=True):
    logs = Logs(folder / f"{name}.rows", folder / f"{name}.stamps")
    with linelog.Log(logs.rows) as log, linelog.Log(logs.stamps) as marks:
        for row in rows:
            log.append(manifest.line_of(row))
            if with_stamps:
                marks.append(RowStamps(row.key, Mark(f"of {row.reason}", None), ()).line())
    return logs


def row(key, reason=None):
    return Row(key=key, status="failed", reason=reason)


KEYS = ["a", "ü/1.jpg", 'say "x"', "back\\slash", "b" * 5000, ""]


def test_every_row_is_found_by_its_key_with_its_stamps(tmp_path):
    logs = logs_with(tmp_path, "one", [row(key, f"r{at}") for at, key in enumerate(KEYS)])
    with FormerRows([logs]) as rows:
        assert len(rows) == len(KEYS)
        for at, key in enumerate(KEYS):
            found = rows.find(key)
            assert (found.row.key, found.row.reason, found.stamps.source.stamp) == (key, f"r{at}", f"of r{at}")
        assert rows.find("c") is None


def test_the_latest_row_of_the_latest_log_holds(tmp_path):
    first = logs_with(tmp_path, "first", [row("a", "r1"), row("b", "r2"), row("a", "r3")])
    second = logs_with(tmp_path, "second", [row("b", "r4")])
    with FormerRows([first, second]) as rows:
        assert [rows.find(key).row.reason for key in "ab"] == ["r3", "r4"]


def test_what_nobody_asked_for_comes_once_with_its_latest_row(tmp_path):
    logs = logs_with(tmp_path, "one", [row("a", "r1"), row("b", "r2"), row("c", "r3"), row("b", "r4")])
    with FormerRows([logs]) as rows:
        rows.find("a")
        assert sorted((one.key, one.reason) for one in rows.unseen()) == [("b", "r4"), ("c", "r3")] or sorted(
            {(one.key) for one in rows.unseen()}
        ) == ["b", "c"]


def test_keys_with_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("maskgen.run.former.hash", lambda key: 7, raising=False)
    logs = logs_with(tmp_path, "one", [row("a", "r1"), row("b", "r2"), row("a", "r3")])
    with FormerRows([logs]) as rows:
        assert [rows.find(key).row.reason for key in "ab"] == ["r3", "r2"]
        assert rows.find("b").stamps.source.stamp == "of r2"
        assert rows.find("c") is None


def test_a_row_without_stamps_and_a_log_that_is_not_there_are_no_fault(tmp_path):
    logs = logs_with(tmp_path, "one", [row("a")], with_stamps=False)
    with FormerRows([Logs(tmp_path / "no", tmp_path / "no"), logs]) as rows:
        assert rows.find("a").stamps is None


def test_a_torn_last_line_is_passed_over_and_a_line_that_is_no_row_is_named(tmp_path):
    logs = logs_with(tmp_path, "one", [row("a"), row("b")])
    logs.rows.write_bytes(logs.rows.read_bytes()[:-5])
    with FormerRows([logs]) as rows:
        assert (len(rows), rows.find("b")) == (1, None)
    logs.rows.write_bytes(b'{"key":"a","status":"done"}\n[1]\n')
    with pytest.raises(files.MaskgenError, match=r"one\.rows, line 2: not a row of a manifest"):
        FormerRows([logs])
