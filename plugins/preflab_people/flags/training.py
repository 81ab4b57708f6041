"""A classifier with a label for each flag, trained from a policy on texts as its guard will read
them. Shapes: B texts, F flags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from preflab.errors import UserError
from preflab.learning_rates import fine_tuning_rate
from preflab.optimization import Optimization, OptimizerConfig, require_finite
from preflab.randomness import draw_order
from preflab.runtime import Runtime
from preflab_builtin.causal_lm.models import CausalHeadsModel
from preflab_builtin.causal_lm.sources import FolderSource
from preflab_builtin.causal_lm.tokenizer import TextTokenizer, read_wrapper

MAX_TOKENS = 512
"""Of a longer text only the beginning trains."""
BATCH = 16
"""Texts of an optimizer step."""


@dataclass(frozen=True)
class Training:
    """How it is trained. epochs: passes over the texts; rate: peak learning rate, None for the one
    that is usual at the model's size; seed: of the order of the texts."""

    epochs: int = 8
    rate: float | None = None
    seed: int = 1

    def steps(self, texts: int) -> int:
        """Optimizer steps over so many texts."""
        return math.ceil(texts * self.epochs / BATCH)


class FlagClassifier:
    """An ordinary sequence classifier of several labels: the probability of each is the sigmoid of
    its own output."""

    def __init__(self, folder: Path, flags: Sequence[str], runtime: Runtime) -> None:
        """folder: of the policy whose weights it begins with. Every output begins as 0, so that
        nothing is drawn; all weights are trained."""
        source = FolderSource(folder, runtime.device)
        _check(source, folder)
        model = source.create(torch.Generator()).heads_model(torch.Generator(), flags)
        assert isinstance(model, CausalHeadsModel)
        with torch.no_grad():
            model.weights.zero_()
        model.module.config.problem_type = "multi_label_classification"
        self.module: Any = model.module
        self.tokenizer: TextTokenizer = source.tokenizer
        self.flags, self.runtime = tuple(flags), runtime
        limit = source.max_positions
        self.max_tokens = MAX_TOKENS if limit is None else min(MAX_TOKENS, limit)
        self._read = read_wrapper(folder)
        self._read.pad_token = self._read.convert_ids_to_tokens(source.tokenizer.pad_id)
        self._read.padding_side = "right"

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        """Outputs [B, F] float32 of texts [B]. A text without tokens is read as one pad."""
        some = [t if self._read(t)["input_ids"] else self._read.pad_token for t in texts]
        rows = self._read(
            some, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        outputs: torch.Tensor = self.module(**rows.to(self.runtime.device)).logits
        return outputs.float()

    def train(
        self, texts: Sequence[str], shares: Sequence[Sequence[float]], how: Training
    ) -> Iterator[float]:
        """Fit the probabilities to the shares [B, F] of people who set each flag, by cross-entropy:
        the loss of each step."""
        steps = how.steps(len(texts))
        rate = fine_tuning_rate(self.parameters) if how.rate is None else how.rate
        config = OptimizerConfig(lr=rate, warmup=steps // 10)
        parameters = self.module.requires_grad_(True).parameters()
        optimization = Optimization(config, parameters, steps, self.runtime, "guard")
        targets = torch.tensor(shares, dtype=torch.float32)
        for step in range(steps):
            drawn = draw_order(len(texts), step * BATCH, BATCH, how.seed, "guard", "order")
            wanted = targets[drawn].to(self.runtime.device)
            loss = binary_cross_entropy_with_logits(self.logits([texts[i] for i in drawn]), wanted)
            value = float(loss.detach())
            require_finite(f"guard, step {step}", {"the loss": value})
            torch.autograd.backward(loss)
            optimization.step(step)
            yield value


def _check(source: FolderSource, folder: Path) -> None:
    """`UserError` if no classifier can be made of the policy."""
    try:
        source.check_scalar()
    except UserError as error:
        raise UserError(
            f"label guard: no classifier can be made of the model in {folder}: transformers has "
            "none of its architecture, or one with more than one matrix on top. Give another "
            "model: --policy FOLDER"
        ) from error
