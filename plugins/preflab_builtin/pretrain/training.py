"""Pretraining as a procedure: one optimizer step on full windows of the pretraining stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from preflab.interfaces import Context, State
from preflab.optimization import Optimization, require_finite
from preflab.runtime import weight
from preflab_builtin.pretrain.config import PretrainConfig
from preflab_builtin.pretrain.stream import PretrainingStream, targets_in, window_nll

VALIDATION_WINDOWS = 256
"""Largest number of windows that the validation loss is measured on."""


class Pretraining:
    """`preflab.interfaces.Procedure`: step i reads windows i * batch .. (i + 1) * batch - 1."""

    def __init__(self, config: PretrainConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.total_steps = config.steps
        with self.runtime.dividing():
            self.policy = context.policy("base")
        context.runtime.shard(self.policy.module)
        documents = context.records("documents", "train")
        self.stream = PretrainingStream(
            documents, context.tokenizer, config.window, context.seed, "pretrain"
        )
        self.optimization = Optimization(
            config.optimizer,
            self.policy.module.parameters(),
            config.steps,
            context.runtime,
            "pretrain",
        )

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. loss/pretrain and pretrain/validation_loss: nats per token;
        pretrain/tokens: read so far."""
        batch, window = self.config.batch, self.config.window
        numbers = range(index * batch, (index + 1) * batch)
        denominator = targets_in(batch, window)
        total = torch.zeros((), device=self.runtime.device)
        for group in self.runtime.passes(numbers):
            with self.runtime.autocast():
                nll = window_nll(self.policy, self.stream.pick(group).to(self.runtime.device))
            torch.autograd.backward(weight(group) * nll / denominator)
            total += weight(group) * nll.detach()
        metrics = {"loss/pretrain": float(self.runtime.sum(total)) / denominator}
        require_finite(f"pretrain, step {index}", metrics)
        metrics |= self.optimization.step(index)
        metrics["pretrain/tokens"] = float((index + 1) * batch * window)
        return metrics | (self._validation() if index == self.total_steps - 1 else {})

    def batch(self, index: int) -> State:
        """The windows of a step, as tokens and as text."""
        windows = self.stream.draw(index * self.config.batch, self.config.batch).tolist()
        return {
            "windows": windows,
            "texts": [self.context.tokenizer.decode(ids) for ids in windows],
        }

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """What the stream holds and leaves out."""
        return self.stream.accounting()

    def state_dict(self) -> State:
        """Weights and moments; the place in the stream follows from the step."""
        return {
            "model": self.policy.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore weights and moments."""
        self.policy.module.load_state_dict(state["model"])
        self.optimization.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """Write the pretrained model."""
        self.policy.save(folder / "model")

    def _validation(self) -> dict[str, float]:
        """Loss on held-out documents, if they fill a window."""
        documents = self.context.records("documents", "validation")
        window = self.config.window
        if sum(len(self.context.tokenizer.encode_document(d.text)) for d in documents) < window:
            return {}
        stream = PretrainingStream(documents, self.context.tokenizer, window, "validation")
        count = min(VALIDATION_WINDOWS, stream.windows_per_epoch)
        total = torch.zeros((), device=self.runtime.device)
        with torch.no_grad(), self.runtime.autocast():
            for group in self.runtime.passes(range(count)):
                windows = stream.pick(group).to(self.runtime.device)
                total += weight(group) * window_nll(self.policy, windows)
        loss = float(self.runtime.sum(total)) / targets_in(count, window)
        return {"pretrain/validation_loss": loss}
