"""One policy for several groups: it reads whose preferences count, and what it says is worth what
that group's own reward says. Shapes: B rows, G groups."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch

from preflab.errors import UserError
from preflab.interfaces import (
    Accountable,
    Backbone,
    Context,
    OfMembers,
    Policy,
    Procedure,
    Responder,
    RewardModel,
    ShowsBatch,
    State,
)
from preflab.lengths import check_prompts
from preflab.offload import networks_of
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout, Tokenizer
from preflab_builtin.baselines.best_of_n import BestOfN
from preflab_builtin.baselines.config import BestOfNConfig
from preflab_builtin.evaluation.suite import PolicyAtTemperature
from preflab_builtin.groups.config import ForGroupsConfig
from preflab_builtin.groups.prefixes import (
    after,
    asked,
    check_words,
    filled,
    group_of,
    named,
    plain,
    prefixes,
)

NO_MEMBERS = (
    "algorithm=for_groups needs the reward of each group: choose reward_model=kwise_groups with "
    "any reward_model.welfare but worst (no welfare is used), or a combined reward model with a "
    "member for each group."
)


@runtime_checkable
class AnswersGroups(Responder, Protocol):
    """A `Responder` that answers a prompt for a group of people."""

    @property
    def groups(self) -> Sequence[str]:
        """Names of the groups."""

    def respond_for(
        self, group: str, prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        """One response per prompt, for one group."""


class OwnReward:
    """`preflab.interfaces.RewardModel` and `HasNetworks`: of a response to a prompt that is asked
    for a group, the reward of that group, which reads the prompt without the prefix."""

    def __init__(self, reward: OfMembers, tokenizer: Tokenizer) -> None:
        self._reward, self._tokenizer = reward, tokenizer

    @property
    def networks(self) -> Sequence[Backbone]:
        """Those of the reward of all groups."""
        return networks_of(cast(RewardModel, self._reward))

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        prompts = [plain(prompt) for prompt in rollout.prompts]
        members = self._reward.members(after(self._tokenizer, prompts, rollout))
        names, scores = list(members), torch.stack(list(members.values()), 1)
        own = [names.index(group_of(prompt)) for prompt in rollout.prompts]
        return scores.gather(1, torch.tensor(own, device=scores.device).reshape(-1, 1))[:, 0]


class _Asking:
    """A `preflab.interfaces.Context` in which each prompt is asked for each group, and a response
    has its group's own reward; in all else the run's. Components are built with it, too."""

    def __init__(self, context: Context, words: Mapping[str, str], reward: RewardModel) -> None:
        self._context, self._words, self._reward = context, words, reward

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def records(self, record_type: Any, split: Any) -> Sequence[Any]:
        found = self._context.records(record_type, split)
        if record_type != "prompts":
            return found
        return [asked(prompt, *word) for prompt in found for word in self._words.items()]

    def reward_model(self) -> RewardModel:
        return self._reward

    # The run's own way of building a component, which hands it this context.
    def component(self, kind: str, config: Any) -> Any:
        return type(self._context).component(cast(Context, self), kind, config)

    def procedure(self, kind: str, config: Any) -> Procedure | None:
        return type(self._context).procedure(cast(Context, self), kind, config)

    def within(self, name: str, seed: int | None = None) -> Context:
        return cast(Context, _Asking(self._context.within(name, seed), self._words, self._reward))


def asking(config: ForGroupsConfig, context: Context) -> tuple[Context, dict[str, str]]:
    """The context of the algorithm that answers groups, and their prefixes. `UserError` if the
    reward model knows no groups, or if the model cannot read a prefix."""
    reward, tokenizer = context.reward_model(), context.tokenizer
    if not isinstance(reward, OfMembers):
        raise UserError(NO_MEMBERS)
    names = list(reward.members(Rollout.from_tokens(tokenizer, [], [], [], context.runtime.device)))
    words = prefixes(config.prefix, names)
    check_words(tokenizer, words, f"{context.key_of(config)}.prefix")
    return cast(Context, _Asking(context, words, OwnReward(reward, tokenizer))), words


class ForGroupsTraining:
    """`preflab.interfaces.Procedure`: that of the algorithm, with each prompt asked for each group.
    An algorithm that trains nothing has no step."""

    def __init__(self, config: ForGroupsConfig, context: Context) -> None:
        own, words = asking(config, context)
        self.procedure = own.procedure("algorithm", config.algorithm)
        self.groups = len(words)

    @property
    def total_steps(self) -> int:
        """Steps of the algorithm: it may end before its last one."""
        return 0 if self.procedure is None else self.procedure.total_steps

    def step(self, index: int) -> Mapping[str, float]:
        """A step of the algorithm."""
        assert self.procedure is not None
        return self.procedure.step(index)

    def batch(self, index: int) -> State:
        """What a step read."""
        return self.procedure.batch(index) if isinstance(self.procedure, ShowsBatch) else {}

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """That of the algorithm: a prompt counts once for each group."""
        own = self.procedure
        more = own.accounting(history) if isinstance(own, Accountable) else dict[str, float]()
        return {"groups": float(self.groups), **more}

    def state_dict(self) -> State:
        """The state of the algorithm."""
        return {} if self.procedure is None else self.procedure.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Restore it."""
        if self.procedure is not None:
            self.procedure.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """What the algorithm saves."""
        if self.procedure is not None:
            self.procedure.save(folder)


@dataclass(frozen=True)
class ForGroups:
    """`AnswersGroups`, `preflab.interfaces.AtTemperature`, `AnyTemperature` and `BestOf`. Without
    the name of a group a prompt is answered for the group whose prefix it begins with; if there is
    none, for one that is drawn by the seed, each as likely. The responses come back after the
    prompts as they were given."""

    answers: PolicyAtTemperature | BestOfN
    words: Mapping[str, str]

    @property
    def policy(self) -> Policy:
        """The policy that is sampled from."""
        return self.answers.policy

    @property
    def temperature(self) -> float:
        """At which it samples."""
        return self.answers.temperature

    @property
    def n(self) -> int:
        """Responses drawn per prompt."""
        return self.answers.n if isinstance(self.answers, BestOfN) else 1

    @property
    def groups(self) -> Sequence[str]:
        """Names of the groups, in alphabetical order."""
        return list(self.words)

    def at_temperature(self, temperature: float) -> ForGroups:
        """The same at another temperature."""
        own = self.answers
        if isinstance(own, BestOfN):
            return replace(self, answers=own.at_temperature(temperature))
        return replace(self, answers=replace(own, temperature=temperature))

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt."""
        chance = random.Random(derive_seed(*seed, "groups"))
        drawn = [chance.choice(self.groups) for _ in prompts]
        typed = [named(prompt, self.words) for prompt in prompts]
        groups = [own or other for own, other in zip(typed, drawn, strict=True)]
        return self._respond(groups, prompts, seed)

    def respond_for(
        self, group: str, prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        """One response per prompt, for one group."""
        return self._respond([group] * len(prompts), prompts, seed)

    def _respond(
        self, groups: Sequence[str], prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        rows = zip(prompts, groups, strict=True)
        rollout = self.answers.respond([asked(p, g, self.words[g]) for p, g in rows], seed)
        return after(self.policy.tokenizer, prompts, rollout)


def for_groups(config: ForGroupsConfig, context: Context) -> ForGroups:
    """The policy that was trained, under the prefixes; or the best of several responses by each
    group's own reward."""
    own, words = asking(config, context)
    if isinstance(config.algorithm, BestOfNConfig):
        return ForGroups(own.component("algorithm", config.algorithm), words)
    policy, engine = context.load_policy(context.folder / "model"), context.rollout()
    policy.module.requires_grad_(False)
    return ForGroups(PolicyAtTemperature(policy, engine, engine.sampling.temperature), words)


def preflight(config: ForGroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` for a prefix that the model cannot read, as far as it is known without the names
    of the groups, and for prompts that are too long with it."""
    if not config.prefix or "{group" in config.prefix:
        return  # names of groups are known when the reward model is
    first = filled(config.prefix, "", 1)
    check_words(context.tokenizer, {"": first}, f"{context.key_of(config)}.prefix")
    check_prompts(context, [asked(p, "", first) for p in context.records("prompts", "train")])
    yield from ()
