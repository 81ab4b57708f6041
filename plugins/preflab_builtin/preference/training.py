"""Learning from pairs as a procedure: a step is one optimizer step on a batch of pairs.

The reference's log-probs are computed once, before the first step, and kept in the checkpoints and
in the artifact: by the policy as it was, without dropout, and without a draw from any random
stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from preflab.errors import UserError
from preflab.interfaces import Accountable, Context, State
from preflab.likelihood import response_log_probs
from preflab.optimization import Optimization, gradient_terms, require_finite
from preflab.randomness import draw_order
from preflab.records import to_json
from preflab.runtime import weight
from preflab_builtin.preference.config import Loss, PreferenceConfig
from preflab_builtin.preference.loss import kto_losses, pair_losses, reference_point
from preflab_builtin.preference.mismatched import mismatched
from preflab_builtin.preference.preflight import NO_PREFERENCE
from preflab_builtin.reward_model.examples import Example, accounting, examples, rollout
from preflab_builtin.training.continuing import begins_from
from preflab_builtin.training.keeping import Keeping


class Preference:
    """`preflab.interfaces.Procedure`: a step reads a batch of shuffled pairs."""

    def __init__(self, config: PreferenceConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        with self.runtime.dividing():
            self.policy = context.policy("initial")
        given = context.rankings("train")
        ranked = [r for r in given if r.preferences]
        self.tied = len(given) - len(ranked)
        if not ranked:
            raise UserError(NO_PREFERENCE)
        limits = (config.max_tokens, self.policy.max_positions, context.key_of(config))
        rows = examples(ranked, context.tokenizer, *limits)
        self.rankings, self.pairs = rows, [pair for row in rows for pair in row.pairs()]
        self.others = (
            mismatched(self.pairs, self.policy.max_positions) if config.loss is Loss.kto else []
        )
        self.epoch_steps = -(-len(self.pairs) // config.batch)
        self.total_steps = config.epochs * self.epoch_steps
        self.begins_from = begins_from(config, self.total_steps)
        self.terms = gradient_terms(context, config.terms)
        self.runtime.shard(self.policy.module)
        parameters = self.policy.module.parameters()
        self.optimization = Optimization(
            config.optimizer, parameters, self.total_steps, self.runtime, "policy"
        )
        self.keeping = Keeping(config, context, self.total_steps, self.policy)
        self.reference: torch.Tensor | None = None

    def step(self, index: int) -> Mapping[str, float]:
        """One optimizer step. preference/margin: implicit reward of the better response minus the
        other's."""
        if self.reference is None:
            self.reference = self._reference_log_probs()
        batch, where = self._drawn(index), f"algorithm=preference, step {index}"
        sums = torch.zeros(4, device=self.runtime.device)
        kl = self._reference_point(batch)
        for part in self._micro_batches(batch):
            sums += self._backward(part, len(batch), kl)
        loss, right, margin, better = (self.runtime.sum(sums) / len(batch)).tolist()
        metrics = {
            f"loss/{self.config.loss.value}": loss,
            "preference/accuracy": right,
            "preference/margin": margin,
            "preference/reward_better": better,
            "preference/reward_worse": better - margin,
        }
        if kl is not None:
            metrics["preference/kl"] = float(kl)
        require_finite(where, metrics)
        for name, term in self.terms.items():
            gradient = partial(term.accumulate, self.policy, index, len(batch))
            metrics |= self.optimization.add(name, gradient)
        metrics |= self.optimization.step(index)
        metrics |= self.keeping.after(index + 1, self.policy)
        if self.keeping.ended:
            self.total_steps = index + 1
        return metrics

    def _drawn(self, index: int) -> list[int]:
        """The pairs of a step. The last one of each epoch reads the rest, so that a longer training
        begins as a shorter one."""
        epoch, step = divmod(index, self.epoch_steps)
        done = step * self.config.batch
        first = epoch * len(self.pairs) + done
        count = min(self.config.batch, len(self.pairs) - done)
        seed = self.context.seed
        return draw_order(len(self.pairs), first, count, seed, "preference", "order")

    def _micro_batches(self, index: Sequence[int]) -> Iterator[Sequence[int]]:
        """This process's share of some pairs, two rows each."""
        size = max(1, self.runtime.micro_batch // 2)
        return self.runtime.passes(index, size)

    def _log_probs(self, pairs: Sequence[Example]) -> torch.Tensor:
        """log pi of the responses of some pairs, [len(pairs), 2]: summed over tokens, or their mean
        for simpo."""
        rows = rollout(pairs, self.context.tokenizer, self.runtime.device)
        totals = response_log_probs(self.policy, rows).sum(-1)
        if self.config.loss is Loss.simpo:
            totals = totals / rows.response_lengths
        return totals.view(-1, 2)

    def _known_log_probs(self, pairs: Sequence[Example], index: Sequence[int]) -> torch.Tensor:
        """`_log_probs` of the chosen pairs of all [len(index), 2], without a gradient. Every
        process computes its share."""
        places = {number: place for place, number in enumerate(index)}
        found = torch.zeros(len(index), 2, device=self.runtime.device)
        with torch.no_grad(), self.runtime.autocast():
            for part in self._micro_batches(index):
                log_probs = self._log_probs([pairs[i] for i in part])
                if weight(part):
                    at = torch.as_tensor([places[i] for i in part], device=found.device)
                    found[at] = log_probs
        return self.runtime.sum(found)

    def _reference_log_probs(self) -> torch.Tensor:
        """log pi of all pairs [P, 2], and (kto) of responses after other prompts [P, 4], by the
        policy that training starts from; zeros where the loss has no reference."""
        if self.config.loss is Loss.simpo:
            return torch.zeros(len(self.pairs), 2, device=self.runtime.device)
        everything = range(len(self.pairs))
        sides = [pairs for pairs in (self.pairs, self.others) if pairs]
        return torch.cat([self._known_log_probs(pairs, everything) for pairs in sides], dim=1)

    def _reference_point(self, batch: Sequence[int]) -> torch.Tensor | None:
        """KTO's KL of a whole step, a scalar; None for another loss. Of a pair that a step reads
        twice, one counts."""
        if self.config.loss is not Loss.kto:
            return None
        assert self.reference is not None
        once = list(dict.fromkeys(batch))
        at = torch.as_tensor(once, device=self.reference.device)
        return reference_point(self._known_log_probs(self.others, once) - self.reference[at, 2:])

    def _backward(
        self, index: Sequence[int], count: int, kl: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Add the gradient of some pairs' loss, divided by ``count``, the pairs of the whole step.
        Sums over these pairs: loss, pairs in the right order, margins, better rewards [4]. kl: of
        `_reference_point`."""
        assert self.reference is not None
        config, at = self.config, torch.as_tensor(list(index), device=self.reference.device)
        with self.runtime.autocast():
            log_probs = self._log_probs([self.pairs[i] for i in index])
        better, worse = (log_probs - self.reference[at, :2]).unbind(1)
        if kl is None:
            losses = pair_losses(
                better, worse, config.loss, config.beta, config.margin, config.label_smoothing
            )
        else:
            weights = config.liked_weight, config.disliked_weight
            losses = kto_losses(better, worse, kl, config.beta, *weights)
        torch.autograd.backward(weight(index) * losses.sum() / count)
        margins = config.beta * (better - worse).detach()
        sums = (losses.sum(), (margins > 0).sum(), margins.sum(), config.beta * better.sum())
        return weight(index) * torch.stack([value.detach().float() for value in sums])

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
        return {**counts, **self.keeping.accounting()}

    def state_dict(self) -> State:
        """Weights, moments, the terms, the reference's log-probs. The order follows from the
        step."""
        return {
            "policy": self.policy.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
            "reference": {} if self.reference is None else {"log_probs": self.reference},
            "keeping": self.keeping.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        self.policy.module.load_state_dict(state["policy"])
        self.optimization.load_state_dict(state["optimizer"])
        for name in self.terms.keys() & state["terms"].keys():  # training that goes on may add some
            self.terms[name].load_state_dict(state["terms"][name])
        self.keeping.load_state_dict(state["keeping"])
        if self.keeping.ended:
            self.total_steps = self.keeping.judged
        kept = state["reference"].get("log_probs")
        self.reference = None if kept is None else kept.to(self.runtime.device, copy=True)

    def save(self, folder: Path) -> None:
        """The policy (or the best that was judged), as a transformers folder, and the reference's
        log-probs of all pairs."""
        self.keeping.result(self.policy).save(folder / "model")
        if self.reference is not None and self.config.loss is not Loss.simpo:
            kept = {"log_probs": self.reference.contiguous().cpu()}
            save_file(kept, folder / "reference.safetensors")
