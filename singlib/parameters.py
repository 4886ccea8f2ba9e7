"""Parameters of a notebook, checked: papermill only warns when it is given one the notebook has not."""

from __future__ import annotations

import ast
import difflib
from typing import Any

from IPython import get_ipython

MARK = "# Parameters"  # how papermill's injected cell begins, and how our own do


def assigned(source: str) -> list[str]:
    """Return the names that a cell assigns."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [target for node in nodes for target in getattr(node, "targets", None) or [node.target]]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def latest(history: list[str]) -> list[str]:
    """Return the parameters cells that were run last in a row: a mistake that was corrected is forgotten."""
    marked = [source.startswith(MARK) for source in history]
    if not any(marked):
        return []
    last = len(marked) - 1 - marked[::-1].index(True)
    first = last
    while first and marked[first - 1]:
        first -= 1
    return history[first : last + 1]


def check_names(known: list[str], given: list[str]) -> None:
    """Raise a ValueError that names every parameter the notebook does not have, and the one it may have meant."""
    faults = []
    for name in given:
        if name not in known:
            like = difflib.get_close_matches(name, known, 1)
            faults.append(f"unknown parameter {name!r}" + (f", did you mean {like[0]!r}?" if like else ""))
    if faults:
        raise ValueError(f"{'; '.join(faults)} This notebook takes: {', '.join(known)}")


def checked(*known: str) -> dict[str, Any]:
    """Return the parameters of the notebook that calls, by name.

    Parameters
    ----------
    *known : str
        The names that the notebook's own parameters cell assigns.

    Returns
    -------
    dict
        Each known name with its value now.

    Raises
    ------
    ValueError
        If papermill injected, or somebody wrote into the parameters cell, a name that is not known.
    """
    namespace = get_ipython().user_ns
    check_names(list(known), [name for source in latest(namespace["In"]) for name in assigned(source)])
    return {name: namespace[name] for name in known}
