"""An archive as one stream of bytes, from a file or a server that may stall, hang up or change its mind."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

CHUNK = 1 << 20  # bytes read at a time from a file
TIMEOUT = 60.0  # seconds without a byte after which a server has stalled
ATTEMPTS = 6  # in a row without a byte
PAUSE = 1.0  # seconds before the second attempt; doubled with each more


def local(source: str) -> Path | None:
    """Return the file that a source is, or None if it is to be had over HTTP; ValueError if it is neither.

    Parameters
    ----------
    source : str
        Path, or URL of ``file``, ``http`` or ``https``.
    """
    if "://" not in source:
        return Path(source)
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise ValueError(f"{source} is no URL ({error})") from error
    if url.scheme == "file" and url.host in ("", "localhost"):
        return Path(unquote(urlsplit(source).path))
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{source} cannot be read: SOURCE is http://, https:// or the path of an archive")
    return None


class Stream(io.RawIOBase):
    """Bytes of a file or URL, read once from front to end.

    A lost connection is taken up where it broke (by a range request, or by reading over what a server
    without ranges sends again), so that a reader never notices.

    Parameters
    ----------
    source : str
        Path of a file, or URL; see `local`.
    say : callable
        Takes a line for the user.

    Raises
    ------
    FileNotFoundError, ValueError, ConnectionError
        Also from `readinto`: if there is no such file or page, if the file changed between two
        connections, or if the server could not be reached, several times in a row.
    """

    def __init__(self, source: str, say: Callable[[str], None]) -> None:
        self.source, self.say = source, say
        self.position, self.total = 0, None
        self._left = b""
        file = local(source)
        self._chunks = self._local(file) if file else self._remote()

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Read some bytes; 0 at the end."""
        if not self._left:
            self._left = next(self._chunks, b"")
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        self.position += len(part)
        return len(part)

    def close(self) -> None:
        """Hang up."""
        self._chunks.close()
        super().close()

    def _local(self, file: Path) -> Iterator[bytes]:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: SOURCE is the path or the URL of an archive")
        self.total = file.stat().st_size
        with file.open("rb") as content:
            while chunk := content.read(CHUNK):
                yield chunk

    def _remote(self) -> Iterator[bytes]:
        received, version, failures = 0, None, 0
        while True:
            try:
                for chunk, about in self._connection(received):
                    if version not in (None, about):
                        raise ValueError(f"{self.source} was replaced by another file while it was read; start again")
                    version, failures, received = about, 0, received + len(chunk)
                    yield chunk
                return
            except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
                raise ValueError(f"{self.source} leads nowhere: {error}") from error
            except httpx.TransportError as error:
                failures += 1
                where = f"{self.source}: {type(error).__name__} ({error}) at byte {received:,}"
                if failures == ATTEMPTS:
                    raise ConnectionError(f"{where}, {ATTEMPTS} times in a row; try again later") from error
                self.say(f"{where}, connecting again")
                time.sleep(PAUSE * 2 ** (failures - 1))

    def _connection(self, start: int) -> Iterator[tuple[bytes, str]]:
        """Yield the bytes from `start` on, with what identifies the version of the file."""
        # Not compressed on the way: these are the bytes of a gzip file already.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with httpx.stream("GET", self.source, headers=headers, timeout=TIMEOUT, follow_redirects=True) as answer:
            if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise ValueError(f"{self.source} ended at byte {start:,}, earlier than it said")
            if answer.is_server_error:
                raise httpx.RemoteProtocolError(f"the server answered {answer.status_code} {answer.reason_phrase}")
            if not answer.is_success:
                raise ValueError(f"{self.source} answered {answer.status_code} {answer.reason_phrase}")
            length = int(answer.headers.get("Content-Length", 0))
            over = start
            if answer.status_code == httpx.codes.PARTIAL_CONTENT:
                if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    raise ValueError(f"{self.source} sent another part of the file than it was asked for")
                over, length = 0, length + start
            self.total = length or None
            version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            for chunk in answer.iter_raw():
                if len(chunk) > over:
                    yield chunk[over:], version
                over = max(0, over - len(chunk))
