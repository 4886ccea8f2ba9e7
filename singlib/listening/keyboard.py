"""A piano keyboard in a notebook, which sounds in the browser: by mouse, touch, computer keys and Web MIDI, chords too.

Its notes are generated ahead, in batches, and sent to the browser, where ``keyboard.js`` plays them without asking the
kernel. ``keyboard_widget.js`` is what lies between the two.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets
from traitlets import Bunch

from ..nsynth import PITCHES, VELOCITIES, Label
from ..nsynth.audio import encode

# What `Model.trained` says of a key's note, as a tooltip; keyboard.css has the colours, and this is their legend.
WORDS = {"note": "", "pitch": "trained at other velocities alone", "never": "outside what the model was trained on"}
LEGEND = (
    "Keys: white and black, the model was trained on this note; "
    '<span style="background:#BFDFF2;color:#222">blue</span>, on this pitch at other velocities; '
    '<span style="background:#BBBBBB;color:#222">grey</span>, never on this pitch.'
)
BATCH = 8  # notes generated before they are sent
KEPT = 256  # notes of the kernel's memory, of 70 KB each

Generate = Callable[[Sequence[Label]], np.ndarray]


def _read(*names: str) -> str:
    return "\n".join(resources.files(__package__).joinpath(name).read_text("utf-8") for name in names)


class Keys(anywidget.AnyWidget):
    """The keys in the browser. It is told what plays by `play`, and calls `pressed` (pitch, velocity) for a key.

    Of keys that follow each other within 150 ms only the last is told.
    """

    _esm = _read("keyboard.js", "keyboard_widget.js")
    _css = _read("keyboard.css", "keyboard_widget.css")
    pitch = traitlets.Int(0).tag(sync=True)  # MIDI, of the key that is marked
    velocity = traitlets.Int(100).tag(sync=True)  # of all but MIDI keys
    velocities = traitlets.List(list(VELOCITIES)).tag(sync=True)
    trained = traitlets.Dict().tag(sync=True)  # "note", "pitch" or "never" for each pitch
    words = traitlets.Dict(WORDS).tag(sync=True)
    playing = traitlets.Unicode().tag(sync=True)  # names what plays: notes of another name are not its

    def __init__(self, pressed: Callable[[int, int], None]) -> None:
        super().__init__()
        self._pressed = pressed
        self._plays: tuple[str, str, Generate] | None = None
        self._made: dict[tuple, bytes] = {}  # FLAC by what plays, pitch and velocity; the oldest are forgotten
        self._wanted = 0  # counts what was asked for: a later wish ends an earlier one
        self._ahead = ThreadPoolExecutor(1)
        self.on_msg(self._heard)

    def play(self, name: str, role: str, generate: Generate) -> None:
        """Have the keys play an instrument of a model, called `name`, by its `generate`, which takes any pitch."""
        self._plays = (f"{name} {role}", role, generate)
        self.playing = self._plays[0]

    def _heard(self, _: object, message: dict, __: object) -> None:
        if "pressed" in message:
            self._pressed(message["pressed"], message["velocity"])
        elif message.get("now"):  # of a key that waits for it
            self.send_notes(message["want"])
        else:
            self._wanted += 1
            self._ahead.submit(self._send_ahead, self._wanted, message["want"])

    def _send_ahead(self, wish: int, notes: list) -> None:
        for start in range(0, len(notes), BATCH):
            if wish != self._wanted:
                return
            self.send_notes(notes[start : start + BATCH])

    def send_notes(self, notes: Sequence[tuple[int, int]]) -> None:
        """Send notes (pitch, velocity) to the browser, generated together where they are not at hand."""
        if self._plays is None:
            return
        playing, role, generate = self._plays
        sounds = {note: self._made.get((playing, *note)) for note in map(tuple, notes)}
        missing = [note for note, sound in sounds.items() if sound is None]
        waveforms = generate([Label(role, *note) for note in missing]) if missing else ()
        for note, waveform in zip(missing, waveforms, strict=True):
            sounds[note] = self._made[playing, *note] = encode(waveform, "flac")
        for note, sound in sounds.items():
            self.send({"note": f"{playing} {note[0]} {note[1]}", "pitch": note[0]}, [sound])
        for old in list(self._made)[:-KEPT]:
            self._made.pop(old, None)

    def close(self) -> None:
        """End what is generated ahead."""
        self._wanted += 1
        super().close()


class Keyboard(widgets.VBox):
    """A piano keyboard; ``pitch.value`` is the MIDI pitch of the last key, and can be typed.

    Blue keys are of trained pitches at another velocity, grey ones of pitches never trained; all can be played.
    """

    def __init__(self) -> None:
        self.pitch = widgets.BoundedIntText(0, min=0, max=PITCHES - 1, description="MIDI pitch")
        self.piano = Keys(self.press)
        self.velocity = self.piano.velocity  # of the last key
        self.sounded = False  # whether the browser has sounded the key whose pitch is being set
        self.pitch.observe(self._mark, "value")
        super().__init__([self.pitch, self.piano, widgets.HTML(LEGEND)])

    def _mark(self, change: Bunch) -> None:
        self.piano.pitch = change["new"]
        if not self.sounded:
            self.velocity = self.piano.velocity

    def press(self, pitch: int, velocity: int | None = None) -> None:
        """Record a press of a key, whose note the browser has played already; the same key again counts as well."""
        before, self.sounded, self.velocity = self.pitch.value, True, velocity or self.piano.velocity
        try:
            self.pitch.value = pitch
            if pitch == before:  # no change of the value, but the key was pressed again
                again = {"name": "value", "old": pitch, "new": pitch, "owner": self.pitch, "type": "change"}
                self.pitch.notify_change(Bunch(again))
        finally:
            self.sounded = False

    def draw(self, trained: Mapping[int, str]) -> None:
        """Colour the keys by what `Model.trained` says of each pitch."""
        self.piano.trained = {str(pitch): kind for pitch, kind in trained.items()}
