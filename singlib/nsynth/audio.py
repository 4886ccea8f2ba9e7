"""The sound of one note as NSynth has it: 4 s, 16 kHz, mono, 16 bit; read and checked."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16_000  # Hz
SAMPLES = 64_000  # of a note: 4 s
SILENT: frozenset[str] = frozenset()  # names of notes that are silent in NSynth itself: none is known


def read_waveform(file: Path) -> np.ndarray:
    """Read one WAV or FLAC: ``(64000,)``, float32 in [-1, 1], at 16 kHz; ValueError as `decode`."""
    return decode(file, str(file))


class _Memory(io.BytesIO):
    """Bytes as a file in which libsndfile, misled by a damaged header, may seek before the beginning."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, or stay where there is no such place."""
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def decode(file: Path | bytes, name: str) -> np.ndarray:
    """Decode one note from a file or its content, as `read_waveform`; errors call it `name`, with its file name last.

    Raises
    ------
    ValueError
        If it cannot be decoded, is not 4 s of 16 kHz 16-bit mono sound, or is silent (unless in `SILENT`).
    """
    try:
        with soundfile.SoundFile(_Memory(file) if isinstance(file, bytes) else file) as sound:
            samples = sound.frames
            # A damaged header may claim any length: one sample too many is enough to tell.
            waveform = sound.read(SAMPLES + 1, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} cannot be decoded: {error}") from error
    if sound.format not in ("WAV", "FLAC") or sound.subtype != "PCM_16":
        raise ValueError(f"{name} is {sound.format} {sound.subtype}; NSynth's notes are WAV (or FLAC) of 16 bit")
    if sound.samplerate != SAMPLE_RATE:
        raise ValueError(f"{name} has a sample rate of {sound.samplerate} Hz; NSynth's notes have {SAMPLE_RATE} Hz")
    if waveform.shape[1] != 1:
        raise ValueError(f"{name} has {waveform.shape[1]} channels; NSynth's notes are mono")
    if len(waveform) != SAMPLES:
        samples = samples if len(waveform) > SAMPLES else len(waveform)
        raise ValueError(f"{name} has {samples} samples; NSynth's notes have {SAMPLES} (4 s)")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name} has samples that are not finite")
    if not waveform.any() and Path(name).stem not in SILENT:
        raise ValueError(f"{name} is silent; if NSynth has it so, add it to singlib.nsynth.audio.SILENT")
    return waveform[:, 0]
