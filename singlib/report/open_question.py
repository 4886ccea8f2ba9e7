"""The models whose gradient flows, on every loss: their losses and grades as tidy frames, and which are played.

A *kind* is a training loss and an activation, "CQT/ELU". Every frame has its columns also where no model is finished.
"""

import pandas as pd

from ..claims.comparisons import STAGES_OF_TIME
from ..grading.grades import SCORES, heard_in_tune, model_grade
from ..grid import INSTRUMENT_SETS, LOSSES, PAPER_ACTIVATIONS, Cell, Profile
from ..listening.spectrograms import Note
from ..nsynth import Label, selection
from ..runs.records import Records
from .figures import FIGURES

KIND = ["instruments", "training_loss", "activation", "kind"]


def relative_losses(records: Records, instruments: str = "keys") -> pd.DataFrame:
    """Return the losses of one set's corrected models, also relative to those of their untrained autoencoder.

    Columns: `KIND`, ``cell``, ``stage``, ``epoch``, ``spectrum``, ``loss`` and ``relative``.
    """
    history = _corrected(records.history)
    if history.empty:
        return pd.DataFrame(columns=[*KIND, "cell", "stage", "epoch", "spectrum", "loss", "relative"])
    history = history[history.instruments == instruments]
    untrained = history[(history.stage == "autoencoder") & (history.epoch == 0)].set_index(["cell", "spectrum"]).loss
    history = history.join(untrained.rename("untrained"), on=["cell", "spectrum"])
    return history.assign(relative=history.loss / history.untrained)


def grades_by_kind(records: Records) -> pd.DataFrame:
    """Grade the corrected models of each kind and set: `KIND`, ``score``, ``low`` and ``high``, 0 to 5, and ``models``.

    The interval is `singlib.grading.grades.model_grade`'s, 95 %: over models where a kind has several, else over notes.
    """
    quality = _corrected(records.quality)
    groups = quality.groupby(KIND) if len(quality) else ()
    rows = [(*kind, *model_grade(list(group.grade), list(group.cell)), group.cell.nunique()) for kind, group in groups]
    return pd.DataFrame(rows, columns=[*KIND, "score", "low", "high", "models"])


def training_and_grades(records: Records) -> pd.DataFrame:
    """Return a row for each corrected model: what its training took, and how it sounds.

    Columns of `Records.about`, ``kind``; ``updates`` and ``notes_seen`` of autoencoder and fine-tuning, the stages that
    train on sound; ``seconds`` of all three stages; ``in_tune``, the share in % of the generated notes in the pitch
    tracker's range that are heard at their label; ``score``, the mean grade, 0 to 5.
    """
    about = _corrected(records.about)
    if about.empty:
        return pd.DataFrame(columns=[*KIND, "cell", "device", "updates", "notes_seen", "seconds", "in_tune", "score"])
    history = records.history[records.history.stage != "lstm"]
    last = history.groupby(["cell", "stage"])[["updates", "epoch"]].max().groupby("cell").sum()
    counts = selection.counts(records.profile.data)
    notes = {name: sum(counts[role] for role in roles) for name, roles in INSTRUMENT_SETS.items()}
    quality = records.quality.assign(score=records.quality.grade.map(SCORES))
    in_tune = 100.0 * heard_in_tune(quality).groupby(quality.cell).mean().rename("in_tune")
    means = pd.concat([quality.groupby("cell").score.mean(), in_tune], axis=1)
    joined = about.merge(last, on="cell").merge(means, on="cell")
    return joined.assign(
        notes_seen=joined.epoch * joined.instruments.map(notes), seconds=joined[list(STAGES_OF_TIME)].sum(axis=1)
    )


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    frame = frame[(frame.gradient == "flow") & (frame.elu_alpha == 1)]
    return frame.assign(kind=frame.training_loss + "/" + frame.activation)


# Which note 06-open-question plays as models of every loss and activation make it: instrument set -> role.
COMPARED = {"keys": "keys", "k+m+v": "keys", "brass1-5": "brass1"}


def compared_models(instruments: str) -> dict[str, Cell]:
    """Return the corrected models of a set that are played side by side, by name: "STFT, ReLU"."""
    return {
        f"{loss}, {activation}": Cell(instruments, activation, loss)
        for loss in LOSSES
        for activation in PAPER_ACTIVATIONS
    }


def notes_played(profile: Profile) -> dict[str, list[Label]]:
    """Return what the report plays, which records are to be carried with: cell -> labels of its notes.

    Of the models of Figures 16-22 that is all they generate.
    """
    notes = {
        cell.name: [selection.nearest(profile.data, role, *selection.FIGURE_NOTES[role])]
        for instruments, role in COMPARED.items()
        for cell in compared_models(instruments).values()
    }
    for cell in (figure.model(profile) for figure in FIGURES.values() if isinstance(figure, Note)):
        notes[cell.name] = [label for role in cell.roles for label in selection.notes_to_generate(profile.data, role)]
    return notes
