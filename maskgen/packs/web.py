"""One file from the web, which goes on where a former download of it stopped. The only code that uses the network.

Proxies are those of ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``, or of the system, as `urllib` finds them.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import maskgen
from maskgen.errors import ModelError

_BLOCK: Final = 2**18
_PATIENCE: Final = 30.0  # seconds without a byte
_ATTEMPTS: Final = 5
_PAUSE: Final = 2.0  # seconds before the second attempt, and twice as long before each further one
_REMEDIES: Final = {
    403: "the server or a proxy on the way refuses it: ask those who run your network",
    404: "InsightFace has moved it: a newer maskgen may know where, or download and unpack it yourself into "
    "~/.insightface/models",
    407: "give name and password to your proxy: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",
}


@dataclass(frozen=True)
class Remote:
    """A file on the web.

    Attributes
    ----------
    url : str
        Where it is.
    size : int or None
        Bytes; None if the server does not say.
    version : str or None
        What another content would change: a strong ETag, or the time of change; None if the server says neither.
    """

    url: str
    size: int | None
    version: str | None


class _BrokenOffError(Exception):
    """The connection ended before the file did; the cause says why."""


def look(url: str) -> Remote:
    """What a server says of a file, of which one byte is asked for.

    Raises
    ------
    ModelError
        If it cannot be reached, or does not have the file.
    """
    try:
        with _opened(url, {"Range": "bytes=0-0"}) as response:
            whole = response.headers.get("Content-Range", "").rpartition("/")[2]
            size = whole if response.status == 206 else response.headers.get("Content-Length", "")
            return Remote(url, int(size) if size.isdecimal() else None, _version(response))
    except _BrokenOffError as error:
        raise _explained(url, error.__cause__ or error) from error


def held(remote: Remote, part: Path) -> int:
    """How many bytes of the same file a former download left."""
    try:
        is_same = json.loads(_note(part).read_bytes()) == asdict(remote)
        size = part.stat().st_size
    except (OSError, ValueError):
        return 0
    # Where nothing tells whether it is still the same file, or whether it is whole, it is brought anew.
    return size if is_same and remote.version and remote.size is not None and size <= remote.size else 0


def download(remote: Remote, part: Path, on_progress: Callable[[int], None] = lambda done: None) -> None:
    """Bring all bytes of a file to `part`, which begins with what `held` says.

    If the connection ends, the rest is asked for, some times; then the next call can go on.

    Parameters
    ----------
    on_progress : callable
        Is told how many bytes are there.

    Raises
    ------
    ModelError
        If it cannot be brought, or not be written.
    """
    with _written_to(part, remote):
        if not held(remote, part):
            discard(part)
            _note(part).write_text(json.dumps(asdict(remote)))
            part.touch()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _append(remote, part, on_progress)
            return
        except _BrokenOffError as error:
            if attempt == _ATTEMPTS:
                raise _explained(remote.url, error.__cause__ or error, held(remote, part)) from error
            time.sleep(_PAUSE * 2 ** (attempt - 1))


def discard(part: Path) -> None:
    """Delete what a download left."""
    for path in (part, _note(part)):
        path.unlink(missing_ok=True)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _append(remote: Remote, part: Path, on_progress: Callable[[int], None]) -> None:
    done = held(remote, part)
    if done and done == remote.size:
        return
    asked = {"Range": f"bytes={done}-", "If-Range": remote.version} if done and remote.version else {}
    with _opened(remote.url, asked) as response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if asked and not goes_on:
            done = 0  # it has changed, or the server gives no parts
        with _written_to(part, remote):
            file = part.open("ab" if goes_on else "wb")
        with file:
            while block := _received(response):
                with _written_to(part, remote):
                    file.write(block)
                    file.flush()
                done += len(block)
                on_progress(done)
    if remote.size is not None and done != remote.size:
        raise _BrokenOffError(f"{done:,} of {remote.size:,} bytes came")


@contextlib.contextmanager
def _opened(url: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
    request = urllib.request.Request(
        url, headers={"User-Agent": f"maskgen/{maskgen.__version__}", "Accept-Encoding": "identity", **headers}
    )
    try:
        # Not `urlopen`, which keeps the proxies that it found first.
        response = urllib.request.build_opener().open(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 429 or error.code >= 500:
            raise _BrokenOffError from error
        raise _explained(url, error) from error
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, Exception) else error
        if isinstance(reason, ssl.SSLCertVerificationError) or "407" in str(reason):
            raise _explained(url, reason) from error
        raise _BrokenOffError from reason
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError from error
    with response:
        yield response


def _received(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError from error


@contextlib.contextmanager
def _written_to(part: Path, remote: Remote) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fault = f"{part.parent}: cannot be written to: {error.strerror}"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(fault, "see to it, then run the same again") from error
        size = "its size" if remote.size is None else f"twice its size, {2 * remote.size:,} bytes"
        raise ModelError(
            fault, f"make room for the download and what is in it, about {size}; it then goes on"
        ) from error


def _version(response: http.client.HTTPResponse) -> str | None:
    etag: str | None = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _explained(url: str, error: BaseException, kept: int = 0) -> ModelError:
    """What went wrong on the way, in words, and what to do."""
    said = " ".join(str(error).split())
    goes_on = f"; {kept:,} bytes are kept" if kept else ""
    again = "run the same again, and it goes on from there" if kept else "run the same again later"
    if isinstance(error, urllib.error.HTTPError):
        return ModelError(
            f"{url}: the server answers {error.code} {error.reason}{goes_on}", _REMEDIES.get(error.code, again)
        )
    if "407" in said:
        return ModelError(f"{_way(url)} wants to know who you are: {said}", _REMEDIES[407])
    if isinstance(error, ssl.SSLCertVerificationError):
        return ModelError(
            f"{url}: its certificate is not trusted: {error.verify_message}",
            "if a proxy of yours opens connections, set SSL_CERT_FILE to the certificates that it uses",
        )
    return ModelError(
        f"{url}: download failed at {_way(url)}: {said or type(error).__name__}{goes_on}",
        f"see that the network works, and behind a proxy that HTTPS_PROXY names it; {again}",
    )


def _way(url: str) -> str:
    """The host that is talked to first: the server or a proxy, without the password in its address."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return str(parts.hostname)
    named = urlsplit(proxy if "://" in proxy else f"//{proxy}")
    return f"the proxy {named.hostname}{f':{named.port}' if named.port else ''}"
