"""Fetching a pack: it appears whole or not at all, and is what it was, or what it is known to be."""

import errno
import hashlib
import http.server
import io
import os
import pathlib
import ssl
import threading
import types
import zipfile

import pytest

from maskgen.errors import ModelError
from maskgen.packs import fetch, web
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
    """A server of one file, which knows parts of it (RFC 9110), and a proxy of HTTP for any host."""

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append((self.path, asked))
        status = server.statuses.pop(0) if server.statuses else 200
        if status != 200:
            self.send_response(status)
            self.end_headers()
            return
        content, start, end = server.content, 0, len(server.content)
        is_same = self.headers.get("If-Range", server.etag) == server.etag
        if asked and server.gives_parts and is_same:
            first, last = asked.removeprefix("bytes=").split("-")
            start, end = int(first), int(last or end - 1) + 1
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(end - start))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        # Whoever asks what it is asks for one byte.
        stops = server.stops.pop(0) if server.stops and asked != "bytes=0-0" else None
        self.wfile.write(content[start:end][:stops])

    def do_CONNECT(self):
        self.server.asked.append((f"CONNECT {self.path}", None))
        self.send_response(self.server.statuses.pop(0))
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What stands for InsightFace's release and for a proxy; packs go to tmp_path / "models"."""
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", tmp_path / "models")
    monkeypatch.setattr("maskgen.packs.fetch.INSTALLED", tmp_path / "models")
    monkeypatch.setattr("maskgen.packs.fetch.KNOWN", {NAME: None})
    monkeypatch.setattr("maskgen.packs.web._PAUSE", 0)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked, found.statuses, found.stops = [], [], []
        found.content, found.etag, found.gives_parts = PACK, '"1"', True
        found.url = f"http://127.0.0.1:{found.server_port}"
        monkeypatch.setattr("maskgen.packs.fetch.RELEASE", found.url)
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
    assert server.asked == [(f"/{NAME}.zip", "bytes=0-0"), (f"/{NAME}.zip", None)]  # the second time it was there


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


# ---- interrupted downloads


def test_a_connection_that_ends_is_asked_for_the_rest(server, models, monkeypatch):
    known(monkeypatch, PACK)
    server.stops = [50, 20]
    assert fetch.download(NAME).trust == "known"
    assert [asked for _, asked in server.asked] == ["bytes=0-0", None, "bytes=50-", "bytes=70-"]
    assert left(models) == [NAME, f"{NAME}.maskgen.json"]


def test_a_download_that_was_interrupted_is_no_pack_and_goes_on_with_the_next_fetch(server, models):
    server.stops = [30, 10, 10, 10, 10]
    with pytest.raises(ModelError, match=r"70 bytes are kept; .*it goes on from there"):
        fetch.download(NAME)
    assert left(models) == [f".maskgen-part-{NAME}.zip", f".maskgen-part-{NAME}.zip.json"]
    assert [pack.name for pack in installed_packs()] == ["bundled"]
    assert fetch.offer(NAME).held == 70
    server.asked.clear()
    done = []
    fetch.take(fetch.offer(NAME), done.append)
    assert [asked for _, asked in server.asked] == ["bytes=0-0", "bytes=70-"]
    assert done == [len(PACK)]
    assert (models / NAME / "rec.onnx").read_bytes() == b"recogniser"
    assert left(models) == [NAME, f"{NAME}.maskgen.json"]


@pytest.mark.parametrize("change", ["content", "etag", "parts", "no_etag"])
def test_what_has_changed_or_cannot_be_told_is_downloaded_anew(change, server, models):
    server.stops = [30, 0, 0, 0, 0]
    with pytest.raises(ModelError):
        fetch.download(NAME)
    if change == "content":
        server.content, server.etag = zipped(**{"det.onnx": b"another detector"}), '"2"'
    elif change == "etag":
        server.etag = '"2"'
    elif change == "no_etag":
        server.etag = None
    server.gives_parts = change != "parts"
    fetch.download(NAME)
    expected = b"another detector" if change == "content" else b"detector"
    assert (models / NAME / "det.onnx").read_bytes() == expected
    assert left(models) == [NAME, f"{NAME}.maskgen.json"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_stumbles_on_the_way_is_asked_again(status, server, models):
    server.statuses = [200, status, status, 200]
    assert fetch.download(NAME).folder == models / NAME


def test_a_file_of_which_the_server_says_too_much_is_never_a_pack(server, models, monkeypatch):
    known(monkeypatch, PACK)
    server.stops = [30] * 5
    server.gives_parts = False
    with pytest.raises(ModelError, match=f"30 of {len(PACK)} bytes came"):
        fetch.download(NAME)
    assert [pack.name for pack in installed_packs()] == ["bundled"]


# ---- proxies


def test_a_proxy_is_asked_if_the_environment_names_one(server, models, monkeypatch):
    monkeypatch.setattr("maskgen.packs.fetch.RELEASE", "http://release.invalid/zoo")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.stops = [100]
    assert fetch.download(NAME).folder == models / NAME
    assert {path for path, _ in server.asked} == {f"http://release.invalid/zoo/{NAME}.zip"}


def test_no_proxy_is_asked_for_hosts_that_need_none(server, models, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch.download(NAME).folder == models / NAME


def test_https_goes_through_a_tunnel_of_the_proxy(server, monkeypatch):
    monkeypatch.setattr("maskgen.packs.fetch.RELEASE", "https://release.invalid/zoo")
    monkeypatch.setenv("HTTPS_PROXY", server.url.replace("//", "//ann:secret@"))
    server.statuses = [502]
    with pytest.raises(ModelError, match=rf"the proxy 127\.0\.0\.1:{server.server_port}: .*502") as error:
        fetch.download(NAME)
    assert server.asked == [("CONNECT release.invalid:443", None)]
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_told_how_to_get_it(scheme, server, monkeypatch):
    monkeypatch.setattr("maskgen.packs.fetch.RELEASE", f"{scheme}://release.invalid/zoo")
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", server.url)
    server.statuses = [407]
    with pytest.raises(ModelError, match=r"407.*HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT"):
        fetch.download(NAME)


# ---- what goes wrong


def test_a_file_that_is_not_there_is_named_with_what_to_do(server, models):
    server.statuses = [404]
    with pytest.raises(
        ModelError, match=rf"{server.url}/{NAME}\.zip: the server answers 404 Not Found; .*newer maskgen"
    ):
        fetch.download(NAME)
    assert not models.exists()


def test_without_a_network_the_host_is_named_and_nothing_is_left(server, models, monkeypatch):
    monkeypatch.setattr("maskgen.packs.fetch.RELEASE", "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=r"failed at 127\.0\.0\.1: .*refused.*see that the network works"):
        fetch.download(NAME)
    assert not models.exists()


def test_a_certificate_that_is_not_trusted_says_which_variable_helps():
    error = ssl.SSLCertVerificationError()
    error.verify_message = "self-signed certificate"
    said = web._explained("https://x.invalid/a.zip", error)
    assert str(said).startswith("https://x.invalid/a.zip: its certificate is not trusted: self-signed certificate")
    assert "SSL_CERT_FILE" in said.remedy


def test_a_disk_without_room_is_told_before_anything_is_downloaded(server, models, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=2 * len(PACK) - 1))
    with pytest.raises(
        ModelError, match=f"{2 * len(PACK) - 1} bytes are free, and model pack {NAME} needs {2 * len(PACK)}"
    ):
        fetch.download(NAME)
    assert not models.exists()


class SmallDisk(io.FileIO):
    """A file on a disk that holds 60 bytes."""

    def write(self, block):
        if self.tell() + len(block) > 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(block)


@pytest.mark.parametrize("where", ["download", "unpack"])
def test_a_disk_that_is_full_on_the_way_keeps_what_came_for_the_next_fetch(where, server, models, monkeypatch):
    monkeypatch.setattr("maskgen.packs.web._BLOCK", 60)
    opened = pathlib.Path.open
    with monkeypatch.context() as patch:
        ending = {"download": ".zip", "unpack": ".onnx"}[where]
        patch.setattr(
            "pathlib.Path.open",
            lambda path, mode="r", **options: (
                SmallDisk(path, mode) if path.suffix == ending and mode[0] in "wx" else opened(path, mode, **options)
            ),
        )
        if where == "unpack":
            patch.setattr("shutil.copyfileobj", lambda source, target: target.write(bytes(100)))
        with pytest.raises(ModelError, match=r"models: cannot be written to: No space left on device; make room"):
            fetch.download(NAME)
    assert [pack.name for pack in installed_packs()] == ["bundled"]
    assert left(models) == [f".maskgen-part-{NAME}.zip", f".maskgen-part-{NAME}.zip.json"]
    server.asked.clear()
    fetch.download(NAME)
    assert [asked for _, asked in server.asked][1:] == ([] if where == "unpack" else ["bytes=60-"])
    assert left(models) == [NAME, f"{NAME}.maskgen.json"]


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
        (b"not a zip", "cannot be unpacked .BadZipFile"),
        (PACK.replace(b"detector", b"defector"), "Bad CRC"),
        (zipped(**{"a/det.onnx": b"", "a": b""}), "cannot be unpacked"),
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


def test_packs_come_from_where_insightface_itself_takes_them():
    storage = pytest.importorskip("insightface.utils.storage")
    assert f"{fetch.RELEASE}/{NAME}.zip" == storage.model_zoo_download_url(f"{NAME}.zip")
