"""Measures of runs as the tables of ``preflab runs`` show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from preflab.errors import UserError, nearest
from preflab.storage.runs import FoundRun

NOTHING = "-"


def chosen(names: str, runs: Iterable[FoundRun]) -> list[str]:
    """The measures that are asked for (names, or patterns such as families/*, with commas), in the
    order of asking; `UserError` for one that no run has."""
    known = dict.fromkeys(name for run in runs for name in run.measures) if names else {}
    found = dict[str, None]()
    for pattern in filter(None, names.split(",")):
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise UserError(f"No run has the measure '{pattern}'. {nearest(pattern, known)}")
        found |= dict.fromkeys(fitting)
    return list(found)


def number(measure: Mapping[str, float | None] | None) -> str:
    """The value of a measure in a cell."""
    value = (measure or {}).get("value")
    return NOTHING if value is None else f"{value:.4g}"
