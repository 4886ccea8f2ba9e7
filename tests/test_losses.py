"""A changed note is changed by what was asked for, and its losses say so; a gradient that is lost is seen to be."""

import librosa
import numpy as np
import pytest
import torch

from singlib.grading import controls
from singlib.nsynth import Label, index, read_waveform
from singlib.spectra import CQT, MFC, STFT, SpectralLoss, follow_gradient


@pytest.fixture(scope="module")
def waveform():
    return read_waveform(index("mini")[Label("keys", 56, 100)])


def heard(waveform):
    """Return the MIDI pitch of a second of a note, by YIN."""
    return np.median(librosa.hz_to_midi(librosa.yin(waveform[8_000:24_000], fmin=80, fmax=1000, sr=16_000)))


@pytest.mark.parametrize("cents", [-700, -100, 0, 100, 1200])
def test_a_note_played_faster_is_heard_at_that_pitch(waveform, cents):
    assert heard(controls.faster(waveform, cents)) == pytest.approx(56 + cents / 100, abs=0.2)


def test_level_and_noise_are_in_decibels_of_the_note(waveform):
    power = np.mean(waveform.astype("float64") ** 2)
    assert np.mean(controls.softer(waveform, 20) ** 2) == pytest.approx(power / 100, rel=1e-3)
    assert np.mean((controls.added_noise(waveform, -10) - waveform) ** 2) == pytest.approx(10 * power, rel=0.02)


@pytest.mark.parametrize("spectrum", [STFT(), MFC(), MFC(squared=False), CQT()], ids=["STFT", "MFC", "plain", "CQT"])
def test_a_note_that_stays_has_no_loss_and_what_is_very_soft_is_silence(waveform, spectrum):
    loss, itself = SpectralLoss(spectrum), torch.from_numpy(waveform[:32_000])
    assert loss(torch.from_numpy(controls.faster(waveform, 0)[:32_000]), itself) == 0
    assert loss(torch.from_numpy(controls.softer(waveform, 0)[:32_000]), itself) == 0
    if not isinstance(spectrum, MFC):  # with eps 1; the MFC's logarithms have none
        soft = loss(torch.from_numpy(controls.softer(waveform, 60)[:32_000]), itself)
        assert soft / loss(torch.zeros_like(itself), itself) == pytest.approx(1, abs=0.005)


def test_the_gradient_is_followed_to_where_it_is_lost(waveform):
    weight, sound = torch.nn.Parameter(torch.ones(())), torch.from_numpy(waveform)

    def none_arrives(way):
        estimate = weight * sound
        back = way(estimate)
        steps = {"weight": weight, "estimate": estimate, "numpy": waveform, "back": back, "loss": back.square().mean()}
        return list(follow_gradient(steps).gradient == "none")

    assert none_arrives(torch.Tensor.clone) == [False, False, True, False, False]
    assert none_arrives(lambda estimate: estimate.detach().requires_grad_()) == [True, True, True, False, False]
    assert none_arrives(torch.Tensor.detach) == [True] * 5, "nothing asks for a gradient, and the table says so"
    assert weight.grad is None
