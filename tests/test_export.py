"""What leaves the notebook: instruments for samplers, played by a real one; songs; ONNX; a model hub's folder."""

import json
import os
import runpy
import shutil
import subprocess

import librosa
import mido
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import PROJECT, call_singlib
from singlib.export import samples, sfz, song
from singlib.export.hub import write_hub_folder
from singlib.export.onnx_file import write_onnx
from singlib.network import generation
from singlib.nsynth import VELOCITIES, Label
from singlib.runs import model_cards

BRASS = "recorded-best/brass1-3-ReLU-MRSTFT-flow-0"
ELU = "recorded/keys-ELU-STFT-flow-0"
RATE = 16_000


@pytest.fixture(scope="module")
def brass():
    return generation.load_model(BRASS)


@pytest.fixture(scope="module")
def instrument(tmp_path_factory):
    """Return the folder of the brass model as the command exports it."""
    folder = tmp_path_factory.mktemp("sfz")
    done = call_singlib("export", BRASS, "--format", "sfz", "--rate", "44100", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def midi(file, notes, **options):
    """Write notes (channel from 0, pitch, velocity, start, end in seconds) at 120 beats a minute."""
    events = [(end, "note_off", (channel, pitch, 0)) for channel, pitch, _, _, end in notes]
    events += [(start, "note_on", (channel, pitch, velocity)) for channel, pitch, velocity, start, _ in notes]
    track, now = mido.MidiTrack(), 0
    for seconds, kind, (channel, pitch, velocity) in sorted(events):
        tick = round(seconds * 960)
        track.append(mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    mido.MidiFile(ticks_per_beat=480, tracks=[track], **options).save(file)
    return file


def heard(sound, rate, start=0.0):
    """Return the pitch (MIDI) of 0.6 s of a sound, by an estimator that the package does not use to grade."""
    part = sound[round((start + 0.15) * rate) : round((start + 0.75) * rate)]
    return librosa.hz_to_midi(np.median(librosa.yin(part, fmin=30, fmax=2000, sr=rate, frame_length=4096)))


def sampler(instrument, song_file, folder):
    """Render a MIDI file from an SFZ: Polyphone reads it, FluidSynth plays it."""
    for program in ("polyphone", "fluidsynth"):
        if shutil.which(program) is None:
            assert os.environ.get("SINGLIB_SAMPLER") != "required", f"no {program} on the path"
            pytest.skip(f"no {program} on the path")
    quiet = {"capture_output": True, "text": True, "timeout": 300}
    there = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    convert = ["polyphone", "-1", "-i", str(instrument), "-d", str(folder), "-o", "font"]
    done = subprocess.run(convert, env=there, **quiet)
    assert "File loaded" in done.stderr + done.stdout, done.stderr
    render = ["fluidsynth", "-niq", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RATE), "-F", folder / "out.wav"]
    subprocess.run([*render, folder / "font.sf2", song_file], check=True, **quiet)
    sound, rate = soundfile.read(folder / "out.wav")
    assert rate == RATE
    return sound[:, 0]


def test_a_sampler_and_play_sound_each_key_at_the_models_pitch(brass, instrument, tmp_path):
    """Every pitch of an instrument, one after another: a sampler that opens the SFZ, and `singlib play`."""
    trained = samples.trained_notes(brass, "brass2")
    each = {label.pitch: label for label in trained}  # its loudest note
    own = [heard(note, RATE) for note in brass.generate(list(each.values()))]
    tuned = {pitch for pitch, found in zip(each, own, strict=True) if abs(found - pitch) < 0.5}
    assert len(tuned) > 0.7 * len(each)
    notes = [(0, label.pitch, label.velocity, place, place + 0.8) for place, label in enumerate(each.values())]
    file, out = midi(tmp_path / "scale.mid", notes), tmp_path / "scale.wav"
    done = call_singlib("play", str(file), "--model", f"{BRASS}:brass2", "--out", str(out))
    printed = done.stdout + done.stderr
    assert done.returncode == 0 and "neighbour" not in printed and "outside" not in printed, printed
    for sound in (sampler(instrument / "brass2.sfz", file, tmp_path), soundfile.read(out)[0]):
        found = {pitch: heard(sound, RATE, place) for place, pitch in enumerate(each)}
        right = [abs(found[pitch] - pitch) < 0.5 for pitch in tuned]
        assert np.mean(right) >= 0.95, {pitch: found[pitch] for pitch in tuned if abs(found[pitch] - pitch) >= 0.5}


def test_a_sampler_holds_a_looped_key_and_lets_it_go(instrument, tmp_path):
    looped = next(
        dict(word.split("=") for word in line.split()[1:])
        for line in (instrument / "brass1.sfz").read_text().splitlines()
        if "loop_sustain" in line
    )
    pitch, velocity = int(looped["pitch_keycenter"]), int(looped["hivel"])
    sound = sampler(instrument / "brass1.sfz", midi(tmp_path / "long.mid", [(0, pitch, velocity, 0, 8)]), tmp_path)
    level = librosa.feature.rms(y=sound, frame_length=2048, hop_length=RATE // 4)[0]  # four a second
    assert level[26:31].min() > 0.5 * level[8:12].mean() and level[36:].max(initial=0) < 0.01 * level.max()


def test_the_folder_holds_every_trained_note_with_its_card(brass, instrument):
    table = pd.read_csv(instrument / "notes.csv")
    rows = table[["role", "pitch", "velocity"]].itertuples(index=False, name=None)
    assert set(rows) == {(role, *note) for role in brass.roles for note in brass.notes[role]}
    assert table.grade.notna().sum() == len(model_cards.graded_notes(generation.find(BRASS)))
    assert {file.name for file in (instrument / "samples").iterdir()} == {name[8:] for name in table.file}
    assert (instrument / "README.md").read_text() == generation.find(BRASS).with_suffix(".md").read_text()
    sound, rate = soundfile.read(instrument / table.file[0])
    assert rate == 44_100 and len(sound) == 4 * rate


notes_of_one = st.sets(st.tuples(st.integers(20, 100), st.sampled_from(VELOCITIES)), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(notes_of_one)
def test_zones_meet_without_gap_or_overlap(notes):
    trained = sorted(Label("keys", *note) for note in notes)
    zones = sfz.zones(trained)
    lowest, highest = trained[0].pitch, trained[-1].pitch
    for key in {lowest, highest, (lowest + highest) // 2, min(lowest + 1, highest)}:
        pitch = min({label.pitch for label in trained}, key=lambda pitch: (abs(pitch - key), pitch))
        levels = {label.velocity for label in trained if label.pitch == pitch}
        for level in (1, 37, 38, 62, 63, 64, 113, 114, 127):
            velocity = min(levels, key=lambda velocity: (abs(velocity - level), velocity))
            own = [label for label, (a, b, c, d) in zones.items() if a <= key <= b and c <= level <= d]
            assert own == [Label("keys", pitch, velocity)] and samples.sounding(trained, key, level) == own[0]


@pytest.mark.parametrize("rate", samples.RATES)
def test_a_loop_is_not_heard(rate):
    """A tone with overtones, vibrato and a little noise goes on as it was; one that decays has no loop."""
    time = np.arange(4 * rate) / rate
    phase = 2 * np.pi * 233.1 * time + 0.5 * np.sin(2 * np.pi * 5 * time)
    tone = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.02 * np.random.default_rng(0).standard_normal(len(time))
    start, end = samples.find_loop(tone, rate)
    assert tone[start - 1] < 0 <= tone[start] and tone[end - 1] < 0 <= tone[end]
    held = samples.let_go(samples.sustained(tone, 9 + samples.RELEASE, rate), 9, rate)
    assert len(held) == round((9 + samples.RELEASE) * rate)
    steps = np.abs(np.diff(held[: 9 * rate]))
    assert steps.max() < 1.1 * np.abs(np.diff(tone)).max()
    decaying = tone * np.exp(-2 * time)
    assert samples.find_loop(decaying, rate) is None and len(samples.sustained(decaying, 9, rate)) == len(decaying)


def test_a_short_note_is_the_models_until_its_key_is_let_go():
    note = np.random.default_rng(0).standard_normal(64_000)
    held = samples.let_go(note, 1)
    assert np.array_equal(held[:RATE], note[:RATE]) and len(held) == round((1 + samples.RELEASE) * RATE)
    assert np.abs(held[-200:]).max() < 0.01


def test_a_song_is_read_with_its_tempo_pedal_and_struck_again(tmp_path):
    on, off = (
        lambda note, time, kind=kind: mido.Message(kind, note=note, velocity=70, time=time)
        for kind in ("note_on", "note_off")
    )
    pedal = [mido.Message("control_change", control=64, value=value, time=480) for value in (127, 0)]
    tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(60), time=0)
    silent = mido.Message("note_on", note=64, velocity=0, time=480)  # another way to end a note
    track = [
        tempo,
        on(60, 0),
        on(60, 480),
        off(60, 480),
        on(64, 0),
        silent,
        on(67, 0),
        pedal[0],
        off(67, 480),
        pedal[1],
    ]
    mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(track)]).save(tmp_path / "a.mid")
    spans = [(note.pitch, note.start, note.end) for note in song.read_song(tmp_path / "a.mid")]
    assert spans == [(60, 0, 1), (60, 1, 2), (64, 2, 3), (67, 3, 6)]


def test_tracks_that_share_a_channel_and_controllers_that_end_notes(tmp_path):
    def message(kind, time, **what):
        return mido.Message(kind, time=time, **what)

    def spans(*tracks):
        mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(track) for track in tracks]).save(tmp_path / "a.mid")
        return [(note.pitch, note.start, note.end) for note in song.read_song(tmp_path / "a.mid")]

    second = [message("note_on", 480, note=60), message("note_off", 480, note=60)]
    first = [message("note_on", 0, note=60), message("note_off", 480, note=60)]
    assert spans(second, first) == spans(first, second) == [(60, 0, 0.5), (60, 0.5, 1)]
    begun = message("note_on", 0, note=60)
    pedal = message("control_change", 480, control=64, value=127)
    other = [message("note_on", 480, note=62), message("note_off", 480, note=62)]
    for track, last in (
        ([begun, pedal, message("control_change", 0, control=120), *other], 0.5),
        ([begun, message("control_change", 480, control=123), *other], 0.5),
        ([begun, pedal, message("control_change", 0, control=123), *other], 1.5),  # the pedal holds it
        ([begun, pedal, message("note_off", 0, note=60), message("control_change", 480, control=121), *other], 1),
    ):
        assert spans(track)[0] == (60, 0, last)


@pytest.mark.parametrize("shift", [-8, -5, 5, 6, 7, 8])
def test_a_note_that_is_moved_lasts_as_long_as_its_key(brass, monkeypatch, shift):
    """Its loop is found before it is moved, as in a sampler: it ends 0.3 s after the key, whatever the shift."""
    time = np.arange(64_000) / RATE
    tone = np.sin(2 * np.pi * 233.1 * time) * np.clip((3.2 - time) / 0.2, 0, 1) / 2
    label = Label("brass1", 50, 100)
    monkeypatch.setattr(song, "generate_all", lambda model, labels: np.stack([tone.astype(np.float32)] * len(labels)))
    monkeypatch.setattr(song, "sounding", lambda *_: label)
    sound, _ = song.play([song.Played(1, 50 + shift, 100, 0, 6)], {1: song.Voice(brass, "brass1")})
    blocks = np.abs(sound[: 6 * RATE].reshape(-1, RATE // 20)).max(axis=1)
    assert len(sound) == pytest.approx(6.3 * RATE, abs=2) and blocks.min() > 0.4 and np.abs(sound[-20:]).max() < 0.01
    heard = librosa.yin(sound[RATE : 5 * RATE], fmin=100, fmax=600, sr=RATE)
    assert np.median(heard) == pytest.approx(233.1 * 2 ** (shift / 12), rel=0.01)


def test_what_is_no_song_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no MIDI file .*none\.mid"):
        song.read_song(tmp_path / "none.mid")
    whole = (PROJECT / "data" / "songs" / "frere-jacques.mid").read_bytes()
    file = tmp_path / "song.mid"
    random = np.random.default_rng(0)
    for content in (b"", b"RIFF", whole[:40], whole[:-3]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"song\.mid is damaged"):
            song.read_song(file)
    for _ in range(200):  # whatever a byte says, it is read or named
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] = random.integers(256)
        file.write_bytes(damaged)
        try:
            assert song.read_song(file)
        except ValueError as error:
            assert str(file) in str(error)
    midi(file, [])
    with pytest.raises(ValueError, match=r"song\.mid has no note"):
        song.read_song(file)
    midi(file, [(0, 60, 100, 0, 4000)])
    with pytest.raises(ValueError, match=r"song\.mid is longer than 1 h"):
        song.read_song(file)
    for change, fault in (
        (whole[:12] + b"\0\0" + whole[14:], "counts time in frames"),
        (whole[:8] + b"\0\2" + whole[10:], "is of type 2"),
    ):
        file.write_bytes(change)
        with pytest.raises(ValueError, match=f"song.mid {fault}"):
            song.read_song(file)


def test_models_are_cast_to_channels():
    assert song.cast(["a/b", "2=c:brass3", "d"], [1, 2, 3, 10, 16]) == {
        1: ("a/b", None), 2: ("c", "brass3"), 3: ("d", None), 16: ("d", None),
    }  # fmt: skip
    assert song.cast(["10=a"], [1, 10]) == {10: ("a", None)}
    for names, fault in (
        (["3=a"], "no channel 3; it has 1, 2"),
        (["1=a", "1=b"], "already"),
        (["a"] * 3, "3 models for 2"),
        (["a:bras2"], "unknown instrument 'bras2'; choose one of keys"),
    ):
        with pytest.raises(ValueError, match=fault):
            song.cast(names, [1, 2])
    with pytest.raises(ValueError, match="only channel 10, the drums: name it, --model 10=a"):
        song.cast(["a"], [10])


def test_pitches_outside_are_moved_or_left_out_and_nothing_clips(brass):
    voice = {1: song.Voice(brass, "brass1")}
    chord = [song.Played(1, pitch, 100, 0, 1) for pitch in (20, 32, 33, 45, 64, 76, 100)] * 4
    sound, printed = song.play(chord, voice)
    assert np.abs(sound).max() == pytest.approx(song.LOUDEST) and any(
        "channel 1: 12 of 28 notes outside the range of brass1 (MIDI 32 to 64): transposed" in line for line in printed
    )
    low, _ = song.play([song.Played(1, 20, 127, 0, 1)], voice)
    same, _ = song.play([song.Played(1, 32, 127, 0, 1)], voice)
    assert np.array_equal(low, same)
    _, printed = song.play(chord, voice, "leave-out")
    assert any("12 of 28 notes outside the range of brass1 (MIDI 32 to 64): left out" in line for line in printed)
    with pytest.raises(ValueError, match="nothing is left to be played; channel 2: 1 of 1 notes have no model"):
        song.play([song.Played(2, 60, 100, 0, 1)], voice)


def test_a_key_between_trained_pitches_sounds_at_its_own(brass):
    trained = brass.pitches("brass2")
    (gap,) = [pitch for pitch in range(50, 75) if pitch not in trained and pitch - 1 in trained][:1]
    sound, printed = song.play([song.Played(1, gap, 100, 0, 1)], {1: song.Voice(brass, "brass2")})
    assert abs(heard(sound, RATE) - gap) < 0.5 and "the nearest note is shifted" in printed[0]


def test_the_song_that_comes_with_the_project_is_made_by_its_script(tmp_path):
    folder = PROJECT / "data" / "songs"
    runpy.run_path(str(folder / "make.py"))["song"]().save(tmp_path / "again.mid")
    assert (tmp_path / "again.mid").read_bytes() == (folder / "frere-jacques.mid").read_bytes()


@pytest.mark.parametrize("name", [BRASS, ELU])
def test_onnxruntime_plays_what_torch_plays(name, tmp_path):
    model = generation.load_model(name)
    file = write_onnx(generation.find(name), tmp_path)
    runtime = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    facts = runtime.get_modelmeta().custom_metadata_map
    roles, velocities = json.loads(facts["roles"]), json.loads(facts["velocities"])
    assert json.loads(facts["about"]) == model.about and facts["sample_rate"] == str(RATE)
    for count in (1, 5):
        labels = samples.trained_notes(model, model.roles[-1])[:count]
        rows = [(roles.index(label.role), label.pitch, velocities.index(label.velocity)) for label in labels]
        (waveforms,) = runtime.run(None, dict(zip(("instrument", "pitch", "velocity"), np.array(rows).T, strict=True)))
        assert waveforms.shape == (count, 64_000)
        assert np.abs(waveforms - model.generate(labels)).max() < 1e-4 and np.abs(waveforms).max() > 0.01


def test_a_hubs_folder_plays_as_its_model(brass, tmp_path):
    folder = tmp_path / "brass"
    done = call_singlib("publish", BRASS, "--repo", "me/brass", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"to upload it: hf upload me/brass {folder} .\n")
    again = generation.load_model(folder)
    labels = samples.trained_notes(brass, "brass3")[:2]
    assert np.array_equal(again.generate(labels), brass.generate(labels))
    config = json.loads((folder / "config.json").read_text())
    assert brass.about.items() <= config.items() and config["model_type"] == "sing"
    card = ModelCard.load(folder / "README.md")
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert card.data["library_name"] == "singlib" and results["in_tune"] == 0.88 and 0 < results["grade"] < 5
    assert card.text.count("<audio controls") == len(list((folder / "samples").glob("*.flac"))) == len(brass.roles)
    assert model_cards.card_of(folder / "model.safetensors").startswith("# brass1-3-ReLU-MRSTFT-flow-0\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", BRASS, "--format", "mp3", "--out", "x"), "unknown format 'mp3'; choose one of sfz, folder, onnx"),
        (("export", BRASS, "--rate", "8000", "--out", "x"), "unknown rate 8000; choose one of 16000, 44100, 48000"),
        (("export", "harp", "--out", "x"), "no model 'harp'"),
        (("publish", BRASS, "--repo", "a b", "--out", "x"), "'a b' is no name of a repository, such as me/brass"),
        (("publish", BRASS, "--repo", "brass", "--out", "x"), "'brass' is no name of a repository"),
        (("play", "none.mid", "--model", BRASS, "--out", "x.wav"), "no MIDI file none.mid"),
        (
            ("play", "none.mid", "--model", BRASS, "--out", "x.mp3"),
            "--out x.mp3: a song is written as .wav or .flac",
        ),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_singlib(*arguments)
    assert done.returncode == 1 and message in done.stderr and not done.stdout
    assert not list(tmp_path.iterdir())


def test_an_export_overwrites_nothing_but_itself(tmp_path, monkeypatch):
    weights, folder = generation.find(BRASS), tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text("my project")
    writes = {
        "sfz": lambda: sfz.write_sfz(weights, folder),
        "onnx": lambda: write_onnx(weights, folder),
        "hub": lambda: write_hub_folder(weights, "me/brass", folder),
    }
    monkeypatch.setattr("singlib.export.samples.generate_all", lambda _, labels: np.zeros((len(labels), 64_000)))
    for write in writes.values():
        with pytest.raises(FileExistsError, match="mine holds other files: name a new folder, or delete it"):
            write()
    assert [file.name for file in folder.iterdir()] == ["README.md"]
    (folder / "README.md").unlink()
    writes["sfz"](), writes["sfz"]()
    with pytest.raises(FileExistsError, match=f"mine holds an export of {BRASS} as sfz: name"):
        writes["hub"]()
    with pytest.raises(FileExistsError, match=f"mine holds an export of {BRASS} as sfz, which differs in rate: name"):
        sfz.write_sfz(weights, folder, rate=44_100)
    one, other = (generation.find(f"{name}/keys-ReLU-CQT-flow-0") for name in ("recorded", "recorded-best"))
    sfz.write_sfz(one, tmp_path / "keys")
    with pytest.raises(FileExistsError, match="keys holds an export of recorded/keys-ReLU-CQT-flow-0 as sfz"):
        sfz.write_sfz(other, tmp_path / "keys")


def test_a_model_is_exported_from_within_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(generation.find(BRASS).parent)
    name = generation.find(BRASS).name
    assert generation.find(name).is_absolute() and len(model_cards.graded_notes(generation.find(name)))
    done = call_singlib("publish", name, "--repo", "me/brass", "--out", str(tmp_path / "brass"))
    assert done.returncode == 0, done.stderr


def test_weights_without_a_card_are_not_passed_on(tmp_path):
    alone = shutil.copy(generation.find(BRASS), tmp_path / "model-of-mine.safetensors")
    for write in (
        lambda: write_hub_folder(alone, "me/brass", tmp_path / "x"),
        lambda: write_onnx(alone, tmp_path / "x"),
        lambda: sfz.write_sfz(alone, tmp_path / "x"),
    ):
        with pytest.raises(ValueError, match=r"has no card: model-of-mine\.md beside it would be one"):
            write()
    assert not (tmp_path / "x").exists()
