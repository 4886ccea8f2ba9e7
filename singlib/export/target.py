"""The folder that an export writes to: a new one, or that of an older export of the same."""

from pathlib import Path

from ..files import check_writable, read_json, write_json

MARK = "export.json"  # what a folder is an export of


def claim(folder: Path, **what: object) -> None:
    """Make a folder for an export, which `what` describes, and keep that in its ``export.json``.

    FileExistsError if it holds files of anything else, which the export might overwrite or be mistaken for;
    PermissionError if nothing may be written there.
    """
    check_writable(folder)
    mark = folder / MARK
    of = read_json(mark) if mark.is_file() else {}
    if folder.is_dir() and any(folder.iterdir()) and of != what:
        held = f"an export of {of['model']} as {of['format']}" if {"model", "format"} <= of.keys() else "other files"
        raise FileExistsError(f"{folder} holds {held}: name a new folder, or delete it")
    write_json(mark, what)
