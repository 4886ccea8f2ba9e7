"""The paper as one would first write it down: what singlib's speed and numbers are compared with.

Strided convolutions for the network, `torch.stft` of both signals in every step, nnAudio's CQT and
MFCC as they come. It shares no code with singlib and is not touched again: faster it must not get.
"""

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
