"""The instrument for a notebook: pick a model, press a key, hear the note at once and see it beside its target."""

import base64
import io
from functools import lru_cache, partial
from pathlib import Path

import ipywidgets as widgets
import librosa
import matplotlib.pyplot as plt

from .. import nsynth
from ..grid import PROFILES
from ..network import generation
from ..nsynth import PITCHES, VELOCITIES, Label
from . import players
from .keyboard import Keyboard
from .players import Room
from .spectrograms import side_by_side
from .take_along import TakeAlong

NONE, TARGET = "(none)", "the note itself"


def load(name: str) -> generation.Model:
    """Load a model by its name, once for as long as its file is the same."""
    file = generation.find(name)
    return _load(name, file, file.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(name: str, file: Path, changed: int) -> generation.Model:
    return generation.load_model(name)


class PlayRoom(Room):
    """One or two models on one note, heard and seen beside the note itself.

    `model` and `other` are names that `singlib.network.generation.find` takes; if empty, the first model at hand, and
    none. ValueError if there is no model, or none of that name.
    """

    def __init__(self, model: str = "", other: str = "") -> None:
        names = list(generation.models())
        for name in {model, other} - {"", *names}:
            generation.find(name)
            names.append(name)
        if not names:
            raise ValueError("no model is at hand: train some with `singlib run --profile quick`")
        wide = {"layout": widgets.Layout(width="32em")}
        self.model = widgets.Dropdown(options=names, value=model or names[0], description="model", **wide)
        self.other = widgets.Dropdown(options=[NONE, *names], value=other or NONE, description="beside it", **wide)
        self.instrument = widgets.Dropdown(description="instrument")
        self.keyboard = Keyboard()
        self.velocity = widgets.ToggleButtons(options=VELOCITIES, value=100, description="velocity")
        self.remarks, self.players, self.picture = widgets.HTML(), widgets.HTML(), widgets.HTML()
        controls = (self.model, self.other, self.instrument, self.keyboard, self.velocity)
        self.along = TakeAlong(lambda: (self.model.value, self.instrument.value))
        super().__init__([*controls, self.remarks, self.players, self.picture, self.along])
        self._moving = False  # whether a new model moves instrument and pitch, which are not to play each alone
        self._choose_model()
        self.play(aloud=False)
        for control in (self.model, self.other, self.instrument, self.keyboard.pitch, self.velocity):
            control.observe(self._changed, "value")

    def _changed(self, change: dict) -> None:
        """Play what was chosen."""
        if change["owner"] is self.model:
            self._moving = True
            try:
                self._choose_model()
            finally:
                self._moving = False
        if change["owner"] is self.velocity:
            self.keyboard.velocity = self.keyboard.piano.velocity = self.velocity.value
        if not self._moving:
            self.play(aloud=not self.keyboard.sounded)

    def _choose_model(self) -> None:
        """Offer the model's instruments and a trained pitch; keep the chosen ones where the model has them."""
        try:
            model, kept = load(self.model.value), self.instrument.value
        except (OSError, ValueError):  # `play` says so
            return
        self.instrument.options = model.roles
        self.instrument.value = kept if kept in model.roles else model.roles[0]
        pitches, wanted = model.pitches(self.instrument.value), self.keyboard.pitch.value
        if not pitches[0] <= wanted <= pitches[-1]:
            wanted = (pitches[0] + pitches[-1]) // 2
        self.keyboard.pitch.value = min(pitches, key=lambda pitch: abs(pitch - wanted))

    def play(self, aloud: bool = True) -> None:
        """Generate the note with the chosen models, and show it beside its target, if there is one."""
        label = Label(self.instrument.value, self.keyboard.pitch.value, self.keyboard.velocity)
        remarks = [f"<b>{label}</b>: {name_of(label.pitch)}, velocity {label.velocity}."]
        sounds, models = {}, {}
        for name in (self.model.value, self.other.value):
            if name == NONE:
                continue
            try:
                models[name] = load(name)
            except (OSError, ValueError) as error:
                remarks.append(f"{name} <b>cannot be played</b>: {error}. Choose another model.")
        main = models.get(self.model.value)
        if main is None:
            self.remarks.value, self.players.value, self.picture.value = " ".join(remarks), "", ""
            return
        self.keyboard.piano.play(self.model.value, label.role, partial(main.generate, outside=True))
        level = self.velocity.value
        self.keyboard.draw({key: main.trained(Label(label.role, key, level)) for key in range(PITCHES)})
        try:
            sounds[TARGET] = nsynth.read_waveform(nsynth.index(PROFILES[main.about["profile"]].data)[label])
        except (FileNotFoundError, KeyError):  # not of these notes, or these are not on this machine
            remarks.append("There is no recording of this note to compare with.")
        except (OSError, ValueError) as error:
            remarks.append(f"The recording of this note cannot be read: {error}.")
        for name, model in models.items():
            if label.role not in model.roles:
                remarks.append(f"{name} does not play {label.role}.")
                continue
            sounds[name] = model.generate([label], outside=True)[0]
            if model.trained(label) == "never":
                pitches = model.pitches(label.role)
                known = f"{len(pitches)} pitches from {pitches[0]} to {pitches[-1]}"
                remarks.append(f"MIDI {label.pitch} is <b>outside what {name} was trained on</b>, {known}.")
        self.remarks.value = " ".join(remarks)
        self.players.value = ""  # the same players are put there anew, and sound anew
        self.players.value = players.table(sounds, label, self.model.value if aloud else None).data
        figure, png = side_by_side(sounds), io.BytesIO()
        figure.savefig(png, format="png", dpi=80)
        plt.close(figure)
        data = base64.b64encode(png.getvalue()).decode()
        names = ", ".join(sounds)
        self.picture.value = f'<img alt="Waveform and spectrogram: {names}" src="data:image/png;base64,{data}">'


def name_of(pitch: int) -> str:
    """Return a MIDI pitch as a note with its frequency: ``C4 (261.6 Hz)``."""
    return f"{librosa.midi_to_note(pitch, unicode=False)} ({librosa.midi_to_hz(pitch):.1f} Hz)"
