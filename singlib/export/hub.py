"""A model as a folder in the layout of a model hub, whose weights `load_model` reads again."""

from pathlib import Path

import pandas as pd
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.utils import HFValidationError, validate_repo_id
from safetensors import safe_open
from safetensors.numpy import save_file

from .. import __version__
from ..files import replacing, write_json, write_text
from ..grading.grades import heard_in_tune, model_grade
from ..grid import PROFILES
from ..network.generation import HUB_WEIGHTS, load_model, write_notes
from ..nsynth import SAMPLE_RATE, VELOCITIES
from ..nsynth.selection import examples
from ..runs.model_cards import card_of, graded_notes
from .samples import trained_notes
from .target import claim

_SOUND = """
**Listen**: {label}

<audio controls src="https://huggingface.co/{repo}/resolve/main/samples/{label}.flac"></audio>
"""
_USE = """
**Play it** from a copy of this folder, with singlib {version} installed:

    singlib generate --model {folder} --instrument {role} --pitch {pitch} --velocity {velocity} --out notes
"""


def write_hub_folder(weights: Path, repo: str, folder: Path) -> Path:
    """Write weights, ``config.json``, a note of each instrument and the card with its metadata; return the card.

    Nothing is uploaded. ValueError if `repo` is no name of a repository such as ``me/brass``, or the model has no card;
    errors of `load_model` and `claim`; OSError if a file cannot be written.
    """
    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise HFValidationError("it has no owner")
    except HFValidationError as error:
        raise ValueError(f"{repo!r} is no name of a repository, such as me/brass ({error})") from error
    model, text, graded = load_model(weights), card_of(weights), graded_notes(weights)
    labels = examples(label for role in model.roles for label in trained_notes(model, role))
    name = model.about.get("cell", weights.stem)
    claim(folder, weights, model, format="hub", repo=repo)
    about = model.about | {"model_type": "sing", "sample_rate": SAMPLE_RATE, "velocities": list(VELOCITIES)}
    sounds = "".join(_SOUND.format(label=label, repo=repo) for label in labels)
    use = _USE.format(version=__version__, folder=repo.split("/")[1], **labels[0]._asdict())
    data = ModelCardData(
        library_name="singlib",
        license="mit",
        pipeline_tag="text-to-audio",
        tags=["audio", "music", "sing", "nsynth", *model.roles],
        model_name=name,
        eval_results=_results(graded, model.about.get("profile")) or None,
    )
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}{sounds}{use}")
    with safe_open(weights, "numpy") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    with replacing(folder / HUB_WEIGHTS) as beside:
        save_file(tensors, beside, metadata={"format": "pt", **metadata})
    write_json(folder / "config.json", about)
    write_notes(folder / "samples", labels, model.generate(labels), "flac")
    write_text(folder / "README.md", str(card))
    return folder / "README.md"


def _results(graded: pd.DataFrame, profile: str | None) -> list[EvalResult]:
    """Return the model's grade and share in tune as a hub's metadata has results."""
    if not len(graded):
        return []
    notes = PROFILES[profile].data if profile in PROFILES else "its notes"
    task = {"task_type": "text-to-audio", "dataset_type": notes, "dataset_name": notes}
    score = model_grade(list(graded.grade)).score
    heard = heard_in_tune(graded).mean()
    return [
        EvalResult(metric_type="grade", metric_name="grade, 0 to 5", metric_value=round(score, 2), **task),
        EvalResult(metric_type="in_tune", metric_name="share in tune", metric_value=round(float(heard), 2), **task),
    ]
