"""Figures and tables: from records alone, nothing missing drawn, the paper's own tables."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from singlib import figures, tables
from singlib.grid import PROFILES, cells
from singlib.quality import GRADES
from singlib.records import Records, describe


def made_up(profile, keep=lambda cell: True):
    """Make records of a profile in which a loss falls from the cell's number, without training anything."""
    done = [cell for cell in cells(profile) if keep(cell)]
    history = [
        {
            "stage": stage,
            "epoch": epoch,
            "updates": epoch,
            "spectrum": spectrum,
            "role": "side",
            "loss": start / (epoch + 1),
        }
        | describe(cell)
        for start, cell in enumerate(done, 1)
        for stage in ("autoencoder", "lstm", "fine-tuning")
        for spectrum in ("STFT", "MFC", "CQT")
        for epoch in range(3)
    ]
    quality = [describe(cell) | {"grade": GRADES[-1] if cell.loss == "STFT" else "-"} for cell in done]
    missing = [cell.name for cell in cells(profile) if not keep(cell)]
    return Records(PROFILES[profile], pd.DataFrame(history), pd.DataFrame(quality), missing)


@pytest.fixture(scope="module")
def quick():
    return made_up("quick")


def bold(axes):
    return [line for line in axes.lines if line.get_linewidth() >= 1 and len(line.get_xdata())]


@pytest.mark.parametrize(("number", "lines"), [(1, [6, 6]), (4, [1]), (5, [1, 1]), (7, [2]), (11, [2]), (15, [6])])
def test_a_figure_has_a_line_for_each_kind_of_model(quick, number, lines):
    drawn = figures.draw(number, quick)
    assert [len(bold(axes)) for axes in drawn.axes] == lines
    for axes in drawn.axes:
        assert "epoch" in axes.get_xlabel()
    assert len(drawn.legends[0].texts) == max(lines)
    assert "loss" in drawn.axes[0].get_ylabel()
    plt.close(drawn)


def test_the_bold_line_is_the_mean_of_its_models(quick):
    drawn = figures.draw(4, quick)
    rows = quick.history.query(
        "training_loss == 'STFT' and activation == 'ReLU' and instruments == 'keys' "
        "and stage == 'autoencoder' and spectrum == 'STFT'"
    )
    assert rows.cell.nunique() == 2
    np.testing.assert_allclose(bold(drawn.axes[0])[0].get_ydata(), rows.groupby("epoch").loss.mean())
    plt.close(drawn)


def test_lines_are_told_apart_without_colour(quick):
    drawn = figures.draw(1, quick)
    looks = {(line.get_linestyle(), line.get_marker()) for line in bold(drawn.axes[0])}
    assert len(looks) == 6
    plt.close(drawn)


def test_missing_cells_are_named_and_not_drawn():
    some = made_up("quick", lambda cell: cell.loss == "STFT")
    assert "Missing: keys-ReLU-MFC-cut-0, keys-ReLU-MFC-cut-1," in figures.caption(1, some)
    drawn = figures.draw(5, some)
    assert "no finished model" in drawn.axes[0].texts[0].get_text() and not bold(drawn.axes[0])
    plt.close(drawn)
    assert "Missing" not in figures.caption(7, some)
    empty = made_up("quick", lambda cell: False)
    for number in figures.FIGURES:
        plt.close(figures.draw(number, empty))
        assert "Missing" in figures.caption(number, empty)


def test_only_small_profiles_carry_the_stamp(quick):
    assert figures.STAMP in figures.draw(7, quick).get_suptitle()
    evidence = Records(PROFILES["recorded"], quick.history, quick.quality, [])
    assert not figures.draw(7, evidence).get_suptitle()
    plt.close("all")


def test_report_of_the_smoke_grid(smoke_root):
    import papermill

    out = smoke_root / "figures" / "smoke"
    papermill.execute_notebook(
        smoke_root / "notebooks" / "report.ipynb", smoke_root / "report.ipynb", progress_bar=False
    )
    for number in range(1, 23):
        assert (out / f"fig{number:02d}.png").stat().st_size > 5_000
        assert (out / f"fig{number:02d}.svg").read_text().startswith("<?xml")
    for number, rows in ((1, 7), (2, 8), (3, 21)):
        assert len(pd.read_csv(out / f"table{number}.csv")) == rows
        assert figures.STAMP in (out / f"table{number}.md").read_text()


def test_figures_and_tables_import_no_torch():
    code = "import sys; from singlib import figures, records, tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_table_1_of_the_paper_profile_is_the_papers(monkeypatch):
    monkeypatch.setattr(tables.nsynth, "select", lambda data, roles: range(tables.nsynth.TABLE2[roles[0]].notes))
    table = tables.table_1(made_up("paper"))
    published = table.drop(columns=["sampl.", "sampl. (paper)"]).map(lambda entry: entry.split(" ")[0])
    for instruments, row in published.iterrows():
        for entry, count in row.items():
            brass = instruments.startswith("brass") and not entry.startswith("STFT")
            assert count == ("–" if brass else "10" if instruments == "keys" else "1")
    assert (table["sampl."] == table["sampl. (paper)"]).all()


def test_table_1_counts_what_is_on_record():
    some = made_up("quick", lambda cell: cell.seed == 0)
    assert tables.table_1(some).loc["keys", "CQT/ELU"] == "1 of 2 (+1 of 2)"


def test_table_3_shows_missing_and_never_calculated_entries():
    some = made_up("quick", lambda cell: cell.instruments != "voice")
    table = tables.table_3(some)
    assert set(table.loc[("voice", "published")]) == {"missing"}
    assert table.loc[("brass1", "published"), "CQT/ReLU"] == "not calculated"
    assert table.loc[("brass1", "corrected"), "CQT/ReLU"] == "-"
    assert table.loc[("keys", "published"), "STFT/ELU"] == "++"
    assert table.loc[("k+m+v", "paper"), "STFT/ReLU"] == "++"
