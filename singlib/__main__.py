"""The command line: ``singlib data`` fetches notes, ``run`` trains a grid, ``report`` draws what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from . import batch, download, tables
from .grid import profile_named

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
ProfileName = Annotated[str, typer.Option(help="smoke, quick, recorded or paper")]


@app.callback()
def main() -> None:
    """Modifications to SING: the paper's grid of models, its figures and its tables."""


@app.command()
def data(
    split: Annotated[str, typer.Option(help="train (the paper's instruments), valid or test")] = "train",
    source: Annotated[str | None, typer.Option(help="path or URL of the archive; NSynth's own if left out")] = None,
) -> None:
    """Fetch the notes of the eight instruments of an NSynth split into data/, and nothing else."""
    try:
        folder = download.download(split, source)
    except (OSError, ValueError) as error:
        raise SystemExit(f"singlib data: {error}") from error
    print(tables.instruments(folder.name).to_markdown())


@app.command()
def run(
    profile: ProfileName = "quick",
    cells: Annotated[str, typer.Option(help="only cells whose name matches, as keys-*-CQT-*")] = "*",
    workers: Annotated[int | None, typer.Option(min=1, help="cells at a time")] = None,
) -> None:
    """Train every cell of a profile that is not done, each in an executed notebook under runs/."""
    try:
        failed = batch.run_grid(profile_named(profile), cells, workers)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"singlib run: {error}") from error
    if failed:
        raise SystemExit(f"singlib run: {len(failed)} cells failed, the notebooks named above show how")


@app.command()
def report(profile: ProfileName = "quick") -> None:
    """Rebuild Figures 1-22 and Tables 1-3 of a profile into figures/."""
    try:
        print(f"wrote {batch.report(profile_named(profile))}")
    except (ValueError, batch.NotebookError) as error:
        raise SystemExit(f"singlib report: {error}") from error


if __name__ == "__main__":
    app()
