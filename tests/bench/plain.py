"""The paper as one would first write it down: what singlib's speed and numbers are compared with.

Strided convolutions for the network, `torch.stft` of both signals in every step, nnAudio's CQT and
MFCC as they come, losses of an epoch by a second pass over the data. It shares no code with singlib and
is not touched again: faster it must not get.
"""

import json
from pathlib import Path

import numpy as np
import seaborn as sns
import soundfile
import torch
from nnAudio.features import MFCC, CQT1992v2
from torch import nn
from torch.nn import functional as F


class PlainAutoencoder(nn.Module):
    """Padded waveforms ``(batch, 68608)`` -> ``(batch, 65024)``."""

    def __init__(self, channels, dimension, activation=F.relu):
        super().__init__()
        self.analysis = nn.Conv1d(1, channels, 1024, stride=256)
        self.hidden1 = nn.Conv1d(channels, channels, 1)
        self.hidden2 = nn.Conv1d(channels, channels, 1)
        self.code = nn.Conv1d(channels, dimension, 1)
        self.context = nn.Conv1d(dimension, channels, 9)
        self.hidden3 = nn.Conv1d(channels, channels, 1)
        self.hidden4 = nn.Conv1d(channels, channels, 1)
        self.synthesis = nn.ConvTranspose1d(channels, 1, 1024, stride=256, padding=768)
        self.window = torch.hann_window(1024) ** 2
        self.activation = activation

    def forward(self, waveform):
        act = self.activation
        x = act(F.conv1d(waveform.unsqueeze(1), self.analysis.weight * self.window, self.analysis.bias, stride=256))
        z = self.code(act(self.hidden2(act(self.hidden1(x)))))
        y = act(self.hidden4(act(self.hidden3(act(self.context(z))))))
        weight = self.synthesis.weight * self.window
        return F.conv_transpose1d(y, weight, self.synthesis.bias, stride=256, padding=768).squeeze(1)


WINDOW = torch.hann_window(1024)
CQT = CQT1992v2(sr=16000, hop_length=256, fmin=32.70319566257483, n_bins=84, bins_per_octave=12, verbose=False)
# Its clamp at 80 dB below the peak, librosa's default, is left out: it has no gradient.
MFC = MFCC(
    sr=16000, n_mfcc=20, n_fft=1024, hop_length=256, n_mels=128, fmax=8000, center=False, top_db=None, verbose=False
)


def stft(waveform):
    return torch.stft(waveform, 1024, 256, window=WINDOW, center=False, return_complex=True).abs()


SPECTRA = {"STFT": stft, "MFC": MFC, "CQT": CQT}


def loss(name, estimate, target):
    """Return the mean absolute difference of log(1 + |S|^2), equations (3) and (4)."""
    transform = SPECTRA[name]
    return (torch.log(1 + transform(estimate) ** 2) - torch.log(1 + transform(target) ** 2)).abs().mean()


class PlainSequence(nn.Module):
    """Labels, each ``(batch,)``, and time steps -> codes ``(batch, D, steps)`` and the LSTM's state."""

    def __init__(self, instruments, dimension, hidden, layers=3):
        super().__init__()
        self.instrument, self.pitch = nn.Embedding(instruments, 16), nn.Embedding(128, 8)
        self.velocity, self.time = nn.Embedding(5, 2), nn.Embedding(265, 4)
        self.lstm = nn.LSTM(30, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, dimension)

    def forward(self, instrument, pitch, velocity, start=0, stop=265, state=None):
        steps = torch.arange(start, stop).expand(len(pitch), -1)
        columns = [
            table(index.unsqueeze(1).expand_as(steps))
            for table, index in ((self.instrument, instrument), (self.pitch, pitch), (self.velocity, velocity))
        ]
        output, state = self.lstm(torch.cat([*columns, self.time(steps)], -1), state)
        return self.linear(output).transpose(1, 2), state


def decode(autoencoder, codes):
    """Codes ``(batch, D, 265)`` -> waveforms ``(batch, 65024)``."""
    act = autoencoder.activation
    y = act(autoencoder.hidden4(act(autoencoder.hidden3(act(autoencoder.context(codes))))))
    weight = autoencoder.synthesis.weight * autoencoder.window
    return F.conv_transpose1d(y, weight, autoencoder.synthesis.bias, stride=256, padding=768).squeeze(1)


def encode(autoencoder, padded):
    """Encode padded waveforms ``(batch, 68608)`` -> codes ``(batch, D, 265)``."""
    act, layer = autoencoder.activation, autoencoder.analysis
    x = act(F.conv1d(padded.unsqueeze(1), layer.weight * autoencoder.window, layer.bias, stride=256))
    return autoencoder.code(act(autoencoder.hidden2(act(autoencoder.hidden1(x)))))


def step(optimiser, value):
    """Follow the gradient of a loss."""
    optimiser.zero_grad()
    value.backward()
    optimiser.step()


def sequence_step(sequence, optimiser, labels, codes):
    """One pass over the codes of a batch, an update every 32 time steps."""
    state = None
    for start in range(0, 265, 32):
        stop = min(start + 32, 265)
        made, state = sequence(*labels, start, stop, state)
        step(optimiser, F.mse_loss(made, codes[:, :, start:stop]))
        state = tuple(part.detach() for part in state)


@torch.no_grad()
def side_losses(estimates, targets):
    """Return all three losses of an epoch, by a second pass over the batches; `estimates` makes each again."""
    sums = dict.fromkeys(SPECTRA, 0.0)
    for estimate, target in zip(estimates, targets, strict=True):
        for name in SPECTRA:
            sums[name] += loss(name, estimate(), target).item()
    return {name: total / len(targets) for name, total in sums.items()}


class Training:
    """The three stages on notes of noise: what a step costs does not depend on what is played."""

    def __init__(self, channels, batch, loss="STFT", count=16, dimension=128, hidden=256):
        self.loss = loss
        self.network = PlainAutoencoder(channels, dimension)
        self.sequence = PlainSequence(1, dimension, hidden)
        self.adam = torch.optim.Adam([*self.network.parameters(), *self.sequence.parameters()], 3e-4)
        waveforms = np.random.default_rng(0).standard_normal((count, 64_000), np.float32) / 10
        self.waveforms, index = torch.from_numpy(waveforms).split(batch), torch.arange(count)
        self.labels = list(zip(*(x.split(batch) for x in (0 * index, 30 + index % 79, index % 5)), strict=True))
        with torch.no_grad():
            self.codes = [encode(self.network, F.pad(part, (2304, 2304))) for part in self.waveforms]

    def target(self, batch):
        return F.pad(self.waveforms[batch], (512, 512))

    def estimate(self, stage, batch):
        if stage == "autoencoder":
            return self.network(F.pad(self.waveforms[batch], (2304, 2304)))
        return decode(self.network, self.sequence(*self.labels[batch])[0])

    def step(self, stage, batch=0):
        if stage == "lstm":
            sequence_step(self.sequence, self.adam, self.labels[batch], self.codes[batch])
        else:
            step(self.adam, loss(self.loss, self.estimate(stage, batch), self.target(batch)))

    def epoch(self, stage, batches=None):
        """Train on all batches, or so many of them, then evaluate these again for the losses."""
        batches = range(batches or len(self.waveforms))
        for batch in batches:
            self.step(stage, batch)
        estimates = [lambda batch=batch: self.estimate(stage, batch) for batch in batches]
        return side_losses(estimates, [self.target(batch) for batch in batches])

    @torch.no_grad()
    def generate(self):
        """One batch of notes at once."""
        self.estimate("fine-tuning", 0)

    @torch.no_grad()
    def generate_each(self):
        """One batch of notes, note by note."""
        for number in range(len(self.labels[0][0])):
            decode(self.network, self.sequence(*(label[number : number + 1] for label in self.labels[0]))[0])

    def begin_all(self):
        """Two batches of each stage, for their memory."""
        for stage in ("autoencoder", "lstm", "fine-tuning"):
            self.epoch(stage, 2)


def load(folder):
    """Read every note of a data folder, with its label."""
    about = json.loads((Path(folder) / "examples.json").read_text())
    files = [next(Path(folder, "audio").glob(f"{name}.*")) for name in about]
    return np.stack([soundfile.read(file, dtype="float32")[0] for file in files]), about


def draw(history, path):
    """Draw an epoch's losses by stage and spectrum, a colour for each activation and loss."""
    rows = history.assign(kind=history["activation"] + " " + history["training_loss"])
    grid = sns.relplot(rows, x="epoch", y="loss", hue="kind", col="stage", row="spectrum", kind="line")
    for suffix in ("png", "svg", "pdf"):
        grid.savefig(path.with_suffix(f".{suffix}"))
