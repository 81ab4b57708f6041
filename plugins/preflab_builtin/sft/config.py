"""Config of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from preflab import option
from preflab.memory import Load
from preflab.optimization import OptimizerConfig

EPOCH = "epoch-"
"""A checkpoint's name is this and the number of the epoch that it ends."""


class LossOn(StrEnum):
    """Which tokens of a demonstration carry loss."""

    completion = "completion"
    all_turns = "all_turns"
    full = "full"


@dataclass
class SFTConfig:
    """Fine-tuning on demonstrations. A step's loss is (mean loss of its demonstration tokens) +
    mix_coef * (mean loss of its pretraining tokens); both means are over the whole optimizer
    step."""

    name: str = option("demonstrations", "component")
    epochs: int = option(
        4,
        "times that every demonstration is read; each epoch's end keeps a checkpoint",
        ge=1,
        fast=1,
    )
    steps: int | None = option(
        None, "stop after this many optimizer steps instead; null: epochs decide", ge=1, fast=2
    )
    batch: int = option(32, "demonstrations in an optimizer step", ge=1, fast=4)
    optimizer: OptimizerConfig = option(factory=OptimizerConfig, doc="AdamW and its schedule")
    dropout: float = option(
        0.0,
        "residual dropout: of what attention and MLP add to the stream (InstructGPT: 0.2)",
        ge=0,
        lt=1,
    )
    loss_on: LossOn = option(
        LossOn.completion,
        "completion (the response and its end token), all_turns (of a conversation also the "
        "assistant's earlier turns) or full (the prompt too)",
    )
    mix_coef: float | None = option(
        0.0,
        "weight of the pretraining loss; that of the demonstrations is 1; 0: no mix; null: 1 if "
        "the run has documents, else 0",
        ge=0,
    )
    mix_windows: int = option(
        6, "pretraining windows in an optimizer step, if mix_coef is not 0", ge=1, fast=1
    )
    mix_window: int = option(64, "tokens in a pretraining window", ge=2, fast=32)
    seed: int | None = option(None, "pins this stage's seed; null follows the run's", ge=0)

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """One network that is trained on demonstrations (`preflab.memory.Load`)."""
        rows = self.epochs * records.get("demonstrations", 0)
        return Load(1, self.batch, tokens, passes=3, steps=self.steps or -(-rows // self.batch))

    def settled(self, records: Collection[str]) -> SFTConfig:
        """With the weight of the mix, once it is known which types of records the run has."""
        if self.mix_coef is not None:
            return self
        return replace(self, mix_coef=1.0 if "documents" in records else 0.0)

    def checkpoint(self, name: str) -> str:
        """Why no checkpoint of this name is kept (`preflab.components.Component.checkpoint`)."""
        number = name.removeprefix(EPOCH)
        epoch = int(number) if name.startswith(EPOCH) and number.isdecimal() else 0
        if f"{EPOCH}{epoch}" != name or epoch == 0:
            return "keeps its policies as epoch-N, with N the number of epochs"
        if self.steps is None and epoch > self.epochs:  # with steps the data decides
            return f"ends after epoch {self.epochs}"
        return ""

    def check(self) -> Iterator[tuple[str, str]]:
        """The warm-up must end within the steps."""
        if self.steps is not None and self.optimizer.warmup > self.steps:
            yield (
                "optimizer.warmup",
                f"is {self.optimizer.warmup} steps but must be <= steps={self.steps}",
            )
