"""What a loss listens to, and where its gradient is lost: the pictures and tables of 02-losses.ipynb."""

from __future__ import annotations

import warnings
from dataclasses import replace

import librosa
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from ..grid import Cell, Profile
from ..network import sing
from ..network.stages import Trainer
from ..nsynth import SAMPLE_RATE, Notes
from ..spectra import CQT, FRAME, HOP, MFC, SPECTRA, SpectralLoss
from .curves import COLOURS, MARKERS

EPS = 1.0  # of equation (3), as the paper has it

# "MFC, plain" is the L1 distance of coefficients, without equation (3)'s square.
STYLES = {
    "STFT": {"color": COLOURS["STFT/ReLU"], "marker": MARKERS["STFT"]},
    "MFC": {"color": COLOURS["MFC/ReLU"], "marker": MARKERS["MFC"]},
    "MFC, plain": {"color": COLOURS["MFC/ELU"], "marker": "D", "linestyle": "--"},
    "CQT": {"color": COLOURS["CQT/ELU"], "marker": MARKERS["CQT"]},
}
UNITS = {"pitch": "cents", "level": "dB", "noise": "dB of the note's power"}
DEVIATIONS = {  # how far a note moves away from itself
    "pitch": (-1200, -700, -500, -300, -200, -100, -50, -25, -10, 0, 10, 25, 50, 100, 200, 300, 500, 700, 1200),
    "level": (-60, -50, -40, -30, -20, -15, -10, -6, -3, 0, 3, 6, 10, 15, 20),
    "noise": (-80, -70, -60, -50, -40, -30, -20, -10, 0, 10),
}
LIBROSA = {"sr": SAMPLE_RATE, "n_fft": FRAME, "hop_length": HOP}  # and 20 coefficients of 128 mels, its defaults
COMPARED = 2 * SAMPLE_RATE  # samples: a note played an octave up has no more


def spectra(waveform: np.ndarray) -> Figure:
    """Draw the three spectra of a note, and below them the level l of equation (3) that the loss compares."""
    drawn, axes = plt.subplots(2, 3, figsize=(12, 6.5), sharex=True, layout="constrained")
    for column, name in zip(axes.T, SPECTRA, strict=True):
        spectrum = SPECTRA[name]()
        values = spectrum(torch.from_numpy(waveform)[None])
        level = spectrum.level(values, EPS)[0].numpy()
        if name == "MFC":
            # The first coefficient is the level of the whole; drawn to its scale the others would be flat.
            limit = values[0, 1:].abs().max().item()
            _image(
                drawn, column[0], values[0].numpy(), name, "coefficient (dB)", cmap="RdBu_r", vmin=-limit, vmax=limit
            )
        else:
            decibel = 10 * torch.log10(values[0] / values.max() + 1e-12).numpy()
            _image(drawn, column[0], decibel, name, "power (dB below the peak)", cmap="magma", vmin=-80, vmax=0)
        square = "MFC²" if name == "MFC" else f"|{name}|²"
        _image(drawn, column[1], level, name, f"log(1 + {square})", cmap="viridis", vmin=0, vmax=level.max())
        column[0].set_title(name)
        column[1].set_xlabel("time (s)")
    plt.close(drawn)
    return drawn


def _image(drawn: Figure, axes: Axes, values: np.ndarray, name: str, unit: str, **style: float | str) -> None:
    seconds = values.shape[1] * HOP / SAMPLE_RATE
    top = {"STFT": SAMPLE_RATE / 2000, "MFC": MFC.COEFFICIENTS, "CQT": CQT.BINS}[name]
    image = axes.imshow(values, origin="lower", aspect="auto", extent=(0, seconds, 0, top), **style)
    axes.set_ylabel({"STFT": "frequency (kHz)", "MFC": "coefficient", "CQT": "frequency"}[name])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if name == "CQT":
        axes.set_yticks(np.arange(0, CQT.BINS, CQT.PER_OCTAVE) + 0.5, [f"C{octave}" for octave in range(1, 8)])
    drawn.colorbar(image, ax=axes, label=unit)


def deviate(waveform: np.ndarray, kind: str, amount: float) -> np.ndarray:
    """Return a note moved away from itself: played faster, louder, or under white noise.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
        The note.
    kind : str
        A key of `DEVIATIONS`.
    amount : float
        Cents of pitch (the note is resampled, so its length changes), dB of level, or dB of the
        noise's power to the note's.
    """
    if kind == "pitch":
        return librosa.resample(waveform, orig_sr=SAMPLE_RATE * 2 ** (amount / 1200), target_sr=SAMPLE_RATE)
    gain = 10 ** (amount / 20)
    if kind == "level":
        return (gain * waveform).astype("float32")
    noise = np.random.default_rng(0).standard_normal(len(waveform)) * np.sqrt(np.mean(waveform**2))
    return (waveform + gain * noise).astype("float32")


def deviations(waveform: np.ndarray) -> pd.DataFrame:
    """Measure each loss as a note moves away from itself.

    Returns
    -------
    DataFrame
        ``deviation``, ``amount``, ``loss`` (a key of `STYLES`), ``value``, and ``relative``: the value
        in units of the loss of silence, which makes the losses comparable.
    """
    target = torch.from_numpy(waveform[:COMPARED])[None]
    losses = {name: SpectralLoss(SPECTRA[name](), EPS) for name in SPECTRA}
    losses["MFC, plain"] = SpectralLoss(MFC(squared=False), EPS)
    levels = {name: loss.level(target) for name, loss in losses.items()}
    silence = {name: loss.per_note(torch.zeros_like(target), levels[name]).item() for name, loss in losses.items()}
    rows = []
    for kind, amounts in DEVIATIONS.items():
        for amount in amounts:
            moved = torch.from_numpy(deviate(waveform, kind, amount)[:COMPARED])[None]
            for name, loss in losses.items():
                value = loss.per_note(moved, levels[name]).item()
                rows.append((kind, amount, name, value, value / silence[name]))
    return pd.DataFrame(rows, columns=["deviation", "amount", "loss", "value", "relative"])


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Tabulate some of `deviations`: each loss in units of the loss of silence."""
    shown = [("pitch", (25, 100, 1200)), ("level", (-40, -20, -6, 6)), ("noise", (-60, -20, 0))]
    table = frame.pivot(index=["deviation", "amount"], columns="loss", values="relative")
    table = table.loc[[(kind, amount) for kind, amounts in shown for amount in amounts], list(STYLES)]
    table.index = [f"{kind} {amount:+d} {UNITS[kind]}" for kind, amount in table.index]
    return table.map(lambda value: float(f"{value:.1g}"))


def listens(frame: pd.DataFrame) -> Figure:
    """Draw what each loss listens to, from `deviations`."""
    drawn, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    for side, (kind, unit) in zip(axes, UNITS.items(), strict=True):
        for name, style in STYLES.items():
            rows = frame[(frame.deviation == kind) & (frame.loss == name)]
            side.plot(rows.amount, rows.relative, label=name, markersize=4, **style)
        side.axhline(1, color="0.4", lw=0.8, ls=":")
        side.set(title=f"the {kind} moves away", xlabel=f"{kind} ({unit})")
        sns.despine(ax=side)
    axes[0].set_xscale("symlog", linthresh=50)
    axes[0].set_xticks([-1200, -200, -50, 0, 50, 200, 1200], ["-1200", "-200", "-50", "0", "50", "200", "1200"])
    axes[0].minorticks_off()
    axes[2].text(-80, 1.02, "the loss of silence", fontsize=8, color="0.3")
    axes[0].set_ylabel("loss / loss of silence")
    axes[0].set_ylim(0, 1.8)
    axes[-1].legend(title="loss", frameon=False)
    plt.close(drawn)
    return drawn


def untrained(waveform: np.ndarray) -> tuple[sing.Autoencoder, Tensor, Tensor]:
    """Return a small autoencoder as it is drawn, a note padded for it, ``(1, 68608)``, and its target."""
    torch.manual_seed(0)
    note = torch.from_numpy(waveform)[None]
    return sing.Autoencoder(channels=16, dimension=8), sing.pad(note), sing.target(note)


def published(estimate: Tensor, target: Tensor) -> dict[str, Tensor | np.ndarray]:
    """Compute the MFC loss as the authors had it, through librosa; return every step by name.

    Parameters
    ----------
    estimate, target : Tensor, shape (batch, samples)
        Waveforms; the estimate comes out of a network.
    """
    steps = {"estimate": estimate}
    steps["as NumPy has it"] = estimate.detach().numpy()
    steps["librosa's coefficients"] = librosa.feature.mfcc(y=steps["as NumPy has it"], **LIBROSA)
    steps["back in torch"] = torch.tensor(steps["librosa's coefficients"], requires_grad=True)
    steps["level"] = torch.log(EPS + steps["back in torch"] ** 2)
    level = torch.log(EPS + torch.tensor(librosa.feature.mfcc(y=target.numpy(), **LIBROSA)) ** 2)
    return steps | {"loss": (steps["level"] - level).abs().mean()}


def differentiable(estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Compute the MFC loss with `SpectralLoss`, the gradient flowing; return every step by name."""
    measure = SpectralLoss(MFC(), EPS)
    steps = {"estimate": estimate, "coefficients": measure.spectrum(estimate)}
    steps["level"] = measure.spectrum.level(steps["coefficients"], EPS)
    return steps | {"loss": (steps["level"] - measure.level(target)).abs().mean()}


def follow(parameter: nn.Parameter, steps: dict[str, Tensor | np.ndarray]) -> pd.DataFrame:
    """Run ``backward()`` and list, step by step, whether the gradient came there.

    Parameters
    ----------
    parameter : Parameter
        A weight of the network that made the first step.
    steps : dict
        What the loss was computed through, in order; the last is the loss.

    Returns
    -------
    DataFrame
        A row for each tensor: ``type``, ``shape``, ``made by`` (the function of the graph) and the norm
        of the ``gradient`` that arrived.
    """
    rows = {"a weight of the network": parameter} | steps
    parameter.grad = None
    for value in rows.values():
        if isinstance(value, Tensor) and value.requires_grad:
            value.retain_grad()
    steps["loss"].backward()
    table = []
    for name, value in rows.items():
        tensor = isinstance(value, Tensor)
        made = value.grad_fn.name().removesuffix("0") if tensor and value.grad_fn else "a leaf" if tensor else "-"
        norm = f"{value.grad.norm().item():.1g}" if tensor and value.grad is not None else "none"
        table.append((name, type(value).__name__, tuple(value.shape), made, norm))
    return pd.DataFrame(table, columns=["step", "type", "shape", "made by", "gradient"]).set_index("step")


def autoencoder_losses(cell: Cell, profile: Profile, notes: Notes, epochs: int) -> list[float]:
    """Train the autoencoder of a cell; return its training loss before the first and after each epoch."""
    trainer = Trainer(cell, profile, notes, torch.device("cpu"))
    optimiser = torch.optim.Adam(trainer.parameters("autoencoder"), lr=profile.learning_rate)
    return [trainer.run_epoch("autoencoder", epoch, optimiser)[0][cell.loss] for epoch in range(epochs + 1)]


def cut_and_flow(cell: Cell, profile: Profile, notes: Notes, epochs: int) -> Figure:
    """Train the autoencoder of a cell on MFC and on CQT, as published and with their gradient; draw the losses."""
    drawn, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for side, loss in zip(axes, ("MFC", "CQT"), strict=True):
        for gradient, style in (("cut", {"color": "0.4", "ls": "--"}), ("flow", STYLES[loss])):
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # here the cut is on purpose
                values = autoencoder_losses(replace(cell, loss=loss, gradient=gradient), profile, notes, epochs)
            side.plot(values, label=f"gradient: {gradient}", **style)
        side.set(title=f"autoencoder trained on {loss}", xlabel="epoch (0: before training)", ylabel=f"{loss} loss")
        side.xaxis.set_major_locator(MaxNLocator(integer=True))
        side.legend(frameon=False)
        sns.despine(ax=side)
    plt.close(drawn)
    return drawn
