"""The grid is the paper's."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pandas as pd
import pytest

from singlib.grid import INSTRUMENT_SETS, PROFILES, Cell, cells, profile_named
from singlib.report.figures import FIGURES, Curves
from singlib.runs.records import Records

PAPER_TABLE_1 = {"keys": 10, "mallet": 1, "voice": 1, "k+m+v": 1}


def test_84_published_models_in_the_entries_of_table_1():
    published = [cell for cell in cells("paper") if cell.published]
    assert len(published) == 84
    for instruments in INSTRUMENT_SETS:
        for activation in ("ReLU", "ELU"):
            for loss in ("STFT", "MFC", "CQT"):
                entry = [
                    c for c in published if (c.instruments, c.activation, c.loss) == (instruments, activation, loss)
                ]
                assert len(entry) == PAPER_TABLE_1.get(instruments, 1 if loss == "STFT" else 0)
                assert {cell.gradient for cell in entry} <= {"flow" if loss == "STFT" else "cut"}


def test_the_recorded_grid_is_the_papers_and_no_statement_rests_on_one_pair():
    assert set(cells("paper")) - set(cells("recorded")) == {
        cell for cell in cells("paper") if not cell.published and cell.seed >= 5
    }
    kinds = Counter(replace(cell, seed=0) for cell in cells("recorded") if cell.published and cell.loss == "STFT")
    assert set(kinds.values()) == {3, 10}


def test_a_regime_is_named():
    assert PROFILES["recorded"].regime == "50/50/20 epochs, batches of 16, Adam 3e-4"
    assert PROFILES["recorded-best"].regime.startswith("50/35/30 epochs (voice, brass1 250/175/150; keys, ")
    some = {"voice": (9, 9, 4), "keys": (5, 5, 2), "brass1": (9, 9, 4)}
    several = replace(PROFILES["recorded"], own_epochs=some)
    assert several.regime.startswith("50/50/20 epochs (voice, brass1 9/9/4; keys 5/5/2), batches of 16")
    assert several.sized(Cell("voice")).regime.startswith("9/9/4 epochs, batches")
    muon = replace(
        PROFILES["recorded"], optimiser="muon", learning_rate=2.5e-3, warm_up=100, schedule="cosine", averaged_epochs=5
    )
    assert muon.regime.split("batches of 16, ")[1] == (
        "Muon 2.5e-3, warmed up over 100 updates, falling to 0 as a cosine, weights averaged over the last 5 epochs"
    )
    own = replace(muon, own_warm_up={"mallet": 200, "keys": 50})
    assert "warmed up over 100 updates (mallet 200, keys 50)," in own.regime
    assert "warmed up over 200 updates," in own.sized(Cell("mallet")).regime
    assert "Muon 2.5e-3/5e-4/1e-3" in replace(muon, learning_rate=(2.5e-3, 5e-4, 1e-3)).regime


def test_an_unknown_optimiser_schedule_or_set_of_instruments_is_named():
    for own in ({"own_epochs": {"malet": (5, 5, 2)}}, {"own_warm_up": {"malet": 200}}, {"mrstft_models": {"malet": 1}}):
        with pytest.raises(ValueError, match="unknown instruments 'malet'; choose one of keys, mallet"):
            replace(PROFILES["smoke"], **own)
    with pytest.raises(ValueError, match="unknown optimiser 'sgd'; choose one of adam, muon"):
        replace(PROFILES["smoke"], optimiser="sgd")
    with pytest.raises(ValueError, match="unknown schedule 'linear'; choose one of constant, cosine"):
        replace(PROFILES["smoke"], schedule="linear")
    with pytest.raises(
        ValueError, match=r"learning_rate \(0.1, 0.2\) is not one number, or one for each of the 3 stages"
    ):
        replace(PROFILES["smoke"], learning_rate=(0.1, 0.2))


def test_every_mfc_and_cqt_entry_has_corrected_models_brass_included():
    corrected = {(c.instruments, c.activation, c.loss) for c in cells("paper") if not c.published}
    assert len(corrected) == len(INSTRUMENT_SETS) * 2 * 2
    assert all(cell.gradient == "flow" for cell in cells("paper") if not cell.published)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_two_cells_share_a_folder(profile):
    names = [cell.name for cell in cells(profile)]
    assert len(names) == len(set(names)) > 0


@pytest.mark.parametrize("profile", ["quick", "recorded", "recorded-best", "paper"])
@pytest.mark.parametrize("number", FIGURES)
def test_every_figure_has_its_cells(profile, number):
    figure = FIGURES[number]
    records = Records(PROFILES[profile], pd.DataFrame(), pd.DataFrame(), [])
    shown = {(cell.instruments, cell.loss, cell.activation) for cell in figure.models(records)}
    assert set(figure.models(records)) <= set(cells(profile))
    if isinstance(figure, Curves):
        assert shown == set(product(figure.instruments, figure.losses, figure.activations))
    else:
        assert len(shown) == 1


def test_smoke_cells_all_exist():
    assert {cell.name for cell in cells("smoke")} == set(PROFILES["smoke"].subset)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("instruments", "piano", "unknown instruments 'piano'; choose one of keys, mallet"),
        ("activation", "relu", "unknown activation 'relu'; choose one of ReLU"),
        ("loss", "MEL", "unknown loss 'MEL'; choose one of STFT, MFC, CQT"),
        ("gradient", True, "unknown gradient True"),
        ("seed", -1, "seed -1 is not a whole number"),
        ("seed", "0", "seed '0' is not a whole number"),
        ("elu_alpha", 0, "elu_alpha 0 is not a number above 0"),
        ("elu_alpha", 10, "elu_alpha 10 has no meaning with activation ReLU"),
    ],
)
def test_a_wrong_value_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        Cell(**{field: value})


def test_an_elu_of_another_alpha_is_another_cell():
    assert Cell(activation="ELU", elu_alpha=10).name != Cell(activation="ELU").name
    assert Cell(activation="ELU", elu_alpha=10).elu_alpha == 10.0


def test_unknown_profile_is_named():
    with pytest.raises(
        ValueError,
        match="unknown profile 'fast'; choose one of smoke, quick, recorded, recorded-best",
    ):
        profile_named("fast")
