"""Single parts of the report, by name: ``fig07``, ``table3``, ``claims``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import figures, tables, verdicts
from .grid import check_choice
from .records import Records

PARTS: dict[str, Callable[[Records], object]] = {
    **{f"fig{number:02d}": partial(figures.save, number) for number in figures.FIGURES},
    **{f"table{number}": partial(tables.save, number) for number in tables.CAPTIONS},
    "claims": verdicts.save,
}


def save(names: list[str], records: Records) -> None:
    """Save some parts of the report under ``figures/<profile>/``.

    Raises
    ------
    ValueError
        If a name is none of `PARTS`; nothing is saved then.
    """
    for name in names:
        check_choice("part", name, PARTS)
    for name in names:
        PARTS[name](records)
