"""What a model of the play room can do beyond single notes: play a MIDI file, and be exported to samplers."""

import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from traitlets import Bunch

from ..export import sfz, song
from ..files import project_folder
from ..network import generation
from . import players

NONE = "(none)"


class TakeAlong(widgets.VBox):
    """A song for the model and instrument whose names `chosen` returns, and a button to export that model."""

    def __init__(self, chosen: Callable[[], tuple[str, str]]) -> None:
        self._chosen = chosen
        songs = sorted((project_folder() / "data" / "songs").glob("*.mid"))
        self.song = widgets.Dropdown(options=[(NONE, None), *((file.stem, file) for file in songs)], description="song")
        self.upload = widgets.FileUpload(accept=".mid,.midi", description="your MIDI file")
        self.export = widgets.Button(description="export to samplers", tooltip="as SFZ, with every note as FLAC")
        self.said, self.player = widgets.HTML(), widgets.HTML()
        self.song.observe(self._play_chosen, "value")
        self.upload.observe(self._play_uploaded, "value")
        self.export.on_click(self._export)
        super().__init__([widgets.HBox([self.song, self.upload, self.export]), self.said, self.player])

    def _play_chosen(self, change: Bunch) -> None:
        if change["new"] is not None:
            self._play(change["new"])
            self.song.value = None  # so that another model can be asked for the same song

    def _play_uploaded(self, change: Bunch) -> None:
        for uploaded in change["new"]:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / Path(uploaded["name"]).name
                file.write_bytes(uploaded["content"])
                self._play(file)
            self.upload.value = ()  # likewise

    def _play(self, file: Path) -> None:
        """Play a song, all channels but the drums' with the chosen instrument; errors are said."""
        name, role = self._chosen()
        self.player.value, self.said.value = "", f"{name} plays {escape(file.name)} ..."
        try:
            sound, remarks = self.render(file, name, role)
        except (OSError, ValueError) as error:
            self.said.value = f"{escape(file.name)} <b>cannot be played</b>: {escape(str(error))}."
            return
        self.said.value = "; ".join([f"{role} of {name} plays {escape(file.stem)}", *remarks]) + "."
        self.player.value = players.player(sound, f"{file.stem}, played by {name}", aloud=True)

    def render(self, file: Path, name: str, role: str) -> tuple[np.ndarray, list[str]]:
        """Return a song's sound ``(samples,)``, 16 kHz, and remarks; errors as `read_song` and `song.play`."""
        notes = song.read_song(file)
        voice = song.Voice(generation.load_model(name), role)
        channels = {note.channel for note in notes} - {song.DRUMS}
        return song.play(notes, dict.fromkeys(channels, voice))

    def _export(self, _: widgets.Button) -> None:
        name, _role = self._chosen()
        folder = project_folder() / "exports" / name  # of two profiles' models of a name each has its own
        self.said.value = f"{name} is being exported ..."
        try:
            files = sfz.write_sfz(generation.find(name), folder)
        except (OSError, ValueError) as error:
            self.said.value = f"{name} <b>cannot be exported</b>: {escape(str(error))}."
        else:
            self.said.value = f"A sampler opens {', '.join(f'<code>{escape(str(file))}</code>' for file in files)}."
