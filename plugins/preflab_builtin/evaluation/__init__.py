"""What is measured at the end of a run: the evaluation stage, and the evaluators it asks."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab_builtin.evaluation import config as c

_HERE = "preflab_builtin.evaluation"


@hookimpl
def preflab_components() -> list[Component]:
    """The suite, which makes the stage, and its evaluators."""
    source = {"source": "reward_model"}
    return [
        Component(
            "evaluation",
            "suite",
            c.SuiteConfig,
            procedure=f"{_HERE}.suite:EvaluationSuite",
            needs=c.SuiteConfig.needs,
            nested={"evaluators": "evaluator"},
            inspect=f"{_HERE}.stored:inspect_stored",
        ),
        Component(
            "evaluator",
            "reward",
            c.RewardConfig,
            f"{_HERE}.judges:MeanReward",
            needs=c.RewardConfig.needs,
            nested=source,
        ),
        Component(
            "evaluator", "gold", c.GoldConfig, f"{_HERE}.judges:GoldUtility", needs=("gold",)
        ),
        Component(
            "evaluator",
            "win_rate",
            c.WinRateConfig,
            f"{_HERE}.judges:WinRate",
            needs=c.WinRateConfig.needs,
            nested=source,
        ),
        Component(
            "evaluator",
            "best_of_n_curve",
            c.BestOfNCurveConfig,
            f"{_HERE}.best_of_n_curve:BestOfNCurve",
            needs=("reward_model",),
        ),
        Component("evaluator", "length", c.LengthConfig, f"{_HERE}.responses:Length"),
        Component("evaluator", "kl", c.KLConfig, f"{_HERE}.responses:ReferenceKL"),
        Component(
            "evaluator",
            "families",
            c.FamiliesConfig,
            f"{_HERE}.documents:FamilyAccuracy",
            needs=("documents",),
        ),
        Component(
            "evaluator",
            "document_loss",
            c.DocumentLossConfig,
            f"{_HERE}.documents:DocumentLoss",
            needs=("documents",),
        ),
        Component(
            "evaluator",
            "reward_accuracy",
            c.RewardAccuracyConfig,
            f"{_HERE}.reward_accuracy:RewardAccuracy",
            needs=c.RewardAccuracyConfig.needs,
            nested=source,
        ),
    ]
