"""The open question: do MFC and CQT, with their gradient, make a better SING than STFT? For 06-open-question.ipynb."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython.display import HTML, Image, Markdown
from matplotlib.figure import Figure

from .. import claims
from ..grading.grades import GRADES, mean_interval, model_grade
from ..grid import INSTRUMENT_SETS, PAPER_ACTIVATIONS, PAPER_LOSSES, Cell, Profile
from ..listening import players
from ..listening.spectrograms import Note, finished
from ..listening.spectrograms import sounds as sounds_of
from ..nsynth import Label, selection
from ..runs.records import Records
from . import verdicts
from .curves import COLOURS, DASHES, MARKERS, SPECTRUM_LABEL, WIDTHS
from .figures import FIGURES, STAMP, output_folder

STAGES = ("autoencoder", "fine-tuning")
# Whose notes are played, sets of models and roles: those of Figures 16-22.
PLAYED = (("keys", "keys"), ("k+m+v", "keys"), ("brass1-5", "brass1"))
# What decides the question, of `singlib.claims`.
_ASKED = ("trains", "own-lower", "lowers-stft-faster", "sounds-better", "costs-more", "sounds-better-at-cost")
DECISIVE = tuple(f"{loss.lower()}-{what}" for loss in PAPER_LOSSES[1:] for what in _ASKED)


_TRAINS = {
    "holds": "trains the network",
    "does not hold": "does not train the network",
    "undecided": "may train the network, these runs leave it undecided",
    "cannot be tested": "has no finished model here",
}
_OWN = {
    "holds": "ends lower in its own spectrum than STFT training does",
    "does not hold": "does not end lower in its own spectrum than STFT training does",
    "undecided": "may or may not end lower in its own spectrum than STFT training does",
    "cannot be tested": "cannot be compared with STFT training",
}
_BETTER = {
    "holds": "better with it than with STFT",
    "does not hold": "no better with it than with STFT",
    "undecided": "as good or better with it than with STFT: undecided",
    "cannot be tested": "(not to be said)",
}


def curves(records: Records, instruments: str = "keys") -> Figure:
    """Draw the mean loss of corrected models, relative to untrained: a row a stage, a column a spectrum."""
    frame = records.history
    drawn, axes = plt.subplots(2, 3, figsize=(12, 6), sharex="row", layout="constrained")
    if len(frame):
        frame = frame[(frame.gradient == "flow") & (frame.instruments == instruments) & (frame.elu_alpha == 1)]
        before = frame[(frame.stage == "autoencoder") & (frame.epoch == 0)]
        frame = frame.merge(before[["cell", "spectrum", "loss"]], on=["cell", "spectrum"], suffixes=("", "_untrained"))
        frame["relative"] = frame.loss / frame.loss_untrained
    for row, stage in zip(axes, STAGES, strict=True):
        for side, spectrum in zip(row, PAPER_LOSSES, strict=True):
            rows = frame[(frame.stage == stage) & (frame.spectrum == spectrum)] if len(frame) else frame
            for (loss, activation), group in rows.groupby(["training_loss", "activation"]) if len(rows) else ():
                style = {"dashes": DASHES[activation]} if DASHES[activation] else {}
                sns.lineplot(
                    group,
                    x="epoch",
                    y="relative",
                    ax=side,
                    color=COLOURS[f"{loss}/{activation}"],
                    marker=MARKERS[loss],
                    markersize=4,
                    lw=WIDTHS["CQT"],
                    errorbar=mean_interval if group.cell.nunique() > 1 else None,
                    label=f"trained on {loss}, {activation}",
                    legend=False,
                    **style,
                )
            side.set(xlabel="epoch (0: before the stage)", ylabel="loss / loss untrained")
            side.set_title(f"{stage}: {SPECTRUM_LABEL[spectrum].split(':')[0]}", fontsize=10)
            sns.despine(ax=side)
    handles = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1], strict=True))
    if handles:
        drawn.legend(handles.values(), handles, loc="outside right center", fontsize=8)
    return drawn


def graded(records: Records) -> pd.DataFrame:
    """Grade the corrected models of each instrument set, loss and activation: ``score``, ``low``, ``high``, 0 to 5."""
    rows = []
    quality = records.quality
    if len(quality):
        quality = quality[(quality.gradient == "flow") & (quality.elu_alpha == 1)]
        for kind, group in quality.groupby(["instruments", "training_loss", "activation"]):
            found = model_grade(list(group.grade), list(group.cell))
            rows.append(dict(zip(("instruments", "loss", "activation"), kind, strict=True)) | found._asdict())
    return pd.DataFrame(rows)


def grades(records: Records) -> Figure:
    """Draw the mean grade of the corrected models with its 95 % interval, by instrument set."""
    frame = graded(records)
    drawn, axes = plt.subplots(1, 2, figsize=(12, 5), sharex=True, sharey=True, layout="constrained")
    for side, activation in zip(axes, PAPER_ACTIVATIONS, strict=True):
        for place, loss in enumerate(PAPER_LOSSES):
            rows = frame[(frame.activation == activation) & (frame.loss == loss)] if len(frame) else frame
            if not len(rows):
                continue
            below = [list(INSTRUMENT_SETS).index(name) + 0.22 * (place - 1) for name in rows.instruments]
            side.errorbar(
                rows.score,
                below,
                xerr=[rows.score - rows.low, rows.high - rows.score],
                fmt=MARKERS[loss],
                color=COLOURS[f"{loss}/{activation}"],
                label=f"trained on {loss}",
                capsize=2,
            )
        side.set_title(activation, fontsize=10)
        side.set(xlabel="grade", xlim=(-0.2, len(GRADES) - 0.8))
        side.set_xticks(range(len(GRADES)), GRADES)
        side.set_yticks(range(len(INSTRUMENT_SETS)), INSTRUMENT_SETS)
        side.grid(axis="x", color="0.9")
        if side.has_data():
            side.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(PAPER_LOSSES), fontsize=8)
        sns.despine(ax=side)
    axes[0].invert_yaxis()
    axes[0].set_ylabel("trained on")
    return drawn


def sounds(records: Records) -> HTML:
    """Return players: the notes of Figures 16-22 as corrected models of each loss and activation make them."""
    parts = []
    for instruments, role in PLAYED:
        label = selection.nearest(records.profile.data, role, *selection.FIGURE_NOTES[role])
        made = {f"{cell.loss}, {cell.activation}": cell for cell in _played(instruments) if finished(cell, records)}
        if made:
            parts.append(f"<p>Trained on {instruments}: {role}, MIDI {label.pitch}, velocity {label.velocity}.</p>")
            parts.append(players.table(sounds_of(records, made, label), label).data)
    return HTML("".join(parts))


def _played(instruments: str) -> list[Cell]:
    return [Cell(instruments, activation, loss) for loss in PAPER_LOSSES for activation in PAPER_ACTIVATIONS]


def heard(profile: Profile) -> dict[str, list[Label]]:
    """Return what the report plays, which is what records are to be carried with: cell -> labels of its notes.

    Of the models of Figures 16-22 that is all they generate.
    """
    notes = {
        cell.name: [selection.nearest(profile.data, role, *selection.FIGURE_NOTES[role])]
        for instruments, role in PLAYED
        for cell in _played(instruments)
    }
    for figure in FIGURES.values():
        if isinstance(figure, Note):
            cell = figure.cell
            notes[cell.name] = [
                label for role in cell.roles for label in selection.notes_to_generate(profile.data, role)
            ]
    return notes


def overview(records: Records) -> Markdown:
    """Say how many corrected models there are, and what an epoch of each loss costs, relative to STFT."""
    about = records.about
    if not len(about):
        return Markdown(records.nothing())
    about = about[(about.gradient == "flow") & (about.elu_alpha == 1)]
    seconds = about.groupby(["instruments", "activation", "training_loss"]).seconds_autoencoder.mean().unstack()
    text = f"{len(about)} models whose gradient flows."
    for loss in seconds.columns.intersection(PAPER_LOSSES[1:]):
        if "STFT" in seconds:
            ratio = (seconds[loss] / seconds.STFT).median()
            text += f" An epoch of the autoencoder on {loss} takes {ratio:.2f} times as long as on STFT."
    return Markdown(text)


def conclusion(records: Records) -> Markdown:
    """Say what the numbers answer, and list the decisive claims with their sizes and verdicts."""
    checked = claims.check(records, [claim for claim in claims.CLAIMS if claim.key in DECISIVE]).set_index("key")
    text = ""
    for loss in PAPER_LOSSES[1:]:
        said = {what: checked.verdict[f"{loss.lower()}-{what}"] for what in _ASKED}
        text += (
            f"With its gradient, the {loss} loss {_TRAINS[said['trains']]}; it {_OWN[said['own-lower']]}. At the same "
            f"epochs SING sounds {_BETTER[said['sounds-better']]}; at the same cost "
            f"{_BETTER[said['sounds-better-at-cost']]}. "
        )
    frame = graded(records)
    if len(frame):
        means = frame.groupby(["loss", "activation"]).score.mean()
        best = " with ".join(means.idxmax())
        text += f'Over the instrument sets, {best} sounds best: a mean grade of {means.max():.1f} of 5 ("++").'
    rows = (checked.loc[key] for key in DECISIVE)
    lines = [f"- **{row.verdict}**: {row.statement} {verdicts.told(row)}" for row in rows]
    text += "\n\n" + "\n".join(lines)
    if not records.profile.evidence:
        text += f"\n\n*{records.profile.name}: {STAMP}.*"
    return Markdown(text)


def save(drawn: Figure, records: Records, name: str, alternative: str) -> Image:
    """Save a picture of the question under ``figures/<profile>/`` as PNG and PDF, and return it."""
    if not records.profile.evidence:
        drawn.suptitle(f"{records.profile.name}: {STAMP}", x=0.995, ha="right", size=8, color="#B00020")
    path = output_folder(records.profile) / f"{name}.png"
    drawn.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    drawn.savefig(path, dpi=110)
    plt.close(drawn)
    return Image(path, alt=alternative)
