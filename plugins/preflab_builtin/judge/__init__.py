"""A language model as a judge: a prompt to it, and the probability of its answer (Zheng et al.
2023, arXiv 2306.05685; Liu et al. 2023, arXiv 2303.16634, weigh answers by their probability
too)."""

from __future__ import annotations

from preflab import Component, hookimpl

_HERE = "preflab_builtin.judge"


@hookimpl
def preflab_components() -> list[Component]:
    """The judge of one response, a reward; the judge of two, an evaluator."""
    from preflab_builtin.judge.config import JudgeConfig, PairJudgeConfig

    return [
        Component(
            "reward_model",
            "judge",
            JudgeConfig,
            f"{_HERE}.judging:Judge",
            inspect=f"{_HERE}.inspecting:inspect",
            preflight=f"{_HERE}.preflight:preflight",
        ),
        Component(
            "evaluator",
            "judge",
            PairJudgeConfig,
            f"{_HERE}.judging:PairJudge",
            inspect=f"{_HERE}.inspecting:inspect",
            preflight=f"{_HERE}.preflight:preflight",
        ),
    ]
