"""Spectrograms of notes, and figures of a generated note beside its target: Figures 16-22 of the paper."""

from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.signal
import soundfile
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from .. import nsynth
from ..grid import Cell, Profile
from ..nsynth import selection
from ..runs.carried import target_file
from ..runs.records import Records
from . import players


@dataclass(frozen=True)
class Note:
    """A figure of one generated note beside its target: the paper's title and model, the role that it plays."""

    title: str
    cell: Cell
    role: str

    def model(self, profile: Profile) -> Cell:
        """Return the model whose note is drawn: the paper's or, in a grid that cuts no gradient, the one with it."""
        return self.cell if profile.cut else replace(self.cell, gradient="flow")

    def models(self, records: Records) -> list[Cell]:
        """Return the models that are drawn: the one."""
        return [self.model(records.profile)]

    def label(self, profile: Profile) -> nsynth.Label:
        """Return the note that is drawn: the paper's, or the nearest one in the profile's data."""
        return selection.nearest(profile.data, self.role, *selection.FIGURE_NOTES[self.role])

    def draw(self, records: Records) -> Figure:
        """Draw both spectrograms; without its model the figure says so."""
        model = self.model(records.profile)
        if finished(model, records):
            label = self.label(records.profile)
            return beside_target(records.profile, label, records.generated_file(model.name, label))
        figure, axes = plt.subplots(figsize=(10, 3.6))
        axes.axis("off")
        axes.text(0.5, 0.5, f"no finished model {model.name}", ha="center", transform=axes.transAxes)
        return figure

    def caption(self, records: Records) -> str:
        """Return the paper's caption, quoted since the grade may be another here, and which note is drawn."""
        (pitch, velocity), label = selection.FIGURE_NOTES[self.role], self.label(records.profile)
        model = self.model(records.profile)
        text = (
            f'The paper\'s caption: "{self.title}". '
            f"Model {model.name}, {self.role}, MIDI {label.pitch}, velocity {label.velocity}."
        )
        if model != self.cell:
            text += " The paper's model had its gradient cut, this one has not."
        if label[1:] != (pitch, velocity):
            text += f" The paper's note (MIDI {pitch}, velocity {velocity}) is not in data/{records.profile.data}."
        return text

    def summary(self, records: Records) -> str:
        """Return in words what the generated note's measures are (`singlib.grading.grades`)."""
        model = self.model(records.profile)
        if not finished(model, records):
            return ""
        quality, label = records.quality, self.label(records.profile)
        rows = quality[(quality.cell == model.name) & (quality[["role", "pitch", "velocity"]] == label).all(axis=1)]
        if rows.empty:
            return ""
        note = rows.iloc[0]
        return (
            f"Grade {note.grade}: {note.pitch_heard:.0%} of its loudness is heard at the labelled pitch, "
            f"{note.chroma_heard:.0%} at that or octaves of it; its spectrum moves {note.modulation:.1f} times as far "
            f"as the target's; noise between its partials has {note.noise:z.0f} dB of its power (the target's: "
            f"{note.target_noise:z.0f} dB)."
        )

    def players(self, records: Records) -> HTML | None:
        """Return players of the generated note, and of the target where it is at hand."""
        model = self.model(records.profile)
        if not finished(model, records):
            return None
        label = self.label(records.profile)
        return players.table(sounds(records, {model.name: model}, label), label)


def beside_target(profile: Profile, label: nsynth.Label, file: Path) -> Figure:
    """Draw the spectrogram of a target note and of what a model made of its label, on one scale of dB."""
    powers = [spectrogram(nsynth.read_waveform(target_file(profile, label))), spectrogram(soundfile.read(file)[0])]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for side, power, title in zip(axes, powers, ("target", "generated"), strict=True):
        image = _show(side, power, powers[0].max())
        side.set_title(f"{title}: {label.role}, MIDI {label.pitch}, velocity {label.velocity}", fontsize=10)
        side.label_outer()
    figure.colorbar(image, ax=axes, label="power (dB, target's peak at 0)", fraction=0.05)
    return figure


def side_by_side(sounds: dict[str, np.ndarray]) -> Figure:
    """Draw waveform and spectrogram of sounds by name, a column each, on one scale of dB relative to the loudest."""
    powers = {name: spectrogram(sound) for name, sound in sounds.items()}
    loudest = max(power.max() for power in powers.values()) or 1.0
    size = {"figsize": (4.5 * len(sounds) + 1, 4.6), "height_ratios": (1, 2), "layout": "constrained"}
    figure, axes = plt.subplots(2, len(sounds), sharex=True, sharey="row", squeeze=False, **size)
    for (above, below), (name, sound) in zip(axes.T, sounds.items(), strict=True):
        above.plot(np.arange(len(sound)) / nsynth.SAMPLE_RATE, sound, lw=0.3, color="#0072B2")
        above.set(title=name, ylabel="amplitude")
        above.title.set_fontsize(9)
        image = _show(below, powers[name], loudest)
        for side in (above, below):
            side.label_outer()
    figure.colorbar(image, ax=axes[1], label="power (dB, loudest at 0)", fraction=0.05)
    return figure


def _show(axes: plt.Axes, power: np.ndarray, loudest: float) -> AxesImage:
    """Draw a spectrogram, in dB relative to `loudest`."""
    level = 10 * np.log10(power / loudest + 1e-12)
    extent = (0, nsynth.SAMPLES / nsynth.SAMPLE_RATE, 0, nsynth.SAMPLE_RATE / 2000)
    axes.set(xlabel="time (s)", ylabel="frequency (kHz)")
    return axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-80, vmax=0, cmap="magma")


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    """Return the power ``(513, frames)`` of frames of 1,024 samples at hop 256, those of network and loss."""
    _, _, transform = scipy.signal.stft(waveform, nperseg=1024, noverlap=768, boundary=None, padded=False)
    return np.abs(transform) ** 2


def finished(cell: Cell, records: Records) -> bool:
    """Say whether a model has finished records."""
    return cell.name in set(records.history.get("cell", ()))


def sounds(records: Records, cells: dict[str, Cell], label: nsynth.Label) -> dict[str, np.ndarray]:
    """Return a note as models made it, by name, and the note itself where it is at hand."""
    file = target_file(records.profile, label)
    itself = {"the note itself": nsynth.read_waveform(file)} if file.is_file() else {}
    return itself | {name: soundfile.read(records.generated_file(cell.name, label))[0] for name, cell in cells.items()}
