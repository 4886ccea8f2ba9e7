"""The sound of notes as NSynth has it, 4 s, 16 kHz, mono, 16 bit: read, checked, and decoded once for all processes.

``data/.cache/<data>.npy`` holds the waveforms of a data folder, memory-mapped, ``<data>.json`` the files they came
from; a file of another size or time makes the cache stale.
"""

import errno
import hashlib
import io
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ..files import locked, read_json, replacing, write_json

SAMPLE_RATE = 16_000  # Hz
SAMPLES = 64_000  # of a note: 4 s
SUMS = "SHA256SUMS"  # of a data folder, as ``sha256sum`` writes and checks it


def read_waveform(file: Path, name: str = "") -> np.ndarray:
    """Read one WAV or FLAC: ``(64000,)``, float32 in [-1, 1], at 16 kHz.

    ValueError, which calls the file by its path or by `name`, if it cannot be decoded, is not 4 s of 16 kHz 16-bit mono
    sound, or is silent.
    """
    name = name or str(file)
    try:
        with soundfile.SoundFile(file) as sound:
            samples = sound.frames
            # A damaged header may claim any length: one sample too many is enough to tell.
            waveform = sound.read(SAMPLES + 1, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be decoded: {error.error_string}") from error
    if sound.format not in ("WAV", "FLAC") or sound.subtype != "PCM_16":
        raise ValueError(f"{name} is {sound.format} {sound.subtype}; NSynth's notes are WAV (or FLAC) of 16 bit")
    if sound.samplerate != SAMPLE_RATE:
        raise ValueError(f"{name} has a sample rate of {sound.samplerate} Hz; NSynth's notes have {SAMPLE_RATE} Hz")
    if waveform.shape[1] != 1:
        raise ValueError(f"{name} has {waveform.shape[1]} channels; NSynth's notes are mono")
    if len(waveform) != SAMPLES:
        samples = samples if len(waveform) > SAMPLES else len(waveform)
        raise ValueError(f"{name} has {samples} samples; NSynth's notes have {SAMPLES} (4 s)")
    if not waveform.any():
        raise ValueError(f"{name} is silent")
    return waveform[:, 0]


def encode(waveform: np.ndarray, suffix: str, rate: int = SAMPLE_RATE) -> bytes:
    """Return a sound ``(samples,)`` at `rate` (Hz) as "wav" or "flac" of 16 bit, scaled down if beyond full scale."""
    content = io.BytesIO()
    waveform = waveform / max(1.0, np.abs(waveform).max())
    soundfile.write(content, waveform, rate, subtype="PCM_16", format=suffix.upper())
    return content.getvalue()


def read_sums(folder: Path) -> dict[str, str]:
    """Return the digests of a data folder by path within it; empty if it has no `SUMS`, ValueError if it is damaged."""
    file = folder / SUMS
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else ()
    sums = {}
    for number, line in enumerate(lines, 1):
        parts = re.fullmatch("([0-9a-f]{64}) [ *](.+)", line)
        if parts:
            sums[parts[2]] = parts[1]
        elif line.strip():
            raise ValueError(f"line {number} of {file} is no SHA-256 and file name, as sha256sum writes them: {line!r}")
    return sums


def waveforms_and_digests(folder: Path, files: list[Path]) -> tuple[np.ndarray, list[str]]:
    """Return the waveforms ``(files, 64000)``, float32, and SHA-256 digests of the files of a data folder's notes.

    They are decoded if that was not done yet for the same files in the same order. The waveforms are memory-mapped:
    untouched parts take no memory, and writing to them changes no file. ValueError if a file is not in NSynth's format,
    or changed since it was fetched.
    """
    store = folder.parent / ".cache" / f"{folder.name}.npy"
    stamps = [[file.name, stat.st_size, stat.st_mtime_ns] for file in files for stat in [file.stat()]]
    digests = _valid(store, stamps)
    if digests is None:
        with locked(store.with_suffix(".lock"), f"{folder}: another process decodes the notes, waiting"):
            digests = _valid(store, stamps) or _build(store, folder, files, stamps)
    return np.load(store, mmap_mode="c"), digests


def digests(folder: Path, files: list[Path]) -> list[str]:
    """Return the SHA-256 of each file, from `waveforms_and_digests` or, where that may not write, from the files."""
    try:
        return waveforms_and_digests(folder, files)[1]
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
        whole = np.load(store, mmap_mode="r").shape == (len(stamps), SAMPLES) and len(about["digests"]) == len(stamps)
        return about["digests"] if whole and about["files"] == stamps else None
    except PermissionError:
        raise
    except Exception:  # damaged, which NumPy reports in many ways
        return None


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
            digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
            if sums.get(f"audio/{file.name}", digests[-1]) != digests[-1]:
                split = folder.name.removeprefix("nsynth-")
                again = f"make data SPLIT={split}" if split != folder.name else f"git checkout -- data/{folder.name}"
                raise ValueError(f"{file} is not what {SUMS} says; delete it and get it again: {again}")
            waveforms.write(read_waveform(file).tobytes())
        waveforms.flush()
        store.with_suffix(".json").unlink(missing_ok=True)  # it described the old waveforms
    write_json(store.with_suffix(".json"), {"files": stamps, "digests": digests})
    return digests
