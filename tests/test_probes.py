"""A note that was moved away is away by what was asked for; a gradient that is lost is seen to be."""

import librosa
import numpy as np
import pytest

from singlib.nsynth import Label, index, read_waveform
from singlib.report import probes


@pytest.fixture(scope="module")
def waveform():
    return read_waveform(index("mini")[Label("keys", 56, 100)])


def heard(waveform):
    """Return the MIDI pitch of a second of a note, by YIN."""
    return np.median(librosa.hz_to_midi(librosa.yin(waveform[8_000:24_000], fmin=80, fmax=1000, sr=16_000)))


@pytest.mark.parametrize("cents", [-700, -100, 0, 100, 1200])
def test_a_note_moved_in_pitch_is_heard_there(waveform, cents):
    assert heard(probes.deviate(waveform, "pitch", cents)) == pytest.approx(56 + cents / 100, abs=0.2)


def test_level_and_noise_are_in_decibels_of_the_note(waveform):
    power = np.mean(waveform.astype("float64") ** 2)
    assert np.mean(probes.deviate(waveform, "level", -20) ** 2) == pytest.approx(power / 100, rel=1e-3)
    assert np.mean((probes.deviate(waveform, "noise", 10) - waveform) ** 2) == pytest.approx(10 * power, rel=0.02)


def test_a_note_that_stays_has_no_loss_and_silence_has_one_unit(waveform):
    frame = probes.deviations(waveform)
    still = frame[(frame.deviation != "noise") & (frame.amount == 0)]
    assert len(still) == 2 * len(probes.STYLES) and (still.value == 0).all()
    quietest = frame[(frame.deviation == "level") & (frame.amount == -60) & frame.loss.isin(["STFT", "CQT"])]
    assert quietest.relative.round(2).eq(1).all()  # eps 1: what is that quiet is silence


def test_the_gradient_is_followed_to_where_it_is_lost(waveform):
    autoencoder, padded, target = probes.untrained(waveform)
    weight = autoencoder.decoder[-1].weight
    lost = probes.follow(weight, probes.published(autoencoder(padded), target)).gradient
    assert list(lost.index[lost == "none"]) == list(lost.index[:4]) and lost.index[3] == "librosa's coefficients"
    found = probes.follow(weight, probes.differentiable(autoencoder(padded), target)).gradient
    assert not (found == "none").any()
