"""What is measured at the end of a run: the evaluation stage, and the evaluators that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context, Evaluator, Procedure
    from preflab_builtin.evaluation import config as c


@hookimpl
def preflab_components() -> list[Component]:
    """The suite, none, and the evaluators."""
    from preflab_builtin.evaluation import config as c

    source = {"source": "reward_model"}
    return [
        Component(
            "evaluation",
            "suite",
            c.SuiteConfig,
            procedure=_suite,
            needs=_prompts,
            nested={"evaluators": "evaluator"},
            inspect=_stored,
        ),
        Component("evaluation", "none", c.NoEvaluationConfig),
        Component(
            "evaluator", "reward", c.RewardConfig, build=_reward, needs=_proxy, nested=source
        ),
        Component("evaluator", "gold", c.GoldConfig, build=_gold, needs=lambda config: ("gold",)),
        Component(
            "evaluator", "win_rate", c.WinRateConfig, build=_win_rate, needs=_judge, nested=source
        ),
        Component(
            "evaluator",
            "best_of_n_curve",
            c.BestOfNCurveConfig,
            build=_best_of_n_curve,
            needs=_proxy_always,
        ),
        Component("evaluator", "length", c.LengthConfig, build=_length),
        Component("evaluator", "kl", c.KLConfig, build=_kl),
        Component("evaluator", "families", c.FamiliesConfig, build=_families, needs=_documents),
        Component(
            "evaluator",
            "document_loss",
            c.DocumentLossConfig,
            build=_document_loss,
            needs=_documents,
        ),
        Component(
            "evaluator",
            "reward_accuracy",
            c.RewardAccuracyConfig,
            build=_reward_accuracy,
            needs=_ranked,
            nested=source,
        ),
    ]


@hookimpl
def preflab_commands() -> list[Callable[[list[str]], int]]:
    """preflab evaluate-samples."""
    from preflab_builtin.evaluation.samples import evaluate_samples

    return [evaluate_samples]


def _prompts(config: c.SuiteConfig) -> tuple[str, ...]:
    return ("prompts",) if config.prompts else ()


def _stored(config: c.SuiteConfig) -> Inspection:
    from preflab_builtin.evaluation.stored import inspect_stored

    return inspect_stored(config)


def _proxy(config: c.RewardConfig) -> tuple[str, ...]:
    return () if config.source is not None else ("reward_model",)


def _proxy_always(config: c.BestOfNCurveConfig) -> tuple[str, ...]:
    return ("reward_model",)


def _judge(config: c.WinRateConfig) -> tuple[str, ...]:
    from preflab_builtin.evaluation.config import Judge

    if config.judge is Judge.reward:
        return () if config.source is not None else ("reward_model",)
    return ("labeler",) if config.judge is Judge.labelers else ("gold",)


def _documents(config: c.FamiliesConfig | c.DocumentLossConfig) -> tuple[str, ...]:
    return ("documents",)


def _ranked(config: c.RewardAccuracyConfig) -> tuple[str, ...]:
    return ("rankings",) if config.source is not None else ("rankings", "reward_model")


def _suite(config: c.SuiteConfig, context: Context) -> Procedure:
    from preflab_builtin.evaluation.suite import EvaluationSuite

    return EvaluationSuite(config, context)


def _reward(config: c.RewardConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.judges import MeanReward

    return MeanReward(config, context)


def _gold(config: c.GoldConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.judges import GoldUtility

    return GoldUtility(context)


def _win_rate(config: c.WinRateConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.judges import WinRate

    return WinRate(config, context)


def _best_of_n_curve(config: c.BestOfNCurveConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.best_of_n_curve import BestOfNCurve

    return BestOfNCurve(config, context)


def _length(config: c.LengthConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.responses import Length

    return Length()


def _kl(config: c.KLConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.responses import ReferenceKL

    return ReferenceKL(context)


def _families(config: c.FamiliesConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.documents import FamilyAccuracy

    return FamilyAccuracy(config, context)


def _document_loss(config: c.DocumentLossConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.documents import DocumentLoss

    return DocumentLoss(config, context)


def _reward_accuracy(config: c.RewardAccuracyConfig, context: Context) -> Evaluator:
    from preflab_builtin.evaluation.reward_accuracy import RewardAccuracy

    return RewardAccuracy(config, context)
