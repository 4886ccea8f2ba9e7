"""The plain reading in a process of its own, with the C library's settings that anybody would start it with.

Our side keeps freed memory, as a cell of the grid does (`singlib.training.keep_freed_memory`); in one
process the plain reading would share what that saves.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

_SIDE = {}


def _begin(threads, make, args, settings):
    import torch

    torch.set_num_threads(threads)
    _SIDE["here"] = make(*args, **settings)


def _call(method, args):
    return getattr(_SIDE["here"], method)(*args)


class Apart:
    """An object that lives in a new process; ``apart(method, *args)`` calls a method there and returns its result.

    Parameters
    ----------
    make : callable
        Makes the object; from a module that costs the new process nothing it would not import itself.
    """

    def __init__(self, threads, make, *args, **settings):
        self.pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (threads, make, args, settings))

    def __call__(self, method, *args):
        result = self.pool.submit(_call, method, args).result()
        return result if isinstance(result, (int, float)) else None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.pool.shutdown()
