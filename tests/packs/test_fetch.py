"""Fetching a pack: it appears whole or not at all, and is what it was, or what it is known to be."""

import hashlib
import http.server
import io
import threading
import zipfile

import pytest

from maskgen.errors import ModelError
from maskgen.packs import fetch
from maskgen.packs.find import installed_packs, lock_of, pack_sha256

NAME = "buffalo_s"


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PACK = zipped(**{"det.onnx": b"detector", "rec.onnx": b"recogniser"})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        if self.server.length is not None:
            self.send_header("Content-Length", str(self.server.length))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What InsightFace's downloader reaches, in the place of the network; packs go to tmp_path / "models"."""
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", tmp_path / "models")
    monkeypatch.setattr("maskgen.packs.fetch.INSTALLED", tmp_path / "models")
    monkeypatch.setattr("maskgen.packs.fetch.KNOWN", {NAME: None})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked, found.status, found.content, found.length = [], 200, PACK, None
        url = f"http://127.0.0.1:{found.server_port}"
        monkeypatch.setattr("insightface.utils.storage.model_zoo_download_url", lambda name: f"{url}/{name}")
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def left(models):
    return sorted(path.name for path in models.iterdir() if path.name != ".maskgen.lock")


def known(monkeypatch, content):
    monkeypatch.setattr("maskgen.packs.fetch.KNOWN", {NAME: hashlib.sha256(content).hexdigest()})


def test_a_pack_whose_hash_is_known_is_taken_if_it_has_it(server, models, monkeypatch):
    known(monkeypatch, PACK)
    found = fetch.download(NAME)
    assert found == fetch.Fetched(models / NAME, pack_sha256(models / NAME), "known")
    assert (models / NAME / "det.onnx").read_bytes() == b"detector"
    assert left(models) == [NAME, f"{NAME}.maskgen.json"]
    assert fetch.download(NAME) == found
    assert server.asked == [f"/{NAME}.zip"]  # the second time it was there


def test_a_download_that_has_not_the_known_hash_is_deleted_and_both_are_named(server, models, monkeypatch):
    known(monkeypatch, b"another file")
    with pytest.raises(ModelError) as error:
        fetch.download(NAME)
    for content in (PACK, b"another file"):
        assert hashlib.sha256(content).hexdigest() in str(error.value)
    assert left(models) == []


def test_where_no_hash_is_known_the_first_is_recorded_and_a_later_fetch_compared_with_it(server, models):
    first = fetch.download(NAME)
    assert first.trust == "first"
    assert lock_of(models / NAME).pack_sha256 == first.sha256
    for path in (models / NAME).iterdir():
        path.unlink()
    assert fetch.download(NAME) == fetch.Fetched(first.folder, first.sha256, "recorded")
    for path in (models / NAME).iterdir():
        path.unlink()
    server.content = zipped(**{"det.onnx": b"another detector"})
    with pytest.raises(ModelError, match=f"had {first.sha256} when they were first fetched; the download was deleted"):
        fetch.download(NAME)
    assert not (models / NAME / "det.onnx").exists()


def test_a_pack_that_was_changed_since_it_was_fetched_is_an_error(server, models):
    first = fetch.download(NAME)
    (models / NAME / "det.onnx").write_bytes(b"changed")
    with pytest.raises(ModelError, match=f"had {first.sha256} when they were first fetched"):
        fetch.download(NAME)
    assert (models / NAME / "det.onnx").read_bytes() == b"changed"  # it is the user's to look at


@pytest.mark.parametrize("is_known", [False, True])
def test_a_download_that_was_cut_short_leaves_nothing(is_known, server, models, monkeypatch):
    if is_known:
        known(monkeypatch, PACK)
    server.content, server.length = PACK[:-30], len(PACK)
    with pytest.raises(ModelError, match=f"{NAME}: "):
        fetch.download(NAME)
    server.length = None
    with pytest.raises(ModelError, match=f"{NAME}: "):
        fetch.download(NAME)
    assert left(models) == []
    assert [pack.name for pack in installed_packs()] == ["bundled"]


def test_what_a_killed_fetch_left_is_no_pack_and_is_removed_by_the_next(server, models):
    half = models / ".maskgen-fetch-abc" / NAME
    half.mkdir(parents=True)
    (half / "det.onnx").write_bytes(b"half")
    assert [pack.name for pack in installed_packs()] == ["bundled"]
    fetch.download(NAME)
    assert left(models) == [NAME, f"{NAME}.maskgen.json"]


@pytest.mark.parametrize(
    "name", ["../evil.onnx", "/evil.onnx", "a/../../evil.onnx", "..\\evil.onnx", "C:evil.onnx", f"{NAME}/../../x.onnx"]
)
def test_a_zip_whose_names_lead_out_of_the_pack_is_refused_and_writes_nothing(name, server, models, tmp_path):
    server.content = zipped(**{"det.onnx": b"detector", name: b"evil"})
    with pytest.raises(ModelError, match="leads out of the pack"):
        fetch.download(NAME)
    assert left(models) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (zipped(**{"readme.txt": b"no network"}), "no .onnx files in the download"),
        (b"not a zip", "BadZipFile"),
        (PACK.replace(b"detector", b"defector"), "Bad CRC"),
        (zipped(**{"a/det.onnx": b"", "a": b""}), "download failed"),
    ],
)
def test_a_download_that_is_no_pack_leaves_nothing(content, match, server, models):
    server.content = content
    with pytest.raises(ModelError, match=match):
        fetch.download(NAME)
    assert left(models) == []


def test_a_zip_that_unpacks_to_more_than_any_pack_is_refused(server, models, monkeypatch):
    monkeypatch.setattr("maskgen.packs.fetch.MAX_UNPACKED_BYTES", 10)
    with pytest.raises(ModelError, match="unpacks to 18 bytes, more than the 10 allowed"):
        fetch.download(NAME)
    assert left(models) == []


def test_a_server_that_says_no_is_one_error(server, models):
    server.status = 404
    with pytest.raises(ModelError, match=f"model pack {NAME}: download failed"):
        fetch.download(NAME)
    assert left(models) == []


def test_a_folder_inside_of_the_zip_is_lifted_and_what_holds_no_data_left_out(server, models):
    server.content = zipped(**{f"{NAME}/det.onnx": b"detector", f"__MACOSX/{NAME}/._det.onnx": b"", "._x.onnx": b""})
    fetch.download(NAME)
    assert [path.name for path in (models / NAME).iterdir()] == ["det.onnx"]


def test_a_folder_of_the_same_name_without_networks_is_not_touched(server, models):
    (models / NAME).mkdir(parents=True)
    (models / NAME / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"holds no \.onnx files; delete the folder and fetch again"):
        fetch.download(NAME)
    assert (models / NAME / "notes.txt").read_text() == "mine"
    assert server.asked == []


def test_a_record_that_is_damaged_is_named(server, models):
    fetch.download(NAME)
    (models / f"{NAME}.maskgen.json").write_text("{")
    with pytest.raises(ModelError, match=rf"{NAME}\.maskgen\.json"):
        installed_packs()


def test_known_hashes_are_sha256():
    assert all(value is None or (len(value) == 64 and int(value, 16)) for value in fetch.KNOWN.values())
