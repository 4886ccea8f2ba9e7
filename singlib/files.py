"""Where things lie; files that a kill cannot leave half written, and locks that a kill releases."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def project_folder() -> Path:
    """Return the folder of data/, runs/, figures/ and notebooks/: what SINGLIB_ROOT says now, or the clone."""
    return Path(os.environ.get("SINGLIB_ROOT") or Path(__file__).parents[1]).resolve()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it to `path` if the block ends well.

    The file gets the mode of the umask: safetensors makes its own 0600, which nobody else could read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        beside.touch()
        mode = beside.stat().st_mode & 0o777
        yield beside
        if beside.stat().st_mode & 0o777 != mode:
            beside.chmod(mode)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whatever the locale's encoding, atomically."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict) -> None:
    """Write a dictionary as readable JSON, atomically."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict:
    """Read a dictionary from JSON; FileNotFoundError, or a ValueError that names a file that holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, IsADirectoryError, NotADirectoryError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged (no JSON object)")
    return found


def fingerprint(path: Path) -> str | int:
    """Return what tells a file from another: a text's digest; of sounds and weights only the size, which is quick."""
    if path.suffix in (".json", ".csv"):
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    return path.stat().st_size


def check_unchanged(folder: Path, files: dict[str, str | int | None]) -> None:
    """Raise a ValueError that names a file of a folder that is gone, or of another `fingerprint` (None: any)."""
    for name, was in files.items():
        try:
            now = fingerprint(folder / name)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ValueError(f"{folder / name} is gone, but was there when the run finished") from error
        if now != (now if was is None else was) or not now:
            raise ValueError(f"{folder / name} is damaged: not what it was when the run finished")


def check_writable(folder: Path) -> None:
    """Raise a PermissionError that names a folder, or the one it would be made in, if it is not writable."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"no right to write to {there}")


@contextmanager
def locked(lock: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file; while another process holds it, print `waiting` and wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def held(lock: Path) -> bool:
    """Say whether another process holds a lock file now."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def remove_debris(folder: Path) -> None:
    """Delete what killed processes were writing under a folder."""
    for debris in folder.rglob(".*.part*"):
        debris.unlink(missing_ok=True)
