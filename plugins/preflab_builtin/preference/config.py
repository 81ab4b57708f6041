"""Config of learning from pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from preflab import option
from preflab.memory import Load
from preflab.optimization import OptimizerConfig
from preflab_builtin.training.config import TrainedConfig
from preflab_builtin.training.terms import with_terms


class Loss(StrEnum):
    """The loss of a pair."""

    dpo = "dpo"
    ipo = "ipo"
    kto = "kto"
    simpo = "simpo"


@dataclass
class PreferenceConfig(TrainedConfig):
    """The policy learns from ranked pairs directly. The reference is the policy that it starts
    from."""

    name: str = option("preference", "component")
    loss: Loss = option(
        Loss.dpo,
        "dpo (arXiv 2305.18290), ipo (2310.12036), kto (2402.01306: each response is liked or "
        "disliked by itself), simpo (2405.14734, without a reference)",
    )
    beta: float = option(
        0.1, "reward per nat of log pi / pi_reference; smaller allows a larger KL", gt=0
    )
    margin: float = option(
        0.0, "simpo: the lead in reward that is asked of the better response", ge=0
    )
    label_smoothing: float = option(
        0.0, "dpo: share of pairs that are taken to be the wrong way round", ge=0, lt=0.5
    )
    liked_weight: float = option(
        1.0, "kto: weight of the preferred responses (the paper's lambda_D)", gt=0
    )
    disliked_weight: float = option(
        1.0, "kto: weight of the other responses (the paper's lambda_U)", gt=0
    )
    epochs: int = option(1, "passes over the pairs", ge=1, fast=1)
    batch: int = option(64, "pairs per optimizer step", ge=1, fast=8)
    max_tokens: int | None = option(
        None,
        "longest response in tokens, end token included: longer ones are cut; null: any length",
        ge=1,
    )
    optimizer: OptimizerConfig = option(
        factory=OptimizerConfig, doc="optimizer; its schedule moves once per optimizer step"
    )
    terms: dict[str, Any] = option(
        factory=dict, doc="gradient terms added to the policy's gradient, for example ptx"
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    length: ClassVar[str] = "epochs"

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """A policy that is trained on pairs. It asks itself before its first step, and no reference
        is loaded (`preflab.memory.Load`)."""
        passes = 3 if self.loss is Loss.simpo else 3 + 1 / self.epochs
        own = Load(1, 2 * self.batch, tokens, passes, scored=0.5, together=2)
        return self.judged(with_terms(own, self.terms, self.batch, 1))

    def needs(self) -> tuple[str, ...]:
        """Rankings to learn from, and prompts to judge."""
        return ("rankings", *super().needs())

    def check(self) -> Iterator[tuple[str, str]]:
        """Options of one loss are not given to another."""
        yield from super().check()
        if self.margin and self.loss is not Loss.simpo:
            yield "margin", f"is {self.margin} but only loss=simpo has a margin"
        if self.label_smoothing and self.loss is not Loss.dpo:
            yield "label_smoothing", f"is {self.label_smoothing} but only loss=dpo smooths labels"
        for name in ("liked_weight", "disliked_weight"):
            if getattr(self, name) != 1 and self.loss is not Loss.kto:
                yield name, f"is {getattr(self, name)} but only loss=kto has weights"
