"""Answers behind a guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from preflab.errors import UserError
from preflab.interfaces import (
    AnswersGroups,
    AnyLength,
    AnyTemperature,
    AtTemperature,
    Context,
    Policy,
    ReadsForms,
    Responder,
)
from preflab.records import Prompt, Rollout, Tokenizer
from preflab.responders import PolicyResponder, reading
from preflab_builtin.guard.asking import guard_of
from preflab_builtin.guard.config import Action, GuardedConfig
from preflab_builtin.guard.verdicts import Guard, Verdict

Seed = Sequence[int | str]


@dataclass(frozen=True)
class Guarded:
    """`preflab.interfaces.Responder`: what another one answers, as far as a guard lets it be shown.

    What the guard allows is what the responder answers without it, to the bit. A guard that raises
    ends the evaluation; nothing is shown unchecked. The KL of an evaluation is that of its policy,
    in front of the guard. The guard does not read the text that `AnyPrefix` puts in front of
    prompts.
    """

    responder: Responder
    guard: Guard
    refusal: str
    resamples: int

    @property
    def policy(self) -> Policy:
        """The policy that is sampled from."""
        return self.responder.policy

    @property
    def temperature(self) -> float:
        """That of what answers behind the guard, as far as it names one."""
        return cast(AtTemperature, self.responder).temperature

    def at_temperature(self, temperature: float) -> Responder:
        """The same at another temperature, behind the same guard."""
        if not isinstance(self.responder, AnyTemperature):
            raise UserError("What answers behind the guard has a temperature of its own.")
        return self._of(self.responder.at_temperature(temperature))

    def with_prefix(self, prefix: str) -> Responder:
        """The same with a text in front of each prompt."""
        return self._of(reading(self.responder, prefix))

    def up_to(self, max_tokens: int) -> Responder:
        """The same with another cap."""
        if not isinstance(self.responder, AnyLength):
            raise UserError("What answers behind the guard has a max_tokens of its own.")
        return self._of(self.responder.up_to(max_tokens))

    def forms(self, prompt: Prompt) -> Sequence[Prompt]:
        """As what answers behind the guard reads it."""
        return self.responder.forms(prompt) if isinstance(self.responder, ReadsForms) else [prompt]

    def respond(self, prompts: Sequence[Prompt], seed: Seed) -> Rollout:
        """One response per prompt."""
        return screened(self, self.responder.respond(prompts, seed), seed)[0]

    def _of(self, responder: Responder) -> Guarded:
        """Another one behind the same guard."""
        return behind(responder, self.guard, self.refusal, self.resamples)


@dataclass(frozen=True)
class GuardedGroups(Guarded):
    """`preflab.interfaces.AnswersGroups` behind a guard: what is sampled anew is for the group for
    which the first response was."""

    @property
    def groups(self) -> Sequence[str]:
        """Names of the groups."""
        return self._answers.groups

    def groups_for(self, prompts: Sequence[Prompt], seed: Seed) -> Sequence[str]:
        """The group for which each prompt is answered."""
        return self._answers.groups_for(prompts, seed)

    def respond_for(self, groups: Sequence[str], prompts: Sequence[Prompt], seed: Seed) -> Rollout:
        """One response per prompt, each for the group of its row."""
        rollout = self._answers.respond_for(groups, prompts, seed)
        return screened(self, rollout, seed, groups)[0]

    def as_typed(self) -> Guarded:
        """The same for prompts that people type."""
        return self._of(self._answers.as_typed())

    @property
    def _answers(self) -> AnswersGroups:
        return cast(AnswersGroups, self.responder)


def behind(responder: Responder, guard: Guard, refusal: str, resamples: int) -> Guarded:
    """What answers, behind a guard."""
    kind = GuardedGroups if isinstance(responder, AnswersGroups) else Guarded
    return kind(responder, guard, refusal, resamples)


def guarded(config: GuardedConfig, context: Context) -> Guarded:
    """The policy that algorithms start from, behind a guard."""
    guard = guard_of(config.guard, config.seconds, config, context)
    policy = context.sampled_policy("initial")
    check_refusal(policy.tokenizer, config.refusal, "algorithm")
    responder = PolicyResponder(policy, context.rollout())
    return Guarded(responder, guard, config.refusal, config.resamples)


def check_refusal(tokenizer: Tokenizer, refusal: str, key: str) -> None:
    """`UserError` for a refusal that the model has no tokens for: a reward model and people would
    judge another text than is shown. key: of the options."""
    prompt = Prompt("", "")
    read = tokenizer.decode_response(prompt, tokenizer.encode_response(prompt, refusal))
    if read.split() != refusal.split():
        raise UserError(
            f"{key}.refusal: the model has no tokens for all of '{refusal}'. It reads: '{read}'."
        )


def screened(
    guarded: Guarded, rollout: Rollout, seed: Seed, groups: Sequence[str] | None = None
) -> tuple[Rollout, list[Verdict], list[Verdict]]:
    """What may be shown of responses that were sampled with a seed; the verdicts on their prompts,
    and on the responses. groups: for which they are (None: for those that the seed gives), where
    what answers knows groups."""
    tokenizer, prompts = guarded.policy.tokenizer, rollout.prompts
    if groups is None and isinstance(guarded, GuardedGroups):
        groups = guarded.groups_for(prompts, seed)
    on_prompts = guarded.guard.check(prompts, None)
    on_responses = guarded.guard.check(prompts, list(rollout.texts))
    rows = rollout.tokens()
    for i, prompt in enumerate(prompts):
        if on_prompts[i].shown and on_responses[i].shown:
            continue
        other = None
        if on_prompts[i].shown and on_responses[i].action is Action.resample:
            group = None if groups is None else groups[i]
            other = _other(guarded, prompt, group, (*seed, "guard", i))
        if other is None:
            rows[i] = (rows[i][0], tokenizer.encode_response(prompt, guarded.refusal))
        else:
            rows[i] = (rows[i][0], other.tokens()[0][1])
    asked, answered = [q for q, _ in rows], [r for _, r in rows]
    shown = Rollout.from_tokens(tokenizer, prompts, asked, answered, rollout.prompt_ids.device)
    return shown, on_prompts, on_responses


def _other(
    guarded: Guarded, prompt: Prompt, group: str | None, seed: tuple[int | str, ...]
) -> Rollout | None:
    """Another response that may be shown; None if there was none in so many tries."""
    answers = guarded.responder
    for attempt in range(guarded.resamples):
        if group is not None and isinstance(answers, AnswersGroups):
            rollout = answers.respond_for([group], [prompt], (*seed, attempt))
        else:
            rollout = answers.respond([prompt], (*seed, attempt))
        if guarded.guard.check([prompt], list(rollout.texts))[0].shown:
            return rollout
    return None
