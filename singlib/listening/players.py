"""Players for sounds in a notebook or a page, with the sound inside, and a window of widgets that holds them."""

from __future__ import annotations

import base64
import io

import ipywidgets as widgets
import numpy as np
import soundfile
from IPython.display import HTML, Javascript, display

from ..nsynth import SAMPLE_RATE


def player(waveform: np.ndarray, label: str, aloud: bool = False) -> str:
    """Return an HTML player of a sound.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
        At 16 kHz; what is louder than full scale is turned down to it.
    label : str
        Its name for those who cannot see it.
    aloud : bool
        Whether it begins by itself.

    Returns
    -------
    str
        An ``audio`` element with the sound inside, as FLAC of 16 bit.
    """
    file = io.BytesIO()
    loudest = max(1.0, np.abs(waveform).max())
    soundfile.write(file, waveform / loudest, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    data = base64.b64encode(file.getvalue()).decode()
    begin = "autoplay " if aloud else ""
    return f'<audio controls {begin}aria-label="{label}" src="data:audio/flac;base64,{data}"></audio>'


def table(sounds: dict[str, np.ndarray], label: object = "", aloud: str | None = None) -> HTML:
    """Return a table of players of sounds by name; `label` is what all of them play, `aloud` the one that begins.

    The table is written here and not by pandas, whose ``to_html`` makes a no-break space of every second space,
    inside a tag too: the browser then shows no player.
    """
    before = f"{label}: " if label else ""
    rows = "".join(
        f"<tr><td>{name}</td><td>{player(sound, f'{before}{name}', name == aloud)}</td></tr>"
        for name, sound in sounds.items()
    )
    return HTML(f"<table class='players'>{rows}</table>")


# JupyterLab looks for a shortcut from where a key was typed upwards, and gives up at an element with this mark.
_KEEP = "element?.closest?.('.jp-OutputArea')?.setAttribute('data-lm-suppress-shortcuts', 'true')"


class Room(widgets.VBox):
    """A column of widgets to play or to grade with.

    After a click on a button the notebook is in command mode, where B inserts a cell, D D deletes one and 1 to 6 make
    headings: in a room JupyterLab takes no key for a command.
    """

    def _ipython_display_(self) -> None:
        display(self._repr_mimebundle_(), raw=True)
        display(Javascript(_KEEP))
