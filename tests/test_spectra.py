"""The spectra against librosa and nnAudio, and the gradient of the loss."""

import librosa
import numpy as np
import pytest
import torch
from nnAudio.features import CQT1992v2

from singlib.nsynth import Label, index, read_waveform
from singlib.spectra import CQT, MFC, SPECTRA, STFT, SpectralLoss


@pytest.fixture(scope="module", params=[Label("keys", 45, 100), Label("brass2", 72, 75), None], ids=str)
def waveform(request):
    if request.param is None:
        return np.random.default_rng(0).standard_normal(64_000).astype("float32") / 10
    return read_waveform(index("mini")[request.param])


def test_stft_is_librosas(waveform):
    theirs = np.abs(librosa.stft(waveform, n_fft=1024, hop_length=256, center=False))
    ours = STFT()(torch.from_numpy(waveform)[None])[0].sqrt().numpy()
    assert np.abs(ours - theirs).max() < 1e-4 * theirs.max()


def test_mfc_is_librosas_without_its_clamp(waveform):
    power = np.abs(librosa.stft(waveform, n_fft=1024, hop_length=256, center=False)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=16_000, n_mels=128, fmax=8_000)
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=20)
    ours = MFC()(torch.from_numpy(waveform)[None])[0].numpy()
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.fixture(scope="module")
def nnaudio():
    return CQT1992v2(16_000, hop_length=256, fmin=CQT.FMIN, n_bins=84, output_format="Complex", verbose=False)


def test_cqt_is_nnaudios_to_rounding(waveform, nnaudio):
    given = torch.from_numpy(waveform)[None]
    theirs = nnaudio(given, normalization_type="librosa").square().sum(-1).sqrt()
    ours = CQT()(given).sqrt()
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-5 * theirs.max()


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("estimate", [torch.zeros(1, 65_024), torch.ones(1, 65_024)], ids=["silence", "clipping"])
def test_gradient_is_finite(name, estimate):
    given = estimate.clone().requires_grad_()
    SpectralLoss(SPECTRA[name]())(given, torch.randn(1, 65_024) / 10).backward()
    assert given.grad.isfinite().all() and (given.grad.any() or not estimate.any())


@pytest.mark.parametrize("name", SPECTRA)
def test_cut_keeps_the_value_and_loses_the_gradient(name):
    weight = torch.tensor(0.5, requires_grad=True)
    target = torch.randn(1, 65_024, generator=torch.Generator().manual_seed(0)) / 10
    with pytest.warns(UserWarning, match="trains no weights"):
        SpectralLoss(SPECTRA[name](), gradient="cut")
    flow, cut = (
        SpectralLoss(SPECTRA[name](), gradient=gradient)(weight * target, target) for gradient in ("flow", "cut")
    )
    assert cut.item() == flow.item() > 0
    cut.backward()  # runs without an error, as the authors' did
    assert weight.grad is None
    flow.backward()
    assert weight.grad != 0


@pytest.mark.parametrize("name", SPECTRA)
def test_loss_against_a_kept_level_is_the_loss(name):
    estimate, target = torch.randn(2, 3, 65_024, generator=torch.Generator().manual_seed(1)) / 10
    loss = SpectralLoss(SPECTRA[name]())
    assert loss.per_note(estimate, loss.level(target)).mean().item() == pytest.approx(loss(estimate, target).item())


def test_equation_3_squares_the_coefficients_unless_told_not_to():
    waveform = torch.randn(1, 65_024, generator=torch.Generator().manual_seed(2)) / 10
    coefficients = MFC()(waveform)
    assert torch.equal(SpectralLoss(MFC()).level(waveform), torch.log(1 + coefficients**2))
    assert torch.equal(SpectralLoss(MFC(squared=False)).level(waveform), coefficients)


@pytest.mark.parametrize(("name", "shortest"), [("STFT", 1024), ("MFC", 1024), ("CQT", 4353)])
def test_shortest_waveform(name, shortest):
    spectrum = SPECTRA[name]()
    assert spectrum(torch.zeros(1, shortest)).shape[-1] >= 1
    with pytest.raises(ValueError, match=str(shortest - 1)):
        spectrum(torch.zeros(1, shortest - 1))


def test_kernels_stay_out_of_checkpoints():
    assert not SpectralLoss(CQT()).state_dict() and not SpectralLoss(MFC()).state_dict()


def test_unknown_gradient_is_named():
    with pytest.raises(ValueError, match="unknown gradient 'snip'; choose one of flow, cut"):
        SpectralLoss(STFT(), gradient="snip")


@pytest.mark.parametrize(("name", "samples"), [("STFT", 1536), ("MFC", 1536), ("CQT", 8449)])
def test_gradient_is_the_derivative(name, samples):
    """Autograd against finite differences along random directions, in float64."""
    loss = SpectralLoss(SPECTRA[name]()).double()
    generator = torch.Generator().manual_seed(3)
    estimate, target = torch.randn(2, 1, samples, generator=generator, dtype=torch.float64) / 10
    level = loss.level(target)
    given = estimate.requires_grad_()
    assert torch.autograd.gradcheck(lambda waveform: loss.per_note(waveform, level), given, fast_mode=True)


@pytest.mark.parametrize("frequency", [220.0, 1000.0, 2637.0])
def test_a_sinusoid_peaks_where_it_should(frequency):
    sinusoid = torch.sin(2 * torch.pi * frequency * torch.arange(65_024) / 16_000)[None] / 2
    stft, cqt = STFT()(sinusoid)[0].mean(-1), CQT()(sinusoid)[0].mean(-1)
    assert stft.argmax() == round(frequency / 16_000 * 1024)
    assert cqt.argmax() == round(12 * np.log2(frequency / CQT.FMIN))


def test_a_note_an_octave_up_moves_12_bins():
    """Played twice as fast, a recorded note is the same note an octave up."""
    note = torch.from_numpy(read_waveform(index("mini")[Label("brass1", 50, 100)]))[None]
    low, high = (CQT()(waveform)[0, :, 20:80].mean(-1) for waveform in (note, note[:, ::2]))
    shared = low[: 84 - 12]
    correlation = [np.corrcoef(shared[12:60].log(), high[12 + shift : 60 + shift].log())[0, 1] for shift in range(24)]
    assert np.argmax(correlation) == 12


@pytest.mark.parametrize("name", ["STFT", "CQT"])
def test_gain_moves_the_level_by_twice_its_logarithm(name):
    loss = SpectralLoss(SPECTRA[name](), eps=1e-12)
    waveform = torch.randn(1, 65_024, generator=torch.Generator().manual_seed(4)) / 10
    assert torch.allclose(
        loss.level(3 * waveform) - loss.level(waveform), torch.tensor(2 * np.log(3.0)).float(), atol=1e-3
    )


def test_gain_moves_the_first_coefficient_alone():
    waveform = torch.randn(1, 65_024, generator=torch.Generator().manual_seed(5)) / 10
    moved = (MFC()(10 * waveform) - MFC()(waveform))[0]
    assert torch.allclose(moved[0], torch.tensor(20 * 128**0.5), rtol=1e-4)  # 20 dB in each of 128 mels
    assert moved[1:].abs().max() < 0.01
