"""The network against the outputs of the original one, recorded in sing_reference.npz."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from singlib.network import sing
from singlib.spectra import STFT, SpectralLoss

OURS = {  # of a recorded weight's name
    "ae.encoder.layers.0.conv": "encoder.0",
    "ae.decoder.layers.6.conv_tr": "decoder.6",
    "ae.encoder.layers": "encoder",
    "ae.decoder.layers": "decoder",
    "seq.tables.0": "instrument",
    "seq.tables.1": "pitch",
    "seq.tables.2": "velocity",
    "seq.time_table": "time",
    "seq.lstm": "lstm",
    "seq.decoder": "linear",
}


@pytest.fixture(scope="module")
def reference():
    with np.load(Path(__file__).parent / "sing_reference.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def networks(reference):
    config = json.loads(str(reference["config"]).replace("'", '"'))
    autoencoder = sing.Autoencoder(config["channels"], config["dimension"])
    sequence = sing.SequenceGenerator(5, config["dimension"], config["hidden"], config["layers"], velocities=6)
    weights = {"ae": {}, "seq": {}}
    for key, value in reference.items():
        prefix = next((prefix for prefix in OURS if key.startswith(f"{prefix}.")), None)
        if prefix and not key.endswith(".window"):
            weights[key.split(".")[0]][OURS[prefix] + key.removeprefix(prefix)] = torch.from_numpy(value)
    autoencoder.load_state_dict(weights["ae"])
    sequence.load_state_dict(weights["seq"])
    return autoencoder.eval(), sequence.eval()


def close(ours, theirs):
    assert np.abs(ours.detach().numpy() - theirs).max() < 1e-5


def test_autoencoder_gives_the_original_outputs(reference, networks):
    autoencoder, _ = networks
    padded = torch.from_numpy(reference["x"])
    codes = autoencoder.encoder(padded)
    close(codes, reference["z"])
    close(autoencoder.decoder(codes), reference["y"])
    close(autoencoder(padded), reference["y"])


def test_sing_gives_the_original_outputs(reference, networks):
    autoencoder, sequence = networks
    labels = [torch.from_numpy(reference[key][:, 0]) for key in ("instrument", "pitch", "velocity")]
    codes, _ = sequence(*labels)
    close(codes, reference["s"])
    close(sing.SING(sequence, autoencoder.decoder)(*labels), reference["w"])


def test_lstm_in_chunks_equals_the_whole(reference, networks):
    _, sequence = networks
    labels = [torch.from_numpy(reference[key][:, 0]) for key in ("instrument", "pitch", "velocity")]
    state, parts = None, []
    for start in range(0, sing.STEPS, 32):
        codes, state = sequence(*labels, slice(start, start + 32), state)
        parts.append(codes)
    close(torch.cat(parts, -1), reference["s"])


def test_loss_is_the_original_one(reference):
    target = torch.from_numpy(reference["x"])[:, 1792:-1792]
    loss = SpectralLoss(STFT())(torch.from_numpy(reference["y"]), target)
    assert loss.item() == pytest.approx(float(reference["stft_l1"]), rel=1e-5)


def test_a_note_keeps_its_place_from_padding_to_trimming():
    notes = torch.randn(2, 64_000)
    padded, target = sing.pad(notes), sing.target(notes)
    assert padded.shape == (2, 68_608)
    assert torch.equal(padded[:, 1792:-1792], target)
    assert torch.equal(sing.trim(target), notes)


@pytest.mark.parametrize("activation", ["ReLU", "ELU", "SELU", "GELU", "SiLU"])
def test_any_size_and_activation_makes_a_note(activation):
    autoencoder = sing.Autoencoder(5, 3, activation)
    assert autoencoder(torch.zeros(1, 68_608)).shape == (1, 65_024)
    names = {type(layer).__name__ for layer in autoencoder.modules()}
    assert activation in names


def test_elu_alpha_reaches_every_layer():
    alphas = [layer.alpha for layer in sing.Autoencoder(4, 2, "ELU", 10.0).modules() if hasattr(layer, "alpha")]
    assert alphas == [10.0] * 6
