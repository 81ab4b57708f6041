"""Shows on stderr how far a run is: a bar in a terminal, a line now and then elsewhere, nothing
with PREFLAB_QUIET=1."""

from __future__ import annotations

from collections.abc import Sequence

from preflab import hookimpl


@hookimpl
def preflab_observers(stages: Sequence[str]) -> list[object]:
    """The display of one run."""
    from preflab_builtin.progress.display import choose

    return [choose(stages)]
