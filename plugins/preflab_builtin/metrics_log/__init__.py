"""The tracker ``jsonl``: what a run reports, in ``metrics.jsonl`` and ``samples.jsonl`` of its
folder."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The tracker."""
    from preflab_builtin.metrics_log.config import JsonLinesConfig

    build = "preflab_builtin.metrics_log.writer:JsonLines"
    return [Component("tracker", "jsonl", JsonLinesConfig, build=build)]
