"""On-policy training as a procedure: one step is one iteration of sampling, scoring, judging and
updating. It knows no algorithm: `Rules` says what is special about one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preflab.cost import Profile
from preflab.interfaces import Accountable, Context, OfMembers, RewardShaping, SeesBatch, State
from preflab.optimization import Optimization, gradient_terms, mean_metrics, require_finite
from preflab.randomness import draw_order, permutation
from preflab.records import Rollout
from preflab.runtime import weight
from preflab_builtin.on_policy.average import Average
from preflab_builtin.on_policy.config import Controller, OnPolicyConfig
from preflab_builtin.on_policy.dealing import micro_batches, minibatches
from preflab_builtin.on_policy.experience import Experience, Networks, collect, described, penalised
from preflab_builtin.on_policy.gradients import WEIGHTED, Watched, accumulate, as_metrics
from preflab_builtin.on_policy.guards import (
    KLBounds,
    failed_batch,
    require_finite_experience,
    require_finite_scores,
    require_first_ratio_one,
)
from preflab_builtin.on_policy.inputs import kl_reference, offload
from preflab_builtin.on_policy.kl import adapted_coefficient
from preflab_builtin.on_policy.resampling import replaced, without_signal
from preflab_builtin.on_policy.rules import Rules, denominator
from preflab_builtin.on_policy.sampler import guard_of
from preflab_builtin.rollouts.prompts import prompt_tokens
from preflab_builtin.training.continuing import begins_from
from preflab_builtin.training.keeping import Keeping


class OnPolicy:
    """`preflab.interfaces.Procedure`. Prompts, minibatches and the rollout's noise are functions of
    (seed, step)."""

    def __init__(self, config: OnPolicyConfig, context: Context, rules: Rules) -> None:
        self.config, self.context, self.rules = config, context, rules
        self.runtime = context.runtime
        self.total_steps = config.total_steps()
        self.begins_from = begins_from(config, self.total_steps)
        self.prompts = context.records("prompts", "train")
        value = None
        with self.runtime.dividing():
            policy = context.policy("initial")
            # With a coefficient of 0 no reference is loaded: nothing is measured against it.
            reference = kl_reference(config, context, policy) if config.kl.coef > 0 else None
            self.reward_model = context.reward_model()
            if rules.critic is not None:
                head = context.streams["value head"]
                value = context.reward_network() or policy.scalar_model(head)
        self.networks = Networks(policy, reference, value)
        for network in filter(None, (policy, reference, value)):
            self.runtime.shard(network.module)
        self.policy = policy
        self.offload = offload(self.networks, self.reward_model, self.runtime)
        self.engine = engine = context.rollout()
        self.sampler = guard_of(config, engine, self.runtime)
        asked = replace(engine.sampling, log_probs=self.sampler.trusted)
        self.sampling = replace(asked, samples=rules.samples, compared=True)
        # Refuses the first prompt that is too long before anything is computed.
        prompt_tokens(policy, self.prompts, self.sampling.max_tokens)
        self.terms = gradient_terms(context, config.terms, shows_batch=True)
        self.shapings: dict[str, RewardShaping] = {
            name: context.component("reward_shaping", shaping)
            for name, shaping in config.shaping.items()
        }
        trained = [("policy", config.policy, policy.module)]
        if rules.critic is not None and value is not None:
            trained.append(("value", rules.critic.optimizer, value.module))
        self.optimizations = {
            name: Optimization(optimizer, module.parameters(), self.total_steps, self.runtime, name)
            for name, optimizer, module in trained
        }
        self.average = Average(config.ema, policy)
        self.keeping = Keeping(config, context, self.total_steps, self.policy)
        self.kl_coef, self.kl_bounds, self.updates = config.kl.coef, KLBounds(config.kl), 0
        self.current: tuple[Rollout, torch.Tensor, Experience | None] | None = None
        self.members: dict[str, torch.Tensor] = {}

    def step(self, index: int) -> Mapping[str, float]:
        """One iteration: rollout, scores, experience, minibatches."""
        profile = Profile(self.runtime)
        rollout = self._rollout(index)
        profile.ended("rollout")
        raw = self._scored(rollout)
        scores, metrics = penalised(raw, rollout, self.shapings, self.config)
        profile.ended("scoring")
        if self.rules.resample:
            rollout, raw, scores, metrics = self._resampled(index, rollout, raw, scores, metrics)
            profile.ended("resampling")
        # Of everything first, if only some of it is trained on: its KL is that of the policy.
        dealt = self._minibatches(index, 0, rollout)
        experience = self._judged(
            rollout, scores, dealt if self.rules.chosen is None else [rollout.by_length()]
        )
        self.current = (rollout, raw, experience)
        profile.ended("old_log_probs")
        metrics |= self.sampler.check(
            self._where(index), experience, self.networks, self.sampling.temperature, self.runtime
        )
        if self.networks.reference is not None:
            metrics |= self.kl_bounds.check(self._where(index), experience)
        chosen = self._chosen(index, experience)
        with self.offload.away():
            metrics |= self._update(index, chosen) | self.sampler.first
        profile.ended("update")
        metrics |= described(experience, raw, self.kl_coef)
        metrics |= {f"objective/scores/{k}": float(v.mean()) for k, v in self.members.items()}
        if self.rules.described is not None:
            metrics |= self.rules.described(experience)
        shown = {"score": raw.tolist()}
        if self.networks.reference is not None:
            shown["kl"] = experience.kl.tolist()
            metrics["objective/kl"] = float(experience.kl.mean())
            self._adapt_kl_coef(metrics["objective/kl"])
        self.context.rollout_finished(index, rollout, shown)
        profile.ended("other")
        if self.keeping.watch.is_due(index + 1):
            metrics |= self.keeping.after(index + 1, self.average.result())
            profile.ended("watch")
        if self.keeping.ended:
            self.total_steps = index + 1
        return metrics | {"episode": float((index + 1) * self.config.batch)} | profile.metrics()

    def _judged(
        self, rollout: Rollout, scores: torch.Tensor, minibatches: Sequence[Sequence[int]]
    ) -> Experience:
        """What rows are worth, scores [B], in the micro-batches of some minibatches."""
        micro_batches = [m for minibatch in minibatches for m in self._micro_batches(minibatch)]
        experience = collect(
            rollout,
            scores,
            self.networks,
            micro_batches,
            self.sampling.temperature,
            self.kl_coef if self.rules.kl_loss is None else 0.0,
            self.rules.advantages,
            self.runtime,
            rollout.log_probs if self.sampler.trusted else None,
        )
        require_finite_experience(self.rules.name, experience)
        return experience

    def _chosen(self, index: int, experience: Experience) -> Experience | None:
        """What to train on: everything, or the rows that the algorithm chooses, read once more in
        the micro-batches of their own first update. None: it chooses no row."""
        if self.rules.chosen is None:
            return experience
        rows = self.rules.chosen(experience)
        if not rows:
            return None
        rollout, at = experience.rollout.rows(rows), torch.as_tensor(rows)
        scores = experience.scores[at.to(experience.scores.device)]
        return self._judged(rollout, scores, self._minibatches(index, 0, rollout))

    def _where(self, index: int) -> str:
        """The place of an iteration, for messages."""
        return f"algorithm={self.rules.name}, iteration {index}"

    def _rollout(self, index: int) -> Rollout:
        """The iteration's responses, those to one prompt in consecutive rows."""
        seed, name = self.context.seed, self.rules.name
        count = self.config.batch // self.rules.samples
        drawn = draw_order(len(self.prompts), index * count, count, seed, name, "prompts")
        prompts = [self.prompts[i] for i in drawn]
        return self.engine.generate(
            self.policy, prompts, self.sampling, (seed, name, "rollout", index)
        )

    def _scored(self, rollout: Rollout) -> torch.Tensor:
        """The reward model's scores [B]; `NumericError` for one that is not finite."""
        if isinstance(self.reward_model, OfMembers):
            self.members = dict(self.reward_model.members(rollout))
            raw = self.reward_model.together(self.members)
        else:
            raw = self.reward_model.score(rollout)
        raw = raw.to(self.runtime.device).float()
        self.current = (rollout, raw, None)
        require_finite_scores(self.rules.name, raw, rollout)
        return raw

    def _resampled(
        self,
        index: int,
        rollout: Rollout,
        raw: torch.Tensor,
        scores: torch.Tensor,
        metrics: dict[str, float],
    ) -> tuple[Rollout, torch.Tensor, torch.Tensor, dict[str, float]]:
        """A rollout, its raw scores, its scores and their metrics, with other prompts in the place
        of those whose responses all have the same score, as long as there are some and
        `Rules.resample` allows it. Prompts and noise are functions of (seed, step, attempt)."""
        n, rules, seed, more = self.rules.samples, self.rules, self.context.seed, 0
        count = self.config.batch // n
        for attempt in range(rules.resample):
            silent = without_signal(scores, n)
            if not silent:
                break
            first = (index * rules.resample + attempt) * count
            drawn = draw_order(
                len(self.prompts), first, len(silent), seed, rules.name, "other prompts"
            )
            noise = (seed, rules.name, "rollout", index, attempt)
            prompts = [self.prompts[i] for i in drawn]
            other = self.engine.generate(self.policy, prompts, self.sampling, noise)
            at = [group * n + i for group in silent for i in range(n)]
            before, rows = self.members, torch.as_tensor(at, device=raw.device)
            raw = raw.index_copy(0, rows, self._scored(other))
            self.members = {
                name: scores.index_copy(0, rows, self.members[name])
                for name, scores in before.items()
            }
            rollout = replaced(rollout, at, other, self.policy.tokenizer)
            scores, metrics = penalised(raw, rollout, self.shapings, self.config)
            more += len(at)
        return rollout, raw, scores, metrics | {"objective/resampled": float(more)}

    def _minibatches(self, index: int, epoch: int, rollout: Rollout) -> list[list[int]]:
        """Rows of each optimizer step, shuffled again in each epoch."""
        rules, seed = self.rules, self.context.seed
        units = len(rollout) // rules.together
        order = permutation(units, seed, rules.name, "minibatches", index, epoch)
        # Of rows that an algorithm chooses there is one unit a prompt.
        size = self.config.minibatch // (1 if rules.chosen is None else rules.samples)
        return minibatches(rollout, order, rules.together, size)

    def _micro_batches(self, minibatch: Sequence[int]) -> list[Sequence[int]]:
        return micro_batches(minibatch, self.rules.together, self.runtime)

    def _update(self, index: int, experience: Experience | None) -> dict[str, float]:
        """All optimizer steps of an iteration; the mean of what each reports."""
        reports: list[dict[str, float]] = []
        if experience is None:
            return {}
        for epoch in range(self.config.epochs):
            for minibatch in self._minibatches(index, epoch, experience.rollout):
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
        mask = experience.mask[torch.as_tensor(minibatch, device=experience.mask.device)]
        tokens = int(mask.sum())
        divisor = denominator(mask, self.rules.aggregate, self.sampling.max_tokens)
        sums = torch.zeros(len(Watched._fields), device=self.runtime.device)
        largest, furthest = 0.0, experience
        for rows in self._micro_batches(minibatch):
            batch = experience.rows(rows)
            watched, deviation = accumulate(
                self.rules,
                self.networks,
                batch,
                tokens,
                divisor,
                self.kl_coef,
                self.sampling.temperature,
                self.runtime,
                self.config.sampler.cap,
                weight(rows),
            )
            sums += weight(rows) * torch.stack(watched)
            if is_first and weight(rows) * float(deviation) > largest:
                largest, furthest = float(deviation), batch
        if is_first and not self.sampler.trusted:
            require_first_ratio_one(
                self._where(index),
                self.policy,
                furthest,
                largest,
                self.sampling.temperature,
                self.runtime,
            )
        metrics: dict[str, float] = {}
        for name, term in self.terms.items():
            if isinstance(term, SeesBatch):
                term.see(experience.rollout.rows(minibatch), self.sampling.temperature)
            gradient = partial(term.accumulate, self.policy, self.updates, len(minibatch))
            metrics |= self.optimizations["policy"].add(name, gradient)
        divisors = torch.full_like(sums, tokens)
        divisors[: len(WEIGHTED)] = divisor
        watched_mean = Watched[float](*(self.runtime.sum(sums) / divisors).tolist())
        metrics |= as_metrics(watched_mean, self.rules)
        checked = ("policy/approxkl_avg", "val/ratio")
        require_finite(
            self._where(index),
            {k: v for k, v in metrics.items() if k.startswith("loss/") or k in checked},
        )
        if is_first:
            self.sampler.require_near(self._where(index), watched_mean.difference)
        for optimization in self.optimizations.values():
            optimization.norm()  # raises before any weight is changed
        for optimization in self.optimizations.values():
            metrics |= optimization.step(index)
        self.updates += 1
        self.average.move()
        return metrics

    def _adapt_kl_coef(self, kl: float) -> None:
        """Move the KL coefficient for the next iteration, if it is adaptive. kl: nats per
        episode."""
        config = self.config.kl
        if config.controller is Controller.adaptive:
            self.kl_coef = adapted_coefficient(
                self.kl_coef, kl, config.target, config.horizon, self.config.batch
            )

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
            **self.keeping.accounting(),
        }
        if self.rules.resample:
            more = sum(row["objective/resampled"] for row in history)
            counts["responses sampled in the place of others"] = more
        for name, term in self.terms.items():
            if isinstance(term, Accountable):
                counts |= {f"{name}: {k}": n for k, n in term.accounting(history).items()}
        return counts

    def state_dict(self) -> State:
        """The networks and their optimizers, the average, the KL coefficient, the terms."""
        return {
            "networks": {name: network.state_dict() for name, network in self._trained().items()},
            "optimizers": {name: o.state_dict() for name, o in self.optimizations.items()},
            "average": self.average.state_dict(),
            "kl_coef": self.kl_coef,
            "updates": self.updates,
            "kl_out_of_bounds": self.kl_bounds.iterations,
            "terms": {name: term.state_dict() for name, term in self.terms.items()},
            "keeping": self.keeping.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore them. The reference is not in the state: it is the stage's input, pinned by the
        recipe."""
        for name, network in self._trained().items():
            network.load_state_dict(state["networks"][name])
        for name, optimization in self.optimizations.items():
            optimization.load_state_dict(state["optimizers"][name])
        self.average.load_state_dict(state["average"], self.runtime.device)
        if self.config.kl.controller is Controller.adaptive:  # else it is the config's
            self.kl_coef = float(state["kl_coef"])
        self.updates = int(state["updates"])
        self.kl_bounds.iterations = int(state["kl_out_of_bounds"])
        for name in self.terms.keys() & state["terms"].keys():  # training that goes on may add some
            self.terms[name].load_state_dict(state["terms"][name])
        self.keeping.load_state_dict(state["keeping"])
        if self.keeping.ended:
            self.total_steps = self.keeping.judged

    def _trained(self) -> dict[str, torch.nn.Module]:
        modules = {"policy": self.policy.module}
        if self.networks.value is not None:
            modules["value"] = self.networks.value.module
        return modules

    def save(self, folder: Path) -> None:
        """As model folders: the policy (its average or the best, if kept) and the value network."""
        self.keeping.result(self.average.result()).save(folder / "model")
        if self.networks.value is not None:
            self.networks.value.save(folder / "value")
