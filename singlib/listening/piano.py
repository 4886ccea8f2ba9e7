"""The instrument for a notebook: pick a model, press a key, hear the note at once and see it beside its target."""

import base64
import io
from collections.abc import Mapping
from functools import lru_cache

import ipywidgets as widgets
import librosa
import matplotlib.pyplot as plt
from traitlets import Bunch

from .. import nsynth
from ..grid import PROFILES
from ..network import generation
from ..nsynth import PITCHES, VELOCITIES, Label
from . import players
from .players import Room
from .spectrograms import side_by_side

NONE, TARGET = "(none)", "the note itself"
CHOSEN = "#E69F00"
# Colours of white and of black keys, by what `Model.trained` says of their notes, and the legend.
COLOURS = {"note": ("#FFFFFF", "#222222"), "pitch": ("#BFDFF2", "#2F6C8F"), "never": ("#BBBBBB", "#BBBBBB")}
WORDS = {"note": "", "pitch": ": trained at other velocities alone", "never": ": outside what the model was trained on"}
LEGEND = (
    "Keys: white and black, the model was trained on this note; "
    '<span style="background:#BFDFF2">blue</span>, on this pitch at other velocities; '
    '<span style="background:#BBBBBB">grey</span>, never on this pitch.'
)
OCTAVES = 3  # on the keyboard at once
WHITE = (0, 2, 4, 5, 7, 9, 11)  # semitones above C
load = lru_cache(maxsize=4)(generation.load_model)


class Keyboard(widgets.VBox):
    """A piano keyboard of three octaves; ``pitch.value`` is the MIDI pitch of the last key.

    Blue keys are of trained pitches at another velocity, grey ones of pitches never trained; all can be played.
    """

    def __init__(self) -> None:
        self.pitch = widgets.BoundedIntText(0, min=0, max=PITCHES - 1, description="MIDI pitch")
        self.first = widgets.Dropdown(options=[(f"from C{octave - 1}", 12 * octave) for octave in range(9)])
        self._trained: Mapping[int, str] = {}
        self.piano = [widgets.Button() for _ in range(12 * OCTAVES)]
        for place, key in enumerate(self.piano):
            white = place % 12 in WHITE
            row, column = 1 + white, 2 * (place // 12 * 7 + sum(step < place % 12 for step in WHITE)) + white
            area = f"{row} / {column} / {row + 1} / {column + 2}"
            size = {"width": "auto", "height": "4.5em" if white else "3em", "padding": "0", "margin": "0"}
            key.layout = widgets.Layout(grid_area=area, border="1px solid #888888", **size)
            key.on_click(self._pressed)
        self.pitch.observe(lambda _: self.draw(), "value")
        self.first.observe(lambda _: self._show(), "value")
        # As wide as the window, up to 60 em; what a narrow one cannot show of 42 em is scrolled to.
        columns = {"grid_template_columns": f"repeat({14 * OCTAVES}, minmax(0, 1fr))", "grid_gap": "0"}
        keys = widgets.GridBox(self.piano, layout=widgets.Layout(**columns, min_width="42em", max_width="60em"))
        keys = widgets.Box([keys], layout=widgets.Layout(width="100%", display="block", overflow="auto"))
        super().__init__([widgets.HBox([self.pitch, self.first]), keys, widgets.HTML(LEGEND)])
        self.draw()

    def _pressed(self, key: widgets.Button) -> None:
        pitch, before = self.first.value + self.piano.index(key), self.pitch.value
        self.pitch.value = pitch
        if pitch == before:  # no change of the value, but the key is to sound again
            again = {"name": "value", "old": pitch, "new": pitch, "owner": self.pitch, "type": "change"}
            self.pitch.notify_change(Bunch(again))

    def draw(self, trained: Mapping[int, str] | None = None) -> None:
        """Label and colour the keys; `trained` is what `Model.trained` says of each pitch from now on."""
        self._trained = trained or self._trained
        if not self.first.value <= self.pitch.value < self.first.value + 12 * OCTAVES:
            self.first.value = min(max(self.pitch.value // 12 - 1, 0), 8) * 12  # the pitch in the middle octave
        self._show()

    def _show(self) -> None:
        for place, key in enumerate(self.piano):
            pitch = self.first.value + place
            white, trained = place % 12 in WHITE, self._trained.get(pitch, "note")
            key.disabled = pitch >= PITCHES
            key.description = str(pitch)
            key.tooltip = name_of(pitch) + WORDS[trained]
            chosen = pitch == self.pitch.value
            dark = not white and trained != "never" and not chosen
            key.style.button_color = CHOSEN if chosen else COLOURS[trained][not white]
            key.style.text_color = "#FFFFFF" if dark else "#000000"


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
        super().__init__([*controls, self.remarks, self.players, self.picture])
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
        if not self._moving:
            self.play()

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
        label = Label(self.instrument.value, self.keyboard.pitch.value, self.velocity.value)
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
        self.keyboard.draw({pitch: main.trained(label._replace(pitch=pitch)) for pitch in range(PITCHES)})
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
