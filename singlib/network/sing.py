"""The SING network: convolutional autoencoder, LSTM sequence generator, and the two together.

A. Défossez et al., "SING: Symbol-to-Instrument Neural Generator", NeurIPS 2018. A note of 64,000 samples, padded by
2,304 at each end, is 265 frames of 1,024 at hop 256; a frame is encoded in D numbers. The decoder's 65,024 samples
start 1,792 samples into the padded note.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nsynth import PITCHES, SAMPLES, VELOCITIES

FRAME, HOP = 1024, 256  # samples
PAD = 2304  # samples added to each end of a note before it is encoded
STEPS = (SAMPLES + 2 * PAD - FRAME) // HOP + 1  # 265 codes of a note
CONTEXT = 9  # codes that the decoder sees at once
MARGIN = 512  # samples of the decoder's output before and after the note
WIDE = 1024  # channels; wider layers use the contiguous layout in memory


def pad(waveforms: Tensor) -> Tensor:
    """Pad notes ``(batch, 64000)`` to the encoder's input ``(batch, 68608)``."""
    return F.pad(waveforms, (PAD, PAD))


def target(waveforms: Tensor) -> Tensor:
    """Pad notes ``(batch, 64000)`` to what the decoder's output ``(batch, 65024)`` is compared with."""
    return F.pad(waveforms, (MARGIN, MARGIN))


def trim(output: Tensor) -> Tensor:
    """Cut the decoder's output ``(batch, 65024)`` to the notes ``(batch, 64000)``."""
    return output[..., MARGIN:-MARGIN]


def activation_layer(name: str, elu_alpha: float = 1.0) -> nn.Module:
    """Return a layer of torch.nn by name, in place where it can be; `elu_alpha` is the a of equation (2)."""
    if name == "GELU":
        return nn.GELU()
    return nn.ELU(elu_alpha, inplace=True) if name == "ELU" else getattr(nn, name)(inplace=True)


def _window() -> Tensor:
    return torch.hann_window(FRAME).square()


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve ``(batch, channels, 1, steps)`` with ``(out, channels, 1, width)``, in the fastest layout.

    On CPU that is channels last, except for the gradient of wide layers, whose rows of a large power of two fall on the
    same lines of the cache (tests/bench/NOTES.md).
    """
    layout = torch.channels_last if max(weight.shape[:2]) <= WIDE else torch.contiguous_format
    return F.conv2d(x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), bias)


class Convolution(nn.Conv1d):
    """Convolution of ``(batch, channels, 1, steps)``; see `convolve`."""

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, 1, steps)`` -> ``(batch, channels, 1, steps)``."""
        return convolve(x, self.weight.unsqueeze(2), self.bias)


class WindowedConv1d(nn.Conv1d):
    """Convolution over frames whose weights are multiplied by a squared Hann window.

    A frame is four blocks of one hop. With a block's samples as channels the strided convolution has kernel 4, and its
    input is the waveform as it is in memory.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, FRAME, stride=HOP)
        self.register_buffer("window", _window(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """``(batch, samples)``, whole hops -> ``(batch, channels, 1, frames)``."""
        blocks = waveform.reshape(len(waveform), 1, -1, HOP).permute(0, 3, 1, 2)  # (batch, 256, 1, hops)
        kernel = (self.weight * self.window).view(-1, 1, FRAME // HOP, HOP).permute(0, 3, 1, 2)
        return convolve(blocks, kernel, self.bias)


class WindowedConvTranspose1d(nn.ConvTranspose1d):
    """Overlap-add of frames whose weights are multiplied by a squared Hann window, likewise by blocks of one hop."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, FRAME, stride=HOP, padding=FRAME - HOP)
        self.register_buffer("window", _window(), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """``(batch, channels, 1, frames)`` -> ``(batch, samples)``, less the hops that fewer than four frames share."""
        kernel = (self.weight * self.window).view(-1, FRAME // HOP, HOP).flip(1).permute(2, 0, 1).unsqueeze(2)
        blocks = convolve(frames, kernel)  # (batch, 256, 1, hops)
        return blocks.permute(0, 3, 2, 1).flatten(1) + self.bias


class Encoder(nn.Sequential):
    """Waveforms to codes: a strided convolution and three 1x1 convolutions.

    C hidden `channels`, codes of `dimension` D, an `activation` by its name in torch.nn, ELU with `elu_alpha`.
    """

    def __init__(self, channels: int, dimension: int, activation: str = "ReLU", elu_alpha: float = 1.0) -> None:
        super().__init__(
            WindowedConv1d(channels),
            activation_layer(activation, elu_alpha),
            Convolution(channels, channels, 1),
            activation_layer(activation, elu_alpha),
            Convolution(channels, channels, 1),
            activation_layer(activation, elu_alpha),
            Convolution(channels, dimension, 1),
        )

    def forward(self, padded: Tensor) -> Tensor:
        """Encode padded waveforms ``(batch, samples)`` -> codes ``(batch, D, steps)``."""
        return super().forward(padded).squeeze(2)


class Decoder(nn.Sequential):
    """Codes to waveforms, the encoder's mirror image, but its first layer sees nine codes at once."""

    def __init__(self, channels: int, dimension: int, activation: str = "ReLU", elu_alpha: float = 1.0) -> None:
        super().__init__(
            Convolution(dimension, channels, CONTEXT),
            activation_layer(activation, elu_alpha),
            Convolution(channels, channels, 1),
            activation_layer(activation, elu_alpha),
            Convolution(channels, channels, 1),
            activation_layer(activation, elu_alpha),
            WindowedConvTranspose1d(channels),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Codes ``(batch, D, 265)`` -> waveforms ``(batch, 65024)``; see `trim`."""
        return super().forward(codes.unsqueeze(2))


class Autoencoder(nn.Module):
    """Encoder and decoder, trained together in the first stage."""

    def __init__(self, channels: int, dimension: int, activation: str = "ReLU", elu_alpha: float = 1.0) -> None:
        super().__init__()
        self.encoder = Encoder(channels, dimension, activation, elu_alpha)
        self.decoder = Decoder(channels, dimension, activation, elu_alpha)

    def forward(self, padded: Tensor) -> Tensor:
        """Rebuild padded waveforms ``(batch, 68608)`` -> ``(batch, 65024)``; compare with `target`."""
        return self.decoder(self.encoder(padded))


class SequenceGenerator(nn.Module):
    """LSTM from instrument, pitch, velocity and time step to the codes of a note.

    Parameters
    ----------
    instruments : int
        How many instruments the model is trained on.
    dimension : int
        Size D of a code.
    hidden, layers : int
        Units and layers of the LSTM.
    velocities : int
        Rows of the velocity's embedding; NSynth has five, the original code six.
    """

    def __init__(
        self, instruments: int, dimension: int, hidden: int, layers: int = 3, velocities: int = len(VELOCITIES)
    ) -> None:
        super().__init__()
        self.instrument = nn.Embedding(instruments, 16)
        self.pitch = nn.Embedding(PITCHES, 8)
        self.velocity = nn.Embedding(velocities, 2)
        self.time = nn.Embedding(STEPS, 4)
        self.lstm = nn.LSTM(16 + 8 + 2 + 4, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, dimension)

    def forward(
        self,
        instrument: Tensor,
        pitch: Tensor,
        velocity: Tensor,
        steps: slice = slice(0, STEPS),
        state: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Generate the codes of some time steps.

        Parameters
        ----------
        instrument, pitch, velocity : Tensor, shape (batch,)
            Index of the instrument, MIDI pitch, index of the velocity.
        steps : slice
            Which of the 265 time steps.
        state : tuple of Tensor, optional
            The LSTM's state before the first of them.

        Returns
        -------
        codes : Tensor, shape (batch, D, steps)
        state : tuple of Tensor
            The LSTM's state after the last of them.
        """
        time = self.time.weight[steps]  # (steps, 4)
        note = torch.cat([self.instrument(instrument), self.pitch(pitch), self.velocity(velocity)], dim=-1)
        note = note.unsqueeze(1).expand(-1, len(time), -1)  # (batch, steps, 26)
        output, state = self.lstm(torch.cat([note, time.expand(note.shape[0], -1, -1)], dim=-1), state)
        codes = convolve(output.mT.unsqueeze(2), self.linear.weight[:, :, None, None], self.linear.bias)
        return codes.squeeze(2), state


class SING(nn.Module):
    """The whole generator: sequence generator and decoder, fine-tuned end to end in the third stage."""

    def __init__(self, sequence: SequenceGenerator, decoder: Decoder) -> None:
        super().__init__()
        self.sequence, self.decoder = sequence, decoder

    def forward(self, instrument: Tensor, pitch: Tensor, velocity: Tensor) -> Tensor:
        """Labels, each ``(batch,)`` -> waveforms ``(batch, 65024)``; see `trim`."""
        codes, _ = self.sequence(instrument, pitch, velocity)
        return self.decoder(codes)
