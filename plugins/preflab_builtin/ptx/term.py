"""The ptx gradient term: gamma * gradient of the pretraining loss, next to an algorithm's own
gradient.

InstructGPT's objective (equation 2) adds gamma * E_pretraining[log pi(x)]. The paper does not print
how the loss is normalised; here it is the mean over all predicted tokens of the optimizer step, and
the norms of both gradients and their cosine are reported, so that gamma can be read against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from preflab.interfaces import Context, Policy, State
from preflab.runtime import weight
from preflab_builtin.pretrain.stream import PretrainingStream, targets_in, window_nll
from preflab_builtin.ptx.config import PtxConfig


class PtxTerm:
    """`preflab.interfaces.GradientTerm`. Its state is the number of windows drawn so far."""

    def __init__(self, config: PtxConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        documents = context.records("documents", "train")
        self.stream = PretrainingStream(
            documents, context.tokenizer, config.window, context.seed, context.stage, "ptx"
        )
        self.drawn = 0

    def accumulate(self, policy: Policy, step: int, episodes: int) -> Mapping[str, float]:
        """Add coef * gradient of this process's share to ``.grad``. loss/ptx: of all processes,
        nats per token."""
        count = self.config.windows(episodes)
        numbers = range(self.drawn, self.drawn + count)
        self.drawn += count
        denominator = targets_in(count, self.config.window)
        total = torch.zeros((), device=self.runtime.device)
        for group in self.runtime.passes(numbers, self.config.micro_batch):
            windows = self.stream.pick(group).to(self.runtime.device)
            with self.runtime.autocast():
                nll = window_nll(policy, windows)
            torch.autograd.backward(weight(group) * self.config.coef / denominator * nll)
            total += weight(group) * nll.detach()
        return {"loss/ptx": float(self.runtime.sum(total)) / denominator}

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """What the stream holds and leaves out."""
        return self.stream.accounting()

    def state_dict(self) -> State:
        """The place in the stream."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: State) -> None:
        """Continue from there."""
        self.drawn = int(state["drawn"])
