"""The first simple grade: the target is good, noise and silence are not."""

import numpy as np
import pytest

from singlib.nsynth import Label, index, read_waveform, select
from singlib.quality import GRADES, grade

LABELS = [label for label in select("mini", ("keys", "brass1", "voice")) if label.velocity == 100 and label.pitch > 40]


@pytest.fixture(params=LABELS, ids=str)
def note(request):
    return read_waveform(index("mini")[request.param]), request.param.pitch


def test_the_target_itself_is_best(note):
    target, pitch = note
    graded = grade(target, target, pitch)
    assert graded["grade"] == "++" and graded["envelope"] == pytest.approx(1)


def test_stationary_noise_and_silence_are_lowest(note):
    target, pitch = note
    noise = np.random.default_rng(0).standard_normal(len(target)) / 10
    assert grade(noise, target, pitch)["grade"] == "-"
    assert grade(np.zeros_like(target), target, pitch)["grade"] == "-"


@pytest.mark.parametrize(("wanted", "played"), [(("keys", 56), ("keys", 66)), (("brass4", 59), ("brass4", 65))])
def test_another_pitch_is_heard_as_wrong(wanted, played):
    target, other = (read_waveform(index("mini")[Label(*label, 100)]) for label in (wanted, played))
    graded = grade(other, target, wanted[1])
    assert graded["harmonicity"] < 0.8
    assert GRADES.index(graded["grade"]) < GRADES.index("++")
