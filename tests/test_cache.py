"""Notes are decoded once, and loaded without a copy."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from singlib import nsynth
from singlib.files import project_folder
from singlib.nsynth import TABLE2, VELOCITIES, audio, load_notes
from singlib.report.tables import instruments


@pytest.fixture
def own_root(tmp_path, monkeypatch):
    """Give data/mini a cache of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mini").symlink_to(project_folder() / "data" / "mini")
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    yield tmp_path


def test_nothing_is_decoded_twice(own_root, monkeypatch):
    first = load_notes("mini", ("brass1", "brass2"))
    fourth = nsynth.read_waveform(list(nsynth.select("mini", ("keys",)).values())[3])
    monkeypatch.delattr(audio, "read_waveform")
    again = load_notes("mini", ("keys",))
    assert np.array_equal(again.waveforms[3], fourth)
    assert load_notes("mini", ("brass1", "brass2")).digest == first.digest


def test_a_set_of_instruments_is_a_view_of_the_cache_in_the_order_of_its_labels(own_root):
    notes = load_notes("mini", ("brass1", "brass2", "brass3"))
    assert isinstance(notes.waveforms, np.memmap) and len(notes) == 60
    for row in (0, 20, 59):
        assert np.array_equal(notes.waveforms[row], nsynth.read_waveform(nsynth.index("mini")[notes.labels()[row]]))
    apart = load_notes("mini", ("keys", "brass5"))  # no neighbours: put together
    assert np.array_equal(apart.waveforms[-1], load_notes("mini", ("brass5",)).waveforms[-1])


def test_writing_to_notes_changes_no_file(own_root):
    notes = load_notes("mini", ("keys",))
    notes.waveforms[0] = 0
    assert load_notes("mini", ("keys",)).waveforms[0].any()


def test_a_build_that_fails_leaves_nothing(own_root, monkeypatch):
    monkeypatch.setattr(audio, "read_waveform", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load_notes("mini", ("keys",))
    assert [file.suffix for file in (own_root / "data" / ".cache").iterdir()] == [".lock"]


COUNT = """
from singlib import nsynth
from singlib.nsynth import audio
read, count = audio.read_waveform, []
audio.read_waveform = lambda file: count.append(1) or read(file)
nsynth.load_notes("mini", ("keys",))
print(len(count))
"""


def test_of_two_processes_one_decodes(own_root):
    environment = os.environ | {"SINGLIB_ROOT": str(own_root)}
    both = [subprocess.Popen([sys.executable, "-c", COUNT], env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    assert sorted(int(process.communicate()[0].split()[-1]) for process in both) == [0, 220]


RESIDENT = """
from pathlib import Path
import numpy as np
from singlib.nsynth import TABLE2, load_notes

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

load_notes("mini", ("brass1",))  # whatever else loading needs
before = resident()
notes = load_notes("mini", tuple(TABLE2))
loaded = resident()
notes.waveforms[:20].sum()
print(loaded - before, resident() - loaded)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="resident memory is read as Linux has it")
def test_memory_grows_with_what_is_touched(own_root):
    load_notes("mini", ("keys",))
    environment = os.environ | {"SINGLIB_ROOT": str(own_root)}
    output = subprocess.run([sys.executable, "-c", RESIDENT], env=environment, capture_output=True, check=True).stdout
    loaded, touched = (int(part) for part in output.split())
    note = 64_000 * 4
    assert loaded < 2 * note  # of 220
    assert 15 * note < touched < 40 * note  # of 20; pages are mapped some at a time


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Make the metadata of the train split's notes, with files that are there but empty."""
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    folder = tmp_path / "data" / "nsynth-train"
    (folder / "audio").mkdir(parents=True)
    notes = nsynth.paper_notes("nsynth-train")
    examples = {}
    for name, label in notes.items():
        instrument = TABLE2[label.role].name
        examples[name] = {"instrument_str": instrument, "pitch": label.pitch, "velocity": label.velocity}
        (folder / "audio" / f"{name}.wav").touch()
    outside = "brass_acoustic_001-065-025"  # above the paper's range
    examples[outside] = {"instrument_str": "brass_acoustic_001", "pitch": 65, "velocity": 25}
    yield folder, examples


def test_table_2_of_the_paper_is_right_to_the_last_number(train):
    folder, examples = train
    (folder / "examples.json").write_text(json.dumps(examples))
    table = instruments("nsynth-train")
    assert list(table["sampl."]) == [440, 440, 225, 170, 325, 185, 325, 325] and table["sampl."].sum() == 2435
    assert list(table["gen. sampl."]) == [89, 89, 52, 41, 41, 32, 41, 41]
    for column in ("instrument", "MIDI pitches", "sampl.", "gen. sampl."):
        assert list(table[column]) == list(table[f"{column} (paper)"]), column


def test_table_2_says_what_is_missing(train):
    folder, examples = train
    assert set(instruments("nsynth-train")["sampl."]) == {"missing: make data SPLIT=train"}
    gone = [f"keyboard_acoustic_007-021-{velocity:03d}" for velocity in VELOCITIES]
    (folder / "examples.json").write_text(json.dumps({k: v for k, v in examples.items() if k not in gone}))
    table = instruments("nsynth-train")
    assert table["sampl."]["keys"] == f"435, missing: {', '.join(gone[:3])} and 2 more"
    assert table["MIDI pitches"]["keys"] == "22-108" and table["sampl."]["mallet"] == 440
