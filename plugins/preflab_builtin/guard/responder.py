"""Answers behind a guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from preflab.errors import UserError
from preflab.interfaces import Context, Policy, Responder
from preflab.records import Prompt, Rollout, Tokenizer
from preflab_builtin.evaluation.suite import PolicyAtTemperature
from preflab_builtin.guard.config import Action, GuardedConfig
from preflab_builtin.guard.verdicts import Guard, Verdict


@dataclass(frozen=True)
class Guarded:
    """`preflab.interfaces.Responder`: what another one answers, as far as a guard lets it be shown.

    What the guard allows is what the responder answers without it, to the bit. A guard that raises
    ends the evaluation; nothing is shown unchecked. The KL of an evaluation is that of its policy,
    in front of the guard.
    """

    responder: Responder
    guard: Guard
    refusal: str
    resamples: int

    @property
    def policy(self) -> Policy:
        """The policy that is sampled from."""
        return self.responder.policy

    def at_temperature(self, temperature: float) -> Responder:
        """The same at another temperature, behind the same guard."""
        if not isinstance(self.responder, PolicyAtTemperature):
            raise UserError("What answers behind the guard has a temperature of its own.")
        return replace(self, responder=replace(self.responder, temperature=temperature))

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt."""
        return screened(self, self.responder.respond(prompts, seed), seed)[0]


def guarded(config: GuardedConfig, context: Context) -> Guarded:
    """The policy that algorithms start from, behind a guard."""
    guard: Guard = context.component("guard", config.guard)
    policy, engine = context.policy("initial"), context.rollout()
    check_refusal(policy.tokenizer, config.refusal, "algorithm")
    responder = PolicyAtTemperature(policy, engine, engine.sampling.temperature)
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
    guarded: Guarded, rollout: Rollout, seed: Sequence[int | str]
) -> tuple[Rollout, list[Verdict], list[Verdict]]:
    """What may be shown of responses that were sampled with a seed; the verdicts on their prompts,
    and on the responses."""
    tokenizer, prompts = guarded.policy.tokenizer, rollout.prompts
    on_prompts = guarded.guard.check(prompts, None)
    on_responses = guarded.guard.check(prompts, list(rollout.texts))
    rows = rollout.tokens()
    for i, prompt in enumerate(prompts):
        if on_prompts[i].shown and on_responses[i].shown:
            continue
        other = None
        if on_prompts[i].shown and on_responses[i].action is Action.resample:
            other = _other(guarded, prompt, (*seed, "guard", i))
        if other is None:
            rows[i] = (rows[i][0], tokenizer.encode_response(prompt, guarded.refusal))
        else:
            rows[i] = (rows[i][0], other.tokens()[0][1])
    asked, answered = [q for q, _ in rows], [r for _, r in rows]
    shown = Rollout.from_tokens(tokenizer, prompts, asked, answered, rollout.prompt_ids.device)
    return shown, on_prompts, on_responses


def _other(guarded: Guarded, prompt: Prompt, seed: tuple[int | str, ...]) -> Rollout | None:
    """Another response that may be shown; None if there was none in so many tries."""
    for attempt in range(guarded.resamples):
        rollout = guarded.responder.respond([prompt], (*seed, attempt))
        if guarded.guard.check([prompt], list(rollout.texts))[0].shown:
            return rollout
    return None
