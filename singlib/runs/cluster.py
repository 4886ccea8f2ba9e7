"""The grid: papermill for each cell, on a Dask cluster of this machine or of others."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

import dask
from dask.distributed import Client, LocalCluster, Worker, WorkerPlugin
from dask.system import cpu_count

from .. import nsynth
from ..files import held, locked, project_folder, write_json
from ..grid import Cell, Profile, cells, check_choice
from .notebooks import NotebookError, execute, template
from .progress import Bar
from .run_folder import Run

# Workers only wait for kernels here; Dask's sampling of them takes 7 % of two cores.
_DASK = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.allowed-failures": 10,  # workers that may die under a cell before it is given up
}

DEVICES = ("auto", "cpu", "cuda")  # which GPU a cell has is the worker's part
BUSY = "another command runs it"  # in place of an error
WORKERS_WITHIN = 10.0  # seconds to wait before telling the user that a scheduler has no workers


def run_cell(
    cell: Cell, profile: Profile, root: str, retries: int = 1, device: str = "auto", wait: bool = True
) -> str | None:
    """Execute the notebook of one cell into its run folder, on a worker, which must see the runner's folder `root`.

    `retries` are for a kernel that dies or lacks memory. While another worker executes it this one waits, or, if it
    should not `wait`, returns `BUSY`; what that finished is left as it is. Returns the error and where the notebook was
    kept, or None.
    """
    folder = Path(root) / "runs" / profile.name
    if not (Path(root) / "notebooks").is_dir():
        return f"{socket.gethostname()} does not see {root}, the folder of the runner: share it, or mount it there"
    os.environ["SINGLIB_ROOT"] = root
    failure = folder / ".failed" / f"{cell.name}.json"
    message, passing = "", True
    lock, waiting = folder / ".locks" / f"{cell.name}.notebook", f"{cell.name}: another worker runs it, waiting"
    if not wait and held(lock):
        return BUSY
    try:
        with locked(lock, waiting):
            if Run(cell, profile).is_finished():
                return None
            failure.unlink(missing_ok=True)
            parameters = asdict(cell) | {"profile": profile.name, "device": device}
            while passing and retries >= 0:
                try:
                    execute(Path(root), "train", folder / cell.name / "train.ipynb", parameters)
                    return None
                except NotebookError as error:
                    message, passing, retries = str(error), error.passing, retries - 1
                except Exception as error:  # of the disk, of papermill, of Jupyter: not of the training
                    message, passing = f"{type(error).__name__}: {error}", False
            write_json(failure, {"error": message, "host": socket.gethostname(), "at": f"{datetime.now():%F %T}"})
    except (OSError, ValueError) as error:  # the failure could not be written either, or the notes are damaged
        message = message or f"{type(error).__name__}: {error}"
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
    device: str = "auto",
) -> dict[str, str]:
    """Train every cell that has no finished records yet, each in an executed notebook.

    Only those whose name matches `pattern`, for example ``"keys-*-CQT-*"``, on this machine `workers` at a time
    (`default_workers` if left out), or on the workers of a Dask scheduler, by its address or a client of it; these must
    have one thread each (``dask worker --nthreads 1``) and see the project folder. A cell whose kernel dies or lacks
    memory is tried again as often as `retries` says. `device` is one of `DEVICES`, for each cell.

    Returns name -> error of each cell that failed; the others are done. FileNotFoundError or ValueError if the notebook
    or the notes are missing or damaged, no cell matches, there is no such device, or a worker has several threads:
    nothing has run then. ConnectionError if the scheduler cannot be reached, or is lost: finished cells stay finished.
    """
    check_choice("device", device, DEVICES)
    if device == "cuda" and scheduler is None and not _gpus(device):
        raise ValueError("no CUDA device here; leave it to 'auto', or choose 'cpu'")
    chosen = select(profile, pattern)
    runs = [Run(cell, profile) for cell in chosen]
    todo = [run.cell for run in runs if not run.is_finished()]
    print(f"{profile.name}: {len(chosen)} cells, {len(chosen) - len(todo)} done already")
    if not todo:
        return {}
    template(project_folder(), "train")  # missing outside a clone
    # The cells with most notes first, so that no worker is left with a long one at the end.
    todo.sort(key=lambda cell: -len(nsynth.select(profile.data, cell.roles)))
    nsynth.load_notes(profile.data, todo[0].roles)  # decoded here once, not by the first kernels
    failed = {}
    at_once = min(workers or default_workers(profile, device), len(todo))
    with _client(scheduler, at_once, device) as client, _quiet_when_interrupted():
        _check_threads(client)
        # Not pure: Dask would return the result of an earlier call although its records may be gone.
        root = str(project_folder())
        with Bar([run for run in runs if run.cell in todo]) as bar:
            for wait in (False, True):  # what other commands run is left to the end, when most of it is done
                task = (profile, root, retries, device, wait)
                futures = {client.submit(run_cell, cell, *task, pure=False): cell for cell in todo}
                _wait_for_workers(client)
                todo = []
                for future in bar.follow(futures):
                    cell = futures[future]
                    if future.status in ("cancelled", "lost"):
                        raise ConnectionError(
                            "the scheduler was lost; restart it and run this again: finished cells are kept"
                        )
                    error = repr(future.exception()) if future.status != "finished" else future.result()
                    if error == BUSY:
                        todo.append(cell)
                        continue
                    if error:
                        failed[cell.name] = error
                        bar.write(f"{cell.name} failed: {error}", file=sys.stderr)
                    bar.end(cell.name)
    return failed


def _wait_for_workers(client: Client) -> None:
    """Say if there are none; cells are submitted by then, since a cluster may grow with its work alone."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_WITHIN)
    except TimeoutError:
        print(f"{client.scheduler.address} has no workers yet; waiting until one comes", file=sys.stderr)


@contextmanager
def _quiet_when_interrupted() -> Iterator[None]:
    """Keep Dask from reporting what an interrupt from the keyboard ends: workers that were busy, tasks cancelled."""
    try:
        yield
    except KeyboardInterrupt:
        _quiet()
        raise


def _quiet() -> None:
    for name in ("distributed", "distributed.client", "distributed.nanny", "distributed.worker.state_machine"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def default_workers(profile: Profile, device: str = "auto") -> int:
    """Return how many cells this machine runs at a time: one a GPU, or as many as the cores allow."""
    return len(_gpus(device)) or max(1, cpu_count() // profile.threads)  # cores that this process may use


def _gpus(device: str) -> list[str]:
    """Return the GPUs that this process may use, as CUDA names them; none if all is to be computed on CPU."""
    if device == "cpu":
        return []
    import torch  # seconds to import

    found = torch.cuda.device_count()  # of those that CUDA_VISIBLE_DEVICES leaves, "-1" none
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:found] if visible else [str(number) for number in range(found)]


class _OneGPU(WorkerPlugin):
    """Give each worker, and the kernels below it, one of the GPUs."""

    def __init__(self, gpus: list[str]) -> None:
        self.gpus = gpus

    def setup(self, worker: Worker) -> None:
        os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus[worker.name % len(self.gpus)]


class _Uninterrupted(WorkerPlugin):
    """Leave an interrupt from the keyboard to the runner, which then ends its workers."""

    def setup(self, worker: Worker) -> None:
        signal.signal(signal.SIGINT, lambda *_: _quiet())


@contextmanager
def _client(scheduler: str | Client | None, workers: int, device: str = "auto") -> Iterator[Client]:
    """Connect to a scheduler, or start one here with workers of one thread, each on a GPU if there are any."""
    if isinstance(scheduler, Client):
        yield scheduler
    elif scheduler:
        _quiet()  # `run_grid` says in one line that a scheduler is lost
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError) as error:
            raise ConnectionError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        with client:
            yield client
    else:
        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        with dask.config.set(_DASK), LocalCluster(**local) as cluster, Client(cluster) as client:
            client.register_plugin(_Uninterrupted())
            if gpus := _gpus(device):
                client.register_plugin(_OneGPU(gpus))
            yield client


def _check_threads(client: Client) -> None:
    """Print the dashboard's address; ValueError for a worker that would run several cells at once."""
    print(f"dashboard: {client.dashboard_link}")
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        if worker["nthreads"] > 1:
            raise ValueError(
                f"worker {address} has {worker['nthreads']} threads; start it with --nthreads 1: a cell each"
            )
