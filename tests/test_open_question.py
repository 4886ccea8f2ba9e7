"""The open question: what its frames hold, and that it can be asked of any profile."""

from dataclasses import replace

import pandas as pd
import papermill
import pytest

from conftest import PROJECT, make_root
from singlib.grid import PROFILES, Cell
from singlib.nsynth import selection
from singlib.report.figures import STAMP
from singlib.report.open_question import COMPARED, grades_by_kind, notes_played, relative_losses, training_and_grades
from singlib.runs.records import Records, describe

CELLS = [
    Cell(),
    Cell(seed=1),
    Cell(loss="CQT"),
    Cell(loss="CQT", gradient="cut"),
    Cell(activation="ELU", elu_alpha=10),
    Cell("brass1", loss="CQT"),
]


@pytest.fixture
def known():
    """Every model's losses fall from its number to half; CQT models play one note of two in tune, others none."""
    history = [
        describe(cell) | {"stage": stage, "epoch": epoch, "updates": 8 * epoch, "spectrum": spectrum, "loss": loss}
        for start, cell in enumerate(CELLS, 1)
        for stage in ("autoencoder", "lstm", "fine-tuning")
        for spectrum in ("STFT", "CQT")
        for epoch, loss in enumerate((start, start / 2))
    ]
    quality = [
        describe(cell) | {"pitch": pitch, "pitch_heard": float(cell.loss == "CQT" and pitch == 60), "grade": grade}
        for cell in CELLS
        for pitch, grade in ((60, "++"), (62, "-" if cell.seed == 0 else "++"), (120, "o"))  # 120 is beyond the tracker
    ]
    seconds = {"seconds_autoencoder": 10.0, "seconds_lstm": 20.0, "seconds_fine-tuning": 5.0}
    about = [describe(cell) | seconds | {"device": "cpu"} for cell in CELLS]
    return Records(PROFILES["quick"], *map(pd.DataFrame, (history, quality)), [], pd.DataFrame(about))


def test_losses_are_relative_to_the_untrained_network_and_of_corrected_models_alone(known):
    losses = relative_losses(known, "keys")
    assert set(losses.cell) == {cell.name for cell in CELLS[:3]} and len(losses) == 3 * 3 * 2 * 2
    assert set(losses.relative[losses.epoch == 0]) == {1.0} and set(losses.relative[losses.epoch == 1]) == {0.5}
    assert set(losses.kind) == {"STFT/ReLU", "CQT/ReLU"}


def test_kinds_are_graded_over_models_or_over_notes(known):
    found = grades_by_kind(known).set_index(["instruments", "kind"])
    assert set(found.index) == {("keys", "STFT/ReLU"), ("keys", "CQT/ReLU"), ("brass1", "CQT/ReLU")}
    one, several = found.loc[("keys", "CQT/ReLU")], found.loc[("keys", "STFT/ReLU")]
    assert one.score == pytest.approx((5 + 0 + 2) / 3) and several.score == pytest.approx((7 / 3 + 4) / 2)
    assert 0 <= one.low < one.score < one.high <= 5


def test_what_training_took_is_counted_in_the_stages_that_train_on_sound(known):
    models = training_and_grades(known).set_index("cell")
    assert len(models) == 4 and set(models.updates) == {16} and set(models.seconds) == {35}
    assert models.notes_seen[Cell().name] == 2 * selection.counts("mini")["keys"]
    assert models.in_tune[CELLS[2].name] == 50 and models.in_tune[CELLS[0].name] == 0
    assert models.score[CELLS[1].name] == 4


def test_without_a_model_the_frames_have_their_columns_and_no_rows(known):
    nothing = replace(known, history=pd.DataFrame(), quality=pd.DataFrame(), about=pd.DataFrame())
    for frame in (relative_losses, grades_by_kind, training_and_grades):
        assert frame(nothing).empty and set(frame(nothing)) <= set(frame(known))


def test_records_are_carried_with_what_the_notebook_plays():
    played = notes_played(PROFILES["quick"])
    for instruments, role in COMPARED.items():
        label = selection.nearest("mini", role, *selection.FIGURE_NOTES[role])
        for activation in ("ReLU", "ELU"):
            assert label in played[Cell(instruments, activation, "MFC").name]


def test_the_question_is_asked_where_no_model_is_finished(tmp_path, monkeypatch):
    monkeypatch.setenv("SINGLIB_ROOT", str(make_root(tmp_path / "root")))
    notebook = PROJECT / "notebooks" / "06-open-question.ipynb"
    shown = papermill.execute_notebook(notebook, tmp_path / "out.ipynb", {"profile": "smoke"}, progress_bar=False)
    said = str([cell.get("outputs") for cell in shown.cells])
    assert "No model of profile smoke is finished" in said and "cannot be tested" in said and STAMP in said
    pictures = (tmp_path / "root" / "figures" / "smoke").iterdir()
    assert {picture.name for picture in pictures} == {
        f"open-{name}.{kind}" for name in ("curves", "grades", "effort") for kind in ("png", "pdf")
    }
