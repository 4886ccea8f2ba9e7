"""The plain reading in a process of its own, with the C library's settings that anybody would start it with.

Our side keeps freed memory, as a cell of the grid does (`singlib.runs.training.keep_freed_memory`); in one
process the plain reading would share what that saves.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

_SIDE = {}


def _begin(threads, make, args, settings):
    import torch

    torch.set_num_threads(threads)
    _SIDE["here"] = make(*args, **settings)


def _call(method, args):
    getattr(_SIDE["here"], method)(*args)


def _peak():
    """Return VmHWM, in MB: ``getrusage`` would begin with the memory of the process that started this one."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(rows["VmHWM"].split()[0]) / 1024


class Apart:
    """An object that lives in a new process; ``apart(method, *args)`` calls a method there.

    Parameters
    ----------
    make : callable
        Makes the object; from a module that costs the new process nothing it would not import itself.
    """

    def __init__(self, threads, make, *args, **settings):
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (threads, make, args, settings))

    def __call__(self, method, *args):
        self.pool.submit(_call, method, args).result()

    def peak(self):
        """Return the largest memory that the process ever had, in MB (Linux)."""
        return self.pool.submit(_peak).result()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown()
