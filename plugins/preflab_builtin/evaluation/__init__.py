"""What is measured at the end of a run: the evaluation stage, and the evaluators it asks."""

from __future__ import annotations

from typing import Any

from preflab import Component, hookimpl
from preflab_builtin.evaluation import config as c

_HERE = "preflab_builtin.evaluation"
_SOURCE = {"source": "reward_model"}


@hookimpl
def preflab_components() -> list[Component]:
    """The suite, which makes the stage, and its evaluators."""
    suite = Component(
        "evaluation",
        "suite",
        c.SuiteConfig,
        procedure=f"{_HERE}.suite:EvaluationSuite",
        needs=c.SuiteConfig.needs,
        nested={"evaluators": "evaluator"},
        inspect=f"{_HERE}.stored:inspect_stored",
        preflight=f"{_HERE}.preflight:suite",
    )
    reward = ("reward_model",)
    return [
        suite,
        _evaluator(c.RewardConfig, "judges:MeanReward", c.RewardConfig.needs, _SOURCE),
        _evaluator(c.GoldConfig, "judges:GoldUtility", ("gold",)),
        _evaluator(c.WinRateConfig, "judges:WinRate", c.WinRateConfig.needs, _SOURCE),
        _evaluator(c.BestOfNCurveConfig, "best_of_n_curve:BestOfNCurve", reward),
        _evaluator(c.LengthConfig, "responses:Length"),
        _evaluator(c.KLConfig, "responses:ReferenceKL"),
        _evaluator(
            c.FamiliesConfig,
            "documents:FamilyAccuracy",
            c.FamiliesConfig.needs,
            preflight="families",
        ),
        _evaluator(
            c.DocumentLossConfig,
            "documents:DocumentLoss",
            c.DocumentLossConfig.needs,
            preflight="document_loss",
        ),
        _evaluator(
            c.RewardAccuracyConfig,
            "reward_accuracy:RewardAccuracy",
            c.RewardAccuracyConfig.needs,
            _SOURCE,
            preflight="reward_accuracy",
        ),
    ]


def _evaluator(
    config: Any, place: str, needs: Any = (), nested: Any = None, preflight: str = ""
) -> Component:
    """An evaluator of this folder; its name is that of its config."""
    return Component(
        "evaluator",
        config().name,
        config,
        f"{_HERE}.{place}",
        needs=needs,
        nested=nested or {},
        preflight=f"{_HERE}.preflight:{preflight}" if preflight else None,
    )
