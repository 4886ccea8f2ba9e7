"""The grade can be trusted: controls of real notes get the grades they should. The whole campaign is slow."""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import scipy.stats

from singlib import nsynth
from singlib.grading import controls, measures
from singlib.grading import measures as pitch_of
from singlib.grading.grades import GRADES, SCORES, THRESHOLDS, grade, grade_of, model_grade
from singlib.grading.velocity import rise_in_brightness
from singlib.nsynth import SAMPLE_RATE, Label, index, read_waveform

PROJECT = Path(__file__).parents[1]
SECONDS = np.arange(nsynth.SAMPLES) / SAMPLE_RATE


def tone(frequency, partials=8, decay=1.0):
    """Return a made note: partials of equal strength that decay, let go at 3 s."""
    numbers = [n for n in range(1, partials + 1) if n * frequency < 7500]
    wave = sum(np.sin(2 * np.pi * n * frequency * SECONDS + n) for n in numbers)
    level = (
        np.exp(-decay * SECONDS) * np.minimum(SECONDS / 0.01, 1) * np.where(SECONDS > 3, np.exp(-20 * (SECONDS - 3)), 1)
    )
    return 0.1 * wave * level


def delayed(waveform, seconds):
    """Return the note begun later."""
    return np.pad(waveform, (round(seconds * SAMPLE_RATE), 0))[: len(waveform)]


def graded_controls(job):
    """Grade every control of a note, with those that only the bars need."""
    data, label = job
    target = read_waveform(index(data)[label])
    made = controls.controls(data, label)
    side = -1 if label.pitch < 65 else 1
    made |= {
        "a semitone to the other side": controls.shifted(target, side),
        "20 dB softer": controls.softer(target, 20),
        "10 ms later": delayed(target, 0.01),
    }
    return pd.Series({name: SCORES[grade(sound, target, label.pitch)["grade"]] for name, sound in made.items()})


def check_bars(scores):
    """Hold the bars, on a frame with a row for each note and a column for each control."""

    def share(control, at_least=0, at_most=5):
        return scores[control].between(at_least, at_most).mean()

    assert share("the note itself", at_least=SCORES["+"]) >= 0.95
    for alike in ("phases randomised", "rebuilt by Griffin-Lim"):
        assert share(alike, at_least=SCORES["+"]) >= 0.90, alike
    assert share("stationary noise", at_most=SCORES["-"]) >= 0.95
    assert share("silence", at_most=SCORES["-"]) == 1
    assert share("modulated noise", at_most=SCORES["o"]) == 1
    assert share("a semitone off", at_most=SCORES["o"]) == 1
    assert share("a semitone to the other side", at_most=SCORES["o"]) == 1
    assert share("an octave off", at_most=SCORES["o/+"]) == 1
    assert share("a click", at_most=SCORES["o"]) == 1
    assert share("30 dB softer", at_most=SCORES["o"]) == 1
    assert share("40 dB softer", at_most=SCORES["-"]) == share("50 dB softer", at_most=SCORES["-"]) == 1
    falling = scores[["the note itself", "noise at 20 dB", "noise at 10 dB", "noise at 0 dB"]]
    assert (falling.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None), falling[(falling.diff(axis=1) > 0).any(axis=1)]
    for change in ("20 dB softer", "10 ms later"):
        assert ((scores[change] - scores["the note itself"]).abs() <= 1).all(), change


def campaign(data, labels):
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        scores = pd.DataFrame(pool.map(graded_controls, [(data, label) for label in labels]), index=map(str, labels))
    print(scores.apply(lambda column: column.value_counts(normalize=True)).fillna(0).round(3).T.to_string())
    return scores


def test_the_bars_on_a_note_of_every_other_instrument():
    check_bars(campaign("mini", controls.held_out("mini", each=1)[::2]))


@pytest.mark.slow
@pytest.mark.parametrize("data", ["mini", "nsynth-test"])
def test_the_bars_on_the_half_that_no_threshold_was_fixed_on(data, monkeypatch):
    if not (PROJECT / "data" / data).is_dir():
        pytest.skip(f"data/{data} is not there")
    monkeypatch.setenv("SINGLIB_ROOT", str(PROJECT))
    check_bars(campaign(data, controls.held_out(data)))


def test_thresholds_are_reported_on_other_notes_than_they_were_fixed_on():
    others = controls.held_out("mini")
    assert len(others) == 110 and set(controls.held_out("mini", each=2)) <= set(others)


@pytest.mark.parametrize("pitch", [21, 30, 36, 60, 84, 95, 102, 108])
def test_pitch_is_heard_within_and_outside_the_tracker(pitch):
    """Also where an octave is out of the tracker's range, which then takes one for the other."""
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    target = tone(frequency)

    def heard(ratio):
        return pitch_of.pitch_heard(tone(ratio * frequency), target, frequency)

    assert min(heard(1)) > 0.9 and min(heard(2 ** (30 / 1200))) > 0.9
    assert max(heard(2 ** (1 / 12))) < 0.1 and max(heard(2 ** (-1 / 12))) < 0.1
    for octave in (0.5, 2) if pitch < 96 else (0.5,):
        right, chroma = heard(octave)
        assert right == 0, octave
        lowest, highest = pitch_of.TRACKED
        if not lowest <= frequency <= highest or lowest <= octave * frequency <= highest:
            assert chroma > 0.8, octave


def test_movement_is_of_the_target_and_its_direction():
    falling, rising = tone(440, decay=1), tone(440, decay=-1)
    bands = [measures._bands(wave[: 3 * SAMPLE_RATE]) for wave in (falling, rising)]
    assert measures.movement(bands[0], bands[0]) == pytest.approx((1, 1))
    assert measures.movement(bands[1], bands[0])[1] < -0.5
    held = measures._bands(tone(440, decay=0)[: 3 * SAMPLE_RATE])
    assert abs(measures.movement(held, bands[0])[1]) < 0.1


def test_envelope_is_in_seconds_and_decibels():
    onset, decay, release = measures.envelope(delayed(tone(440, decay=2.0), 0.5))
    assert onset == pytest.approx(0.5, abs=0.05)
    # level falls by 17.4 dB a second from 0.5 s on, 30 dB at the most: 1.73 s of the fall, then 0.77 s at the bottom
    assert decay == pytest.approx((1.73 * 15 + 0.77 * 30) / 2.5, abs=1)
    assert release == 30


@pytest.mark.parametrize("snr", [0, 10, 20])
@pytest.mark.parametrize(("frequency", "too_low"), [(55, 2.2), (220, 1), (880, 1), (3520, 1)])
def test_noise_between_the_partials_is_what_was_added(snr, frequency, too_low):
    """What lies under a partial (7 bins, of 28 to the next at 55 Hz) is taken for tone."""
    noisy = controls.added_noise(np.sin(2 * np.pi * frequency * SECONDS), snr)
    expected = 10 * np.log10(1 / (1 + 10 ** (snr / 10)))
    assert expected - too_low <= measures.noise(noisy, frequency) <= expected + 0.2


def test_brightness_is_an_octave_higher_an_octave_up():
    assert measures.brightness(tone(440, 4)) - measures.brightness(tone(220, 4)) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("place", [0, 1, 30_000, nsynth.SAMPLES - 1])
def test_a_click_anywhere_is_measured(place):
    sound = np.zeros(nsynth.SAMPLES)
    sound[place] = 1
    graded = grade(sound, tone(440), 69)
    assert SCORES[graded["grade"]] <= SCORES["o"] and graded["noise"] > -3
    assert all(np.isfinite(value) for value in graded.values() if not isinstance(value, str))


def test_bad_waveforms_are_named():
    note = tone(440)
    for generated, message in [
        (note[:-1], r"generated waveform has shape \(63999,\)"),
        (np.where(SECONDS < 1, note, np.nan), "generated waveform has samples that are not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            grade(generated, note, 69)
    with pytest.raises(ValueError, match="the target is silent"):
        grade(note, np.zeros_like(note), 69)


def test_every_grade_is_given_in_the_papers_order():
    """From the best note down, one thing worse at a time."""
    best = {"modulation": 1, "follows": 1, "noise": -20, "target_noise": -20, "distance": 0.001, "onset": 0, "decay": 0}
    best |= {"level": 0, "release": 0, "pitch_heard": 1, "chroma_heard": 1, "brightness": 10, "target_brightness": 10}
    steps = [{}, {"distance": 0.02}, {"pitch_heard": 0}, {"chroma_heard": 0}, {"follows": 0}, {"modulation": 0}]
    found = []
    for step in steps:
        best |= step
        found.append(grade_of(best))
    assert found == list(reversed(GRADES))


@pytest.mark.parametrize(("level", "best"), [(-24.9, "++"), (-25, "o"), (-34.9, "o"), (-35, "-")])
def test_a_soft_note_is_graded_by_its_level(level, best):
    target = tone(440)
    heard = grade(10 ** (level / 20) * target, target, 69)
    assert heard["level"] == pytest.approx(level, abs=1e-6)
    # at the bar itself the sound's own level may be on either side: the last bit of a sum
    assert grade_of(heard | {"level": level}) == best
    poor = heard | {"level": level, "modulation": 0.0}
    assert grade_of(poor) == "-", "level never raises a grade"


def test_the_interval_of_several_models_is_over_models():
    """Their notes have the same labels: ten times as many notes are not ten times as much evidence."""
    notes = ["-", "++"] * 10
    alone, alike = model_grade(notes), model_grade(notes * 3, [str(model) for model in range(3) for _ in notes])
    assert alone.score == alike.score == 2.5 and alone.high > 3 and alike.low == alike.high == 2.5
    apart = model_grade(["-"] * 20 + ["++"] * 20, ["a"] * 20 + ["b"] * 20)
    assert (apart.low, apart.high) == (0, 5), "two models that differ tell nothing of a third"


def test_grades_move_with_their_thresholds():
    target = tone(440)
    heard = grade(target, target, 69) | {"level": -24.0}
    assert grade_of(heard) == "++" and grade_of(heard, THRESHOLDS | {"FAINT": -22.5}) == "o"


def test_a_models_grade_is_the_mean_of_its_notes_with_an_interval():
    assert model_grade(["o"] * 20) == (2, 2, 2) and str(model_grade(["o"])) == "o"
    mixed = model_grade(["-"] * 10 + ["++"] * 10)
    assert mixed.grade == "o/+" and mixed.score == 2.5 and str(mixed) == "o/+ [-/o, +]"
    theirs = scipy.stats.t.interval(0.95, 19, 2.5, scipy.stats.sem([0, 5] * 10))
    assert (mixed.low, mixed.high) == pytest.approx(theirs)
    narrow = model_grade((["-"] * 10 + ["++"] * 10) * 50)
    assert narrow.high - narrow.low < 0.5, "more notes, narrower"
    with pytest.raises(ValueError, match="without notes"):
        model_grade([])


def test_the_rise_in_brightness_is_told_from_what_pitch_does():
    rng = np.random.default_rng(0)
    notes = pd.DataFrame({"role": "brass1", "pitch": np.arange(40, 80), "velocity": np.tile([25, 75, 127, 50, 100], 8)})
    by_pitch = 9 + notes.pitch / 24 + rng.normal(0, 0.05, 40)
    rising = notes.assign(brightness=by_pitch + 0.8 * (notes.velocity - 25) / 102)
    assert rise_in_brightness(rising) == pytest.approx(0.8, abs=0.1)
    assert rise_in_brightness(notes.assign(brightness=by_pitch)) == pytest.approx(0, abs=0.1)
    assert np.isnan(rise_in_brightness(rising[:7])) and np.isnan(rise_in_brightness(rising[rising.velocity == 25]))


@pytest.mark.parametrize("label", [Label("keys", 66, 100), Label("voice", 53, 127), Label("brass2", 72, 25)], ids=str)
def test_controls_are_what_they_say(label):
    note = read_waveform(index("mini")[label])
    made = controls.controls("mini", label)
    assert all(sound.shape == note.shape and np.isfinite(sound).all() for sound in made.values())
    power = np.mean(note**2)
    for name in ("phases randomised", "modulated noise", "stationary noise", "envelope removed"):
        assert np.mean(made[name] ** 2) == pytest.approx(power, rel=1e-3), name
    for snr in (20, 10, 0):
        added = np.mean((made[f"noise at {snr} dB"] - note) ** 2)
        assert 10 * np.log10(power / added) == pytest.approx(snr, abs=0.01)
    # noise in the note's colour has its spectrum, and no movement
    (_, ours), (_, theirs) = (
        scipy.signal.welch(made[name], nperseg=1024) for name in ("stationary noise", "the note itself")
    )
    loud = theirs > theirs.max() / 1000
    assert np.abs(10 * np.log10(ours[loud] / theirs[loud])).mean() < 4
    seconds = made["stationary noise"].reshape(4, -1).std(1)
    assert seconds.max() / seconds.min() < 1.5 < note.reshape(4, -1).std(1).max() / note.reshape(4, -1).std(1).min()
    assert np.corrcoef(controls.envelope(made["modulated noise"]), controls.envelope(note))[0, 1] > 0.9
    assert np.array_equal(made["backwards"][::-1], note) and not made["silence"].any()
    assert np.count_nonzero(made["a click"]) == 1
    again = controls.controls("mini", label)
    assert all(np.array_equal(made[name], again[name]) for name in made), "seeded"


def test_a_sound_that_ends_before_a_note_is_released_is_like_itself():
    short = tone(300)[:32_000]
    assert grade(short, short, 62.4)["grade"] == "++"


def test_what_has_no_pitch_is_no_semitones_off():
    noise = np.random.default_rng(0).normal(size=nsynth.SAMPLES)
    assert np.isnan(measures.semitones_off(0.1 * noise, 440))
    assert measures.semitones_off(tone(440 * 2 ** (3 / 12)), 440) == pytest.approx(3, abs=0.1)


def test_a_folder_of_one_instrument_has_no_other_to_compare_with(monkeypatch):
    alone = {label: file for label, file in index("mini").items() if label.role == "keys"}
    monkeypatch.setattr(nsynth, "index", lambda data: alone)
    with pytest.raises(ValueError, match="data/mini has no other instrument than keys"):
        controls.another_instrument("mini", Label("keys", 66, 100))
