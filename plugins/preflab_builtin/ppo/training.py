"""PPO as a procedure: one step is one iteration of sampling, scoring and updating (InstructGPT 3.5, C.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preflab.cost import Profile
from preflab.errors import NumericError
from preflab.functional import masked_mean
from preflab.interfaces import Context, GradientTerm, Policy, RewardShaping, State
from preflab.likelihood import response_log_probs, response_values
from preflab.optimization import Optimization, require_finite
from preflab.randomness import draw_order, permutation
from preflab.records import Rollout
from preflab.shaping import shaped
from preflab_builtin.ppo.config import Controller, PPOConfig
from preflab_builtin.ppo.experience import (
    SAME,
    Experience,
    Networks,
    astray,
    check_rewards,
    collect,
    disagreement,
    explained_variance,
    seen_batch,
)
from preflab_builtin.ppo.loss import adapted_coefficient, policy_loss, value_loss
from preflab_builtin.rollouts.prompts import prompt_tokens


class PPO:
    """`preflab.interfaces.Procedure`. Prompts, minibatches and the rollout's noise are functions of (seed, step)."""

    def __init__(self, config: PPOConfig, context: Context) -> None:
        self.config, self.context, self.runtime = config, context, context.runtime
        self.total_steps = config.episodes // config.batch
        self.prompts = context.records("prompts", "train")
        self.policy = context.policy("initial")
        # With a coefficient of 0 no reference is loaded: nothing is measured against it.
        reference = context.policy("initial") if config.kl.coef > 0 else None
        value = context.reward_network() or context.policy("initial").scalar_model(
            context.streams["value head"]
        )
        if reference is not None:
            reference.module.requires_grad_(False)
        self.networks = Networks(self.policy, reference, value)
        self.reward_model = context.reward_model()
        self.engine = context.rollout()
        prompt_tokens(
            self.policy, self.prompts, self.engine.sampling.max_tokens
        )  # refuses the first that is too long, now
        self.terms: dict[str, GradientTerm] = {
            name: context.component("gradient_term", term)
            for name, term in config.terms.items()
            if term.coef != 0
        }
        self.shapings: dict[str, RewardShaping] = {
            name: context.component("reward_shaping", shaping)
            for name, shaping in config.shaping.items()
        }
        parameters = self.policy.module.parameters()
        self.optimization = Optimization(
            config.policy, parameters, self.total_steps, self.runtime, "policy"
        )
        value_parameters = value.module.parameters()
        self.value_optimization = Optimization(
            config.value, value_parameters, self.total_steps, self.runtime, "value"
        )
        self.kl_coef = config.kl.coef
        self.updates = 0
        self.astray = 0  # iterations in a row
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
        check_rewards(raw, rollout)
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
        self.current = (rollout, raw, experience)
        profile.ended("old_log_probs")
        metrics |= self._check_kl(index, experience)
        metrics |= self._update(index, experience, minibatches)
        profile.ended("update")
        metrics |= self._described(experience, raw)
        if self.config.kl.controller is Controller.adaptive:
            kl, horizon = metrics["objective/kl"], self.config.kl.horizon
            self.kl_coef = adapted_coefficient(
                self.kl_coef, kl, self.config.kl.target, horizon, self.config.batch
            )
        shown = {"score": raw.tolist()}
        if self.networks.reference is not None:
            shown["kl"] = (experience.log_ratio * experience.mask).sum(-1).tolist()
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
        """Rows of each optimizer step, shuffled anew each epoch, each ordered by length."""
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
                    return _mean(reports) | {"policy/stopped_early": 1.0}
        return _mean(reports)

    def _optimizer_step(
        self, index: int, experience: Experience, minibatch: Sequence[int], is_first: bool
    ) -> dict[str, float]:
        """Gradients of one minibatch under one global token count, plus the terms' gradients; one step a network."""
        tokens = int(
            experience.mask[torch.as_tensor(minibatch, device=experience.mask.device)].sum()
        )
        sums = torch.zeros(7, device=self.runtime.device)
        worst, rows = 0.0, minibatch
        for micro_batch in self._micro_batches(minibatch):
            found, deviation = self._backward(experience, micro_batch, tokens)
            sums += found
            if is_first and float(deviation) > worst:
                worst, rows = float(deviation), micro_batch
        if is_first:
            self._check_first_ratio(index, experience, worst, rows)
        metrics: dict[str, float] = {}
        for name, term in self.terms.items():
            accumulate = partial(term.accumulate, self.policy, self.updates, len(minibatch))
            metrics |= self.optimization.add(name, accumulate)
        policy, value, approx_kl, clipped, ratio, value_clipped, squares = (
            self.runtime.sum(sums) / tokens
        ).tolist()
        losses = {"policy": policy, "value": value, "approximate KL": approx_kl, "ratio": ratio}
        losses |= {name: value for name, value in metrics.items() if name.startswith("loss/")}
        require_finite(f"PPO, iteration {index}", losses)
        self.value_optimization.norm()  # a bad gradient here must not find the policy already changed
        metrics |= self.optimization.step(index) | self.value_optimization.step(index)
        self.updates += 1
        self._average()
        metrics |= {
            "loss/policy_avg": policy,
            "loss/value_avg": value,
            "policy/approxkl_avg": approx_kl,
        }
        metrics |= {
            "policy/clipfrac_avg": clipped,
            "val/ratio": ratio,
            "val/clipfrac_avg": value_clipped,
        }
        return metrics | {"val/ratio_var": squares - ratio**2}

    def _check_first_ratio(
        self, index: int, experience: Experience, worst: float, rows: Sequence[int]
    ) -> None:
        """Before an iteration's first step nothing has changed since its rollout: every ratio is 1, or the run stops."""
        wrong = worst > SAME
        cause = (
            disagreement(self.policy, experience, rows, self._temperature, self.runtime)
            if wrong
            else ""
        )
        worst, cause = max(self.runtime.gather([(worst, cause)]))
        if cause:
            raise NumericError(
                f"PPO, iteration {index}: before any update the ratio of new to old probability is off 1 by {worst:.1e}; at most "
                f"{SAME} is allowed. {cause} No weight was changed."
            )

    def _check_kl(self, index: int, experience: Experience) -> dict[str, float]:
        """Count the iterations for which the KL has been out of bounds; `NumericError` when ``kl.limit`` asks for it."""
        if self.networks.reference is None:
            return {}
        limits = self.config.kl
        said = astray(experience, limits.limit)
        self.astray = self.astray + 1 if said else 0
        if limits.limit is not None and self.astray >= limits.patience:
            raise NumericError(
                f"PPO, iteration {index}: the KL to the reference has been out of bounds for {self.astray} iterations, now it is "
                f"{said}. No weight was changed. Raise kl.coef or lower the learning rate, or allow more with kl.limit."
            )
        return {"kl/astray": float(self.astray)}

    def _backward(
        self, experience: Experience, rows: Sequence[int], tokens: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of some rows; sums of what is watched, and how far a ratio is from 1."""
        batch = experience.rollout.rows(rows)
        at, width = (
            torch.as_tensor(rows, device=experience.mask.device),
            batch.response_ids.shape[1],
        )
        old, values, advantages, returns, mask = (
            x[at, :width]
            for x in (
                experience.log_probs,
                experience.values,
                experience.advantages,
                experience.returns,
                experience.mask,
            )
        )
        # One network after the other: what the policy kept for its backward pass is gone when the value network's comes.
        with self.runtime.autocast():
            new = response_log_probs(self.policy, batch, self._temperature)
        found = policy_loss(new, old, advantages, mask, self.config.clip.ratio)
        torch.autograd.backward(found.loss / tokens)
        with self.runtime.autocast():
            predicted = response_values(self.networks.value, batch)
        loss, value_clipped = value_loss(predicted, values, returns, mask, self.config.clip.value)
        torch.autograd.backward(loss / tokens)
        ratio = torch.where(mask, (new.detach() - old).exp(), torch.ones_like(old))
        sums = torch.stack(
            [
                found.loss.detach(),
                loss.detach(),
                found.approx_kl,
                found.clipped,
                found.ratio,
                value_clipped,
                (ratio**2 * mask).sum(),
            ]
        )
        return sums, (ratio - 1).abs().max()

    def _average(self) -> None:
        """The exponential moving average of the policy's weights, an optimizer step on."""
        if self.average is not None and self.config.ema is not None:
            for name, weight in self.policy.module.state_dict().items():
                self.average[name].lerp_(
                    weight, 1 - self.config.ema
                ) if weight.is_floating_point() else self.average[name].copy_(weight)

    def _described(self, experience: Experience, raw: torch.Tensor) -> dict[str, float]:
        """What dashboards show of an iteration's responses; sums are an episode's, entropies a token's."""
        mask, rollout = experience.mask, experience.rollout
        kl = float((experience.log_ratio * mask).sum(-1).mean())
        score = float(experience.scores.mean())
        described = {
            "objective/scores": float(raw.mean()),
            "objective/rlhf_reward": score - self.kl_coef * kl,
            "objective/non_score_reward": -self.kl_coef * kl,
            "objective/entropy": float(masked_mean(experience.entropies, mask)),
            "objective/eos_rate": float(rollout.terminated.float().mean()),
            "objective/length": float(rollout.response_lengths.float().mean()),
            "val/explained_variance": explained_variance(
                experience.values, experience.returns, mask
            ),
            "kl/coef": self.kl_coef,
        }
        return described | ({"objective/kl": kl} if self.networks.reference is not None else {})

    def batch(self, index: int) -> State:
        """The rollout of the iteration, and what it was worth as far as that was computed."""
        return {} if self.current is None else seen_batch(*self.current)

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """Episodes that make no whole batch are not sampled; responses that were cut at the cap have no end token."""
        missing = sum(round((1 - row["objective/eos_rate"]) * self.config.batch) for row in history)
        found = {"prompts": len(self.prompts), "episodes": self.total_steps * self.config.batch}
        found |= {
            "episodes left out": self.config.episodes % self.config.batch,
            "missing end tokens": missing,
        }
        for name, term in self.terms.items():
            told = term.accounting() if hasattr(term, "accounting") else {}
            found |= {f"{name}: {what}": number for what, number in told.items()}
        return found

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
            "astray": self.astray,
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Take them over. The reference is not in the state: it is the stage's input, pinned by the recipe."""
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
        self.astray = int(state["astray"])
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


def _mean(reports: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The mean of each metric over optimizer steps."""
    return {name: sum(r[name] for r in reports) / len(reports) for name in reports[0]}
