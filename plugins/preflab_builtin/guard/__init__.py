"""Guards: what checks a prompt or a response before it is shown. A guard wraps a responder, so that
it is evaluated, and served, like one."""

from __future__ import annotations

from preflab import Component, hookimpl

_HERE = "preflab_builtin.guard"


@hookimpl
def preflab_components() -> list[Component]:
    """Four guards, the algorithm that answers behind one, and the evaluator of one."""
    from preflab_builtin.guard import config as c

    return [
        Component(
            "guard",
            "words",
            c.WordsConfig,
            build=f"{_HERE}.words:words",
            inspect=f"{_HERE}.words:inspect",
        ),
        Component(
            "guard",
            "classifier",
            c.ClassifierConfig,
            build=f"{_HERE}.classifier:classifier",
            inspect=f"{_HERE}.classifier:inspect",
        ),
        Component(
            "guard",
            "first_token",
            c.FirstTokenConfig,
            build=f"{_HERE}.first_token:first_token",
            inspect=f"{_HERE}.first_token:inspect",
            preflight=f"{_HERE}.first_token:preflight",
        ),
        Component(
            "guard",
            "chain",
            c.ChainConfig,
            build=f"{_HERE}.chain:chain",
            nested={"guards": "guard"},
        ),
        Component(
            "algorithm",
            "guarded",
            c.GuardedConfig,
            build=f"{_HERE}.responder:guarded",
            nested={"guard": "guard"},
        ),
        Component(
            "evaluator",
            "guard",
            c.GuardEvaluatorConfig,
            build=f"{_HERE}.evaluator:GuardEvaluator",
            preflight=f"{_HERE}.evaluator:preflight",
            nested={
                "guard": "guard",
                "judge": "reward_model",
                "evaluators": "evaluator",
            },
        ),
    ]
