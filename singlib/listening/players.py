"""Players for sounds in a notebook or a page, with the sound inside, and a window of widgets that holds them."""

import base64
from html import escape

import ipywidgets as widgets
import numpy as np
from IPython.display import HTML, Javascript, display

from ..nsynth.audio import encode


def player(waveform: np.ndarray, label: str, aloud: bool = False) -> str:
    """Return an HTML ``audio`` element with a sound ``(samples,)``, 16 kHz, inside, as `encode` makes it.

    `label` is its name for those who cannot see it; `aloud` has it begin by itself.
    """
    data = base64.b64encode(encode(waveform, "flac")).decode()
    begin = "autoplay " if aloud else ""
    return f'<audio controls {begin}aria-label="{escape(label)}" src="data:audio/flac;base64,{data}"></audio>'


def table(sounds: dict[str, np.ndarray], label: object = "", aloud: str | None = None) -> HTML:
    """Return a table of players of sounds by name; `label` is what all of them play, `aloud` the one that begins.

    Not by pandas, whose ``to_html`` puts no-break spaces into tags, where the browser then shows no player.
    """
    names = {name: f"{label}: {name}" if label else name for name in sounds}
    cells = ((name, player(sound, names[name], name == aloud)) for name, sound in sounds.items())
    rows = "".join(f"<tr><td>{name}</td><td>{audio}</td></tr>" for name, audio in cells)
    return HTML(f"<table class='players'>{rows}</table>")


# JupyterLab looks for a shortcut from where a key was typed upwards, and stops at an element with this mark.
_KEEP = "element?.closest?.('.jp-OutputArea')?.setAttribute('data-lm-suppress-shortcuts', 'true')"


class Room(widgets.VBox):
    """A column of widgets in which JupyterLab takes no key for a command.

    After a click on a button the notebook is in command mode, where 1 to 6 would make headings and D D delete a cell.
    """

    def _ipython_display_(self) -> None:
        display(self._repr_mimebundle_(), raw=True)
        display(Javascript(_KEEP))
