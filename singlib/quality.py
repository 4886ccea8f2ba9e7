"""An objective stand-in for perceived quality: a first simple grade for Table 3.

Section 3.2 of the paper tells three categories apart: low (static tonal noise, no modulation), medium
(modulated noise) and high (the right pitch is heard, with onset and decay). Three measures of a
generated note against its label and its target say the same here. None is a training loss.
"""

from __future__ import annotations

import numpy as np
import scipy.signal

from .nsynth import SAMPLE_RATE

GRADES = ("-", "-/o", "o", "o/+", "+", "++")  # as Table 3 prints them, from low to high

# Where a measure counts as right. Simple choices, to be replaced by ones fixed on controls.
MODULATED = 0.35  # modulation relative to the target's; steady noise stays below 0.3
SHAPED = 0.7  # correlation of envelopes: the paper's "initial transient and decaying energy"
PITCHED = 0.5  # share of the target's harmonicity: "the fundamental frequency, as well as the harmonics"
CLEAN = 0.8  # likewise, without the "additional tonal noise"

_FRAME, _HOP = 2048, 512  # samples; long enough to tell low partials apart
_BAND = 16  # bins of a band: 125 Hz
_AUDIBLE = 50  # dB below the loudest bin that still count


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    """Return the power of Hann frames of 128 ms every 32 ms, ``(1025, frames)``."""
    _, _, transform = scipy.signal.stft(
        waveform, SAMPLE_RATE, nperseg=_FRAME, noverlap=_FRAME - _HOP, boundary=None, padded=False
    )
    return np.abs(transform) ** 2


def modulation(power: np.ndarray) -> float:
    """Return how far the level moves in time: standard deviation in dB of bands of 125 Hz, weighted by power.

    A listener hears sound that lives; near 0 it is a static tone or noise bars (Fig. 16). In bands, since a
    single bin of steady noise moves by 5.6 dB.
    """
    bands = power[:-1].reshape(-1, _BAND, power.shape[1]).sum(1)
    weight = bands.mean(1)
    return float((_decibel(bands).std(1) * weight).sum() / weight.sum()) if weight.sum() else 0.0


def envelope(power: np.ndarray) -> np.ndarray:
    """Return the level of each frame in dB, ``(frames,)``: onset, decay, release."""
    return _decibel(power.sum(0))


def harmonicity(power: np.ndarray, pitch: float) -> float:
    """Return the share of power on the partials of a MIDI pitch, less what noise would have there.

    1: only partials, the pitch is heard; 0: as much as flat noise; below 0: power lies elsewhere.
    A partial is 50 cents wide to each side or a bin (7.8 Hz) where that is more. Pitches whose
    partials then cover more than half of all bins are given their lowest partials only.
    """
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    frequencies = np.arange(len(power)) * SAMPLE_RATE / _FRAME
    number = np.maximum(1, np.round(frequencies / fundamental))
    width = np.maximum(number * fundamental * (2 ** (50 / 1200) - 1), SAMPLE_RATE / _FRAME)
    partial = np.abs(frequencies - number * fundamental) <= np.minimum(width, fundamental / 4)
    spectrum = power.mean(1)
    share = spectrum[partial].sum() / spectrum.sum() if spectrum.sum() else 0.0
    expected = partial.mean()
    return float((share - expected) / (1 - expected))


def _decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, power.max() * 10 ** (-_AUDIBLE / 10)) + 1e-12)


def grade(generated: np.ndarray, target: np.ndarray, pitch: float) -> dict[str, float | str]:
    """Grade one note.

    Parameters
    ----------
    generated, target : ndarray, shape (samples,)
        Waveforms at 16 kHz.
    pitch : float
        MIDI pitch of the label.

    Returns
    -------
    dict
        ``modulation`` (relative to the target's), ``envelope`` (correlation with the target's),
        ``harmonicity`` (relative to the target's) and ``grade``, one of `GRADES`.
    """
    ours, theirs = spectrogram(generated), spectrogram(target)
    measures: dict[str, float | str] = {
        "modulation": modulation(ours) / max(modulation(theirs), 1e-9),
        "envelope": _correlation(envelope(ours), envelope(theirs)),
        "harmonicity": harmonicity(ours, pitch) / max(harmonicity(theirs, pitch), 1e-9),
    }
    score = 0
    if measures["modulation"] >= MODULATED:
        score = 1 + (measures["envelope"] >= SHAPED)
        score += 2 * (measures["harmonicity"] >= PITCHED) + (measures["harmonicity"] >= CLEAN)
    return measures | {"grade": GRADES[score]}


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0
