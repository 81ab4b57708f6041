"""The ptx gradient term: gamma * gradient of the pretraining loss, beside an algorithm's own gradient.

InstructGPT's objective (equation 2) adds gamma * E_pretraining[log pi(x)]. The paper does not print how the loss is
normalised; here it is the mean over all predicted tokens of the optimizer step, and the norms of both gradients and
their cosine are reported, so that gamma can be read against them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from preflab.interfaces import Context, Policy, State
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.ptx.stream import PretrainingStream, targets_in, window_nll


class PtxTerm:
    """`preflab.interfaces.GradientTerm`. Its state is the number of windows drawn so far."""

    def __init__(self, config: PtxConfig, context: Context) -> None:
        self.config, self.runtime = config, context.runtime
        documents = context.records("documents", "train")
        self.stream = PretrainingStream(documents, context.tokenizer, config.window, context.seed, context.stage, "ptx")
        self.drawn = 0

    def accumulate(self, policy: Policy, step: int, episodes: int) -> Mapping[str, float]:
        """Add coef * gradient to ``.grad``; what is there stays as it is. Metrics: the loss in nats per token, the norm
        of what was added, the norm of what was there, and the cosine between the two (of all processes together)."""
        if self.config.coef == 0:
            return {}
        count = max(1, round(self.config.ratio * episodes))
        numbers = range(self.drawn, self.drawn + count)
        self.drawn += count
        parameters = [p for p in policy.module.parameters() if p.requires_grad]
        before = [p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        loss = self._backward(policy, numbers)
        metrics = self._norms(parameters, before)
        for parameter, gradient in zip(parameters, before, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)
        return {"loss/ptx": loss, **metrics}

    def state_dict(self) -> State:
        """The place in the stream."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""
        self.drawn = int(state["drawn"])

    def _backward(self, policy: Policy, numbers: range) -> float:
        """Gradients of this process's share into ``.grad``; the loss of all processes, nats per token."""
        denominator = targets_in(len(numbers), self.config.window)
        total = torch.zeros((), device=self.runtime.device)
        for group in self.runtime.micro_batches(self.runtime.share(numbers), self.config.micro_batch):
            windows = self.stream.pick(group).to(self.runtime.device)
            with self.runtime.autocast():
                nll = window_nll(policy, windows)
            torch.autograd.backward(self.config.coef / denominator * nll)
            total += nll.detach()
        return float(self.runtime.sum(total)) / denominator

    def _norms(self, parameters: list[torch.nn.Parameter], before: list[torch.Tensor | None]) -> dict[str, float]:
        """Norms and cosine of both gradients, of all processes together; ``.grad`` stays this process's share."""
        sums = torch.zeros(3, dtype=torch.float64, device=self.runtime.device)
        for parameter, old in zip(parameters, before, strict=True):
            a, b = self._summed(old, parameter), self._summed(parameter.grad, parameter)
            sums += torch.stack([a @ a, b @ b, a @ b])
        other, own, product = (float(x) for x in sums)
        norms = {"ptx/grad_norm": math.sqrt(own), "ptx/other_grad_norm": math.sqrt(other)}
        return {**norms, "ptx/cosine": product / math.sqrt(own * other)} if own * other > 0 else norms

    def _summed(self, gradient: torch.Tensor | None, parameter: torch.nn.Parameter) -> torch.Tensor:
        """A gradient as a float64 vector, summed over processes; zeros where this process has none."""
        own = torch.zeros_like(parameter) if gradient is None else gradient
        return self.runtime.sum(own.clone() if self.runtime.world > 1 else own).flatten().double()
