"""Direct preference optimisation. Shapes: P pairs, B = 2 P responses, R response tokens."""

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

from preflab_pairs.config import DPOConfig


@dataclass(frozen=True)
class Pair:
    """One judgement: people preferred a response to another."""

    prompt: Prompt
    better: str
    worse: str


def pairs_of(rankings: Sequence[Ranking]) -> list[Pair]:
    """Every preference of every ranking, in order; ties have none."""
    return [Pair(r.prompt, r.responses[i], r.responses[j]) for r in rankings for i, j in r.preferences]


def dpo_loss(better: torch.Tensor, worse: torch.Tensor, beta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Equation 7, summed over pairs: -log sigmoid(beta (better - worse)), and the reward margins beta (better - worse) [P].

    better, worse [P]: log pi - log pi_reference of the preferred and of the other response, summed over its tokens.
    """
    margins = beta * (better - worse)
    return -torch.nn.functional.logsigmoid(margins).sum(), margins


class DPO:
    """`preflab.interfaces.Procedure`: step i reads pairs i * batch .. of an endless shuffled stream."""

    def __init__(self, config: DPOConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.pairs = pairs_of(context.rankings("train"))
        if not self.pairs:
            raise UserError("algorithm=dpo: no ranking for training holds a preference, every one is a tie.")
        self.draws = config.epochs * len(self.pairs)
        self.total_steps = -(-self.draws // config.batch)
        self.policy, self.reference = context.policy("initial"), context.policy("initial")
        self.reference.module.requires_grad_(False)
        parameters = self.policy.module.parameters()
        self.optimization = Optimization(config.optimizer, parameters, self.total_steps, self.runtime, "policy")

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. The margin is what DPO calls the implicit reward of the better response minus the other's."""
        first, last = index * self.config.batch, min((index + 1) * self.config.batch, self.draws)
        order = draw_order(len(self.pairs), first, last - first, self.context.seed, "dpo", "order")
        batch = [self.pairs[i] for i in order]
        sums = torch.zeros(4, device=self.runtime.device)
        # A micro-batch counts rows, and a pair has two.
        for part in self.runtime.micro_batches(self.runtime.share(batch), max(1, self.runtime.micro_batch // 2)):
            sums += self._backward(part, len(batch))
        loss, right, margin, better = (self.runtime.sum(sums) / len(batch)).tolist()
        if not math.isfinite(loss):
            raise NumericError(f"DPO, step {index}: the loss is {loss}. No weight was changed.")
        metrics = {"loss/dpo": loss, "accuracy": right, "margin": margin, "rewards/better": better}
        return metrics | {"rewards/worse": better - margin} | self.optimization.step(index)

    def _backward(self, pairs: Sequence[Pair], count: int) -> torch.Tensor:
        """Add the gradient of some pairs' loss, divided by the pairs of the whole step; sums of what is watched."""
        prompts = [p.prompt for p in pairs] * 2
        texts = [p.better for p in pairs] + [p.worse for p in pairs]
        rows = Rollout.from_texts(self.context.tokenizer, prompts, texts, self.config.max_tokens, self.runtime.device)
        with self.runtime.autocast():
            log_probs = response_log_probs(self.policy, rows).sum(-1)
            with torch.no_grad():
                reference = response_log_probs(self.reference, rows).sum(-1)
        better, worse = (log_probs - reference).chunk(2)
        loss, margins = dpo_loss(better, worse, self.config.beta)
        torch.autograd.backward(loss / count)
        watched = (loss, (margins > 0).sum(), margins.sum(), self.config.beta * better.sum())
        return torch.stack([value.detach().float() for value in watched])

    def state_dict(self) -> State:
        """Weights and moments; the order follows from the step, and the reference is the stage's input."""
        return {"policy": self.policy.module.state_dict(), "optimizer": self.optimization.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Take them over."""
        self.policy.module.load_state_dict(state["policy"])
        self.optimization.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """The policy."""
        self.policy.save(folder / "model")
