"""Sequence likelihood calibration. Shapes: P pairs, B = 2 P responses, R response tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from preflab.errors import NumericError, UserError
from preflab.interfaces import Context, State
from preflab.likelihood import response_log_probs
from preflab.optimization import Optimization
from preflab.randomness import draw_order
from preflab.records import Prompt, Ranking, Rollout

from preflab_pairs.config import SLiCConfig


@dataclass(frozen=True)
class Pair:
    """One judgement: a person preferred one response to another."""

    prompt: Prompt
    better: str
    worse: str


def pairs_of(rankings: Sequence[Ranking]) -> list[Pair]:
    """Every preference of every ranking, in order; a tie gives no pair."""
    return [
        Pair(r.prompt, r.responses[i], r.responses[j]) for r in rankings for i, j in r.preferences
    ]


def hinge_loss(
    better: torch.Tensor, worse: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The hinge loss summed over pairs, and the reward margins beta (better - worse) [P].

    The loss of a pair is max(0, 1 - margin). better, worse [P]: log pi - log pi_reference of the
    preferred and of the other response, summed over its tokens.
    """
    margins = beta * (better - worse)
    return torch.relu(1 - margins).sum(), margins


class SLiC:
    """`preflab.interfaces.Procedure`: step i reads the i-th batch of a stream of shuffled pairs."""

    def __init__(self, config: SLiCConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.pairs = pairs_of(context.rankings("train"))
        if not self.pairs:
            raise UserError(
                "algorithm=slic: no ranking for training has a preference, all are ties."
            )
        self.draws = config.epochs * len(self.pairs)
        self.total_steps = -(-self.draws // config.batch)
        self.policy, self.reference = context.policy("initial"), context.policy("initial")
        self.reference.module.requires_grad_(False)
        self.optimization = Optimization(
            config.optimizer,
            self.policy.module.parameters(),
            self.total_steps,
            self.runtime,
            "policy",
        )

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. margin: implicit reward of the better response minus the other's."""
        first = index * self.config.batch
        count = min(self.config.batch, self.draws - first)
        order = draw_order(len(self.pairs), first, count, self.context.seed, "slic", "order")
        batch = [self.pairs[i] for i in order]
        sums = torch.zeros(4, device=self.runtime.device)
        pairs = max(1, self.runtime.micro_batch // 2)  # a micro-batch counts rows; a pair has two
        for part in self.runtime.micro_batches(self.runtime.share(batch), pairs):
            sums += self._backward(part, len(batch))
        loss, right, margin, better = (self.runtime.sum(sums) / len(batch)).tolist()
        if not math.isfinite(loss):
            raise NumericError(f"SLiC, step {index}: the loss is {loss}. No weight was changed.")
        metrics = {
            "loss/slic": loss,
            "slic/accuracy": right,
            "slic/margin": margin,
            "slic/reward_better": better,
            "slic/reward_worse": better - margin,
        }
        return metrics | self.optimization.step(index)

    def _backward(self, pairs: Sequence[Pair], count: int) -> torch.Tensor:
        """Add the gradient of some pairs' loss, divided by ``count``, the pairs of the whole step.

        Returns sums over these pairs: loss, pairs in the right order, margins, better rewards [4].
        """
        prompts = [p.prompt for p in pairs] * 2
        texts = [p.better for p in pairs] + [p.worse for p in pairs]
        rows = Rollout.from_texts(
            self.context.tokenizer, prompts, texts, self.config.max_tokens, self.runtime.device
        )
        with self.runtime.autocast():
            log_probs = response_log_probs(self.policy, rows).sum(-1)
            with torch.no_grad():
                reference = response_log_probs(self.reference, rows).sum(-1)
        better, worse = (log_probs - reference).chunk(2)
        loss, margins = hinge_loss(better, worse, self.config.beta)
        torch.autograd.backward(loss / count)
        sums = (loss, (margins > 0).sum(), margins.sum(), self.config.beta * better.sum())
        return torch.stack([value.detach().float() for value in sums])

    def state_dict(self) -> State:
        """Weights and moments. The order follows from the step; the reference is an input."""
        return {
            "policy": self.policy.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Resume from a state."""
        self.policy.module.load_state_dict(state["policy"])
        self.optimization.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """The policy, as a transformers folder."""
        self.policy.save(folder / "model")
