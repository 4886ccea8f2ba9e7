"""An objective stand-in for the authors' ears: from measures to the six grades of Table 3.

Section 3.2 of the paper tells three categories apart. Low: static tonal noise, without modulation. Medium: modulated
noise. High: the right pitch is heard, with onset and decaying energy. The thresholds below were fixed on the
controls (`singlib.grading.controls`) of every other note of data/mini and NSynth's test split, before any trained model
was graded; the measures themselves were designed on notes of both halves.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from librosa import midi_to_hz

from .measures import TRACKED, measure

# The grades as Table 3 prints them, from low to high, and what they mean, after section 3.2.
MEANINGS = {
    "-": "silent, or static noise",
    "-/o": "noise that moves a little",
    "o": "noise that rises and decays as the note does, or a wrong pitch",
    "o/+": "the pitch, but noisy, an octave off, or with another envelope",
    "+": "the right pitch, with its onset and decay",
    "++": "the same, as clean and bright as the note",
}
GRADES = tuple(MEANINGS)
SCORES = {grade: score for score, grade in enumerate(GRADES)}

# Static below: noise of a note's mean spectrum has 0.1 to 0.33 of its movement, modulated noise 0.8 or more.
STATIC = 0.35
# Follows the target from here: half of its movement. Modulated noise has 0.8 or more, 97 % of clicks have less.
FOLLOWING = 0.5
# Heard from here: 99 % of the notes have 0.6 or more of their loudness at the label, a semitone or an octave off 0.
HEARD = 0.4
# Noise between the partials, dB. Noise of a note's mean spectrum has -4.5 or more; most real notes have -9 or less, one
# part in eight.
NOISE, CLEAN = -5.0, -9.0
# As noisy as its target up to this much more, dB; like its target up to this distance. Modulated noise is never both;
# 95 % of sound-alikes have a distance of 0.006 at the most.
MORE_NOISE, LIKE = 2.5, 0.005
# Envelope, differences from the target: onset (s) of a frame of the spectrogram or two; decay (dB) of half of what lies
# between a held horn and a piano (15 dB); release (dB) of a third of a full one (30 dB).
ONSET, DECAY, RELEASE = 0.15, 8.0, 10.0
# Level, dB relative to the target. Where the target has the 65 dB of a conversation, a note 35 dB softer is lost in the
# sounds of a quiet room; one 25 dB softer is in the background.
FAINT, INAUDIBLE = -25.0, -35.0
# Brightness, octaves: about half of what velocity, from 25 to 127, does to brass (0.9 on average on NSynth's test
# split, from 0 of brass 3 to 2.1 of brass 4).
BRIGHTNESS = 0.5

THRESHOLDS = {"STATIC": STATIC, "FOLLOWING": FOLLOWING, "HEARD": HEARD, "NOISE": NOISE, "CLEAN": CLEAN}
THRESHOLDS |= {"MORE_NOISE": MORE_NOISE, "LIKE": LIKE, "ONSET": ONSET, "DECAY": DECAY, "RELEASE": RELEASE}
THRESHOLDS |= {"FAINT": FAINT, "INAUDIBLE": INAUDIBLE, "BRIGHTNESS": BRIGHTNESS}


def grade_of(measures: Mapping[str, float], thresholds: Mapping[str, float] = THRESHOLDS) -> str:
    """Return the grade of a note, one of `GRADES`.

    ======  ==============================================================================================
    "-"     silent or static: "non-modulating bars", "static tonal noise"
    "-/o"   moves, but not as the target does: "mild modulation"
    "o"     moves as the target does, but is noise or at a wrong pitch: "amplitude modulated static noise"
    "o/+"   pitch or an octave of it is heard, but noise is a good part of it, or the envelope or octave is wrong
    "+"     "a correct perceived pitch", "initial transient and decaying energy envelope"
    "++"    the same, as clean, as bright and nearly as the target sounds
    ======  ==============================================================================================

    A note too soft to be heard is "-", a faint one "o" at best. `measures` are those of
    `singlib.grading.measures.measure`.
    """
    m, t = measures, thresholds
    if m["level"] <= t["INAUDIBLE"] or m["modulation"] < t["STATIC"]:
        return "-"
    as_noisy = m["noise"] - m["target_noise"] <= t["MORE_NOISE"]
    tonal = m["noise"] <= t["NOISE"] or (as_noisy and m["distance"] <= t["LIKE"])
    shaped = abs(m["onset"]) <= t["ONSET"] and abs(m["decay"]) <= t["DECAY"] and abs(m["release"]) <= t["RELEASE"]
    right = m["pitch_heard"] >= t["HEARD"]
    if not tonal or m["chroma_heard"] < t["HEARD"] or not (shaped or right):
        return "o" if m["follows"] >= t["FOLLOWING"] else "-/o"
    if m["level"] <= t["FAINT"]:
        return "o"
    if not (shaped and right and (as_noisy or m["noise"] <= t["CLEAN"])):
        return "o/+"
    bright = abs(m["brightness"] - m["target_brightness"]) <= t["BRIGHTNESS"]
    return "++" if as_noisy and bright and m["distance"] <= t["LIKE"] else "+"


def grade(generated: np.ndarray, target: np.ndarray, pitch: float) -> dict[str, float | str]:
    """Measure and grade one note ``(samples,)`` at 16 kHz, of the MIDI pitch of its label.

    Returns the measures of `singlib.grading.measures.measure`, with its errors, and ``grade``.
    """
    measures = measure(generated, target, pitch)
    return measures | {"grade": grade_of(measures)}


class ModelGrade(NamedTuple):
    """A model's mean score over its notes, 0 ("-") to 5 ("++"), with its 95 % interval; and the same as grades."""

    score: float
    low: float
    high: float

    @property
    def grade(self) -> str:
        """The nearest of `GRADES`."""
        return GRADES[int(self.score + 0.5)]

    def __str__(self) -> str:
        lowest, highest = (GRADES[int(end + 0.5)] for end in (self.low, self.high))
        return self.grade if lowest == highest else f"{self.grade} [{lowest}, {highest}]"


def model_grade(grades: Sequence[str], models: Sequence[str] | None = None) -> ModelGrade:
    """Return the mean of notes' grades, with Student's t interval, given the model of each; ValueError without notes.

    The mean, since the paper gives "-/o" and "o/+" to models with notes of both kinds. Notes of one label by several
    models are not independent, so the interval of several models is over the models' means, that of a single one over
    its notes.
    """
    if not len(grades):
        raise ValueError("a model without notes has no grade")
    scores = np.array([SCORES[grade] for grade in grades], float)
    if models is not None and len(set(models)) > 1:
        scores = pd.Series(scores).groupby(np.asarray(models)).mean().to_numpy()
    low, high = np.clip(mean_interval(scores), 0, len(GRADES) - 1)
    return ModelGrade(float(scores.mean()), float(low), float(high))


def heard_in_tune(notes: pd.DataFrame) -> pd.Series:
    """Return which notes are heard at their label, of those in the range of the pitch tracker (`TRACKED`).

    Takes ``pitch`` and ``pitch_heard`` of graded notes, rows of quality.csv; the mean is the share in tune.
    """
    tracked = notes[notes.pitch.map(midi_to_hz).between(*TRACKED)]
    return tracked.pitch_heard >= HEARD


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean, Student's t; the mean itself if all values are the same."""
    from scipy import special  # a quarter of a second, which a cell of the grid does not need

    values = np.asarray(values, float)
    size = values.mean()
    if np.ptp(values) == 0:
        return float(size), float(size)
    reach = special.stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values))
    return float(size - reach), float(size + reach)
