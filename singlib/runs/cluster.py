"""The grid: papermill for each cell, on a Dask cluster of this machine or of others."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

import dask
from dask.distributed import Client, Nanny, Scheduler, SpecCluster, as_completed
from dask.system import cpu_count
from tqdm.auto import tqdm

from .. import nsynth
from ..files import locked, project_folder, write_json
from ..grid import Cell, Profile, cells
from .notebooks import NotebookError, execute
from .run_folder import Run

# Dask's sampling of its workers, which only wait for kernels here, takes 7 % of two cores away from these.
_DASK = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.allowed-failures": 10,  # workers that may die under a cell before it is given up
}

WORKERS_WITHIN = 10.0  # seconds, after which it is said that a scheduler has no workers


def run_cell(cell: Cell, profile: Profile, root: str, retries: int = 1) -> str | None:
    """Execute the notebook of one cell into its run folder; what a worker of the grid does.

    Parameters
    ----------
    cell, profile : Cell, Profile
        What to train.
    root : str
        The runner's folder, with notebooks/, data/ and runs/; the worker must see it too.
    retries : int
        How often a cell is tried again when its kernel dies or memory is short.

    Returns
    -------
    str or None
        The notebook's error, and where it was kept; None if it ended well.
    """
    folder = Path(root) / "runs" / profile.name
    if not (Path(root) / "notebooks").is_dir():
        return f"{socket.gethostname()} does not see {root}, the folder of the runner: share it, or mount it there"
    os.environ["SINGLIB_ROOT"] = root
    failure = folder / ".failed" / f"{cell.name}.json"
    message = ""
    waiting = f"{cell.name}: another worker runs its notebook, waiting"
    try:
        with locked(folder / ".locks" / f"{cell.name}.notebook", waiting):
            failure.unlink(missing_ok=True)
            parameters = asdict(cell) | {"profile": profile.name}
            for left in reversed(range(retries + 1)):
                try:
                    execute(Path(root), "train", folder / cell.name / "train.ipynb", parameters)
                    return None
                except NotebookError as error:
                    message = str(error)
                    if not (error.passing and left):
                        break
                except Exception as error:  # of the disk, of papermill, of Jupyter: no training was to blame
                    message = f"{type(error).__name__}: {error}"
                    break
            write_json(failure, {"error": message, "host": socket.gethostname(), "at": f"{datetime.now():%F %T}"})
    except OSError as error:  # of the disk: not even that could be written
        return message or f"{type(error).__name__}: {error}"
    return message


def select(profile: Profile, pattern: str = "*") -> list[Cell]:
    """Return the cells of a profile whose names match; ValueError if none does."""
    chosen = [cell for cell in cells(profile) if fnmatch(cell.name, pattern)]
    if not chosen:
        raise ValueError(f"no cell of {profile.name} is called {pattern!r}; one is {cells(profile)[0].name!r}")
    return chosen


def run_grid(
    profile: Profile,
    pattern: str = "*",
    workers: int | None = None,
    scheduler: str | Client | None = None,
    retries: int = 1,
) -> dict[str, str]:
    """Train every cell that has no finished records yet, each in an executed notebook.

    Parameters
    ----------
    profile : Profile
        The cells and their size.
    pattern : str
        Only cells whose name matches, for example ``"keys-*-CQT-*"``.
    workers : int, optional
        Cells at a time on this machine; by default one a GPU, or as many as the cores allow at the
        profile's threads a cell.
    scheduler : str or Client, optional
        Address of a Dask scheduler, or a client of one, whose workers run the cells instead; each must
        have one thread (``dask worker --nthreads 1``) and see this folder.
    retries : int
        How often a cell is tried again when its kernel dies or memory is short.

    Returns
    -------
    dict
        Name -> error of each cell that failed; the others are done.

    Raises
    ------
    FileNotFoundError, ValueError
        If the notes are missing or damaged, no cell matches, or a worker has several threads. Nothing has
        run then.
    ConnectionError
        If the scheduler cannot be reached, or is lost; cells that are done stay so.
    """
    chosen = select(profile, pattern)
    todo = [cell for cell in chosen if not complete(Run(cell, profile))]
    print(f"{profile.name}: {len(chosen)} cells, {len(chosen) - len(todo)} done already")
    if not todo:
        return {}
    # The cells with most notes first, so that no worker is left with a long one at the end.
    todo.sort(key=lambda cell: -len(nsynth.select(profile.data, cell.roles)))
    nsynth.load_notes(profile.data, todo[0].roles)  # decoded here once, not by the first kernels
    failed = {}
    with _client(scheduler, min(workers or default_workers(profile), len(todo))) as client:
        # run_cell is pure in Dask's sense only as long as the records stay: always run it.
        place = str(project_folder())
        futures = {client.submit(run_cell, cell, profile, place, retries, pure=False): cell.name for cell in todo}
        try:  # after the cells are handed over: a cluster that grows with its work starts none before
            client.wait_for_workers(1, timeout=WORKERS_WITHIN)
        except TimeoutError:
            print(f"{client.scheduler.address} has no workers yet; waiting until one comes", file=sys.stderr)
        bar = tqdm(as_completed(futures), total=len(todo), unit="cell", desc=profile.name, mininterval=5)
        for future in bar:
            name = futures[future]
            if future.status in ("cancelled", "lost"):
                raise ConnectionError("the scheduler was lost; what is done stays done: start it again, then this")
            error = repr(future.exception()) if future.status != "finished" else future.result()
            if error:
                failed[name] = error
                bar.write(f"{name} failed: {error}", file=sys.stderr)
    return failed


def default_workers(profile: Profile) -> int:
    """Return how many cells this machine runs at a time: one a GPU, or as many as the cores allow."""
    return len(_gpus()) or max(1, cpu_count() // profile.threads)  # of those that this process may use


def _gpus() -> list[str]:
    """Return the GPUs that CUDA would see, as it numbers them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [gpu for gpu in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if gpu]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False).stdout
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU")]


@contextmanager
def _client(scheduler: str | Client | None, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, or start one here with workers of one thread, each on a GPU if there are any."""
    if isinstance(scheduler, Client):
        yield _checked(scheduler)
        return
    if scheduler:
        for name in ("distributed", "distributed.client"):  # that a scheduler is lost is told below, in a line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError) as error:
            raise ConnectionError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        with client:
            yield _checked(client)
        return
    gpus, quiet = _gpus(), {"silence_logs": logging.WARNING}
    places = [{"env": {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]}} if gpus else {} for number in range(workers)]
    specs = {i: {"cls": Nanny, "options": {"nthreads": 1} | quiet | place} for i, place in enumerate(places)}
    head = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    with (
        dask.config.set(_DASK),
        SpecCluster(workers=specs, scheduler=head, **quiet) as cluster,
        Client(cluster) as client,
    ):
        yield _checked(client)


def _checked(client: Client) -> Client:
    """Print the dashboard's address; ValueError for a worker that would run several cells at once."""
    print(f"dashboard: {client.dashboard_link}")
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        if worker["nthreads"] > 1:
            raise ValueError(
                f"worker {address} has {worker['nthreads']} threads; start it with --nthreads 1: a cell each"
            )
    return client


def complete(run: Run) -> bool:
    """Say whether a cell has finished, fresh records and its notebook."""
    return run.state() == "done" and run.notebook.exists()
