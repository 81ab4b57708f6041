"""Configs of the evaluation stage and of its evaluators."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from preflab import option
from preflab.memory import Load

if TYPE_CHECKING:
    from preflab.interfaces import Context

NO_BASELINE, FILE = "none", "file"
"""Baselines that are not a policy of the run: nothing to compare with, and responses in a file."""
PROXY = "proxy"
"""Label of the run's own reward model."""
ACCURACIES = "all length difference matched matched_length matched_difference".split()
"""What is counted of the pairs of a reward model: all of them, and those of similar length."""
BLEU_TOKENISERS = "13a intl zh char ja-mecab ko-mecab spm flores101 flores200 none".split()
"""sacrebleu's tokenisers, by its own names; 13a is its default."""

PREFIX = "text in front of each document, such as the control token that prompts have, too"


class HeldOut(StrEnum):
    """Records that no stage trains on."""

    test = "test"
    validation = "validation"


class Judge(StrEnum):
    """Who decides which of two responses is better."""

    labelers = "labelers"
    gold = "gold"
    reward = "reward"


class Unit(StrEnum):
    """What the bootstrap of an interval draws."""

    prompt = "prompt"
    group = "group"


def source_label(config: RewardConfig | WinRateConfig | RewardAccuracyConfig) -> str:
    """Under which name an evaluator measures the reward of its source."""
    return config.label or (PROXY if config.source is None else str(config.source.name))


@dataclass
class RewardConfig:
    """Mean reward of the responses, by the run's reward model (the proxy) or by another one."""

    name: str = option("reward", "component")
    source: Any = option(None, "a reward_model component to score with; null: the run's own")
    label: str | None = option(
        None, "the measure is reward/LABEL; null: proxy, or the name of the source"
    )

    def measured(self) -> tuple[str, ...]:
        """The mean reward."""
        return (f"reward/{source_label(self)}",)

    def needs(self) -> tuple[str, ...]:
        """The run's reward model, unless another one scores."""
        return () if self.source is not None else ("reward_model",)


@dataclass
class GoldConfig:
    """The true utility of the responses and its parts, which only a simulated world knows."""

    name: str = option("gold", "component")
    samples: int = option(
        1,
        "responses to each of some prompts; above 1 they give gold/PART_worst and gold/FLAG_any, "
        "the expected maximum and the probability of toxicity (Gehman et al. 2020)",
        ge=1,
        fast=2,
    )
    sampled_prompts: int = option(
        100, "with samples: use this many of the evaluation's prompts", ge=1, fast=4
    )

    def measured(self) -> tuple[str, ...]:
        """The utility and its parts, of which two need a baseline; and the worst of several."""
        worst = ("gold/{gold}_worst", "gold/{flag}_any") if self.samples > 1 else ()
        return ("gold/{gold}", "gold/gain", "gold/win", *worst)


@dataclass
class WinRateConfig:
    """Share of prompts for which the judge prefers the subject's response to the baseline's; a tie
    counts half."""

    name: str = option("win_rate", "component")
    judge: Judge = option(
        Judge.labelers, "labelers (share of people), gold (higher utility) or reward (higher score)"
    )
    group: str | None = option(
        None, "with judge=labelers: held_out or a group's name; null: those who label training data"
    )
    source: Any = option(
        None, "with judge=reward: a reward_model component to judge with; null: the run's own"
    )
    label: str | None = option(
        None, "the measure is win_rate/LABEL; null: the name of the judge or group"
    )

    def measured(self) -> tuple[str, ...]:
        """The win rate."""
        judge = self.group or self.judge.value
        return (f"win_rate/{self.label or (judge if self.source is None else self.source.name)}",)

    def needs(self) -> tuple[str, ...]:
        """What the judge needs."""
        if self.judge is Judge.reward:
            return () if self.source is not None else ("reward_model",)
        return ("labeler:any",) if self.judge is Judge.labelers else ("gold",)

    def check(self) -> Iterator[tuple[str, str]]:
        """A source or a group is given only to the judge that reads it."""
        if self.source is not None and self.judge is not Judge.reward:
            yield (
                "source",
                f"is given, but judge={self.judge.value}: set judge=reward or leave the source out",
            )
        if self.group is not None and self.judge is not Judge.labelers:
            yield (
                "group",
                f"is given, but judge={self.judge.value}: only labelers belong to groups",
            )


@dataclass
class LengthConfig:
    """Mean length of the responses in tokens, end token included, and the share that has one."""

    name: str = option("length", "component")

    def measured(self) -> tuple[str, ...]:
        """The length."""
        return ("length/tokens", "length/terminated")


@dataclass
class KLConfig:
    """KL divergence to the policy that the algorithm started from, estimated from the responses,
    in nats per response."""

    name: str = option("kl", "component")

    def measured(self) -> tuple[str, ...]:
        """The divergence; of best-of-n a bound of it."""
        return ("kl/reference", "kl/bound")


@dataclass
class FamiliesConfig:
    """Greedy exact-match accuracy on questions in the pretraining documents, for each family of
    documents and as the mean of families: what alignment may cost (the alignment tax)."""

    name: str = option("families", "component")
    per_family: int = option(
        64, "most documents per family; equal documents count once", ge=1, fast=4
    )
    split: HeldOut = option(HeldOut.test, "which held-out documents")
    prefix: str = option("", PREFIX)

    def measured(self) -> tuple[str, ...]:
        """The accuracies."""
        return ("families/{family}", "families/mean")

    def needs(self) -> tuple[str, ...]:
        """Documents of its split."""
        return (f"documents:{self.split.value}",)


@dataclass
class DocumentLossConfig:
    """Mean loss on held-out pretraining documents in nats per token, by family and over all."""

    name: str = option("document_loss", "component")
    per_family: int = option(64, "most documents per family", ge=1, fast=4)
    max_tokens: int = option(512, "longer documents are cut to this many tokens", ge=2, fast=32)
    split: HeldOut = option(HeldOut.test, "which held-out documents")
    prefix: str = option("", PREFIX)

    def measured(self) -> tuple[str, ...]:
        """The losses."""
        return ("document_loss/{family}", "document_loss/all")

    def needs(self) -> tuple[str, ...]:
        """Documents of its split."""
        return (f"documents:{self.split.value}",)


@dataclass
class RewardAccuracyConfig:
    """How often the reward model scores the preferred response of a held-out pair higher, and how
    often the longer response is preferred: over all pairs and over pairs of similar length."""

    name: str = option("reward_accuracy", "component")
    source: Any = option(None, "a reward_model component to judge; null: the run's own")
    label: str | None = option(
        None, "measures are reward_accuracy/LABEL/...; null: proxy, or the name of the source"
    )
    split: HeldOut | None = option(
        None, "which held-out rankings; null: test, or validation if there are no test rankings"
    )
    rankings: int | None = option(None, "most rankings; null: all", ge=1, fast=2)
    matched: float = option(0.2, "pairs have similar length below this |log(length ratio)|", gt=0)
    unit: Unit = option(
        Unit.prompt, "intervals draw whole prompts, or whole groups of prompts (such as a debate)"
    )
    by_group: bool | None = option(
        None,
        "also the accuracy on the judgements of each labeler group; null: of two to twelve groups "
        "of real people (without a simulated world)",
    )

    def measured(self) -> tuple[str, ...]:
        """The accuracies, and the calibration."""
        label = source_label(self)
        groups = (f"reward_accuracy/{label}/group/*",) if self.by_group else ()
        return (
            *(f"reward_accuracy/{label}/{name}" for name in ACCURACIES),
            *groups,
            f"calibration/{label}/loss",
            f"calibration/{label}/overconfidence",
        )

    def needs(self) -> tuple[str, ...]:
        """Rankings, and the run's reward model unless another one is judged."""
        rankings = f"rankings:{'test,validation' if self.split is None else self.split.value}"
        return (rankings,) if self.source is not None else (rankings, "reward_model")


@dataclass
class BestOfNCurveConfig:
    """Best-of-n for every n from one pool of samples of the policy that the algorithm started from:
    reward, true utility if it is known, and KL as n grows (over-optimisation without training)."""

    name: str = option("best_of_n_curve", "component")
    pool: int = option(64, "samples per prompt", ge=2, fast=4)
    prompts: int = option(100, "use this many of the evaluation's prompts", ge=1, fast=4)
    label: str = option(
        "best_of", "measures are LABEL/N/reward, LABEL/N/gold, LABEL/N/kl for N = 1, 2, 4 .. pool"
    )

    def measured(self) -> tuple[str, ...]:
        """The curve; the true utility where it is known."""
        sizes = (2**k for k in range(self.pool.bit_length()))
        return tuple(f"{self.label}/{n}/{what}" for n in sizes for what in ("reward", "gold", "kl"))


@dataclass
class SuiteConfig:
    """Samples responses of the subject and of the baseline to the same prompts, then asks each
    evaluator. The role of a policy is result (made by the algorithm), initial (what it started
    from), sft, base (pretrained), or a role that a plugin's stage makes."""

    name: str = option("suite", "component")
    evaluators: dict[str, Any] = option(
        factory=dict, doc="evaluator components by any name; NAME=null leaves one out"
    )
    prompts: int = option(
        400, "prompts of the split to answer; 0: no responses are sampled", ge=0, fast=8
    )
    subject: str = option("result", "role of the policy that is judged")
    baseline: str = option(
        "sft", "what the subject is compared with: the role of a policy, file or none"
    )
    baseline_path: str = option(
        "",
        "with baseline=file: rows with prompt and response, such as another run's samples.jsonl",
        affects_result=False,
    )
    temperature: float | None = option(
        None,
        "of the judged responses (of all n that best_of_n chooses from), 0 is greedy; null: the "
        "rollout's",
        ge=0,
    )
    split: HeldOut = option(HeldOut.test, "which held-out prompts")
    prefix: str = option(
        "",
        "text before each prompt of the subject, such as examples, also of evaluators that sample "
        "anew; judges and guards do not read it",
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's", ge=0)

    def needs(self) -> tuple[str, ...]:
        """Prompts if any are answered, and the policies in the roles that are compared."""
        prompts = (f"prompts:{self.split.value}",) if self.prompts else ()
        roles = [self.subject, *([] if self.baseline in (NO_BASELINE, FILE) else [self.baseline])]
        return (*prompts, *(f"policy:{role}" for role in roles))

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """The subject, beside it the baseline and later the policy that training began from, and
        the reward model if an evaluator asks it (`preflab.memory.Load`). How much evaluators
        compute, and what those sample that draw responses of their own, is theirs to know."""
        pools = any(
            isinstance(e, BestOfNCurveConfig) or (isinstance(e, GoldConfig) and e.samples > 1)
            for e in self.evaluators.values()
        )
        return Load(
            trained=0,
            frozen=1 + bool(self.prompts),
            rows=self.prompts,
            sampled=self.prompts,
            tokens=tokens,
            passes=1,
            scored=0.5,
            asks=True,
            uncounted=("rows that evaluators sample",) if pools else (),
        )

    def in_front(self, context: Context) -> Sequence[str]:
        """The prefix, behind what the algorithm puts in front."""
        return [f"{first}{self.prefix}" for first in context.in_front(self.subject)]

    def check(self) -> Iterator[tuple[str, str]]:
        """Evaluators of responses need some, a comparison needs two sides, and no two evaluators
        measure the same."""
        yield from doubled(self.evaluators, "evaluation.evaluators")
        for key, evaluator in self.evaluators.items():
            if not self.prompts and isinstance(
                evaluator, (RewardConfig, GoldConfig, WinRateConfig, LengthConfig, KLConfig)
            ):
                yield (
                    "prompts",
                    f"is 0, but evaluators.{key} ({evaluator.name}) judges responses: "
                    "set prompts > 0",
                )
            if self.baseline == NO_BASELINE and isinstance(evaluator, WinRateConfig):
                yield (
                    "baseline",
                    f"is none, but evaluators.{key} (win_rate) compares with it: choose the role "
                    "of a policy (sft, base, initial) or file",
                )
        if bool(self.baseline_path) != (self.baseline == FILE):
            given = "is given" if self.baseline_path else "is empty"
            yield (
                "baseline_path",
                f"{given}, but baseline is {self.baseline}: a file of responses goes with "
                "baseline=file",
            )


def doubled(evaluators: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    """Evaluators that measure the same as another one, as `check` says it. key: of a mapping of
    evaluators, on the command line."""
    owners: dict[str, str] = {}
    for name, evaluator in evaluators.items():
        # Which names the evaluators of other plugins give is known when they have measured.
        shared: dict[str, list[str]] = {}
        for measure in getattr(evaluator, "measured", tuple)():
            if (other := owners.setdefault(measure, name)) != name:
                shared.setdefault(other, []).append(re.sub(r"\{\w+\}", "*", measure))
        for other, measures in shared.items():
            yield (
                f"evaluators.{name}",
                f"measures {', '.join(measures)}, which evaluators.{other} measures too: give it "
                f"another label, or leave it out with {key}.{name}=null",
            )
