"""Figures and tables: from records alone, nothing missing drawn, the paper's own tables."""

import shutil
import subprocess
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from conftest import call_singlib
from singlib.claims import CLAIMS, check
from singlib.grading.grades import GRADES
from singlib.grid import PROFILES, cells
from singlib.report import figures, page, table3, tables, verdicts
from singlib.runs import records
from singlib.runs.records import Records, describe


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
    assert "Missing: keys-ReLU-MFC-cut-0,1, keys-ReLU-CQT-cut-0,1," in figures.caption(1, some)
    drawn = figures.draw(5, some)
    assert "no finished model" in drawn.axes[0].texts[0].get_text() and not bold(drawn.axes[0])
    plt.close(drawn)
    assert "Missing" not in figures.caption(7, some)
    empty = made_up("quick", lambda cell: False)
    for number in figures.FIGURES:
        plt.close(figures.draw(number, empty))
        assert "Missing" in figures.caption(number, empty)


def test_a_grid_without_its_gradient_cut_and_with_a_loss_of_ours(monkeypatch):
    profile = replace(PROFILES["quick"], name="ours", cut=False, mrstft_models={"brass1": 2})
    monkeypatch.setitem(PROFILES, "ours", profile)
    ours = made_up("ours")
    drawn = figures.draw(1, ours)
    assert [len(bold(axes)) for axes in drawn.axes] == [6] and "Missing" not in figures.caption(1, ours)
    plt.close(drawn)
    assert "Here: 2 on the STFT, 2 on the MFC, 2 on the CQT of each activation." in figures.caption(1, ours)
    note = figures.draw(16, made_up("ours", lambda cell: cell.loss == "STFT"))
    assert note.axes[0].texts[0].get_text() == "no finished model k+m+v-ReLU-CQT-flow-0"
    plt.close(note)
    assert "The paper's model had its gradient cut, this one has not." in figures.FIGURES[16].caption(ours)
    first = tables.table_1(ours).loc["brass1"]
    assert (first["STFT/ReLU"], first["MFC/ReLU"], first["MRSTFT/ELU"]) == ("1 (1)", "– (+ 1)", "– (+ 2)")
    nothing = replace(ours, history=pd.DataFrame(), quality=pd.DataFrame())
    assert "published" not in verdicts.summarise(check(nothing), nothing).data


def test_sets_trained_for_different_epochs_are_drawn_over_updates(quick):
    """Else the losses of one set would end in a corner of the others'."""
    history = quick.history.assign(updates=10 * quick.history.epoch)
    fewer = replace(quick, history=history[(history.instruments != "brass1") | (history.epoch < 2)])
    drawn = figures.draw(13, fewer)
    assert drawn.axes[0].get_xlabel().startswith("updates")
    assert {line.get_xdata()[-1] for line in bold(drawn.axes[0])} == {10, 20}
    plt.close(drawn)


def test_a_paper_caption_of_a_note_is_marked_as_the_papers():
    empty = made_up("quick", lambda cell: False)
    for number, figure in figures.FIGURES.items():
        quoted = f'The paper\'s caption: "{figure.title}".' in figures.caption(number, empty)
        assert quoted == (number >= 16), number


def test_only_small_profiles_carry_the_stamp(quick):
    assert figures.STAMP in figures.draw(7, quick).get_suptitle()
    evidence = Records(PROFILES["recorded"], quick.history, quick.quality, [])
    assert not figures.draw(7, evidence).get_suptitle()
    plt.close("all")


def test_what_is_seen_is_said_from_the_numbers():
    falling = made_up("quick", lambda cell: cell.instruments == "keys")
    assert (
        figures.FIGURES[4].summary(falling) == "Since epoch 0, before training: STFT/ReLU falls by 67% to 0.5."
    )  # means of models 1 and 2, a third is left
    said = figures.caption(1, falling)
    assert "as published, STFT/ReLU falls by 67%" in said and "Corrected, " in said and "ends lowest" in said
    flat = falling.history.assign(loss=falling.history.loss.where(falling.history.gradient == "flow", 3.0))
    said = figures.FIGURES[1].summary(Records(falling.profile, flat, falling.quality, []))
    assert "MFC/ReLU, CQT/ReLU, MFC/ELU, CQT/ELU stay constant" in said.split("Corrected")[0]
    assert "constant" not in said.split("Corrected")[1]
    assert figures.FIGURES[1].summary(made_up("quick", lambda cell: False)) == ""


def test_the_mean_of_several_models_has_a_band_and_one_model_has_none(quick):
    drawn = figures.draw(4, quick)
    assert len(drawn.axes[0].collections) == 1 and "2 models" in drawn.legends[0].texts[0].get_text()
    one = figures.draw(10, quick)
    assert not one.axes[0].collections
    fewer = quick.history[~quick.history.cell.eq("keys-ReLU-MFC-flow-1")]
    both = figures.draw(5, Records(quick.profile, fewer, quick.quality, []))
    assert [text.get_text() for text in both.legends[0].texts] == ["MFC/ReLU, 2 models (corrected: 1)"]
    plt.close("all")


def test_single_parts_are_saved_alone_and_unknown_ones_named(smoke_root):
    out = smoke_root / "figures" / "smoke"
    shutil.rmtree(out, ignore_errors=True)
    assert call_singlib("report", "--profile", "smoke", "--only", "fig07,table3,claims").returncode == 0
    assert {file.name for file in out.iterdir()} == {
        *("fig07.png", "fig07.svg", "fig07.pdf"),
        *("table3.csv", "table3.md", "table3.png", "table3.svg"),
        *("claims.csv", "claims.md"),
    }
    with pytest.raises(ValueError, match="unknown part 'fig7'; choose one of fig01, fig02"):
        page.save_parts(["fig08", "fig7"], records.load("smoke"))
    assert not (out / "fig08.png").exists()


def test_figures_and_tables_import_no_torch():
    code = "import sys; from singlib.report import page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_table_1_of_the_paper_profile_is_the_papers(monkeypatch):
    counts = {role: row.notes for role, row in tables.nsynth.TABLE2.items()}
    monkeypatch.setattr(tables.selection, "counts", lambda data: counts)
    table = tables.table_1(made_up("paper"))
    for instruments, row in table.drop(columns=["sampl.", "sampl. (paper)"]).iterrows():
        for entry, found in row.items():
            stft, brass = entry.startswith("STFT"), instruments.startswith("brass")
            count = 10 if instruments == "keys" else 1
            expected = f"{count} ({count})" if stft else f"{count} ({count} + {count})"
            assert found == ("– (+ 1)" if brass and not stft else expected)
    assert (table["sampl."] == table["sampl. (paper)"]).all()


def test_table_1_counts_what_is_on_record_beside_the_papers():
    some = made_up("quick", lambda cell: cell.seed == 0)
    assert tables.table_1(some).loc["keys", "CQT/ELU"] == "10 (1 of 2 + 1 of 2)"


ON_CURVES = [claim for claim in CLAIMS if set(claim.figures) & set(range(1, 16))]


def test_every_figure_of_curves_says_what_of_the_paper_came_out(quick):
    checked = check(quick, ON_CURVES)
    for number in range(1, 16):
        lines = figures.statements(number, checked).splitlines()
        assert lines and all(line.startswith(("- ✔ **", "- ✘ **", "- ? **", "- – **")) for line in lines), number
    assert "✔ **holds**: [Training on the STFT lowers the MFC loss, too.](#claim-stft-moves-mfc)" in figures.statements(
        2, checked
    )
    assert "lowers the MFC loss" not in figures.statements(3, checked)


def test_a_verdict_that_turns_round_in_another_regime_is_named(quick, monkeypatch):
    """The other regime is made up: there the ReLU models are those of ELU, and the other way round."""
    here = replace(made_up("recorded"), profile=replace(PROFILES["recorded"], beside="quick"))
    swap = {"ReLU": "ELU", "ELU": "ReLU"}
    there = replace(here, history=here.history.assign(activation=here.history.activation.map(swap)))
    monkeypatch.setattr(records, "load", lambda name: replace(there, profile=PROFILES[name]))
    said = verdicts.in_another_regime(check(here, ON_CURVES), here).data
    assert "50/50/20 epochs, batches of 16" in said and "6/6/2 epochs, batches of 4" in said
    assert (
        "does not hold there</b>: ReLU ends the LSTM stage at a lower loss than ELU." in said
        and "<b>holds here" in said
    )
    same = verdicts.in_another_regime(check(there, ON_CURVES), there).data.splitlines()
    assert "contradict each other on 0 of them" in same[0] and not same[1:]


def test_a_claim_links_to_its_figures_and_back(quick):
    html = verdicts.in_html(check(quick, ON_CURVES))
    assert '<details id="claim-stft-moves-mfc"><summary><b>' in html
    assert '(3.1, Figs. <a href="#figure-1">1</a>-<a href="#figure-3">3</a>, <a href="#figure-7">7</a>)' in html
    assert verdicts.linked_place("3.2, Table 3") == '3.2, Table <a href="#table-3">3</a>'
    assert verdicts.linked_place("1.4.2, 4") == "1.4.2, 4"


def test_table_3_shows_missing_and_never_calculated_entries():
    some = made_up("quick", lambda cell: cell.instruments != "voice")
    table = table3.table(some)
    assert set(table.loc[("voice", "published")]) == {"missing"}
    assert table.loc[("brass1", "published"), "CQT/ReLU"] == "not calculated"
    assert table.loc[("brass1", "corrected"), "CQT/ReLU"] == "-"
    assert table.loc[("keys", "published"), "STFT/ELU"] == "++"
    assert table.loc[("k+m+v", "paper"), "STFT/ReLU"] == "++"
    assert table3.taus(some).loc["published", "entries (all)"] == 24, "the 30 that Table 1 counts, less voice's"


def test_table_3_has_our_loss_and_no_row_of_cut_models_where_the_grid_says_so():
    some = made_up("recorded-best")
    table = table3.table(some)
    assert table.index.unique("grade").tolist() == ["paper", "corrected"]
    assert table.columns.tolist()[-2:] == ["MRSTFT/ReLU", "MRSTFT/ELU"]
    assert table.loc[("keys", "paper"), "MRSTFT/ReLU"] == "not calculated"
    assert "n/a: never calculated; MRSTFT: a loss of ours" in table3.in_html(table)
    assert table.loc[("keys", "corrected"), "MRSTFT/ReLU"] == "-"
    assert table3.taus(some).loc["corrected", "entries (STFT)"] == 14
    drawn = table3.draw(some)
    assert [panel.get_title() for panel in drawn.axes[-2:]] == ["MFC, ELU", "MRSTFT, ELU"]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["authors' ears", "gradient restored"]
