"""The spectra at other rates, hops and sizes than the paper's, against librosa and nnAudio."""

from functools import cache

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnAudio.features import CQT1992v2
from scipy.signal import argrelmax

from singlib.spectra import CQT, MFC, STFT, CombinedLoss, MultiResolutionSTFT, SpectralLoss, transforms

# Sample rate, hop, bins, bins an octave: the paper's, librosa's defaults, a codec's.
RATES = pytest.mark.parametrize(
    ("rate", "hop", "bins", "octave"), [(16_000, 256, 84, 12), (22_050, 512, 84, 12), (44_100, 512, 96, 24)]
)
drawn = settings(max_examples=15, deadline=None, derandomize=True)


def music(rate, seconds=2.0, seed=0):
    """Return decaying partials of three notes over soft noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    sound = 1e-4 * rng.standard_normal(len(time))
    for start, frequency in zip((0.3, 0.6, 0.9), 440 * 2 ** (rng.integers(-24, 12, 3) / 12), strict=True):
        since = time - start
        for partial in range(1, 6):
            wave = np.sin(2 * np.pi * partial * frequency * since) * np.exp(-2 * since) / partial / 6
            sound += np.where(since > 0, wave, 0)
    return sound.astype("float32")


@cache
def nnaudio(rate, hop, fmin, bins, octave, scale=1):
    named = {"fmin": fmin, "n_bins": bins, "bins_per_octave": octave, "filter_scale": scale}
    return CQT1992v2(rate, hop_length=hop, output_format="Complex", verbose=False, **named)


def difference_of_cqts(rate, hop, fmin, bins, octave, scale=1.0):
    """Return the largest difference from nnAudio's, relative to the peak."""
    waveform = torch.from_numpy(music(rate))[None]
    theirs = nnaudio(rate, hop, fmin, bins, octave, scale)(waveform, normalization_type="librosa").square().sum(-1)
    ours = CQT(rate, hop, fmin, bins, octave, scale, power=1)(waveform)
    assert ours.shape == theirs.shape
    return (ours - theirs.sqrt()).abs().max().item() / theirs.sqrt().max().item()


@RATES
def test_cqt_is_nnaudios(rate, hop, bins, octave):
    assert difference_of_cqts(rate, hop, CQT.FMIN, bins, octave) < 1e-4


@drawn
@given(st.data())
def test_cqt_of_drawn_sizes_is_nnaudios(data):
    rate = data.draw(st.sampled_from([8_000, 16_000, 22_050, 32_000, 44_100, 48_000]))
    octave = data.draw(st.sampled_from([7, 12, 24, 36]))
    fmin = data.draw(st.floats(60, 400))
    most = int(octave * np.log2(rate / 2 / fmin))
    bins = data.draw(st.integers(1, most))
    hop = data.draw(st.sampled_from([100, 128, 256, 441, 512, 1024]))
    scale = data.draw(st.sampled_from([0.02, 0.5, 1.0]))  # the least has kernels of one sample
    assert difference_of_cqts(rate, hop, fmin, bins, octave, scale) < 1e-4


@RATES
def test_cqt_has_librosas_peaks(rate, hop, bins, octave):
    """Lengths of librosa's kernels are not rounded; its Q is another, here brought to ours."""
    sound = music(rate, 3.0)
    frequencies = librosa.cqt_frequencies(bins, fmin=CQT.FMIN, bins_per_octave=octave)
    lengths, _ = librosa.filters.wavelet_lengths(freqs=frequencies, sr=rate)
    longest = 1 / (2 ** (1 / octave) - 1) * rate / CQT.FMIN
    same = {"filter_scale": longest / lengths[0], "pad_mode": "reflect", "sparsity": 0, "res_type": "soxr_vhq"}
    named = {"sr": rate, "hop_length": hop, "fmin": CQT.FMIN, "n_bins": bins, "bins_per_octave": octave}
    theirs = np.abs(librosa.cqt(sound, **named, **same))
    ours = CQT(rate, hop, n_bins=bins, bins_per_octave=octave, power=1)(torch.from_numpy(sound)).numpy()
    rows, frames = argrelmax(theirs)
    loud = theirs[rows, frames] > 0.1 * theirs.max()  # 20 dB above the floor of their kernels' skirts
    rows, frames = rows[loud], frames[loud]
    assert len(rows) > 100
    np.testing.assert_allclose(ours[rows, frames], theirs[rows, frames], rtol=0.05)


@drawn
@given(st.data())
def test_stft_and_mfc_of_drawn_sizes_are_librosas(data):
    rate = data.draw(st.sampled_from([8_000, 16_000, 22_050, 44_100]))
    size = 2 * data.draw(st.integers(100, 1500))
    hop = data.draw(st.sampled_from([hop for hop in range(size // 16, size + 1) if size % hop == 0]))
    window = data.draw(st.sampled_from(["hann", "hamming", "blackman"]))
    sound = music(rate, 1.0).astype("float64")
    theirs = np.abs(librosa.stft(sound, n_fft=size, hop_length=hop, window=window, center=False))
    ours = STFT(size, hop, window, power=1).double()(torch.from_numpy(sound)).numpy()
    assert np.abs(ours - theirs).max() < 1e-4 * theirs.max()
    mels = data.draw(st.integers(20, 128))
    kept = data.draw(st.integers(1, mels))
    low, high = data.draw(st.floats(0, 200)), data.draw(st.floats(2_000, rate / 2))
    power = np.abs(librosa.stft(sound, n_fft=size, hop_length=hop, center=False)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=rate, n_mels=mels, fmin=low, fmax=high)
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=kept)
    sizes = {"n_fft": size, "hop_length": hop, "n_mels": mels, "n_mfcc": kept, "fmin": low, "fmax": high}
    ours = MFC(sample_rate=rate, **sizes).double()(torch.from_numpy(sound)).numpy()
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@RATES
@pytest.mark.parametrize("power", [1, 2])
def test_gradients_are_derivatives_at_every_rate(rate, hop, bins, octave, power):
    """First and second derivatives; the short kernels of a high fmin keep the waveform short."""
    cqt = CQT(rate, hop, 8 * CQT.FMIN, bins // 2, octave, power=power)
    mfc = MFC(sample_rate=rate, n_fft=4 * hop, hop_length=hop, n_mels=40)
    for spectrum in (cqt, mfc, STFT(4 * hop, hop, power=power)):
        loss = SpectralLoss(spectrum).double()
        samples = max(getattr(spectrum, "reach", 0) + 3, 5 * hop)
        rng = torch.Generator().manual_seed(3)
        pair = [(torch.randn(1, samples, generator=rng, dtype=torch.float64) / 10).requires_grad_() for _ in range(2)]
        assert torch.autograd.gradcheck(loss, pair, fast_mode=True)
        assert torch.autograd.gradgradcheck(loss, pair, fast_mode=True, rtol=1e-3)


@RATES
def test_a_sinusoid_is_in_its_bin(rate, hop, bins, octave):
    sinusoid = torch.sin(2 * torch.pi * 440 * torch.arange(2 * rate) / rate)
    assert CQT(rate, hop, n_bins=bins, bins_per_octave=octave)(sinusoid).mean(-1).argmax() == 45 * octave // 12


@RATES
def test_the_power_of_a_sinusoid_is_what_eps_is_chosen_by(rate, hop, bins, octave):
    """As the README of the losses says; so far below full scale lies an eps."""
    amplitude, quality = 0.3, 1 / (2 ** (1 / octave) - 1)
    for pitch in (45, 57):  # A2 and A3 lie at bins of the CQT, and near one of the STFT
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        near = round(frequency * 2048 / rate) * rate / 2048
        for spectrum, tone, power in (
            (CQT(rate, hop, n_bins=bins, bins_per_octave=octave), frequency, quality * rate / (4 * frequency)),
            (STFT(2048, 512), near, 512**2),
            (MultiResolutionSTFT((2048,)), near, 256**2),
        ):
            sinusoid = amplitude * torch.sin(2 * torch.pi * tone * torch.arange(2 * rate) / rate)
            middle = spectrum(sinusoid)[..., 10:-10].amax(dim=-2).median()
            assert 10 * abs(torch.log10(middle / (amplitude**2 * power))) < 0.3, f"{spectrum}, {pitch}"


def test_a_magnitude_has_a_finite_gradient_on_silence():
    for spectrum in (STFT(power=1), CQT(power=1)):
        silence = torch.zeros(1, 16_384, requires_grad=True)
        SpectralLoss(spectrum)(silence, torch.ones(1, 16_384)).backward()
        assert silence.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: STFT(1000, 300), "hop_length 300 does not divide n_fft 1000; choose for example 250"),
        (lambda: STFT(1001, 143), "n_fft 1001 is not even"),
        (lambda: STFT(hop_length=0), "hop_length 0 is not a whole number above 0"),
        (lambda: STFT(power=3), r"power 3 is neither 2 \(power\) nor 1 \(magnitude\)"),
        (lambda: MFC(n_mels=10), "n_mfcc 20 is above n_mels 10"),
        (lambda: MFC(sample_rate=8_000, fmax=8_000), "fmin 0 and fmax 8000 Hz are not between 0 and 4000 Hz"),
        (
            lambda: CQT(7_000),
            "n_bins 84 from fmin 32.7032 Hz reach above half the sample rate, 3500 Hz: at most 81 fit",
        ),
        (lambda: CQT(n_bins=0), "n_bins 0 is not a whole number above 0"),
        (lambda: CQT(n_bins=84.0), "n_bins 84.0 is not a whole number above 0"),
        (lambda: STFT(float("inf")), "n_fft inf is not a whole number above 0"),
        (lambda: MultiResolutionSTFT((512, 1000)), "a frame of 1000 samples is no power of two from 4 on"),
        (lambda: MultiResolutionSTFT(()), "n_ffts is empty"),
        (lambda: MultiResolutionSTFT(np.array([512, 1000])), "a frame of .*1000.* samples is no power of two"),
        (lambda: CQT(fmin=9_000), "at most 0 fit"),
        (lambda: CQT(filter_scale=0), "filter_scale 0 is not above 0"),
        (lambda: SpectralLoss(STFT(), eps=0), "eps 0 is not above 0"),
        (lambda: SpectralLoss(STFT(), reduction="max"), "unknown reduction 'max'; choose one of none, mean, sum"),
        (lambda: CombinedLoss({}), "needs a loss"),
        (lambda: CombinedLoss({"a": SpectralLoss(STFT())}, {"b": 1}), "unknown loss 'b'; choose one of a"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiResolutionSTFT(512), "n_ffts 512 is one number"),
        (lambda: CombinedLoss([SpectralLoss(STFT())]), "losses is a list; it maps names to losses"),
        (lambda: CombinedLoss({"a": STFT()}), r"'a' is STFT\(.* it must be a loss, such as SpectralLoss"),
        (lambda: MFC(44_100), "positional argument"),  # it would be `squared`
        (lambda: SpectralLoss(CQT(), 44_100), "positional argument"),  # it would be `eps`
    ],
)
def test_what_is_of_another_kind_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_reductions_and_named_parts():
    one, other = (torch.from_numpy(np.stack([music(44_100, seed=seed), music(44_100, seed=9)])) for seed in (1, 2))
    each = SpectralLoss(STFT(), reduction="none")(one, other)
    assert each.shape == (2,) and each[0] > 0 and each[1] == 0
    assert SpectralLoss(STFT(), reduction="sum")(one, other) == each.sum()
    assert SpectralLoss(STFT())(one, other) == each.mean()
    cqt = SpectralLoss(CQT(44_100, 512, n_bins=96, bins_per_octave=24))
    combined = CombinedLoss({"keys": SpectralLoss(STFT()), "44.1k": cqt}, {"44.1k": 3})
    parts = combined.parts(one, other)
    assert list(parts) == ["keys", "44.1k"], "names that torch.nn.ModuleDict refuses"
    torch.testing.assert_close(combined(one, other), (parts["keys"] + 3 * parts["44.1k"]) / 4)
    assert combined.total(parts) == combined(one, other)


CODEC = {
    "STFT": lambda: STFT(2048, 512, power=1),
    "MFC": lambda: MFC(sample_rate=44_100, n_fft=2048, hop_length=512, n_mels=80),
    "CQT": lambda: CQT(44_100, 512, 8 * CQT.FMIN, 48, 24),
}


@pytest.mark.parametrize("name", CODEC)
def test_a_batch_of_64_is_64_notes(name):
    """Losses and gradients of each note, alone and among others, with and without channels."""
    generator = torch.Generator().manual_seed(0)
    estimate, target = torch.randn(2, 64, 8_192, generator=generator) / 10
    loss = SpectralLoss(CODEC[name](), reduction="none")
    estimate.requires_grad_()
    together = loss(estimate, target)
    (gradient,) = torch.autograd.grad(together.sum(), estimate)
    for note in (0, 63):
        alone = loss(estimate[note : note + 1], target[note : note + 1])
        torch.testing.assert_close(alone[0], together[note])
        (of_one,) = torch.autograd.grad(alone.sum(), estimate)
        torch.testing.assert_close(of_one[note], gradient[note], rtol=1e-4, atol=1e-5 * gradient.abs().max().item())
    channels = loss(estimate.unflatten(0, (32, 2)), target.unflatten(0, (32, 2)))
    torch.testing.assert_close(channels, together.unflatten(0, (32, 2)))


@pytest.mark.parametrize("name", ["MFC", "CQT"])
def test_what_one_module_was_made_in_is_no_matter_to_the_next(name):
    """A model is evaluated in inference mode before it is trained, or made on another device."""
    sizes = {"sample_rate": 12_345}  # whose kernels no other test has made
    with torch.inference_mode(), torch.device("meta"):
        getattr(transforms, name)(**sizes)
    waveform = torch.randn(1, 40_000, requires_grad=True)
    loss = SpectralLoss(getattr(transforms, name)(**sizes))(waveform, torch.randn(1, 40_000))
    loss.backward()
    assert loss.device.type == "cpu" and waveform.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CODEC)
def test_kernels_follow_the_module_and_others_keep_theirs(name):
    assert {buffer.device.type for buffer in CODEC[name]().to("meta").buffers()} == {"meta"}
    waveform = torch.randn(1, 2, 8_192)
    exact = CODEC[name]().double()(waveform)
    assert exact.dtype == torch.float64
    again = CODEC[name]()  # its kernels are cached: another module has moved, not they
    assert {(buffer.device.type, buffer.dtype) for buffer in again.buffers()} == {("cpu", torch.float32)}
    torch.testing.assert_close(again(waveform).double(), exact, rtol=1e-3, atol=1e-4 * exact.abs().max().item())


def test_a_combined_loss_compiles_as_one_graph_and_is_float32_under_autocast():
    loss = CombinedLoss({name: SpectralLoss(make(), eps=1e-3) for name, make in CODEC.items()}, {"CQT": 2})
    generator = torch.Generator().manual_seed(0)
    estimate, target = torch.randn(2, 2, 8_192, generator=generator) / 10
    estimate.requires_grad_()
    (expected,) = torch.autograd.grad(loss(estimate, target), estimate)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")  # without a compiler of C++
    (gradient,) = torch.autograd.grad(compiled(estimate, target), estimate)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(estimate, target)
    assert inside == loss(estimate, target) and inside.dtype == torch.float32
