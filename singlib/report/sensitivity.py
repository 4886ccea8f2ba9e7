"""Would another size, another rate or another threshold of the grade have said otherwise?

`check_sizes` tests the paper's statements on Figures 1, 7, 8 and 9 at each size and rate tried, `vary_thresholds` all
statements on sounds with each threshold moved. The models of the first are those of ``data/recorded/sizes.parquet``
(``sizes.py`` beside it trains them): keys, STFT, three seeds that the grid does not use. As published, MFC and CQT
models stay where they begin, so Figure 1 shows of them the losses of the STFT model of their seed before training.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from IPython.display import Markdown

from .. import claims
from ..files import project_folder
from ..grading.grades import GRADES, SCORES, THRESHOLDS, grade_of
from ..grid import PAPER_LOSSES, PROFILES, Cell
from ..runs.records import Records, describe
from .figures import MARKS, output_folder, save_markdown
from .verdicts import PLAIN

PROFILE = PROFILES["recorded"]  # whose size the study was made to choose
SIZE = ["channels", "dimension", "hidden", "learning_rate"]
ON_FIGURES = {1, 7, 8, 9}
BY_CONSTRUCTION = "published-autoencoder-constant"  # the study takes it for granted


def load_sizes() -> dict[tuple, Records]:
    """Read the study: size and rate (`SIZE`) -> the records of its models; FileNotFoundError if it is not there."""
    rows = pd.read_parquet(project_folder() / "data" / PROFILE.name / "sizes.parquet")
    # An autoencoder serves LSTMs of several sizes.
    autoencoders = dict(list(rows[rows.hidden == 0].groupby(["channels", "dimension", "learning_rate"])))
    study = {}
    for size, later in rows[rows.hidden > 0].groupby(SIZE, sort=False):
        channels, dimension, _, rate = size
        both, parts = pd.concat([autoencoders[channels, dimension, rate], later]), []
        for (activation, seed), model in both.groupby(["activation", "seed"]):
            losses = model[["stage", "epoch", "spectrum", "loss"]]
            parts.append(losses.assign(**describe(Cell(activation=activation, seed=seed))))
            flat = losses[losses.stage == "autoencoder"]
            flat = flat.assign(loss=flat.groupby("spectrum").loss.transform("first"))
            parts += [flat.assign(**describe(Cell("keys", activation, loss, "cut", seed))) for loss in PAPER_LOSSES[1:]]
        profile = replace(PROFILE, **dict(zip(SIZE, size, strict=True)))
        study[size] = Records(profile, pd.concat(parts), pd.DataFrame(), [])
    return study


def check_sizes() -> pd.DataFrame:
    """Check the paper's statements on Figures 1, 7, 8 and 9 at each size: columns of `SIZE` and `claims.check`."""
    asked = [
        claim for claim in claims.CLAIMS if ON_FIGURES.intersection(claim.figures) and claim.key != BY_CONSTRUCTION
    ]
    sizes = load_sizes().items()
    parts = [claims.check(records, asked).assign(**dict(zip(SIZE, size, strict=True))) for size, records in sizes]
    return pd.concat(parts, ignore_index=True)


def show_sizes(records: Records) -> Markdown:
    """Save the study as CSV and Markdown under ``figures/``, and return it, in the report of the profile it chose."""
    if records.profile.name != PROFILE.name:
        return Markdown(f"The study of sizes and rates is in the report of {PROFILE.name}.")
    checked = check_sizes()
    marks = checked.verdict.map(MARKS).where(
        checked.verdict.isin(PLAIN), checked.leans.map({True: "(✔)", False: "(✘)"})
    )
    most = checked.groupby(SIZE).models.transform("max")
    few = most.map("; {} each".format).where(most < most.max(), "")
    tried = [
        f"C {it.channels}, D {it.dimension}, LSTM {it.hidden}, {it.learning_rate:g}{each}"
        for it, each in zip(checked.itertuples(), few, strict=True)
    ]
    by_size = checked.assign(mark=marks, tried=tried)
    table = by_size.set_index(["statement", "tried"]).mark.unstack(sort=False).rename_axis(columns=None)
    table.loc["come out, by the mean"] = by_size.groupby("tried").leans.sum().astype(str)
    text = (
        "**Sensitivity.** The paper's statements on Figures 1, 7, 8 and 9 at other sizes and learning rates, with "
        f"everything else as in the profile {PROFILE.name}: {checked.models.max()} models each of ReLU and ELU, of "
        "other seeds than the grid's. ✔ and ✘: the whole 95 % interval lies on one side; in brackets: the mean "
        f"does.\n\n{table.reset_index().to_markdown(index=False)}\n"
    )
    path = output_folder(PROFILE) / "sensitivity"
    checked.to_csv(path.with_suffix(".csv"), index=False)
    return Markdown(save_markdown(text, path, PROFILE))


def vary_thresholds(records: Records) -> pd.DataFrame:
    """Grade all notes again with each threshold of `singlib.grading.grades` a tenth lower and a tenth higher.

    Returns
    -------
    DataFrame
        A row for each: ``threshold``; its ``value``; ``notes``, % whose grade changes; ``largest``, the largest change
        of a model's mean grade, of 5; ``verdicts``, the statements whose verdict changes, by key.
    """
    quality = records.quality
    measured = quality.to_dict("records")

    def grade_notes(**changed: float) -> pd.Series:
        return pd.Series([grade_of(note, THRESHOLDS | changed) for note in measured], quality.index)

    def score_models(grades: pd.Series) -> pd.Series:
        return grades.map(SCORES).groupby(quality.cell).mean()

    def check(grades: pd.Series, asked: list[claims.Claim]) -> pd.DataFrame:
        return claims.check(replace(records, quality=quality.assign(grade=grades)), asked).set_index("key")

    # Many statements do not rest on grades: only those whose numbers move with grades drawn at random are asked again.
    now = grade_notes()
    drawn = pd.Series(np.random.default_rng(0).choice(GRADES, len(now)), now.index)
    checked, by_chance = (check(grades, claims.CLAIMS) for grades in (now, drawn))
    moved = checked.index[checked["size"].to_numpy() != by_chance["size"].to_numpy()]
    on_grades = [claim for claim in claims.CLAIMS if claim.key in moved]
    rows = []
    for name, value in ((name, value * factor) for name, value in THRESHOLDS.items() for factor in (0.9, 1.1)):
        then = grade_notes(**{name: value})
        turned = []
        if (then != now).any():
            verdicts = check(then, on_grades).verdict
            turned = verdicts.index[verdicts != checked.verdict[verdicts.index]]
        change = (score_models(then) - score_models(now)).abs().max()
        rows.append((name, value, 100 * (then != now).mean(), change, ", ".join(turned)))
    return pd.DataFrame(rows, columns=["threshold", "value", "notes", "largest", "verdicts"])


def show_thresholds(records: Records) -> Markdown:
    """Save `vary_thresholds` as CSV under ``figures/<profile>/`` and return them as a table."""
    if records.quality.empty:
        return Markdown("No graded note.")
    varied = vary_thresholds(records)
    varied.to_csv(output_folder(records.profile) / "thresholds.csv", index=False)
    headings = ["notes regraded (%)", "largest change of a model's mean grade", "verdicts that change"]
    shown = varied.round(3).set_axis(["threshold", "value", *headings], axis=1)
    lead = f"Each threshold of the grade a tenth lower and higher ({records.profile.name}: {records.profile.regime})."
    return Markdown(f"{lead}\n\n{shown.to_markdown(index=False)}")
