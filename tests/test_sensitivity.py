"""What hangs on the network's size, the learning rate and the grade's thresholds."""

import pandas as pd
import pytest

from conftest import PROJECT
from singlib.grading.grades import SCORES, THRESHOLDS, grade_of
from singlib.grid import PROFILES, Cell
from singlib.report import sensitivity
from singlib.runs.records import Records, describe

GOOD = dict.fromkeys(("modulation", "follows", "pitch_heard", "chroma_heard"), 1.0)
GOOD |= dict.fromkeys(("distance", "onset", "decay", "release", "level", "brightness", "target_brightness"), 0.0)
GOOD |= {"noise": -20.0, "target_noise": -20.0, "role": "keys", "pitch": 60, "velocity": 100}


def test_the_committed_study_of_sizes_is_that_of_its_records():
    kept = pd.read_csv(PROJECT / "figures" / "recorded" / "sensitivity.csv", keep_default_na=False, na_values=[""])
    now = sensitivity.check_sizes().replace("", float("nan"))
    pd.testing.assert_frame_equal(now.infer_objects(), kept.replace("", float("nan")), rtol=1e-6, check_dtype=False)


@pytest.mark.parametrize(
    ("changed", "threshold", "factor"),
    [
        ({"brightness": 0.48}, "BRIGHTNESS", 0.9),
        ({"onset": 0.16}, "ONSET", 1.1),
        ({"modulation": 0.36}, "STATIC", 1.1),
        ({"distance": 0.0054}, "LIKE", 1.1),
    ],
)
def test_a_note_beside_one_threshold_hangs_on_that_alone(changed, threshold, factor):
    """One of four notes: a quarter of them is graded otherwise, and the model's mean moves by a quarter of the step."""
    notes = [GOOD | describe(Cell(seed=seed)) for seed in (0, 0, 1, 1)]
    notes[0] |= changed
    quality = pd.DataFrame(notes).assign(grade=[grade_of(note) for note in notes])
    varied = sensitivity.vary_thresholds(Records(PROFILES["recorded"], pd.DataFrame(), quality, []))
    (moved,) = varied[varied.notes > 0].itertuples()
    value = THRESHOLDS[threshold] * factor
    assert (moved.threshold, moved.value, moved.notes) == (threshold, value, 25)
    step = SCORES[grade_of(notes[0], THRESHOLDS | {threshold: value})] - SCORES[quality.grade[0]]
    assert step and moved.largest == pytest.approx(abs(step) / 2)
