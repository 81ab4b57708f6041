"""``preflab power``: how many seeds decide the claims of a study, from runs that are finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from preflab import hookimpl
from preflab_builtin.power.command import power


@hookimpl
def preflab_commands() -> list[Callable[[list[str]], int]]:
    """preflab power."""
    return [power]


@hookimpl
def preflab_seeds_needed(folders: Sequence[Path]) -> Mapping[str, int | None]:
    """Seeds for each undecided claim of these runs."""
    from preflab_builtin.power.claims import is_open, outlooks
    from preflab_builtin.report.arms import arms
    from preflab_builtin.report.build import studies_of
    from preflab_builtin.report.gather import gather

    runs = gather(folders).runs
    rows = [row for study in studies_of(runs, arms(runs)) for row in outlooks(study)]
    return {row.decision.name: row.needed for row in rows if is_open(row)}
