"""Refusals: instructions that should be refused and their harmless twins in the embedded world, and
how often either is refused, there and by real models."""

from __future__ import annotations

from preflab import Component, hookimpl

_HERE = "preflab_builtin.refusals"


@hookimpl
def preflab_components() -> list[Component]:
    """The embedded world with such instructions, and two evaluators."""
    from preflab_builtin.refusals import config as c

    return [
        Component(
            "data",
            "refusals",
            c.RefusalsConfig,
            build=f"{_HERE}.source:RefusalWorld",
            inspect=f"{_HERE}.source:inspect",
        ),
        Component(
            "evaluator",
            "refusal",
            c.RefusalConfig,
            build=f"{_HERE}.evaluator:Refusals",
            needs=c.RefusalConfig.needs,
            nested={"recogniser": "guard", "people": "evaluator"},
            preflight=f"{_HERE}.evaluator:preflight",
        ),
        Component(
            "evaluator",
            "xstest",
            c.XSTestConfig,
            build=f"{_HERE}.xstest:XSTest",
            nested={"recogniser": "guard", "people": "evaluator"},
            inspect=f"{_HERE}.rows:inspect",
            preflight=f"{_HERE}.xstest:preflight",
        ),
    ]
