"""The models that can be played: finished runs, and those that come with the project."""

from __future__ import annotations

import difflib
from pathlib import Path

from .files import project_folder
from .generation import Model, load_model


def models() -> dict[str, Path]:
    """Return the weights of every model at hand, by name: those that come with the project first, then runs.

    Returns
    -------
    dict
        ``<profile>/<cell>`` or ``runs/<profile>/<cell>`` -> weights file.
    """
    carried = sorted(
        (project_folder() / "data").glob("*/models/*.safetensors")
    )  # with a card for each (`singlib.cards`)
    finished = sorted(marker.parent for marker in (project_folder() / "runs").glob("*/*/done.json"))
    found = {f"{file.parents[1].name}/{file.stem}": file for file in carried}
    return found | {f"runs/{run.parent.name}/{run.name}": run / "sing.safetensors" for run in finished}


def find(name: str) -> Path:
    """Return the weights of a model at hand, of a run's folder, or of a file; ValueError says what there is.

    Parameters
    ----------
    name : str
        A name of `models`, a path to a folder of a run or to a weights file, or the cell of a model that comes
        with the project.
    """
    known = models()
    known |= {Path(model).name: file for model, file in known.items() if not model.startswith("runs/")}
    path = Path(name)
    path = path / "sing.safetensors" if path.is_dir() else path
    short = name.removeprefix("./").rstrip("/")
    if short in known:
        return known[short]
    if path.is_file():
        return path
    like = difflib.get_close_matches(short, known, 1) or list(known)[:1]
    hint = f"of {len(models())} at hand one is {like[0]!r}" if like else "train some with `singlib run --profile quick`"
    hint = hint if project_folder().is_dir() else f"SINGLIB_ROOT is {project_folder()}, where there is no folder"
    raise ValueError(f"no model {name!r}: {hint}")


def load(name: str) -> Model:
    """Load a model by the name that `find` takes."""
    return load_model(find(name))
