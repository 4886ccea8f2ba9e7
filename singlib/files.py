"""Where things lie; files that a kill cannot leave half written, and locks that a kill releases."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def project_folder() -> Path:
    """Return the folder of data/, runs/, figures/ and notebooks/: what SINGLIB_ROOT says now, or the clone.

    Outside a clone, in an installed package, it is the current folder.
    """
    clone = Path(__file__).parents[1]
    here = clone if (clone / "pyproject.toml").is_file() else Path.cwd()
    return Path(os.environ.get("SINGLIB_ROOT") or here).resolve()


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


@contextmanager
def naming_damage(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Turn what readers (or `others`) raise at a damaged file, or at a folder, into a ValueError that names it."""
    try:
        yield
    except (ValueError, RecursionError, IsADirectoryError, NotADirectoryError, *others) as error:
        raise ValueError(f"{path} is damaged ({error})") from error


def read_json(path: Path) -> dict:
    """Read a dictionary from JSON; FileNotFoundError, or a ValueError that names a file that holds none."""
    with naming_damage(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
    return content


def read_table(path: Path, columns: set[str]) -> "pd.DataFrame":
    """Read a table from CSV or Parquet; FileNotFoundError, or a ValueError that names one without rows or a column."""
    import pandas as pd  # half a second, and every command imports this module

    with naming_damage(path):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        if not len(table) or columns - set(table):
            raise ValueError(f"it should have rows of {', '.join(sorted(columns))}")
    return table


def check_writable(folder: Path) -> None:
    """Raise a PermissionError that names a folder, or the one it would be made in, if it is not writable.

    NotADirectoryError if that is a file.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{there} is a file: name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"no right to write to {there}")


@contextmanager
def locked(lock: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file; while another process holds it, print `waiting` and wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("wb") as file:
        try:
            _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting)
            _flock(file, fcntl.LOCK_EX)
        yield


def _flock(file: IO[bytes], how: int) -> None:
    """Lock an open file; OSError names it where its file system has no locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError as error:  # its own message names no file
        needs = "its file system has no locks (flock): set SINGLIB_ROOT to a folder on one that has"
        raise OSError(f"{file.name} cannot be locked ({error.strerror}): {needs}") from error


def held(lock: Path) -> bool:
    """Say whether another process holds a lock file now."""
    try:
        with lock.open("rb") as file:
            _flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def remove_debris(folder: Path) -> None:
    """Delete what killed processes were writing under a folder."""
    for debris in folder.rglob(".*.part*"):
        debris.unlink(missing_ok=True)
