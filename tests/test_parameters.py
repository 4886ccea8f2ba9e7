"""A notebook's parameters are checked, which papermill alone does not do."""

import papermill
import pytest

from singlib.files import project_folder
from singlib.runs.notebooks import assigned, check_names, latest


def test_assigned_names():
    assert assigned("# Parameters of a cell\nloss = 'STFT'  # STFT, MFC\nseed = 0\nx.y = 1") == ["loss", "seed"]


def test_a_corrected_mistake_is_forgotten():
    history = ["", "# Parameters\nlos = 1", "check", "# Parameters\nloss = 1", "# Parameters\nseed = 2", "check"]
    assert latest(history) == history[3:5]
    assert latest(["", "check"]) == []
    assert assigned("# Parameters\nactivaton: str = 'ELU'") == ["activaton"]


def test_a_misspelt_name_is_told_with_the_right_one():
    with pytest.raises(ValueError, match=r"unknown parameter 'activaton', did you mean 'activation'\?.*takes: loss"):
        check_names(["loss", "activation"], ["loss", "activaton"])


@pytest.mark.parametrize(
    ("notebook", "given", "message"),
    [
        ("train", {"activaton": "ELU"}, "unknown parameter 'activaton', did you mean 'activation'"),
        ("train", {"loss": "MEL"}, "unknown loss 'MEL'; choose one of STFT, MFC, CQT"),
        ("report", {"profil": "quick"}, "unknown parameter 'profil', did you mean 'profile'"),
    ],
)
def test_papermill_stops_at_a_wrong_parameter(tmp_path, notebook, given, message):
    with pytest.raises(papermill.PapermillExecutionError, match=message):
        papermill.execute_notebook(
            project_folder() / "notebooks" / f"{notebook}.ipynb", tmp_path / "out.ipynb", given, progress_bar=False
        )
