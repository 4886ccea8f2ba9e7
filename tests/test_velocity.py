"""What velocity does is measured right on notes of which it is known."""

import json

import numpy as np
import pandas as pd
import papermill
import pytest
import soundfile

from conftest import PROJECT
from singlib.grading.velocity import effect_of_velocity, level_and_brightness
from singlib.grid import PROFILES
from singlib.nsynth import TABLE2, VELOCITIES, Label, Notes, selection
from singlib.report import tables
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
    monkeypatch.setattr("singlib.grading.velocity.load_notes", lambda data, roles: notes)
    return notes


def test_level_and_brightness_follow_velocity_as_they_were_made_to(known):
    frame = level_and_brightness("mini")
    assert len(frame) == 20 and set(frame.velocity) == set(VELOCITIES)
    table = effect_of_velocity(frame)
    step = np.polyfit(VELOCITIES, np.arange(5), 1)[0] * (VELOCITIES[-1] - VELOCITIES[0])  # steps from first to last
    assert table["level (dB)"].to_dict() == pytest.approx({"keys": 2 * step, "mallet": 0}, abs=0.1)
    assert table["brightness (octaves)"].to_dict() == pytest.approx({"keys": 0, "mallet": step / 10}, abs=0.06)
    assert frame.groupby(["role", "pitch"])["level change"].mean().abs().max() < 1e-9


def test_a_pitch_of_one_velocity_says_nothing_of_velocity(known, monkeypatch):
    few = Notes(known.waveforms[:6], known.instrument[:6], known.pitch[:6], known.velocity[:6], known.roles, "")
    monkeypatch.setattr("singlib.grading.velocity.load_notes", lambda data, roles: few)
    assert set(level_and_brightness("mini").pitch) == {57}


def test_an_example_of_each_role_is_the_one_of_the_figures_or_of_the_middle():
    chosen = selection.examples(selection.labels("mini"))
    assert [label.role for label in chosen] == list(TABLE2)
    assert Label("keys", 66, 100) in chosen and Label("brass1", 62, 100) in chosen
    assert Label("mallet", 63, 100) in chosen  # of 21 to 108 the middle is 64
    assert selection.examples([Label("voice", 40, 25)]) == [Label("voice", 40, 25)] and selection.examples([]) == []


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
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    made_up(tmp_path, notes)
    assert (tables.instruments("mini")["sampl."] != "0").sum() >= len(notes)
    nothing = records.Records(PROFILES["smoke"], pd.DataFrame(), pd.DataFrame(), [])
    assert tables.table_1(nothing)["sampl."].min() == 0 and "Notes here" in tables.overview(nothing).data
    measured = level_and_brightness("mini")
    assert len(measured) == 2 * changes and effect_of_velocity(measured).shape == (changes, 2)


def test_the_notebook_shows_a_data_set_of_one_note(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    made_up(tmp_path, {"fluidr3_grand_piano": [(60, 100)]})
    shown = papermill.execute_notebook(
        PROJECT / "notebooks" / "01-data.ipynb", tmp_path / "out.ipynb", progress_bar=False
    )
    said = str([cell.get("outputs") for cell in shown.cells])
    assert said.count("image/png") == 2 and "No pitch has notes of several velocities" in said


def test_a_data_set_without_any_of_the_roles_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    made_up(tmp_path, {"fluidr3_banjo": [(60, 100)]})
    for show in (selection.labels, level_and_brightness):
        with pytest.raises(ValueError, match="data/mini holds no note of keys, mallet"):
            show("mini")
