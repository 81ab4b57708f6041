"""PPO as a procedure: one step is one iteration of sampling, scoring and updating (InstructGPT 3.5,
C.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preflab.cost import Profile
from preflab.interfaces import Accountable, Context, Policy, RewardShaping, State
from preflab.likelihood import response_log_probs, response_values
from preflab.optimization import Optimization, gradient_terms, mean_metrics, require_finite
from preflab.randomness import draw_order, permutation
from preflab.records import Rollout
from preflab.shaping import shaped
from preflab_builtin.ppo.config import Controller, PPOConfig
from preflab_builtin.ppo.experience import Experience, Networks, collect, described
from preflab_builtin.ppo.guards import (
    KLBounds,
    failed_batch,
    require_finite_experience,
    require_finite_scores,
    require_first_ratio_one,
)
from preflab_builtin.ppo.loss import Watched, adapted_coefficient, policy_loss, value_loss
from preflab_builtin.rollouts.prompts import prompt_tokens


class PPO:
    """`preflab.interfaces.Procedure`. Prompts, minibatches and the rollout's noise are functions of
    (seed, step)."""

    def __init__(self, config: PPOConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.total_steps = config.episodes // config.batch
        self.prompts = context.records("prompts", "train")
        self.policy = context.policy("initial")
        # With a coefficient of 0 no reference is loaded: nothing is measured against it.
        reference = context.policy("initial") if config.kl.coef > 0 else None
        if reference is not None:
            reference.module.requires_grad_(False)
        value = context.reward_network() or context.policy("initial").scalar_model(
            context.streams["value head"]
        )
        self.networks = Networks(self.policy, reference, value)
        self.reward_model = context.reward_model()
        self.engine = context.rollout()
        # Refuses the first prompt that is too long before anything is computed.
        prompt_tokens(self.policy, self.prompts, self.engine.sampling.max_tokens)
        self.terms = gradient_terms(context, config.terms)
        self.shapings: dict[str, RewardShaping] = {
            name: context.component("reward_shaping", shaping)
            for name, shaping in config.shaping.items()
        }
        self.optimization, self.value_optimization = (
            Optimization(optimizer, model.module.parameters(), self.total_steps, self.runtime, name)
            for name, optimizer, model in (
                ("policy", config.policy, self.policy),
                ("value", config.value, value),
            )
        )
        self.kl_coef, self.kl_bounds, self.updates = config.kl.coef, KLBounds(config.kl), 0
        self.current: tuple[Rollout, torch.Tensor, Experience | None] | None = None
        self.average = (
            None
            if config.ema is None
            else {k: v.clone() for k, v in self.policy.module.state_dict().items()}
        )

    def step(self, index: int) -> Mapping[str, float]:
        """One iteration: rollout, scores, experience, minibatches."""
        profile = Profile(self.runtime)
        rollout = self._rollout(index)
        profile.ended("rollout")
        raw = self.reward_model.score(rollout).to(self.runtime.device).float()
        self.current = (rollout, raw, None)
        require_finite_scores(raw, rollout)
        scores, metrics = self._penalised(raw, rollout)
        profile.ended("scoring")
        minibatches = self._minibatches(index, 0, rollout)
        micro_batches = [m for minibatch in minibatches for m in self._micro_batches(minibatch)]
        experience = collect(
            rollout,
            scores,
            self.networks,
            micro_batches,
            self._temperature,
            self.kl_coef,
            self.config.advantage,
            self.runtime,
        )
        require_finite_experience(experience)
        self.current = (rollout, raw, experience)
        profile.ended("old_log_probs")
        if self.networks.reference is not None:
            metrics |= self.kl_bounds.check(index, experience)
        metrics |= self._update(index, experience, minibatches)
        profile.ended("update")
        metrics |= described(experience, raw, self.kl_coef)
        shown = {"score": raw.tolist()}
        if self.networks.reference is not None:
            shown["kl"] = experience.kl.tolist()
            metrics["objective/kl"] = float(experience.kl.mean())
            self._adapt_kl_coef(metrics["objective/kl"])
        self.context.rollout_finished(index, rollout, shown)
        profile.ended("other")
        return metrics | {"episode": float((index + 1) * self.config.batch)} | profile.metrics()

    @property
    def _temperature(self) -> float:
        return self.engine.sampling.temperature

    def _rollout(self, index: int) -> Rollout:
        """The iteration's responses."""
        seed, batch = self.context.seed, self.config.batch
        drawn = draw_order(len(self.prompts), index * batch, batch, seed, "ppo", "prompts")
        prompts = [self.prompts[i] for i in drawn]
        return self.engine.generate(
            self.policy, prompts, self.engine.sampling, (seed, "ppo", "rollout", index)
        )

    def _penalised(
        self, raw: torch.Tensor, rollout: Rollout
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Scores [B] after the shapings, the penalty for responses that were cut, and clipping."""
        scores, metrics = shaped(self.shapings, raw, rollout)
        scores = scores - self.config.missing_eos_penalty * (~rollout.terminated).float()
        limit = self.config.clip.score
        if limit is None:
            return scores, metrics
        metrics["objective/scores_clipped"] = float((scores.abs() > limit).float().mean())
        return scores.clamp(-limit, limit), metrics

    def _minibatches(self, index: int, epoch: int, rollout: Rollout) -> list[list[int]]:
        """Rows of each optimizer step: shuffled again in each epoch, then ordered by length."""
        order = permutation(len(rollout), self.context.seed, "ppo", "minibatches", index, epoch)
        size = self.config.minibatch
        return [rollout.by_length(order[i : i + size]) for i in range(0, len(order), size)]

    def _micro_batches(self, minibatch: Sequence[int]) -> list[Sequence[int]]:
        return list(self.runtime.micro_batches(self.runtime.share(minibatch)))

    def _update(
        self, index: int, experience: Experience, first: list[list[int]]
    ) -> dict[str, float]:
        """All optimizer steps of an iteration; the mean of what each reports."""
        reports: list[dict[str, float]] = []
        for epoch in range(self.config.epochs):
            minibatches = (
                first if epoch == 0 else self._minibatches(index, epoch, experience.rollout)
            )
            for minibatch in minibatches:
                report = self._optimizer_step(index, experience, minibatch, is_first=not reports)
                reports.append(report)
                limit = self.config.kl.stop_above
                if limit is not None and report["policy/approxkl_avg"] > limit:
                    return mean_metrics(reports) | {"policy/stopped_early": 1.0}
        return mean_metrics(reports)

    def _optimizer_step(
        self, index: int, experience: Experience, minibatch: Sequence[int], is_first: bool
    ) -> dict[str, float]:
        """Gradients of one minibatch under one global token count, plus the terms' gradients; then
        one step of each network."""
        at = torch.as_tensor(minibatch, device=experience.mask.device)
        tokens = int(experience.mask[at].sum())
        sums = torch.zeros(len(Watched._fields), device=self.runtime.device)
        largest, furthest = 0.0, experience
        for rows in self._micro_batches(minibatch):
            batch = experience.rows(rows)
            watched, deviation = self._backward(batch, tokens)
            sums += torch.stack(watched)
            if is_first and float(deviation) > largest:
                largest, furthest = float(deviation), batch
        if is_first:
            require_first_ratio_one(
                index, self.policy, furthest, largest, self._temperature, self.runtime
            )
        metrics: dict[str, float] = {}
        for name, term in self.terms.items():
            accumulate = partial(term.accumulate, self.policy, self.updates, len(minibatch))
            metrics |= self.optimization.add(name, accumulate)
        mean = Watched[float](*(self.runtime.sum(sums) / tokens).tolist())
        metrics |= {
            "loss/policy_avg": mean.policy_loss,
            "loss/value_avg": mean.value_loss,
            "policy/approxkl_avg": mean.approx_kl,
            "policy/clipfrac_avg": mean.clipped,
            "val/ratio": mean.ratio,
            "val/clipfrac_avg": mean.value_clipped,
            "val/ratio_var": mean.squared_ratio - mean.ratio**2,
        }
        checked = ("policy/approxkl_avg", "val/ratio")
        require_finite(
            f"PPO, iteration {index}",
            {k: v for k, v in metrics.items() if k.startswith("loss/") or k in checked},
        )
        self.value_optimization.norm()  # raises before the policy is changed
        metrics |= self.optimization.step(index) | self.value_optimization.step(index)
        self.updates += 1
        self._average()
        return metrics

    def _backward(
        self, batch: Experience, tokens: int
    ) -> tuple[Watched[torch.Tensor], torch.Tensor]:
        """Add the gradients of some rows; sums of what is watched, and the largest distance of a
        ratio from 1."""
        old, mask = batch.log_probs, batch.mask
        # One network after the other: the policy's activations are freed before the value
        # network's are needed.
        with self.runtime.autocast():
            new = response_log_probs(self.policy, batch.rollout, self._temperature)
        policy = policy_loss(new, old, batch.advantages, mask, self.config.clip.ratio)
        torch.autograd.backward(policy.loss / tokens)
        with self.runtime.autocast():
            values = response_values(self.networks.value, batch.rollout)
        loss, value_clipped = value_loss(
            values, batch.values, batch.returns, mask, self.config.clip.value
        )
        torch.autograd.backward(loss / tokens)
        ratio = torch.where(mask, (new.detach() - old).exp(), torch.ones_like(old))
        watched = Watched(
            policy_loss=policy.loss.detach(),
            value_loss=loss.detach(),
            approx_kl=policy.approx_kl,
            clipped=policy.clipped,
            ratio=policy.ratio,
            value_clipped=value_clipped,
            squared_ratio=(ratio**2 * mask).sum(),
        )
        return watched, (ratio - 1).abs().max()

    def _adapt_kl_coef(self, kl: float) -> None:
        """Move the KL coefficient for the next iteration, if it is adaptive. kl: nats per
        episode."""
        config = self.config.kl
        if config.controller is Controller.adaptive:
            self.kl_coef = adapted_coefficient(
                self.kl_coef, kl, config.target, config.horizon, self.config.batch
            )

    def _average(self) -> None:
        """Move the exponential moving average of the policy's weights on by one optimizer step."""
        if self.average is None or self.config.ema is None:
            return
        for name, weight in self.policy.module.state_dict().items():
            if weight.is_floating_point():
                self.average[name].lerp_(weight, 1 - self.config.ema)
            else:
                self.average[name].copy_(weight)

    def batch(self, index: int) -> State:
        """The rollout of the iteration, and what it was worth as far as that was computed."""
        return {} if self.current is None else failed_batch(*self.current)

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """Episodes that do not fill a batch are not sampled; responses that were cut at the cap
        have no end token."""
        missing = sum(round((1 - row["objective/eos_rate"]) * self.config.batch) for row in history)
        counts: dict[str, float] = {
            "prompts": len(self.prompts),
            "episodes": self.total_steps * self.config.batch,
            "episodes left out": self.config.episodes % self.config.batch,
            "missing end tokens": missing,
        }
        for name, term in self.terms.items():
            if isinstance(term, Accountable):
                counts |= {f"{name}: {k}": n for k, n in term.accounting(history).items()}
        return counts

    def state_dict(self) -> State:
        """Both networks and optimizers, the average, the KL coefficient, the terms."""
        return {
            "policy": self.policy.module.state_dict(),
            "value": self.networks.value.module.state_dict(),
            "optimizer": self.optimization.state_dict(),
            "value_optimizer": self.value_optimization.state_dict(),
            "average": self.average or {},
            "kl_coef": self.kl_coef,
            "updates": self.updates,
            "kl_out_of_bounds": self.kl_bounds.iterations,
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them. The reference is not in the state: it is the stage's input, pinned by the
        recipe."""
        self.policy.module.load_state_dict(state["policy"])
        self.networks.value.module.load_state_dict(state["value"])
        self.optimization.load_state_dict(state["optimizer"])
        self.value_optimization.load_state_dict(state["value_optimizer"])
        if self.average is not None:
            self.average = {
                name: value.to(self.runtime.device, copy=True)
                for name, value in state["average"].items()
            }
        self.kl_coef, self.updates = float(state["kl_coef"]), int(state["updates"])
        self.kl_bounds.iterations = int(state["kl_out_of_bounds"])
        for name, term in self.terms.items():
            term.load_state_dict(state["terms"][name])

    def save(self, folder: Path) -> None:
        """The policy (its average, if one is kept) and the value network, as model folders."""
        result: Policy = self.policy
        if self.average is not None:
            result = self.policy.copy()
            result.module.load_state_dict(self.average)
        result.save(folder / "model")
        self.networks.value.save(folder / "value")
