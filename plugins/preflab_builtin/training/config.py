"""Options that every algorithm has which trains a policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

from preflab import option
from preflab.memory import Load

LAST = "last"
EVALUATORS = {"watch.evaluators": "evaluator"}
"""The field of `TrainedConfig` that holds components, and their kind: for `preflab.Component`."""


class Split(StrEnum):
    """Prompts that no stage trains on."""

    validation = "validation"
    test = "test"


class Better(StrEnum):
    """Which value of a measure is the best."""

    best = "best"
    """The highest."""
    least = "least"
    """The lowest."""


@dataclass
class WatchConfig:
    """The policy is judged while it trains, on the same prompts and with the same noise each time.
    This changes no weight: it draws from no random stream of the training."""

    every: int | None = option(None, "steps (iterations) between judgements; null: never", ge=1)
    prompts: int = option(64, "prompts of the split to answer each time", ge=1, fast=4)
    split: Split = option(Split.validation, "which prompts")
    temperature: float | None = option(
        None, "of the judged responses, 0 is greedy; null: the rollout's", ge=0
    )
    evaluators: dict[str, Any] = option(
        factory=dict,
        doc="evaluator components by any name; their measures are the curves watch/MEASURE",
    )
    patience: int | None = option(
        None,
        "end the training, as a result, when the measure of `keep` has not improved in so many "
        "judgements in a row; null: never",
        ge=1,
    )
    checkpoints: int = option(
        0,
        "keep the policies of this run's last so many judgements as model folders, which are the "
        "roles result/step-N; with patience those of all its judgements",
        ge=0,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """Somebody judges, and what needs judgements has some."""
        if self.every is not None and not self.evaluators:
            yield (
                "evaluators",
                "is empty, so that nothing would be measured: add +watch=proxy (reward, KL, "
                "length) or +watch=gold (the true utility too)",
            )
        for name in ("patience", "checkpoints"):
            if getattr(self, name) and self.every is None:
                yield name, "needs judgements: set every"


@dataclass
class TrainedConfig:
    """What training begins from, who watches it, and which policy is its result."""

    watch: WatchConfig = option(factory=WatchConfig, doc="judgements while it trains")
    keep: str = option(
        LAST,
        "which policy is the result: last, or the one of all judgements with the highest or the "
        "lowest value of a measure, as best:MEASURE or least:MEASURE (best:gold/gold)",
    )
    continues: str = option(
        "",
        "run folder whose training goes on, with its networks, moments, KL coefficient and "
        "reference; its steps count, so that the length is that of both together",
        affects_result=False,
    )

    length: ClassVar[str] = "episodes"
    """The option that says how long the training is."""

    def total_steps(self) -> int | None:
        """Steps of the whole training; None: the data decides."""
        return None

    def judged(self, own: Load) -> Load:
        """The load of an algorithm with that of its judgements: the policy that training began
        from, the best one so far, and the reward model, if an evaluator needs it."""
        if self.watch.every is None:
            return own
        held = replace(own.held, compared=1, best=int(self.keep != LAST))
        return replace(own, held=held, asks=True, sampled=max(own.sampled, self.watch.prompts))

    def needs(self) -> tuple[str, ...]:
        """Prompts to judge."""
        return () if self.watch.every is None else (f"prompts:{self.watch.split.value}",)

    def decided_by(self) -> dict[str, str]:
        """The measure by which the result is chosen."""
        return {} if self.keep == LAST else {"keep": self.keep.partition(":")[2]}

    def check(self) -> Iterator[tuple[str, str]]:
        """The measure that decides is measured."""
        if self.keep == LAST:
            if self.watch.patience is not None:
                yield "watch.patience", "needs a measure: set keep=best:MEASURE"
            return
        better, _, measure = self.keep.partition(":")
        if better not in list(Better) or not measure:
            yield "keep", f"is '{self.keep}' but must be last, best:MEASURE or least:MEASURE"
            return
        if self.watch.every is None:
            yield "keep", f"is {self.keep}, and nothing is measured: set watch.every"
