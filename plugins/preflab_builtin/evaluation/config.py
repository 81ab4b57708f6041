"""Configs of the evaluation stage and of the built-in evaluators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab import option


class Role(StrEnum):
    """Which policy of the run answers: what the algorithm made, what it started from, the last SFT model, the pretrained one."""

    result = "result"
    initial = "initial"
    sft = "sft"
    base = "base"


class BaselineRole(StrEnum):
    """Who the subject is compared with: a policy of the run, nobody, or responses in a file."""

    sft = "sft"
    base = "base"
    initial = "initial"
    none = "none"
    file = "file"


class HeldOut(StrEnum):
    """Records that no stage trains on."""

    test = "test"
    validation = "validation"


class Judge(StrEnum):
    """Who says which of two responses is better."""

    labelers = "labelers"
    gold = "gold"
    reward = "reward"


class Unit(StrEnum):
    """What is drawn when an interval is made."""

    prompt = "prompt"
    group = "group"


@dataclass
class RewardConfig:
    """Mean reward of the responses: of the run's reward model (the proxy), or of another source."""

    name: str = option("reward", "component")
    source: Any = option(None, "a reward_model component to score with; null: the run's own")
    label: str | None = option(
        None, "name of the measure, reward/LABEL; null: proxy, or the source's name"
    )


@dataclass
class GoldConfig:
    """The true utility of the responses and its parts: known in a simulated world only."""

    name: str = option("gold", "component")


@dataclass
class WinRateConfig:
    """Share of prompts for which the judge prefers the subject's response to the baseline's, ties half."""

    name: str = option("win_rate", "component")
    judge: Judge = option(
        Judge.labelers, "labelers (share of people), gold (higher utility) or reward (higher score)"
    )
    group: str | None = option(
        None,
        "with judge=labelers: whose, held_out or a group's name; null: who label training data",
    )
    source: Any = option(
        None, "with judge=reward: a reward_model component to judge with; null: the run's own"
    )
    label: str | None = option(
        None, "name of the measure, win_rate/LABEL; null: the judge's name, or the group's"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A source judges only if it is asked."""
        if self.source is not None and self.judge is not Judge.reward:
            yield (
                "source",
                f"is given, but judge={self.judge.value}: set judge=reward or leave the source out",
            )
        if self.group is not None and self.judge is not Judge.labelers:
            yield "group", f"is given, but judge={self.judge.value}: only labelers come in groups"


@dataclass
class LengthConfig:
    """Mean length of the responses in tokens, end token included, and the share that ended with the end token."""

    name: str = option("length", "component")


@dataclass
class KLConfig:
    """KL divergence to the policy that the algorithm started from, nats a response, from the judged responses."""

    name: str = option("kl", "component")


@dataclass
class FamiliesConfig:
    """Greedy exact-match accuracy by family of pretraining documents: what alignment may cost (the alignment tax)."""

    name: str = option("families", "component")
    per_family: int = option(64, "most documents of a family; equal ones count once", ge=1, fast=4)
    split: HeldOut = option(HeldOut.test, "which held-out documents")


@dataclass
class DocumentLossConfig:
    """Mean token loss on held-out pretraining documents, nats a token, by family and over all."""

    name: str = option("document_loss", "component")
    per_family: int = option(64, "most documents of a family", ge=1, fast=4)
    max_tokens: int = option(512, "longer documents are cut here; tokens", ge=2)
    split: HeldOut = option(HeldOut.test, "which held-out documents")


@dataclass
class RewardAccuracyConfig:
    """How often the reward model scores the preferred response of a held-out pair higher; beside it, how often the longer
    response is the preferred one, over all pairs and over pairs of similar length."""

    name: str = option("reward_accuracy", "component")
    source: Any = option(None, "a reward_model component to judge; null: the run's own")
    label: str | None = option(
        None, "name of the measures, reward_accuracy/LABEL/...; null: proxy, or the source's name"
    )
    split: HeldOut | None = option(
        None, "which held-out rankings; null: test, or validation where there are none"
    )
    matched: float = option(
        0.2, "pairs count as of similar length below this |log length ratio|", gt=0
    )
    unit: Unit = option(
        Unit.prompt, "intervals draw whole prompts, or whole groups of prompts (a debate) with them"
    )
    by_group: bool = option(False, "also the accuracy on each labeler group's judgements")


@dataclass
class BestOfNCurveConfig:
    """Best-of-n for every n from one pool of samples of the policy that the algorithm started from: reward, true utility if it
    is known, and KL, as n grows (over-optimisation without training)."""

    name: str = option("best_of_n_curve", "component")
    pool: int = option(64, "samples a prompt", ge=2, fast=4)
    prompts: int = option(100, "of the evaluation's prompts, the first so many", ge=1, fast=4)
    label: str = option(
        "best_of", "measures are LABEL/N/reward, LABEL/N/gold, LABEL/N/kl for N = 1, 2, 4 .. pool"
    )


@dataclass
class SuiteConfig:
    """Samples the subject's and the baseline's responses to the same prompts, then asks each evaluator."""

    name: str = option("suite", "component")
    evaluators: dict[str, Any] = option(
        factory=dict, doc="evaluator components by any name; NAME=null leaves one out"
    )
    prompts: int = option(
        400, "prompts of the split that are answered; 0: no responses are sampled", ge=0, fast=8
    )
    subject: Role = option(Role.result, "who is judged: result, initial, sft or base")
    baseline: BaselineRole = option(
        BaselineRole.sft, "who the subject is compared with: sft, base, initial, file or none"
    )
    baseline_path: str = option(
        "",
        "with baseline=file: rows with prompt and response, such as another run's samples.jsonl",
        affects_result=False,
    )
    temperature: float | None = option(
        None, "of the judged responses, 0 is greedy; null: the rollout's", ge=0
    )
    split: HeldOut = option(HeldOut.test, "prompts of which split")
    prefix: str = option(
        "",
        "text before each prompt of the subject alone (judges do not read it): examples, for a prompted baseline",
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's", ge=0)

    def check(self) -> Iterator[tuple[str, str]]:
        """Evaluators that judge responses need some, and a comparison needs two sides."""
        for key, evaluator in self.evaluators.items():
            if not self.prompts and isinstance(
                evaluator, (RewardConfig, GoldConfig, WinRateConfig, LengthConfig, KLConfig)
            ):
                yield (
                    "prompts",
                    f"is 0, but evaluators.{key} ({evaluator.name}) judges responses: set prompts > 0",
                )
            if self.baseline is BaselineRole.none and isinstance(evaluator, WinRateConfig):
                yield (
                    "baseline",
                    f"is none, but evaluators.{key} (win_rate) compares with it: choose sft, base, initial or file",
                )
        if bool(self.baseline_path) != (self.baseline is BaselineRole.file):
            given = "is given" if self.baseline_path else "is empty"
            yield (
                "baseline_path",
                f"{given}, but baseline is {self.baseline.value}: a file of responses goes with baseline=file",
            )


@dataclass
class NoEvaluationConfig:
    """Nothing is measured."""

    name: str = option("none", "component")
