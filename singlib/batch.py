"""The grid: papermill for each cell, on a Dask cluster of this machine."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

from tqdm import tqdm

from . import nsynth
from .grid import ROOT, Cell, Profile, cells
from .records import Run

# For the kernel's C library: keep freed memory, the next step needs as much again. By default (and more so
# by Dask's, which hands back every 64 KiB) a third of a small cell's time goes into page faults.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}

# Dask's sampling of its workers, which only wait for kernels here, takes 7 % of two cores away from these.
_DASK = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
}


def run_cell(cell: Cell, profile: Profile) -> str | None:
    """Execute the notebook of one cell into its run folder.

    Returns
    -------
    str or None
        The notebook's error, and where it was kept; None if it ended well.
    """
    os.environ.update(_MALLOC)
    try:
        _execute("train", Run(cell, profile).notebook, asdict(cell) | {"profile": profile.name})
    except NotebookError as error:
        return str(error)
    return None


class NotebookError(Exception):
    """A notebook stopped: its error, and where what it had done so far was kept."""


def select(profile: Profile, pattern: str = "*") -> list[Cell]:
    """Return the cells of a profile whose names match; ValueError if none does."""
    chosen = [cell for cell in cells(profile) if fnmatch(cell.name, pattern)]
    if not chosen:
        raise ValueError(f"no cell of {profile.name} is called {pattern!r}; one is {cells(profile)[0].name!r}")
    return chosen


def run_grid(profile: Profile, pattern: str = "*", workers: int | None = None) -> dict[str, str]:
    """Train every cell that has no finished records yet, each in an executed notebook.

    Parameters
    ----------
    profile : Profile
        The cells and their size.
    pattern : str
        Only cells whose name matches, for example ``"keys-*-CQT-*"``.
    workers : int, optional
        Cells at a time; by default as many as the cores allow at the profile's threads a cell.

    Returns
    -------
    dict
        Name -> error of each cell that failed; the others are done.

    Raises
    ------
    FileNotFoundError, ValueError
        If the notes are missing or damaged, or no cell matches. Nothing has run then.
    """
    chosen = select(profile, pattern)
    todo = [cell for cell in chosen if not _complete(Run(cell, profile))]
    print(f"{profile.name}: {len(chosen)} cells, {len(chosen) - len(todo)} done already")
    if not todo:
        return {}
    import dask
    from dask.distributed import Client, LocalCluster, as_completed

    # The cells with most notes first, so that no worker is left with a long one at the end.
    todo.sort(key=lambda cell: -len(nsynth.select(profile.data, cell.roles)))
    workers = min(workers or max(1, (os.cpu_count() or 1) // profile.threads), len(todo))
    failed = {}
    with (
        dask.config.set(_DASK),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        # run_cell is pure in Dask's sense only as long as the records stay: always run it.
        futures = {client.submit(run_cell, cell, profile, pure=False): cell.name for cell in todo}
        bar = tqdm(as_completed(futures), total=len(todo), unit="cell", desc=profile.name, mininterval=5)
        for future in bar:
            name = futures[future]
            error = repr(future.exception()) if future.status != "finished" else future.result()
            if error:
                failed[name] = error
                bar.write(f"{name} failed: {error}", file=sys.stderr)
    return failed


def report(profile: Profile) -> Path:
    """Execute the report notebook into ``figures/<profile>/report.ipynb``; return its path.

    Raises
    ------
    NotebookError
        If it stops, for example because the profile's notes are missing.
    """
    target = ROOT / "figures" / profile.name / "report.ipynb"
    _execute("report", target, {"profile": profile.name})
    return target


def _execute(notebook: str, target: Path, parameters: dict) -> None:
    """Execute a notebook of notebooks/ with papermill; `target` appears when it has ended well."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    # Written outside the run folder, which belongs to the training that the notebook starts.
    partial = target.parent.parent / ".notebooks" / f"{target.parent.name}-{notebook}.ipynb"
    partial.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="singlib-") as sockets:
        config = Config()
        config.ConnectionFileMixin.transport = "ipc"  # no port that two kernels could race for
        config.ConnectionFileMixin.ip = f"{sockets}/kernel"  # else all kernels of a folder share their sockets
        try:
            papermill.execute_notebook(
                ROOT / "notebooks" / f"{notebook}.ipynb",
                partial,
                parameters,
                cwd=ROOT,
                progress_bar=False,
                config=config,
                shutdown_kernel="immediate",
            )
        except papermill.PapermillExecutionError as error:
            raise NotebookError(f"{error.ename}: {error.evalue} (notebook: {partial})") from error
        except DeadKernelError as error:
            raise NotebookError(f"the kernel died: {error} (notebook: {partial})") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _complete(run: Run) -> bool:
    return run.state() == "done" and run.notebook.exists()
