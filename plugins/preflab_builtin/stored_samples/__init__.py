"""``preflab evaluate-samples``: stored generations, made here or elsewhere, judged by the code of
the evaluators."""

from __future__ import annotations

from collections.abc import Callable

from preflab import hookimpl
from preflab_builtin.stored_samples.command import evaluate_samples


@hookimpl
def preflab_commands() -> list[Callable[[list[str]], int]]:
    """preflab evaluate-samples."""
    return [evaluate_samples]
