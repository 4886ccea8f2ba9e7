"""Would another size, another rate or another threshold of the grade have said otherwise?

`check` puts the paper's statements on Figures 1, 7, 8 and 9 to the test at each size and rate tried, `thresholds` all
statements on sounds with each threshold moved. The models of the first are those of ``data/recorded/sizes.parquet``
(``data/recorded/sizes.py`` trains them): keys, STFT, three seeds that the grid does not use. As published, MFC and CQT
models stay where they begin; so what Figure 1 shows of them are the losses of the STFT model of their seed before
training, without a model of their own.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from IPython.display import Markdown

from .. import claims
from ..files import project_folder, write_text
from ..grading.grades import SCORES, THRESHOLDS, grade_of
from ..grid import PAPER_LOSSES, PROFILES, Cell
from ..runs.records import Records, describe
from .figures import MARKS, output_folder

PROFILE = PROFILES["recorded"]  # whose size the study was made to choose
SIZE = ["channels", "dimension", "hidden", "learning_rate"]
FIGURES = {1, 7, 8, 9}
BY_CONSTRUCTION = "published-autoencoder-constant"  # the study takes it for granted


def load() -> dict[tuple, Records]:
    """Read the study: size and rate (`SIZE`) -> the records of its models.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    rows = pd.read_parquet(project_folder() / "data" / PROFILE.name / "sizes.parquet")
    found = {}
    for size, later in rows[rows.hidden > 0].groupby(SIZE, sort=False):
        own = dict(zip(SIZE, size, strict=True))
        same = [column for column in SIZE if column != "hidden"]
        first = rows[(rows.hidden == 0) & (rows[same] == pd.Series(own)[same]).all(axis=1)]
        parts = []
        for (activation, seed), model in pd.concat([first, later]).groupby(["activation", "seed"]):
            losses = model[["stage", "epoch", "spectrum", "loss"]]
            parts.append(losses.assign(**describe(Cell(activation=activation, seed=seed))))
            flat = losses[losses.stage == "autoencoder"]
            flat = flat.assign(loss=flat.groupby("spectrum").loss.transform("first"))
            parts += [flat.assign(**describe(Cell("keys", activation, loss, "cut", seed))) for loss in PAPER_LOSSES[1:]]
        found[size] = Records(replace(PROFILE, **own), pd.concat(parts), pd.DataFrame(), [])
    return found


def check() -> pd.DataFrame:
    """Put the paper's statements on Figures 1, 7, 8 and 9 to the test at each size of the study.

    Returns
    -------
    DataFrame
        Columns of `SIZE` and of `singlib.claims.check`.
    """
    asked = [claim for claim in claims.CLAIMS if FIGURES.intersection(claim.figures) and claim.key != BY_CONSTRUCTION]
    parts = [
        claims.check(records, asked).assign(**dict(zip(SIZE, size, strict=True))) for size, records in load().items()
    ]
    return pd.concat(parts, ignore_index=True)


def table(checked: pd.DataFrame) -> pd.DataFrame:
    """Lay `check` out, statement by size: the mark of the verdict, and in brackets where the mean alone comes out.

    The last row counts the statements whose mean lies on their side.
    """
    plain = checked.verdict.isin(("holds", "does not hold"))
    marks = checked.verdict.map(MARKS).where(plain, checked.leans.map({True: "(✔)", False: "(✘)"}))
    names = [
        f"C {row.channels}, D {row.dimension}, LSTM {row.hidden}, {row.learning_rate:g}" for row in checked.itertuples()
    ]
    laid = checked.assign(mark=marks, size_tried=names).pivot(index="statement", columns="size_tried", values="mark")
    laid = laid.reindex(index=checked.statement.unique(), columns=list(dict.fromkeys(names)))
    count = checked.assign(size_tried=names).groupby("size_tried", sort=False).leans.sum()
    laid.loc["come out, by the mean"] = count.astype(str)
    return laid.rename_axis(columns=None)


def save() -> str:
    """Save the study as CSV (every size with its interval) and Markdown under ``figures/``; return the Markdown."""
    checked = check()
    path = output_folder(PROFILE) / "sensitivity"
    text = (
        "**Sensitivity.** The paper's statements on Figures 1, 7, 8 and 9 at other sizes and learning rates, with "
        f"everything else as in the profile {PROFILE.name}: {checked.models.max()} models each of ReLU and ELU, of "
        "other seeds than the grid's. ✔ and ✘: the whole 95 % interval lies on one side; in brackets: the mean "
        "does.\n\n"
        f"{table(checked).reset_index().to_markdown(index=False)}\n"
    )
    checked.to_csv(path.with_suffix(".csv"), index=False)
    write_text(path.with_suffix(".md"), text)
    return text


def thresholds(records: Records) -> pd.DataFrame:
    """Grade all notes again with each threshold of `singlib.grading.grades` a tenth lower and a tenth higher.

    Returns
    -------
    DataFrame
        A row for each: ``threshold``, ``value`` (what it is then), ``notes`` (% whose grade changes), ``largest`` (the
        largest change of a model's mean grade, of 5) and ``verdicts`` (the statements whose verdict changes, by key).
    """
    quality = records.quality.assign(level=records.quality.get("level", 0.0))  # grades of version 2 had no level
    measured = quality.to_dict("records")
    without = claims.check(replace(records, quality=pd.DataFrame()))
    of_grades = [
        claim for claim, found in zip(claims.CLAIMS, without.verdict, strict=True) if found == "cannot be tested"
    ]

    def graded(changed: dict[str, float]) -> pd.Series:
        return pd.Series([grade_of(note, THRESHOLDS | changed) for note in measured], quality.index)

    def verdicts(grades: pd.Series) -> pd.Series:
        return claims.check(replace(records, quality=quality.assign(grade=grades)), of_grades).set_index("key").verdict

    def scores(grades: pd.Series) -> pd.Series:
        return grades.map(SCORES).groupby(quality.cell).mean()

    now = graded({})
    verdicts_now = verdicts(now)
    rows = []
    for name, value in THRESHOLDS.items():
        for factor in (0.9, 1.1):
            then = graded({name: value * factor})
            row = {"threshold": name, "value": value * factor, "notes": 100 * (then != now).mean()}
            turned = verdicts_now.index[verdicts_now != verdicts(then)] if row["notes"] else ()
            rows.append(row | {"largest": (scores(then) - scores(now)).abs().max(), "verdicts": ", ".join(turned)})
    return pd.DataFrame(rows)


def show_thresholds(records: Records) -> Markdown:
    """Save `thresholds` as CSV under ``figures/<profile>/`` and return them as a table."""
    if records.quality.empty:
        return Markdown("No graded note.")
    found = thresholds(records)
    found.to_csv(output_folder(records.profile) / "thresholds.csv", index=False)
    shown = found.rename(columns={"notes": "notes regraded (%)", "largest": "largest change of a model's mean grade"})
    shown = shown.round(3).rename(columns={"verdicts": "verdicts that change"})
    lead = f"Each threshold of the grade a tenth lower and higher ({records.profile.name}: {records.profile.regime})."
    return Markdown(f"{lead}\n\n{shown.to_markdown(index=False)}")


def show(records: Records) -> Markdown:
    """Save the study and return it, in the report of the profile whose size it chose."""
    if records.profile.name != PROFILE.name:
        return Markdown(f"The study of sizes and rates is in the report of {PROFILE.name}.")
    return Markdown(save())
