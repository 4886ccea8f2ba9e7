"""The spectra against librosa and nnAudio, and the gradient of the loss."""

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nnAudio.features import CQT1992v2
from scipy.signal import argrelmax

from singlib.nsynth import Label, index, read_waveform
from singlib.spectra import CQT, MFC, SPECTRA, STFT, MultiResolutionSTFT, SpectralLoss, Spectrum

NNAUDIO = CQT1992v2(16_000, hop_length=256, fmin=CQT.FMIN, n_bins=84, output_format="Complex", verbose=False)
ROLES = ("keys", "mallet", "voice", "brass1", "brass2", "brass3", "brass4", "brass5")


@pytest.fixture(params=ROLES)
def note(request):
    """Return the middle note of an instrument of data/mini."""
    labels = [label for label in index("mini") if label.role == request.param and label.velocity == 100]
    return read_waveform(index("mini")[sorted(labels)[len(labels) // 2]])


@st.composite
def signals(draw):
    """Draw partials over noise, cut by silence and clipped, of one to two seconds."""
    samples = draw(st.integers(16_384, 32_000))
    time, signal = np.arange(samples) / 16_000, np.zeros(samples)
    for frequency in draw(st.lists(st.floats(20, 7_900), max_size=4)):
        signal += draw(st.floats(0, 0.5)) * np.sin(2 * np.pi * frequency * time)
    noise = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(samples)
    signal += draw(st.sampled_from([1e-4, 1e-2, 0.3])) * noise
    start, end = sorted(draw(st.tuples(st.integers(0, samples), st.integers(0, samples))))
    signal[start:end] *= draw(st.sampled_from([0.0, 1.0]))
    return np.clip(signal, -1, 1).astype("float32")


drawn = settings(max_examples=25, deadline=None, derandomize=True)


def of_peak(ours, theirs):
    """Return the largest difference, relative to the largest value."""
    return np.abs(np.asarray(ours) - np.asarray(theirs)).max() / max(np.abs(np.asarray(theirs)).max(), 1e-9)


def check_stft(waveform):
    theirs = np.abs(librosa.stft(waveform, n_fft=1024, hop_length=256, center=False))
    assert of_peak(STFT()(torch.from_numpy(waveform)[None])[0].sqrt(), theirs) < 1e-4


def check_mfc(waveform):
    # In float64: between partials, float32 rounds above librosa's floor of -100 dB.
    waveform = waveform.astype("float64")
    power = np.abs(librosa.stft(waveform, n_fft=1024, hop_length=256, center=False)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=16_000, n_mels=128, fmax=8_000)
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=20)
    assert of_peak(MFC().double()(torch.from_numpy(waveform)[None])[0], theirs) < 1e-4


def check_cqt(waveform):
    given = torch.from_numpy(waveform)[None]
    theirs = NNAUDIO(given, normalization_type="librosa").square().sum(-1).sqrt()
    ours = CQT()(given).sqrt()
    assert ours.shape == theirs.shape and of_peak(ours, theirs) < 1e-5


def check_multi_resolution(waveform):
    """Compare the loss against silence with librosa's STFT of each frame size, with zeros around the waveform."""
    waveform = waveform.astype("float64")
    levels = []
    for frame in (512, 1024, 2048, 4096):
        hops = -(-len(waveform) // 1024) * 4096 // frame
        before = frame * 3 // 8
        padded = np.pad(waveform, (before, (hops - 1) * frame // 4 + frame - before - len(waveform)))
        stft = librosa.stft(padded, n_fft=frame, hop_length=frame // 4, center=False) * 1024 / frame
        assert stft.shape == (frame // 2 + 1, hops)
        levels.append(np.log(1 + np.abs(stft) ** 2))
    given = torch.from_numpy(waveform)
    ours = SpectralLoss(MultiResolutionSTFT()).double()(given, torch.zeros_like(given)).item()
    assert ours == pytest.approx(sum(map(np.sum, levels)) / sum(map(np.size, levels)), rel=1e-5)
    assert ours == pytest.approx(np.mean([level.mean() for level in levels]), rel=5e-3)  # sizes weigh nearly the same


CHECKS = pytest.mark.parametrize("check", [check_stft, check_mfc, check_cqt, check_multi_resolution])


@CHECKS
def test_recorded_notes_as_librosa_and_nnaudio_have_them(check, note):
    check(note)


@CHECKS
@drawn
@given(waveform=signals())
def test_drawn_signals_as_librosa_and_nnaudio_have_them(check, waveform):
    check(waveform)


def test_cqt_has_librosas_peaks(note):
    """Lengths of librosa's kernels are not rounded; the skirts of the two differ below -40 dB, the floor here."""
    ours = CQT()(torch.from_numpy(note)[None])[0].sqrt().numpy()
    frequencies = librosa.cqt_frequencies(84, fmin=CQT.FMIN)
    lengths, _ = librosa.filters.wavelet_lengths(freqs=frequencies, sr=16_000)
    longest = 1 / (2 ** (1 / 12) - 1) * 16_000 / CQT.FMIN  # samples of our longest kernel: Q periods
    same = {"filter_scale": longest / lengths[0], "pad_mode": "reflect", "sparsity": 0}
    theirs = np.abs(librosa.cqt(note, sr=16_000, hop_length=256, fmin=CQT.FMIN, n_bins=84, **same))
    bins, frames = argrelmax(theirs)
    heard = theirs[bins, frames] > 0.1 * theirs.max()  # 20 dB above the floor
    bins, frames = bins[heard], frames[heard]
    assert len(bins) > 10 and np.abs(ours[bins, frames] / theirs[bins, frames] - 1).max() < 0.05
    beside, beside_theirs = (np.maximum(x[bins - 1, frames], x[bins + 1, frames]) for x in (ours, theirs))
    clear = beside_theirs < 0.9 * theirs[bins, frames]  # nearer than 5 % of each allow, a peak is in both bins
    assert clear.mean() > 0.8 and (beside < ours[bins, frames])[clear].all()


def impulse(at):
    return torch.zeros(1, 16_384).index_fill_(1, torch.tensor(at), 1.0)


HARD = {
    "silence": torch.zeros(1, 16_384),
    "clipping": torch.ones(1, 16_384),
    "square": torch.ones(1, 16_384).unflatten(1, (-1, 2)).mul(torch.tensor([1.0, -1.0])).flatten(1),
    "first sample": impulse([0]),
    "a sample": impulse([8_000]),
    "last sample": impulse([16_383]),
    "denormal": torch.full((1, 16_384), 1e-40),
    "loud": torch.full((1, 16_384), 1e6),
}


def assert_gradient_is_finite(name, estimate, target):
    given = estimate.clone().requires_grad_()
    value = SpectralLoss(SPECTRA[name]())(given, target)
    value.backward()
    assert value.isfinite() and given.grad.isfinite().all()
    return given.grad


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("estimate", HARD.values(), ids=HARD)
def test_gradient_is_finite(name, estimate):
    """A square root at zero, of silence, has none."""
    gradient = assert_gradient_is_finite(name, estimate, torch.randn(1, 16_384) / 10)
    assert gradient.any() or estimate[:, 1:-1].abs().max() < 1e-9  # from silence no way is better than another


@pytest.mark.parametrize("name", SPECTRA)
@drawn
@given(waveform=arrays("float32", 5_000, elements=st.floats(-2, 2, width=32)))
def test_gradient_of_any_samples_is_finite(name, waveform):
    assert_gradient_is_finite(name, torch.from_numpy(waveform)[None], torch.zeros(1, 5_000))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", SPECTRA)
def test_cuda_gives_the_same(name):
    estimate, target = torch.randn(2, 2, 65_024, generator=torch.Generator().manual_seed(6)) / 10
    loss = SpectralLoss(SPECTRA[name]())
    assert loss.cuda()(estimate.cuda(), target.cuda()).item() == pytest.approx(
        loss.cpu()(estimate, target).item(), rel=1e-3
    )


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


@pytest.mark.parametrize("name", SPECTRA)
def test_the_loss_is_summed_with_care(name):
    """A note has 100,000 differences: what float32 loses in adding them must not show in a history."""
    estimate, target = torch.randn(2, 2, 65_024, generator=torch.Generator().manual_seed(4)) / 10
    loss = SpectralLoss(SPECTRA[name]())
    exact = (loss.level(estimate).double() - loss.level(target).double()).abs().mean(dim=(1, 2))
    torch.testing.assert_close(loss.per_note(estimate, loss.level(target)).double(), exact, rtol=1e-6, atol=0)


def test_equation_3_squares_the_coefficients_unless_told_not_to():
    waveform = torch.randn(1, 65_024, generator=torch.Generator().manual_seed(2)) / 10
    coefficients = MFC()(waveform)
    assert torch.equal(SpectralLoss(MFC()).level(waveform), torch.log(1 + coefficients**2))
    assert torch.equal(SpectralLoss(MFC(squared=False)).level(waveform), coefficients)


@pytest.mark.parametrize(("name", "shortest"), [("STFT", 1024), ("MFC", 1024), ("CQT", 4353), ("MRSTFT", 4096)])
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


@pytest.mark.parametrize(("name", "samples"), [("STFT", 1536), ("MFC", 1536), ("CQT", 8449), ("MRSTFT", 4097)])
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


def waves(*shape, seed=7, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) / 10


@pytest.mark.parametrize("name", SPECTRA)
def test_the_gradient_flows_to_both_waveforms(name):
    one, other = waves(2, 16_384).requires_grad_(), waves(2, 16_384, seed=8).requires_grad_()
    loss = SpectralLoss(SPECTRA[name]())
    ours = torch.autograd.grad(loss(one, other), (one, other))
    swapped = torch.autograd.grad(loss(other, one), (one, other))
    for gradient, same in zip(ours, swapped, strict=True):
        assert gradient.any()
        torch.testing.assert_close(gradient, same, rtol=1e-4, atol=1e-4 * gradient.abs().max().item())


@pytest.mark.parametrize(("name", "samples"), [("STFT", 1536), ("MFC", 1536), ("CQT", 8449), ("MRSTFT", 4097)])
def test_the_second_derivative_is_right(name, samples):
    loss = SpectralLoss(SPECTRA[name]()).double()
    one, other = (waves(1, samples, seed=seed, dtype=torch.float64).requires_grad_() for seed in (3, 4))
    assert torch.autograd.gradgradcheck(loss, (one, other), fast_mode=True, rtol=1e-3)


@pytest.mark.parametrize("name", SPECTRA)
def test_shapes_with_and_without_a_batch_or_channels_are_alike(name):
    estimate, target = waves(3, 2, 16_384), waves(3, 2, 16_384, seed=8)
    spectrum, loss = SPECTRA[name](), SpectralLoss(SPECTRA[name]())
    flat = loss.per_note(estimate.flatten(0, 1), loss.level(target.flatten(0, 1)))
    torch.testing.assert_close(loss.per_note(estimate, loss.level(target)), flat.unflatten(0, (3, 2)))
    torch.testing.assert_close(loss(estimate, target), flat.mean())
    torch.testing.assert_close(spectrum(estimate)[1, 1], spectrum(estimate[1, 1]))
    torch.testing.assert_close(loss(estimate[1, 1], target[1, 1]), flat[3])


def test_coefficients_of_a_known_stft_are_those_of_its_waveform():
    waveform = waves(3, 16_384)
    assert torch.equal(MFC().of_power(STFT()(waveform)), MFC()(waveform))


@pytest.mark.parametrize(
    ("estimate", "target", "message"),
    [
        ((2, 16_384), (1, 16_384), r"estimate has shape \(2, 16384\), the target \(1, 16384\)"),
        ((2, 16_384), (2, 16_500), r"\(2, 16384\), the target \(2, 16500\)"),  # as many frames
        ((16_384,), (1, 16_384), r"\(16384,\), the target \(1, 16384\)"),
        ((1, 1, 2, 16_384), (1, 1, 2, 16_384), r"shape \(1, 1, 2, 16384\); it is \(samples,\)"),
        ((0, 16_384), (0, 16_384), r"shape \(0, 16384\); .* not empty"),
        ((), (), r"shape \(\); it is \(samples,\)"),
    ],
)
@pytest.mark.parametrize("name", SPECTRA)
def test_other_shapes_are_refused_with_both(name, estimate, target, message):
    with pytest.raises(ValueError, match=message):
        SpectralLoss(SPECTRA[name]())(torch.zeros(estimate), torch.zeros(target))


def test_a_kept_level_of_other_waveforms_is_refused():
    loss = SpectralLoss(STFT())
    with pytest.raises(ValueError, match=r"spectrum has shape \(2, 513, 61\), the target's level \(1, 513, 61\)"):
        loss.per_note(waves(2, 16_384), loss.level(waves(1, 16_384)))


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_dtype_works(name, dtype):
    loss = SpectralLoss(SPECTRA[name]())
    estimate, target = waves(2, 16_384, dtype=dtype).requires_grad_(), waves(2, 16_384, seed=8, dtype=dtype)
    value = loss(estimate, target)
    value.backward()
    exact = loss.double()(estimate.detach().double(), target.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)
    assert estimate.grad.dtype == dtype and estimate.grad.isfinite().all() and estimate.grad.any()


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_the_loss_is_that_of_float32(name, dtype):
    loss = SpectralLoss(SPECTRA[name]())
    estimate, target = waves(2, 16_384), waves(2, 16_384, seed=8)
    with torch.autocast("cpu", dtype):
        inside = loss(estimate, target)
    assert inside.item() == loss(estimate, target).item()


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(1, 16_384, dtype=torch.int16), "int16; samples are floating"),
        (torch.zeros(1, 16_384, dtype=torch.complex64), "complex64; samples are floating"),
        (np.zeros((1, 16_384)), "the waveform is a ndarray; it must be a torch.Tensor"),
    ],
)
def test_samples_that_are_not_floating_are_refused(waveform, message):
    with pytest.raises(TypeError, match=message):
        STFT()(waveform)


@pytest.mark.parametrize("name", SPECTRA)
def test_kernels_in_half_precision_are_refused(name):
    with pytest.raises(TypeError, match=r"kernels are torch\.float16: leave the loss in float32"):
        SPECTRA[name]().half()(waves(1, 16_384))


@pytest.mark.parametrize("name", SPECTRA)
def test_torch_func_and_compile_give_the_same(name):
    loss = SpectralLoss(SPECTRA[name]())
    estimate, target = waves(2, 16_384), waves(2, 16_384, seed=8)
    given = estimate.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(given, target) * 2, given)  # a mean over two notes
    close = {"rtol": 1e-4, "atol": 1e-5 * expected.abs().max().item()}
    torch.testing.assert_close(torch.func.grad(loss)(estimate, target) * 2, expected, **close)
    each = torch.func.vmap(torch.func.grad(loss))(estimate, target)
    torch.testing.assert_close(each, expected, **close)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")  # without a compiler of C++
    (ours,) = torch.autograd.grad(compiled(given, target) * 2, given)
    torch.testing.assert_close(ours, expected, **close)


@pytest.mark.parametrize("given", [CQT, "CQT"])
def test_what_is_no_spectrum_is_refused_when_the_loss_is_made(given):
    with pytest.raises(TypeError, match=r"must be an instance, such as CQT\(\)"):
        SpectralLoss(given)


def test_a_transform_of_another_shape_is_refused():
    flat = type("Flat", (Spectrum,), {"transform": lambda self, waveform: waveform})()
    with pytest.raises(ValueError, match=r"Flat\.transform gave shape \(2, 16384\) of 2 waveforms"):
        flat(waves(2, 16_384))


def test_a_spectrum_without_a_transform_is_refused_when_it_is_made():
    with pytest.raises(TypeError, match=r"Nameless.*transform"):
        type("Nameless", (Spectrum,), {})()
