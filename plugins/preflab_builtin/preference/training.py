"""Learning from pairs as a procedure: a step is one optimizer step on a batch of pairs.

The reference's log-probs are computed once, before the first step, and kept beside the checkpoints:
by the policy as it was, without dropout, and without a draw from any random stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preflab.errors import UserError
from preflab.interfaces import Accountable, Context, State
from preflab.likelihood import response_log_probs
from preflab.optimization import Optimization, gradient_terms, require_finite
from preflab.randomness import draw_order
from preflab.records import to_json
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.loss import pair_losses
from preflab_builtin.preference.preflight import NO_PREFERENCE
from preflab_builtin.reward_model.examples import Example, accounting, examples, rollout


class Preference:
    """`preflab.interfaces.Procedure`: step i reads the i-th batch of a stream of shuffled pairs."""

    def __init__(self, config: PreferenceConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.policy = context.policy("initial")
        given = context.rankings("train")
        ranked = [r for r in given if r.preferences]
        self.tied = len(given) - len(ranked)
        if not ranked:
            raise UserError(NO_PREFERENCE)
        limits = (config.max_tokens, self.policy.max_positions)
        rows = examples(ranked, context.tokenizer, *limits)
        self.rankings, self.pairs = rows, [pair for row in rows for pair in row.pairs()]
        self.draws = config.epochs * len(self.pairs)
        self.total_steps = -(-self.draws // config.batch)
        self.terms = gradient_terms(context, config.terms)
        parameters = self.policy.module.parameters()
        self.optimization = Optimization(
            config.optimizer, parameters, self.total_steps, self.runtime, "policy"
        )
        self.reference: torch.Tensor | None = None

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. preference/margin: implicit reward of the better response minus the
        other's."""
        if self.reference is None:
            self.reference = self._reference_log_probs()
        batch, where = self._drawn(index), f"algorithm=preference, step {index}"
        sums = torch.zeros(4, device=self.runtime.device)
        for part in self.runtime.micro_batches(
            self.runtime.share(batch), max(1, self.runtime.micro_batch // 2)
        ):
            sums += self._backward(part, len(batch))
        loss, right, margin, better = (self.runtime.sum(sums) / len(batch)).tolist()
        metrics = {
            f"loss/{self.config.loss.value}": loss,
            "preference/accuracy": right,
            "preference/margin": margin,
            "preference/reward_better": better,
            "preference/reward_worse": better - margin,
        }
        require_finite(where, metrics)
        for name, term in self.terms.items():
            gradient = partial(term.accumulate, self.policy, index, len(batch))
            metrics |= self.optimization.add(name, gradient)
        return metrics | self.optimization.step(index)

    def _drawn(self, index: int) -> list[int]:
        """The pairs of a step."""
        first = index * self.config.batch
        count = min(self.config.batch, self.draws - first)
        seed = self.context.seed
        return draw_order(len(self.pairs), first, count, seed, "preference", "order")

    def _log_probs(self, pairs: Sequence[Example]) -> torch.Tensor:
        """log pi of the responses of some pairs, [len(pairs), 2]: summed over tokens, or their mean
        for simpo."""
        rows = rollout(pairs, self.context.tokenizer, self.runtime.device)
        totals = response_log_probs(self.policy, rows).sum(-1)
        if self.config.loss is Loss.simpo:
            totals = totals / rows.response_lengths
        return totals.view(-1, 2)

    def _reference_log_probs(self) -> torch.Tensor:
        """`_log_probs` of all pairs [P, 2] by the policy that training starts from; zeros where the
        loss has no reference. Every process computes its share."""
        found = torch.zeros(len(self.pairs), 2, device=self.runtime.device)
        if self.config.loss is Loss.simpo:
            return found
        share = self.runtime.share(range(len(self.pairs)))
        with torch.no_grad(), self.runtime.autocast():
            size = max(1, self.runtime.micro_batch // 2)
            for index in self.runtime.micro_batches(share, size):
                at = torch.as_tensor(list(index), device=found.device)
                found[at] = self._log_probs([self.pairs[i] for i in index])
        return self.runtime.sum(found)

    def _backward(self, index: Sequence[int], count: int) -> torch.Tensor:
        """Add the gradient of some pairs' loss, divided by ``count``, the pairs of the whole step.
        Sums over these pairs: loss, pairs in the right order, margins, better rewards [4]."""
        assert self.reference is not None
        config, at = self.config, torch.as_tensor(list(index), device=self.reference.device)
        with self.runtime.autocast():
            log_probs = self._log_probs([self.pairs[i] for i in index])
        better, worse = (log_probs - self.reference[at]).unbind(1)
        losses = pair_losses(
            better, worse, config.loss, config.beta, config.margin, config.label_smoothing
        )
        torch.autograd.backward(losses.sum() / count)
        margins = config.beta * (better - worse).detach()
        sums = (losses.sum(), (margins > 0).sum(), margins.sum(), config.beta * better.sum())
        return torch.stack([value.detach().float() for value in sums])

    def batch(self, index: int) -> State:
        """The pairs of a step, as rankings.jsonl has them."""
        return {"rankings": [to_json(self.pairs[i].ranking) for i in self._drawn(index)]}

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """Rankings without a preference are left out; what max_tokens cuts."""
        counts = {
            "rankings": len(self.rankings),
            "rankings without a preference": self.tied,
            "pairs": len(self.pairs),
        } | accounting(self.rankings)
        for name, term in self.terms.items():
            if isinstance(term, Accountable):
                counts |= {f"{name}: {k}": n for k, n in term.accounting(history).items()}
        return counts

    def state_dict(self) -> State:
        """Weights, moments, the terms, the reference's log-probs. The order follows from the
        step."""
        return {
            "policy": self.policy.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
            "reference": {} if self.reference is None else {"log_probs": self.reference},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.policy.module.load_state_dict(state["policy"])
        self.optimization.load_state_dict(state["optimizer"])
        for name, term in self.terms.items():
            term.load_state_dict(state["terms"][name])
        kept = state["reference"].get("log_probs")
        self.reference = None if kept is None else kept.to(self.runtime.device, copy=True)

    def save(self, folder: Path) -> None:
        """The policy, as a transformers folder."""
        self.policy.save(folder / "model")
