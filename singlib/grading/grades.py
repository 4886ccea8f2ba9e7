"""An objective stand-in for the authors' ears: from measures to the six grades of Table 3.

Section 3.2 of the paper tells three categories apart. Low: static tonal noise, without modulation.
Medium: noise that is modulated. High: the right pitch is heard, with onset and decaying energy. `grade_of`
says the same of one note from `singlib.grading.measures`, `model_grade` of a model from its notes. What each
threshold is, and why, stands here and nowhere else; all were fixed on the controls of every other
note (`singlib.grading.controls`, data/mini and NSynth's test split) before any trained model was graded. The
measures themselves (their frames, and when `singlib.grading.pitch` trusts the tracker) were designed on notes of both
halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from .measures import measure

GRADES = ("-", "-/o", "o", "o/+", "+", "++")  # as Table 3 prints them, from low to high
SCORES = {grade: score for score, grade in enumerate(GRADES)}

# Static below: noise with a note's mean spectrum has 0.1 to 0.33 of its movement, modulated noise 0.8 or more.
STATIC = 0.35
# Follows the target from here: half of its movement. Modulated noise has 0.8 or more, 97 % of clicks have less.
FOLLOWING = 0.5
# Heard from here: 99 % of the notes have 0.6 or more of their loudness at the label, a semitone or an octave off 0.
HEARD = 0.4
# Noise between the partials, dB. Noise in a note's colour has -4.5 or more, since half a second of it has a strongest
# bin too. From -9 down it is no more than one part in eight, as in most real notes.
NOISE, CLEAN = -5.0, -9.0
# A noisy target may be followed by as noisy a note (this much more, dB) if it sounds like the target; modulated noise
# never is both. The distance of sound-alikes is 0.006 at the most in 95 %.
MORE_NOISE, LIKE = 2.5, 0.005
# Envelope: onset (s) later or earlier than that of the target by a frame of the spectrogram or two; decay and release
# (dB) by half of what lies between a held horn and a piano (15 dB), and a third of what a release takes away (30 dB).
ONSET, DECAY, RELEASE = 0.15, 8.0, 10.0
# Level, dB relative to the target. Played so that the target has the 65 dB of a conversation, a note 35 dB softer is as
# soft as the quiet room it is played in: nobody hears it. From 25 dB it is heard, but as something in the background.
FAINT, INAUDIBLE = -25.0, -35.0
# Brightness, octaves: about half of what velocity does to brass (0.8 to 1.2 from 25 to 127 on NSynth's test split).
BRIGHTNESS = 0.5


THRESHOLDS = {
    name: globals()[name]
    for name in (
        *("STATIC", "FOLLOWING", "HEARD", "NOISE", "CLEAN", "MORE_NOISE", "LIKE"),
        *("ONSET", "DECAY", "RELEASE", "FAINT", "INAUDIBLE", "BRIGHTNESS"),
    )
}


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

    A note that is too soft to be heard is silent, "-"; a faint one is "o" at best.

    Parameters
    ----------
    measures : mapping
        Of `singlib.grading.measures.measure`.
    thresholds : mapping
        Other ones than `THRESHOLDS`, to see what hangs on them.
    """
    if measures["level"] <= thresholds["INAUDIBLE"]:
        return "-"
    found = _at_the_level_of_its_target(measures, thresholds)
    return min(found, "o", key=SCORES.get) if measures["level"] <= thresholds["FAINT"] else found


def _at_the_level_of_its_target(m: Mapping[str, float], t: Mapping[str, float]) -> str:
    if m["modulation"] < t["STATIC"]:
        return "-"
    as_noisy = m["noise"] - m["target_noise"] <= t["MORE_NOISE"]
    tonal = m["noise"] <= t["NOISE"] or (as_noisy and m["distance"] <= t["LIKE"])
    shaped = abs(m["onset"]) <= t["ONSET"] and abs(m["decay"]) <= t["DECAY"] and abs(m["release"]) <= t["RELEASE"]
    right = m["pitch_heard"] >= t["HEARD"]
    if not tonal or m["chroma_heard"] < t["HEARD"] or not (shaped or right):
        return "o" if m["follows"] >= t["FOLLOWING"] else "-/o"
    if not (shaped and right and (as_noisy or m["noise"] <= t["CLEAN"])):
        return "o/+"
    bright = abs(m["brightness"] - m["target_brightness"]) <= t["BRIGHTNESS"]
    return "++" if as_noisy and bright and m["distance"] <= t["LIKE"] else "+"


def grade(generated: np.ndarray, target: np.ndarray, pitch: float) -> dict[str, float | str]:
    """Measure and grade one note.

    Parameters
    ----------
    generated, target : ndarray, shape (samples,)
        Waveforms at 16 kHz.
    pitch : float
        MIDI pitch of the label.

    Returns
    -------
    dict
        The measures (see `singlib.grading.measures.measure`) and ``grade``, one of `GRADES`.
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
    """Grade a model, or several of a kind, from the grades of its notes: their mean, with Student's t interval.

    The mean, since the paper's "-/o" and "o/+" are of models with notes of both kinds.

    Parameters
    ----------
    grades : sequence of str
        Of each note.
    models : sequence of str, optional
        The model that each note is of. Models of a kind play the same labels, so their notes are not independent:
        the interval of several models is over the models' means, that of a single one over its notes.

    Raises
    ------
    ValueError
        If there is no note.
    """
    if not len(grades):
        raise ValueError("a model without notes has no grade")
    scores = np.array([SCORES[grade] for grade in grades], float)
    if models is not None and len(set(models)) > 1:
        scores = pd.Series(scores).groupby(np.asarray(models)).mean().to_numpy()
    low, high = np.clip(mean_interval(scores), 0, len(GRADES) - 1)
    return ModelGrade(float(scores.mean()), float(low), float(high))


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean, Student's t; the mean itself where all values are the same."""
    import scipy.stats  # takes a second, and the cells of the grid grade notes alone

    size = values.mean()
    if np.ptp(values) == 0:
        return float(size), float(size)
    reach = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values)
    return float(size - reach), float(size + reach)


def velocity_heard(notes: pd.DataFrame) -> pd.DataFrame:
    """Tell whether velocities can be told apart, by the spectrum: loudness is no cue in NSynth.

    Parameters
    ----------
    notes : DataFrame
        Rows of quality.csv: ``role``, ``pitch``, ``velocity``, ``brightness``, ``target_brightness``.

    Returns
    -------
    DataFrame
        A row for each role: how much brighter (octaves) the generated notes and their targets get from velocity
        25 to 127, by least squares beside a cubic in pitch: ``generated`` with its 95 % interval over the notes,
        ``lowest`` and ``highest`` (Student's t), ``target``; ``heard``, whether the interval lies above 0.
    """
    import scipy.stats  # as above

    rows = {}
    heard = notes[notes.brightness > 0]  # silence has none
    for role, part in heard.groupby("role", sort=False):
        if part.velocity.nunique() < 2 or len(part) < 8:
            continue  # four coefficients of pitch, one of velocity: nothing is left to tell

        pitch = (part.pitch.to_numpy() - part.pitch.mean()) / 24
        steps = (part.velocity.to_numpy() - 25) / 102
        design = np.column_stack([steps, *(pitch**power for power in range(4))])

        ours, theirs = (
            np.linalg.lstsq(design, part[name], rcond=None)[0] for name in ("brightness", "target_brightness")
        )
        freedom = len(part) - design.shape[1]
        residual = np.sum((part.brightness - design @ ours) ** 2) / freedom
        error = np.sqrt(residual * np.linalg.pinv(design.T @ design)[0, 0])
        reach = scipy.stats.t.ppf(0.975, freedom) * error
        rows[role] = {
            "generated": ours[0],
            "lowest": ours[0] - reach,
            "highest": ours[0] + reach,
            "target": theirs[0],
            "heard": bool(ours[0] > reach),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
