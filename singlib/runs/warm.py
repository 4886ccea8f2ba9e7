"""The process that kernels are forked from: it has loaded and built what each of them would again.

Threads that it starts must hold no lock when it forks: a fork has only the one that forked it, and would wait for the
others for ever.
"""

import fcntl
import json
import os
import sys
from importlib import import_module
from typing import IO

import ipykernel.ipkernel  # noqa: F401, for the notebooks
import numpy as np
import seaborn  # noqa: F401
import torch
from ipykernel.kernelapp import IPKernelApp

from ..files import project_folder
from ..grading.measures import measure
from ..nsynth import SAMPLES
from ..spectra import SPECTRA
from . import training  # noqa: F401


def import_librosa() -> None:
    """Import the parts of librosa that numba compiles, while no other worker does.

    numba keeps what it compiled beside librosa. Two processes that compile the same at once mix their files, and
    whoever calls such a function later is killed by a segmentation fault (numba's issue 10128).
    """
    runs = project_folder() / "runs"
    runs.mkdir(exist_ok=True)
    with (runs / ".librosa.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for part in ("util.utils", "core.audio", "core.pitch"):
            import_module(f"librosa.{part}")


def build() -> None:
    """Do once what is slow the first time."""
    import_librosa()
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first optimiser imports torch's compiler: 2 s
    for spectrum in SPECTRA.values():
        spectrum()  # its kernels are kept
    noise = np.random.default_rng(0).standard_normal(SAMPLES)
    measure(noise, noise, pitch=60)  # librosa loads its parts when they are called


def serve(requests: IO[str], replies: IO[str]) -> None:
    """Answer requests, a line of JSON each, until there are no more.

    ``arguments``, ``environment`` and ``folder`` start a kernel; the reply is its process number. ``wait``, a process
    number, asks for its exit code; null while it runs.
    """
    for line in requests:
        request = json.loads(line)
        if "wait" in request:
            ended, status = os.waitpid(request["wait"], os.WNOHANG)
            reply = os.waitstatus_to_exitcode(status) if ended else None
        else:
            reply = os.fork()
            if not reply:
                run_kernel(**request)
        print(json.dumps(reply), file=replies, flush=True)


def run_kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Be a kernel, and end with it."""
    try:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # requests are not for it
        quiet = ["--log-level=ERROR"]  # of its parent's end, which is no fault
        IPKernelApp.launch_instance(arguments + quiet, parent_handle=os.getppid())  # it ends when its parent does
    finally:
        os._exit(1)


if __name__ == "__main__":
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    try:
        build()
    except Exception as error:  # the answer to the first request
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=pipe, flush=True)
        raise
    serve(sys.stdin, pipe)
