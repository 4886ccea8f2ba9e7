"""Parameters of a notebook, checked: papermill only warns when it is given one the notebook has not."""

from __future__ import annotations

import ast
import difflib
from typing import Any

from IPython import get_ipython

MARK = "# Parameters"  # how papermill's injected cell begins, and how our own do


def assigned(source: str) -> list[str]:
    """Return the names that a cell assigns."""
    targets = [node.targets for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return [target.id for group in targets for target in group if isinstance(target, ast.Name)]


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
    cells = [source for source in namespace["In"] if source.startswith(MARK)]
    check_names(list(known), [name for source in cells for name in assigned(source)])
    return {name: namespace[name] for name in known}
