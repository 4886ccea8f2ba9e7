"""data/mini is what it says, and what is not NSynth's format is refused by name."""

import hashlib
import json
import re
import shutil

import librosa
import numpy as np
import pytest
import soundfile

from singlib import nsynth
from singlib.files import project_folder
from singlib.nsynth import TABLE2, VELOCITIES, Label, load_notes, select, selection
from singlib.nsynth.selection import notes_to_generate

MINI = project_folder() / "data" / "mini"
COUNTS = dict(zip(TABLE2, (40, 40, 20, 15, 30, 15, 30, 30), strict=True))


@pytest.fixture(scope="module")
def mini():
    return load_notes("mini", tuple(TABLE2))


def test_mini_has_the_proportions_of_table_2(mini):
    assert len(mini) == 220
    for role, count in COUNTS.items():
        labels = list(select("mini", (role,)))
        assert len(labels) == count
        assert {label.velocity for label in labels} == set(VELOCITIES)
        assert len({label.pitch for label in labels}) == count // 5
        assert abs(count - TABLE2[role].notes / 11) < 5
    assert {Label("keys", 66, 100), Label("brass1", 62, 100)} <= set(mini.labels())


def test_mini_sounds_like_notes(mini):
    peaks = np.abs(mini.waveforms).max(1)
    assert peaks.min() > 0.55 and peaks.max() < 0.96
    level = np.square(mini.waveforms.reshape(len(mini), 8, -1)).mean(2)  # half seconds
    assert (level[:, 7] < level[:, 0]).all()  # released at 3 s
    for role in ("voice", "brass1"):  # held until then
        chosen = mini.instrument == mini.roles.index(role)
        assert (level[chosen, 5] > 10 * level[chosen, 7]).all()


def test_mini_plays_the_pitch_of_its_label(mini):
    """A note of each pitch of each instrument."""
    heard = {}
    for waveform, label in zip(mini.waveforms, mini.labels(), strict=True):
        if label.velocity != 100:
            continue
        frequency = 440 * 2 ** ((label.pitch - 69) / 12)
        if label.role == "mallet":  # a bar's other partials are no harmonics: the fundamental is the strongest
            spectrum = np.abs(np.fft.rfft(waveform[4000:12000] * np.hanning(8000)))
            heard[label] = spectrum.argmax() * 2 / frequency
        else:
            between = {"fmin": frequency / 2.5, "fmax": min(2.5 * frequency, 8_000)}
            heard[label] = (
                np.median(librosa.yin(waveform[4000:32000], sr=16_000, frame_length=4096, **between)) / frequency
            )
    assert len(heard) == len({label[:2] for label in mini.labels()})
    off = {label: ratio for label, ratio in heard.items() if abs(ratio - 1) > 0.03}
    assert not off


def test_no_role_is_no_notes():
    with pytest.raises(ValueError, match="no role to read from data/mini"):
        load_notes("mini", ())


def test_mini_is_what_its_digests_say():
    for line in (MINI / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((MINI / name).read_bytes()).hexdigest() == digest


def test_nobody_takes_mini_for_nsynth():
    names = {note["instrument_str"] for note in json.loads((MINI / "examples.json").read_text()).values()}
    assert not any(re.fullmatch(r"[a-z]+_(acoustic|electronic|synthetic)_\d{3}", name) for name in names)
    assert names == set(nsynth.ROLES["mini"].values())


def test_generated_notes_are_table_2s_share_with_the_notes_of_the_figures():
    for role, row in TABLE2.items():
        labels = notes_to_generate("mini", role)
        assert len(labels) == len(set(labels)) == round(COUNTS[role] * row.generated / row.notes)
    assert Label("keys", 66, 100) in notes_to_generate("mini", "keys")
    assert Label("brass1", 62, 100) in notes_to_generate("mini", "brass1")


def test_generated_notes_are_even_over_pitch_and_velocity(monkeypatch):
    paper = [Label("keys", pitch, velocity) for pitch in range(21, 109) for velocity in VELOCITIES]
    monkeypatch.setattr(selection, "labels", lambda data, roles: list(paper))
    labels = notes_to_generate("nsynth-train", "keys")
    assert len(labels) == 89 and Label("keys", 66, 100) in labels
    assert {label.pitch for label in labels} == set(range(21, 109))
    for half in (range(21, 65), range(65, 109)):
        counts = [
            sum(label.velocity == velocity and label.pitch in half for label in labels) for velocity in VELOCITIES
        ]
        assert max(counts) - min(counts) <= 2


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Make a data set of one brass instrument that a test may spoil."""
    monkeypatch.setenv("SINGLIB_ROOT", str(tmp_path))
    folder = tmp_path / "data" / "mini"
    (folder / "audio").mkdir(parents=True)
    examples = json.loads((MINI / "examples.json").read_text())
    kept = {name: note for name, note in examples.items() if note["instrument_str"] == "fluidr3_tuba"}
    (folder / "examples.json").write_text(json.dumps(kept))
    for name in kept:
        shutil.copy(MINI / "audio" / f"{name}.flac", folder / "audio")
    yield folder


NOTE = "fluidr3_tuba-041-050"


def test_wav_is_taken_as_flac_is(copied):
    before = load_notes("mini", ("brass3",)).waveforms
    flac = copied / "audio" / f"{NOTE}.flac"
    waveform, rate = soundfile.read(flac, dtype="int16")
    soundfile.write(flac.with_suffix(".wav"), waveform, rate, subtype="PCM_16")
    flac.unlink()
    assert np.array_equal(load_notes("mini", ("brass3",)).waveforms, before)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(64_000), 22_050, "sample rate of 22050 Hz; NSynth's notes have 16000 Hz"),
        (np.zeros((64_000, 2)), 16_000, "2 channels; NSynth's notes are mono"),
        (np.zeros(63_999), 16_000, "63999 samples; NSynth's notes have 64000"),
    ],
)
def test_another_format_is_named(copied, waveform, rate, message):
    soundfile.write(copied / "audio" / f"{NOTE}.flac", waveform, rate)
    with pytest.raises(ValueError, match=f"{NOTE}.*{message}"):
        load_notes("mini", ("brass3",))


def test_a_truncated_file_is_named(copied):
    file = copied / "audio" / f"{NOTE}.flac"
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(ValueError, match=f"{NOTE}.flac cannot be decoded"):
        load_notes("mini", ("brass3",))


def test_what_is_missing_is_named(copied):
    with pytest.raises(ValueError, match="no note of fluidr3_grand_piano, which plays keys"):
        load_notes("mini", ("keys",))
    with pytest.raises(FileNotFoundError, match=r"nsynth-train.*examples\.json"):
        load_notes("nsynth-train", ("keys",))
    (copied / "audio" / f"{NOTE}.flac").unlink()
    with pytest.raises(FileNotFoundError, match=NOTE):
        load_notes("mini", ("brass3",))


@pytest.mark.parametrize(("field", "value"), [("pitch", 128), ("velocity", 99)])
def test_a_label_that_nsynth_has_not_is_named(copied, field, value):
    examples = json.loads((copied / "examples.json").read_text())
    examples[NOTE][field] = value
    (copied / "examples.json").write_text(json.dumps(examples))
    with pytest.raises(ValueError, match=f"{NOTE} has pitch .*{value}"):
        load_notes("mini", ("brass3",))


def test_the_digest_follows_the_sound(copied):
    before = nsynth.digest("mini", ("brass3",))
    waveform, rate = soundfile.read(copied / "audio" / f"{NOTE}.flac", dtype="int16")
    waveform[100] += 1
    soundfile.write(copied / "audio" / f"{NOTE}.flac", waveform, rate)
    assert nsynth.digest("mini", ("brass3",)) != before
