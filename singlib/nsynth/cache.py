"""The decoded notes of a data folder in one memory-mapped file, built once and shared by all processes.

``data/.cache/<data>.npy`` holds the waveforms, ``<data>.json`` the files they came from; a file of another size or time
makes the cache stale.
"""

from __future__ import annotations

import errno
import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import locked, read_json, replacing, write_json
from .audio import SAMPLES, decode

SUMS = "SHA256SUMS"  # of a data folder, as ``sha256sum`` writes and checks it


def read_sums(folder: Path) -> dict[str, str]:
    """Return the digests of a data folder by path within it; empty if it has no `SUMS`."""
    file = folder / SUMS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else ()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def decoded(folder: Path, files: list[Path]) -> tuple[np.ndarray, list[str]]:
    """Return the waveforms of some files of a data folder, decoding them if that was not done yet.

    Parameters
    ----------
    folder : Path
        The data folder.
    files : list of Path
        Its notes, always the same in the same order.

    Returns
    -------
    waveforms : ndarray, shape (files, 64000), float32
        Memory-mapped: untouched parts take no memory, and writing to it changes no file.
    digests : list of str
        SHA-256 of each file.

    Raises
    ------
    ValueError
        If a file is not in NSynth's format, or changed since it was fetched.
    """
    store = folder.parent / ".cache" / f"{folder.name}.npy"
    stamps = [[file.name, stat.st_size, stat.st_mtime_ns] for file in files for stat in [file.stat()]]
    digests = _valid(store, stamps)
    if digests is None:
        with locked(store.with_suffix(".lock"), f"{folder}: another process decodes the notes, waiting"):
            digests = _valid(store, stamps) or _build(store, folder, files, stamps)
    return np.load(store, mmap_mode="c"), digests


def digests(folder: Path, files: list[Path]) -> list[str]:
    """Return the SHA-256 of each file, from `decoded` or, where that may not write, from the files."""
    try:
        return decoded(folder, files)[1]
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    return [_sha256(file, file.stat().st_mtime_ns) for file in files]


@lru_cache(maxsize=4096)
def _sha256(file: Path, changed: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _valid(store: Path, stamps: list[list]) -> list[str] | None:
    """Return the digests if the cache is whole and of just these files."""
    try:
        about = read_json(store.with_suffix(".json"))
        whole = np.load(store, mmap_mode="r").shape == (len(stamps), SAMPLES)
    except PermissionError:
        raise
    except Exception:  # damaged, which NumPy reports in many ways
        return None
    digests = about.get("digests")
    return digests if whole and about.get("files") == stamps and len(digests or ()) == len(stamps) else None


def _build(store: Path, folder: Path, files: list[Path], stamps: list[list]) -> list[str]:
    for debris in store.parent.glob(f".{store.stem}.*.part.npy"):  # of a killed process
        debris.unlink()
    sums = read_sums(folder)
    digests = []
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
    # Plain writes raise when the disk is full, where writing to mapped memory kills the process.
    with replacing(store) as beside, beside.open("wb") as waveforms:
        np.lib.format.write_array_header_1_0(waveforms, header | {"shape": (len(files), SAMPLES)})
        for file in tqdm(files, desc="decoding notes", leave=False, disable=None):
            content = file.read_bytes()
            digests.append(hashlib.sha256(content).hexdigest())
            if sums.get(f"audio/{file.name}", digests[-1]) != digests[-1]:
                raise ValueError(f"{file} is not what {SUMS} says; delete it and fetch it again with make data")
            waveforms.write(decode(content, str(file)).tobytes())
        waveforms.flush()
        store.with_suffix(".json").unlink(missing_ok=True)  # it described the old waveforms
    write_json(store.with_suffix(".json"), {"files": stamps, "digests": digests})
    return digests
