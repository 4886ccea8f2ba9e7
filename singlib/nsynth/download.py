"""NSynth's archives, of which only the notes of the eight roles are kept.

The archive streams through the decompressor; nothing but the wanted notes touches the disk. A data folder is whole when
its ``SHA256SUMS`` is there, which is written last.
"""

import gzip
import hashlib
import io
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import ijson
from tqdm import tqdm

from .. import nsynth
from ..files import locked, project_folder, remove_debris, replacing, write_json, write_text
from ..grid import check_choice
from .audio import SUMS, read_sums, read_waveform
from .notes import note_name, parse

ADDRESS = "http://download.magenta.tensorflow.org/datasets/nsynth/nsynth-{split}.jsonwav.tar.gz"
SPLITS = ("train", "valid", "test")
LARGEST = 1 << 20  # bytes of a note's file; 4 s of 16 bit are 128,044
REST = 32 << 20  # bytes: read on to the archive's checksum if no more are left

_NOTE = re.compile(r"(?:[^/]+/)?audio/((?P<instrument>[^/]+)-(?P<pitch>\d{3})-(?P<velocity>\d{3}))\.wav")
_METADATA = re.compile(r"(?:[^/]+/)?examples\.json")
# What gzip, tar and JSON raise at a damaged archive.
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, ijson.JSONError, UnicodeDecodeError)


def plan(split: str, source: str | None = None) -> str:
    """Say what `download` would read, and where its notes would go; ValueError for an unknown split or source."""
    check_choice("split", split, SPLITS)
    local(source or ADDRESS)
    folder = project_folder() / "data" / f"nsynth-{split}"
    if (folder / SUMS).is_file():
        return f"{folder} is whole already: nothing to fetch"
    roles = ", ".join(f"{role} ({instrument})" for role, instrument in nsynth.ROLES[folder.name].items())
    return f"would read {source or ADDRESS.format(split=split)} and keep in {folder} the notes of {roles}"


def download(split: str, source: str | None = None, say: Callable[[str], None] = tqdm.write) -> Path:
    """Fetch the notes of the eight roles of a split ("train", "valid" or "test") into ``data/nsynth-<split>``.

    `source` is the path or URL of the archive, by default NSynth's public address; `say` takes lines for the user.
    Returns the folder: ``examples.json`` and ``audio/``, of these notes alone, and ``SHA256SUMS``.

    FileNotFoundError or ConnectionError if there is no archive, or its server cannot be reached. ValueError if the
    archive or a note in it is damaged, not NSynth's, or would leave the folder. Notes that have arrived are kept, and
    compared with those of the next archive; none loads before all are there.
    """
    check_choice("split", split, SPLITS)
    folder = project_folder() / "data" / f"nsynth-{split}"
    lock = project_folder() / "data" / ".cache" / f"{folder.name}.download"
    with locked(lock, f"{folder}: another process fetches it, waiting"):
        if not _whole(folder, say):
            _Fetch(folder, say).run(source or ADDRESS.format(split=split))
    return folder


def _whole(folder: Path, say: Callable[[str], None]) -> bool:
    """Say whether there is nothing to fetch; delete what is damaged."""
    try:
        sums = read_sums(folder)
    except ValueError as error:
        say(f"{error}; fetching all of it again")
        (folder / SUMS).unlink()
        (folder / "examples.json").unlink(missing_ok=True)
        return False
    if not sums and (folder / "examples.json").is_file():
        say(f"{folder} holds notes from elsewhere; they are used as they are, delete them to fetch others")
        return True
    bad = [name for name, digest in sums.items() if _digest(folder / name) != digest]
    if sums and not bad:
        say(f"{folder} is whole: {len(sums) - 1} notes; delete it to fetch it again")
        return True
    for name in (SUMS, "examples.json", *bad):  # half a data set must not load
        (folder / name).unlink(missing_ok=True)
    for name in bad:
        say(f"{folder / name} is missing or damaged, fetching it again")
    return False


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


class _Fetch:
    """One pass over an archive, and what it gave so far."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say, self.data = folder, say, folder.name
        self.role_of = {instrument: role for role, instrument in nsynth.ROLES[self.data].items()}
        self.expected = nsynth.paper_notes(self.data)  # None: only the metadata tell
        self.metadata: dict[str, dict] | None = None
        self.sums: dict[str, str] = {}  # of the notes seen in this pass
        self.faults: list[str] = []

    def run(self, source: str) -> None:
        """Read the archive as far as needed, and complete the folder."""
        remove_debris(self.folder)
        earlier = len(list(self.folder.glob("audio/*.wav")))
        if earlier:
            self.say(f"{earlier} notes are here from an earlier attempt; the archive is read again from its beginning")
        try:
            self._read(source)
        except _DAMAGE as error:  # what came out of it is compared with the next archive's
            raise ValueError(f"{source} is damaged or cut off: {error}; fetch it again") from error
        self._reconcile(source)
        write_json(self.folder / "examples.json", self.metadata)
        self.sums["examples.json"] = _digest(self.folder / "examples.json")
        names = sorted(self.sums, key=lambda name: (name != "examples.json", name))
        write_text(self.folder / SUMS, "".join(f"{self.sums[name]}  {name}\n" for name in names))

    def _read(self, source: str) -> None:
        """Take members until everything wanted has arrived; then verify the archive's checksum, if that is near."""
        bar = tqdm(desc=self.data, unit="B", unit_scale=True, unit_divisor=1024, disable=None)
        with closing(Stream(source, self.say)) as stream, bar, gzip.GzipFile(fileobj=stream) as content:
            with tarfile.open(fileobj=content, mode="r|", bufsize=1 << 16) as archive:
                for member in archive:
                    archive.members = []  # tarfile would remember all of them
                    bar.total = stream.total
                    count = len(self.expected or self.metadata or ()) or "?"
                    bar.set_postfix_str(f"{len(self.sums)} of {count} notes", refresh=False)
                    bar.update(stream.position - bar.n)
                    file = archive.extractfile(member) if member.isreg() else None
                    if self._take(member, file) and self._arrived():
                        break
            if stream.total is None or stream.total - stream.position <= REST or not self._arrived():
                while content.read(1 << 20):  # gzip's checksum is at the end
                    pass
            else:
                self.say(f"all notes have arrived, {stream.total - stream.position:,} bytes were not read")

    def _take(self, member: tarfile.TarInfo, content: io.BufferedIOBase | None) -> bool:
        """Keep a member if it is wanted, and say whether it is; ValueError if it cannot be NSynth's."""
        name = member.name.removeprefix("./")
        if name.startswith("/") or ".." in name.split("/") or not (member.isreg() or member.isdir()):
            kind = "outside the folder" if member.isreg() or member.isdir() else "a link or device"
            raise ValueError(f"the archive holds {member.name}, {kind}: it is not one of NSynth's")
        if content and _METADATA.fullmatch(name):
            # One note at a time: those of the train split would take a gigabyte.
            notes = ijson.kvitems(content, "", use_float=True)
            self.metadata = {note: about for note, about in notes if self._wanted(f"audio/{note}.wav")}
        elif content and self._wanted(name):
            if member.size > LARGEST:
                self.faults.append(f"{member.name} has {member.size:,} bytes")
            else:
                self._keep(_NOTE.fullmatch(name)[1], content.read(), member.name)
        else:
            return False
        return True

    def _wanted(self, name: str) -> bool:
        match = _NOTE.fullmatch(name)
        role = self.role_of.get(match["instrument"]) if match else None
        return role is not None and nsynth.used(self.data, role, int(match["pitch"]))

    def _keep(self, note: str, content: bytes, name: str) -> None:
        """Write a note, unless it is there already or bad."""
        file = self.folder / "audio" / f"{note}.wav"
        digest = hashlib.sha256(content).hexdigest()
        if _digest(file) != digest:
            if file.is_file():
                self.say(f"{file} differs from the archive's, replacing it")
            try:
                with replacing(file) as beside:
                    beside.write_bytes(content)
                    read_waveform(beside, name)
            except ValueError as error:
                self.faults.append(str(error))
                return
        self.sums[f"audio/{note}.wav"] = digest

    def _arrived(self) -> bool:
        """Say whether everything wanted was seen."""
        if self.metadata is None or self.faults:
            return False
        return {f"audio/{note}.wav" for note in self.expected or self.metadata} <= self.sums.keys()

    def _reconcile(self, source: str) -> None:
        """Raise a ValueError unless metadata and sounds are of the same notes, and none is bad."""
        if self.faults:
            raise ValueError(f"{source}: {len(self.faults)} notes are bad: {'; '.join(self.faults[:5])}")
        if self.metadata is None:
            raise ValueError(f"{source} holds no examples.json: it is not one of NSynth's archives, or cut off")
        if not self.metadata:
            instruments = ", ".join(self.role_of)
            raise ValueError(f"{source} holds no note of {instruments}; is it the archive of {self.data}?")
        listed = {f"audio/{note}.wav" for note in self.metadata}
        silent, unlisted = sorted(listed - self.sums.keys()), sorted(self.sums.keys() - listed)
        if silent or unlisted:
            raise ValueError(
                f"{source}: examples.json and audio/ are not of the same notes; "
                f"without sound {silent[:5]} ({len(silent)}), not listed {unlisted[:5]} ({len(unlisted)})"
            )
        for note, about in self.metadata.items():
            try:
                name = note_name(*parse(about))
            except ValueError as error:
                raise ValueError(f"{source}: examples.json is damaged: {note} {error}") from error
            if note != name:
                raise ValueError(f"{source}: examples.json says of {note} what its name does not: {about}")


CHUNK = 1 << 20  # bytes read at a time from a file
TIMEOUT = 60.0  # seconds without a byte after which a server has stalled
ATTEMPTS = 6  # in a row that bring no byte
PAUSE = 1.0  # seconds before the second attempt; doubled with each more


def local(source: str) -> Path | None:
    """Return the file of a source, None for ``http`` and ``https``; ValueError if it is not a path nor such a URL."""
    if "://" not in source:
        return Path(source)
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise ValueError(f"{source} is not a URL ({error})") from error
    if url.scheme == "file" and url.host in ("", "localhost"):
        return Path(unquote(urlsplit(source).path))
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{source} cannot be read: SOURCE is http://, https:// or the path of an archive")
    return None


class Stream:
    """Bytes of a file or URL (see `local`), read once from front to end; `say` takes a line for the user.

    A lost connection is resumed where it broke, by a range request, or by skipping what a server without ranges sends
    again; the reader does not notice. `read` raises a FileNotFoundError or ValueError if there is no such file or page,
    or it changed between two connections; a ConnectionError if the server was out of reach several times in a row.
    """

    def __init__(self, source: str, say: Callable[[str], None]) -> None:
        self.source, self.say = source, say
        self.position, self.total = 0, None
        self._ahead = b""
        file = local(source)
        self._chunks = self._local(file) if file else self._remote()

    def read(self, size: int) -> bytes:
        """Return the next bytes, up to `size`; none only at the end."""
        self._ahead = self._ahead or next(self._chunks, b"")
        part, self._ahead = self._ahead[:size], self._ahead[size:]
        self.position += len(part)
        return part

    def close(self) -> None:
        """Close the file or connection."""
        self._chunks.close()

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
        """Yield the bytes from `start` on, each chunk with the version of the file."""
        # Identity: these bytes are gzipped already.
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
