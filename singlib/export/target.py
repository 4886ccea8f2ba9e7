"""The folder that an export writes to: a new one, or that of an older export of the same."""

import hashlib
from pathlib import Path

from ..files import check_writable, read_json, write_json
from ..network.generation import Model

MARK = "export.json"  # what a folder is an export of


def claim(folder: Path, weights: Path, model: Model, **how: object) -> None:
    """Make a folder for an export of a model, `how` it is written, and keep both in its ``export.json``.

    FileExistsError if it holds files of anything else, which the export might overwrite or be mistaken for;
    PermissionError if nothing may be written there.
    """
    check_writable(folder)
    what = {"model": model.about.get("cell", weights.stem), "profile": model.about.get("profile")} | how
    what["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]  # of two runs both names are the same
    mark = folder / MARK
    of = read_json(mark) if mark.is_file() else {}
    if folder.is_dir() and any(folder.iterdir()) and of != what:
        known = {"model", "profile", "format"} <= of.keys()
        held = f"an export of {of['profile']}/{of['model']} as {of['format']}" if known else "other files"
        if known and all(of[key] == what[key] for key in ("model", "profile", "format")):
            held += f", which differs in {' and '.join(key for key in what if of.get(key) != what[key])}"
        raise FileExistsError(f"{folder} holds {held}: name a new folder, or delete it")
    write_json(mark, what)
