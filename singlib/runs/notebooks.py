"""Notebooks: executed with papermill by a kernel of this Python, and their parameters checked."""

import ast
import difflib
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traitlets.config import Config

# Errors that may not come again; any other would.
_PASSING = ("OutOfMemoryError", "MemoryError", "AcceleratorError")


class NotebookError(Exception):
    """A notebook stopped: its error, and where its output so far was kept."""

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing  # worth another try: a dead kernel, memory that was short


def template(root: Path, notebook: str) -> Path:
    """Return the path of a notebook of notebooks/; FileNotFoundError says where one is, if this is no clone."""
    path = root / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the notebooks that train and report come with a clone of singlib's repository, not "
            "with the installed package; run this in a clone, or let SINGLIB_ROOT name one"
        )
    return path


def execute(root: Path, notebook: str, target: Path, parameters: dict) -> None:
    """Execute a notebook of notebooks/ with papermill; `target` appears when it has ended well."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    from .kernels import Kernels

    # Written outside the run folder, which belongs to the training that the notebook starts.
    partial = target.parent.parent / ".notebooks" / f"{target.parent.name}-{notebook}.ipynb"
    partial.parent.mkdir(parents=True, exist_ok=True)
    with _kernel_settings() as config:
        try:
            papermill.execute_notebook(
                _literal(template(root, notebook)),
                _literal(partial),
                parameters,
                # Not `cwd`, which papermill gives this process, too: of two threads one would leave the other's.
                resources={"metadata": {"path": str(root)}},
                progress_bar=False,
                config=config,
                kernel_manager_class=Kernels,
                shutdown_kernel="immediate",
            )
        except papermill.PapermillExecutionError as error:
            message = f"{error.ename}: {error.evalue} (notebook: {partial})"
            raise NotebookError(message, error.ename in _PASSING) from error
        except DeadKernelError as error:
            raise NotebookError(f"the kernel died: {error} (notebook: {partial})", True) from error
        except RuntimeError as error:  # what jupyter_client makes of a kernel that did not start in time
            raise NotebookError(f"the kernel did not start: {error} (notebook: {partial})", True) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(target)


def _literal(path: Path) -> str:
    """Escape the braces of a path, which papermill would fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def _kernel_settings() -> Iterator["Config"]:
    """Yield settings for sockets of a kernel's own, instead of ports that two kernels could race for."""
    from traitlets.config import Config

    config = Config()
    config.ConnectionFileMixin.transport = "ipc"
    if sys.platform == "linux":  # names without files, which end with the process
        config.ConnectionFileMixin.ip = f"@singlib-{uuid.uuid4().hex}"
        yield config
        return
    with tempfile.TemporaryDirectory(dir="/tmp") as sockets:  # since a socket's path may have 104 characters at most
        config.ConnectionFileMixin.ip = f"{sockets}/kernel"
        yield config


MARK = "# Parameters"  # how papermill's injected cell begins, and how our own do


def assigned(source: str) -> list[str]:
    """Return the names that a cell assigns."""
    names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def latest(history: list[str]) -> list[str]:
    """Return the parameters cells that were run last in a row: a mistake that was corrected is forgotten."""
    rows = [list(row) for marked, row in groupby(history, lambda source: source.startswith(MARK)) if marked]
    return rows[-1] if rows else []


def check_names(known: list[str], given: list[str]) -> None:
    """Raise a ValueError that names every parameter the notebook does not have, and the one it may have meant."""
    faults = []
    for name in given:
        if name not in known:
            like = difflib.get_close_matches(name, known, 1)
            faults.append(f"unknown parameter {name!r}" + (f", did you mean {like[0]!r}?" if like else "."))
    if faults:
        raise ValueError(f"{' '.join(faults)} This notebook takes: {', '.join(known)}")


def checked(*known: str) -> dict[str, Any]:
    """Return the parameters of the notebook that calls, name -> value.

    `known` are the names that its own parameters cell assigns. ValueError if papermill injected another name, or
    somebody wrote one into that cell: papermill itself only warns.
    """
    from IPython import get_ipython  # here, since the command line imports this module

    namespace = get_ipython().user_ns
    check_names(list(known), [name for source in latest(namespace["In"]) for name in assigned(source)])
    return {name: namespace[name] for name in known}
