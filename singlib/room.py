"""A window of widgets in a notebook that keeps the keys typed in it to itself."""

from __future__ import annotations

import ipywidgets as widgets
from IPython.display import Javascript, display

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
