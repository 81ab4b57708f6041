"""One policy for several groups: it reads whose preferences count, and what it says is worth what
that group's own reward says. Shapes: B rows, G groups."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from preflab.errors import UserError
from preflab.interfaces import (
    Accountable,
    Backbone,
    Context,
    OfMembers,
    Policy,
    Procedure,
    RewardModel,
    ShowsBatch,
    State,
)
from preflab.lengths import check_prompts
from preflab.offload import networks_of
from preflab.randomness import derive_seed
from preflab.records import Prompt, Rollout, Tokenizer
from preflab.responders import PolicyResponder, after
from preflab_builtin.baselines.best_of_n import BestOfN
from preflab_builtin.baselines.config import BestOfNConfig
from preflab_builtin.groups.config import ForGroupsConfig
from preflab_builtin.groups.prefixes import (
    asked,
    check_words,
    filled,
    group_of,
    named,
    plain,
    prefixes,
    without,
)

NO_MEMBERS = (
    "algorithm=for_groups needs the reward of each group: choose reward_model=kwise_groups with "
    "any reward_model.welfare but worst and without weights_by_tag (no welfare is used), or a "
    "combined reward model with a member for each group."
)


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
        # Looked at ahead where the names of the groups were known then.
        check_prompts(context, context.records("prompts", "train"), list(words.values()))
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
    """`preflab.interfaces.AnswersGroups`, `AtTemperature`, `AnyTemperature`, `AnyPrefix`,
    `AnyLength`, `ReadsForms` and `BestOf`. Without the name of a group a prompt is answered for one
    that is drawn by the seed, each as likely. The responses come back after the prompts as they
    were given.

    prefix: what the policy reads between the prefix of the group and the prompt. typed: a prompt
    that begins with the prefix of a group, as a person types it, is answered for that group."""

    answers: PolicyResponder | BestOfN
    words: Mapping[str, str]
    prefix: str = ""
    typed: bool = False

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
        return replace(self, answers=self.answers.at_temperature(temperature))

    def with_prefix(self, prefix: str) -> ForGroups:
        """The same with a text in front of each prompt, behind the prefix of the group, with which
        all that the policy learned from began."""
        return replace(self, prefix=f"{self.prefix}{prefix}")

    def up_to(self, max_tokens: int) -> ForGroups:
        """The same with another cap."""
        return replace(self, answers=self.answers.up_to(max_tokens))

    def as_typed(self) -> ForGroups:
        """The same for prompts that people type."""
        return replace(self, typed=True)

    def forms(self, prompt: Prompt) -> Sequence[Prompt]:
        """With the prefix of each group, or of the one that it names."""
        own = self._named(prompt)
        return [self._asked(prompt, group) for group in (self.groups if own is None else [own])]

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt."""
        return self.respond_for(self.groups_for(prompts, seed), prompts, seed)

    def groups_for(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Sequence[str]:
        """The group that each prompt names, or that is drawn for it."""
        chance = random.Random(derive_seed(*seed, "groups"))
        drawn = [chance.choice(self.groups) for _ in prompts]
        return [self._named(p) or other for p, other in zip(prompts, drawn, strict=True)]

    def respond_for(
        self, groups: Sequence[str], prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        """One response per prompt, each for the group of its row."""
        rows = [self._asked(*row) for row in zip(prompts, groups, strict=True)]
        return after(self.policy.tokenizer, prompts, self.answers.respond(rows, seed))

    def _named(self, prompt: Prompt) -> str | None:
        return named(prompt, self.words) if self.typed else None

    def _asked(self, prompt: Prompt, group: str) -> Prompt:
        own = self._named(prompt)
        bare = prompt if own is None else without(prompt, self.words[own])
        return asked(bare, group, f"{self.words[group]}{self.prefix}")


def for_groups(config: ForGroupsConfig, context: Context) -> ForGroups:
    """The policy that was trained, under the prefixes; or the best of several responses by each
    group's own reward."""
    own, words = asking(config, context)
    if isinstance(config.algorithm, BestOfNConfig):
        return ForGroups(own.component("algorithm", config.algorithm), words)
    policy = context.sampled_policy(context.folder / "model")
    return ForGroups(PolicyResponder(policy, context.rollout()), words)


def preflight(config: ForGroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` for a prefix that the model cannot read, as far as it is known without the names
    of the groups, and for prompts that are too long with it."""
    words, key = config.words(context), f"{context.key_of(config)}.prefix"
    if not words and config.prefix and "{group" not in config.prefix:
        words = {"": filled(config.prefix, "", 1)}
    check_words(context.tokenizer, words, key)
    check_prompts(context, context.records("prompts", "train"), config.in_front(context))
    yield from ()
