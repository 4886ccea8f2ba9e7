"""What velocity does is measured right on notes of which it is known."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from singlib import nsynth
from singlib.grid import PROFILES
from singlib.listening import players
from singlib.nsynth import VELOCITIES, Notes
from singlib.report import gallery, tables
from singlib.runs import records


@pytest.fixture
def known(monkeypatch):
    """Keys that grow 2 dB a velocity and stay as bright; a mallet that grows brighter by a tenth of an octave."""
    time = np.arange(64_000) / 16_000
    pitches, levels = np.repeat([57, 69], 5), np.tile(np.arange(5), 2)
    keys = [
        10 ** (v / 10) * 0.1 * np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time)
        for p, v in zip(pitches, levels, strict=True)
    ]
    mallet = [
        0.1 * np.sin(2 * np.pi * 880 * 2 ** ((p - 69) / 12 + v / 10) * time)
        for p, v in zip(pitches, levels, strict=True)
    ]
    notes = Notes(
        np.array(keys + mallet, "float32"),
        np.repeat([0, 1], 10),
        np.tile(pitches, 2),
        np.tile(levels, 2),
        ("keys", "mallet"),
        "",
    )
    monkeypatch.setattr(nsynth, "load_notes", lambda data, roles: notes)
    return notes


def test_level_and_brightness_follow_velocity_as_they_were_made_to(known):
    frame = gallery.measures("mini")
    assert len(frame) == 20 and set(frame.velocity) == set(VELOCITIES)
    table = gallery.follows(frame)
    step = np.polyfit(VELOCITIES, np.arange(5), 1)[0] * (VELOCITIES[-1] - VELOCITIES[0])  # steps from first to last
    assert table["level (dB)"].to_dict() == pytest.approx({"keys": 2 * step, "mallet": 0}, abs=0.1)
    assert table["brightness (octaves)"].to_dict() == pytest.approx({"keys": 0, "mallet": step / 10}, abs=0.06)
    assert frame.groupby(["role", "pitch"])["level change"].mean().abs().max() < 1e-9


def test_a_pitch_of_one_velocity_says_nothing_of_velocity(known, monkeypatch):
    few = Notes(known.waveforms[:6], known.instrument[:6], known.pitch[:6], known.velocity[:6], known.roles, "")
    monkeypatch.setattr(nsynth, "load_notes", lambda data, roles: few)
    assert set(gallery.measures("mini").pitch) == {57}


def test_every_picture_shows_every_instrument():
    names = [text.get_text() for text in gallery.keyboard("mini").axes[0].get_yticklabels()]
    assert [name.split("\n")[0] for name in names] == list(nsynth.TABLE2)
    titles = [axes.get_title(loc="left") for axes in gallery.waveforms("mini").axes]
    assert sum(title.startswith(tuple(nsynth.TABLE2)) for title in titles) == 8
    assert players.table(gallery.sounds("mini")).data.count("<audio") == 8


def made_up(root, notes):
    """Write a data folder in the place of data/mini: instrument -> pitches and velocities."""
    folder = root / "data" / "mini"
    (folder / "audio").mkdir(parents=True)
    entries = {}
    for instrument, labels in notes.items():
        for pitch, velocity in labels:
            name = f"{instrument}-{pitch:03d}-{velocity:03d}"
            entries[name] = {"instrument_str": instrument, "pitch": pitch, "velocity": velocity}
            tone = 0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.arange(64_000) / 16_000)
            soundfile.write(folder / "audio" / f"{name}.wav", tone, 16_000, "PCM_16")
    (folder / "examples.json").write_text(json.dumps(entries))


@pytest.mark.parametrize(
    ("notes", "changes"),
    [
        ({"fluidr3_grand_piano": [(60, 100)]}, 0),
        ({"fluidr3_grand_piano": [(60, 100), (62, 100)], "fluidr3_tuba": [(41, 100)]}, 0),
        ({"fluidr3_grand_piano": [(60, 25), (60, 127)], "fluidr3_tuba": [(41, 100)]}, 1),
    ],
    ids=["one note", "one velocity", "one role of several velocities"],
)
def test_a_data_set_of_few_roles_or_one_velocity_is_shown(tmp_path, monkeypatch, notes, changes):
    """All that 01-data shows."""
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    made_up(tmp_path, notes)
    assert (tables.instruments("mini")["sampl."] != "0").sum() >= len(notes)
    nothing = records.Records(PROFILES["smoke"], pd.DataFrame(), pd.DataFrame(), [])
    assert tables.table_1(nothing)["sampl."].min() == 0 and "Notes here" in tables.overview(nothing).data
    assert gallery.keyboard("mini").axes
    assert len(gallery.waveforms("mini").axes) == 2 * len(notes) + 1  # and the colour bar
    assert players.table(gallery.sounds("mini")).data.count("<audio") == len(notes)
    measures = gallery.measures("mini")
    assert len(gallery.velocity(measures).axes) == max(1, 2 * changes)
    assert gallery.follows(measures).shape == (changes, 2)


def test_a_data_set_without_any_of_the_roles_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    made_up(tmp_path, {"fluidr3_banjo": [(60, 100)]})
    for show in (gallery.waveforms, gallery.sounds, gallery.measures):
        with pytest.raises(ValueError, match="data/mini holds no note of keys, mallet"):
            show("mini")
