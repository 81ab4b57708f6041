"""Answers that are asked in another way than the run asks: with a text in front of each prompt,
at another temperature, up to another length. Evaluators that sample go through here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from preflab.evaluating import Responder
from preflab.models import Policy
from preflab.prompts import with_prefix
from preflab.records import Prompt, Rollout, Tokenizer
from preflab.sampling import AnyLength, AnyPrefix, AnyTemperature, RolloutEngine, Sampling


@dataclass(frozen=True)
class Adjusted:
    """A `RolloutEngine` that answers as another one does, with a text in front of each prompt that
    only the policy reads, up to another length and at another temperature (None: the engine's
    own)."""

    engine: RolloutEngine
    prefix: str = ""
    max_tokens: int | None = None
    temperature: float | None = None

    @property
    def sampling(self) -> Sampling:
        """The engine's, with this length and temperature."""
        own = self.engine.sampling
        longest = own.max_tokens if self.max_tokens is None else self.max_tokens
        temperature = own.temperature if self.temperature is None else self.temperature
        return replace(own, max_tokens=longest, temperature=temperature)

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """The responses, after the prompts without the text."""
        if not self.prefix:
            return self.engine.generate(policy, prompts, sampling, seed)
        asked = [with_prefix(prompt, self.prefix) for prompt in prompts]
        rollout = self.engine.generate(policy, asked, sampling, seed)
        plain = [prompt for prompt in prompts for _ in range(sampling.samples)]
        return after(policy.tokenizer, plain, rollout)


@dataclass(frozen=True)
class PolicyResponder:
    """What a policy answers as its engine samples it: `Responder`, `AtTemperature`,
    `AnyTemperature`, `AnyPrefix` and `AnyLength`."""

    policy: Policy
    engine: RolloutEngine

    @property
    def temperature(self) -> float:
        """At which it samples."""
        return self.engine.sampling.temperature

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt."""
        sampling = replace(self.engine.sampling, samples=1)
        return self.engine.generate(self.policy, prompts, sampling, seed)

    def at_temperature(self, temperature: float) -> PolicyResponder:
        """The same at another temperature."""
        return replace(self, engine=Adjusted(self.engine, temperature=temperature))

    def with_prefix(self, prefix: str) -> PolicyResponder:
        """The same with a text in front of each prompt."""
        return replace(self, engine=Adjusted(self.engine, prefix=prefix))

    def up_to(self, max_tokens: int) -> PolicyResponder:
        """The same with another cap."""
        return replace(self, engine=Adjusted(self.engine, max_tokens=max_tokens))


class Prefixed:
    """A `Responder` without `AnyPrefix`, asked with a text in front of each prompt. What it
    says of itself (`BestOf`, `Steers`, `AtTemperature`) stays said."""

    def __init__(self, responder: Responder, prefix: str) -> None:
        self._responder, self._prefix = responder, prefix
        for said in ("n", "steered_by", "temperature"):
            if hasattr(responder, said):
                setattr(self, said, getattr(responder, said))

    @property
    def policy(self) -> Policy:
        """The policy that is sampled from."""
        return self._responder.policy

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt, after the prompt without the text."""
        asked = [with_prefix(prompt, self._prefix) for prompt in prompts]
        return after(self.policy.tokenizer, prompts, self._responder.respond(asked, seed))


def reading(responder: Responder, prefix: str) -> Responder:
    """What answers, with a text in front of each prompt for its policy alone: who chooses among
    responses, guards and judges reads the prompt as it is. Of two texts the later is nearer to the
    prompt."""
    if not prefix:
        return responder
    if isinstance(responder, AnyPrefix):
        return responder.with_prefix(prefix)
    return Prefixed(responder, prefix)


def adjusted(
    responder: Responder, engine: RolloutEngine, temperature: float, max_tokens: int
) -> Responder | None:
    """What answers, at a temperature and up to a length; None if it can only answer in another way.
    engine: the run's own, at whose setting it answers by itself."""
    usual = engine.sampling
    if temperature != getattr(responder, "temperature", usual.temperature):
        if not isinstance(responder, AnyTemperature):
            return None
        responder = responder.at_temperature(temperature)
    if max_tokens == usual.max_tokens:
        return responder
    return responder.up_to(max_tokens) if isinstance(responder, AnyLength) else None


def after(tokenizer: Tokenizer, prompts: Sequence[Prompt], rollout: Rollout) -> Rollout:
    """The same response tokens after other prompts."""
    return Rollout.from_tokens(
        tokenizer,
        prompts,
        [tokenizer.encode_prompt(prompt) for prompt in prompts],
        [response for _, response in rollout.tokens()],
        rollout.prompt_ids.device,
        rollout.texts,
    )
