"""Decoding that is steered by a class-conditional language model (GeDi, Krause et al. 2020,
2009.06367).

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from preflab import Inspection
from preflab.errors import UserError
from preflab.interfaces import Cache, Context, Policy, RolloutEngine
from preflab.lengths import every_prompt, longest
from preflab.prompts import check_prefix, with_prefix
from preflab.records import SPLITS, Demonstration, Document, Prompt, Rollout
from preflab.responders import Adjusted, after
from preflab.runtime import Runtime
from preflab_builtin.baselines.config import SteeredConfig
from preflab_builtin.causal_lm.beside import check_beside
from preflab_builtin.causal_lm.folders import content_digest, locate
from preflab_builtin.rollouts.decoding import decode
from preflab_builtin.rollouts.prompts import left_padded, prompt_tokens, rollout_of
from preflab_builtin.rollouts.sampling import row_noise

ROWS = 64
"""Prompts that are answered at a time."""


def steered_logits(
    following: torch.Tensor,
    difference: torch.Tensor,
    before: torch.Tensor,
    tokens: int,
    weight: float,
) -> torch.Tensor:
    """log p(x_t | x_<t) + weight * log p(wanted | x_<=t) of every candidate x_t: the logits of
    GeDi's p_w(x_t | x_<t) ~ p(x_t | x_<t) p(wanted | x_<=t)^weight, [B, V].

    p(wanted | x_<=t) = sigmoid((log p(x_<=t | wanted) - log p(x_<=t | unwanted)) / t) by Bayes'
    rule, with equal priors, and with likelihoods per token, so that late tokens are steered no more
    than early ones. x are the tokens of the response: the prompt is given.

    following [B, V]: the policy's next-token logits. difference [B, V]: log p(x_t | wanted, x_<t) -
    log p(x_t | unwanted, x_<t). before [B]: the sum of the differences of x_<t. tokens: t, from 1.
    """
    of_class = torch.nn.functional.logsigmoid((before[:, None] + difference) / tokens)
    return following.log_softmax(-1) + weight * of_class


@dataclass(frozen=True)
class Reading:
    """`preflab.interfaces.Cache`: the three caches of rows that are decoded together, what the next
    tokens would add to the difference of the classes [B, V], that difference so far [B], and the
    number t of the next token."""

    caches: tuple[Cache, Cache, Cache]
    adds: torch.Tensor
    before: torch.Tensor
    tokens: int

    def select(self, rows: torch.Tensor) -> Reading:
        """Some of the rows."""
        one, two, three = (cache.select(rows) for cache in self.caches)
        return Reading((one, two, three), self.adds[rows], self.before[rows], self.tokens)


@dataclass(frozen=True)
class Steering:
    """What `decode` asks of a policy, of three readings at once: the policy's, and those of the
    class-conditional model after the wanted and after the unwanted prefix."""

    policy: Policy
    classes: Policy
    weight: float

    @property
    def tokenizer(self) -> Any:
        """The policy's."""
        return self.policy.tokenizer

    def begin(
        self, read: Sequence[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[torch.Tensor, Reading]:
        """Read three forms of B prompts (ids and mask) -> logits [B, V]."""
        models = (self.policy, self.classes, self.classes)
        found = [model.prefill(*prompts) for model, prompts in zip(models, read, strict=True)]
        before = torch.zeros(len(found[0][0]), dtype=torch.float32, device=found[0][0].device)
        return self._next(found, before, 1)

    def extend(self, tokens: torch.Tensor, cache: Reading) -> tuple[torch.Tensor, Reading]:
        """Read one more token per row [B] -> logits [B, V]."""
        before = cache.before + cache.adds.gather(-1, tokens[:, None]).squeeze(-1)
        models = (self.policy, self.classes, self.classes)
        found = [model.extend(tokens, own) for model, own in zip(models, cache.caches, strict=True)]
        return self._next(found, before, cache.tokens + 1)

    def _next(
        self, found: Sequence[tuple[torch.Tensor, Cache]], before: torch.Tensor, tokens: int
    ) -> tuple[torch.Tensor, Reading]:
        following, wanted, unwanted = (logits for logits, _ in found)
        adds = wanted.log_softmax(-1) - unwanted.log_softmax(-1)
        logits = steered_logits(following, adds, before, tokens, self.weight)
        one, two, three = (cache for _, cache in found)
        return logits, Reading((one, two, three), adds, before, tokens)


@dataclass(frozen=True)
class Steered:
    """`preflab.interfaces.Responder`: the policy that algorithms start from, steered. It samples
    another density than its policy's, so that nothing is said of its KL (`Steers`)."""

    steering: Steering
    prefixes: tuple[str, str]
    engine: RolloutEngine
    runtime: Runtime
    temperature: float
    prefix: str = ""

    @property
    def policy(self) -> Policy:
        """The policy that is steered."""
        return self.steering.policy

    @property
    def steered_by(self) -> float:
        """The weight of the class."""
        return self.steering.weight

    def at_temperature(self, temperature: float) -> Steered:
        """The same at another temperature."""
        return replace(self, temperature=temperature)

    def with_prefix(self, prefix: str) -> Steered:
        """The same with a text in front of each prompt, behind the prefixes of the classes."""
        return replace(self, prefix=f"{self.prefix}{prefix}")

    def up_to(self, max_tokens: int) -> Steered:
        """The same with another cap."""
        return replace(self, engine=Adjusted(self.engine, max_tokens=max_tokens))

    def forms(self, prompt: Prompt) -> Sequence[Prompt]:
        """As the policy reads it, and as the class-conditional model does."""
        asked = with_prefix(prompt, self.prefix)
        return [with_prefix(asked, prefix) for prefix in ("", *self.prefixes)]

    def respond(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Rollout:
        """One response per prompt. Its tokens depend on the seed and its row alone."""
        cap = self.engine.sampling.max_tokens
        models = (self.policy, self.steering.classes, self.steering.classes)
        columns = list(zip(*map(self.forms, prompts), strict=True)) or [(), (), ()]
        forms = [
            prompt_tokens(model, column, cap) for model, column in zip(models, columns, strict=True)
        ]
        responses: list[list[int]] = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda i: len(forms[0][i]))
        pad, device = self.policy.tokenizer.pad_id, self.runtime.device
        with torch.inference_mode(), self.runtime.autocast():
            for group in self.runtime.micro_batches(order, ROWS):
                read = [left_padded([form[i] for i in group], pad, device) for form in forms]
                logits, cache = self.steering.begin(read)
                noise = row_noise(seed, group, cap).to(logits.device)
                decoded = decode(
                    cast(Policy, self.steering), logits, cache, noise, self.temperature
                )
                for i, response in zip(group, decoded, strict=True):
                    responses[i] = response
        rollout = rollout_of(self.policy, columns[0], forms[0], responses, device)
        return after(self.policy.tokenizer, prompts, rollout) if self.prefix else rollout


def steered(config: SteeredConfig, context: Context) -> Steered:
    """The policy that algorithms start from, steered by a stored model or by itself."""
    policy, engine = context.policy("initial"), context.rollout()
    classes = policy
    if config.path:
        classes = context.load_policy(locate(config.path, None, "algorithm.path"))
    steering = Steering(policy, classes, config.weight)
    prefixes, temperature = (config.wanted, config.unwanted), engine.sampling.temperature
    return Steered(steering, prefixes, engine, context.runtime, temperature)


def inspect(config: SteeredConfig) -> Inspection:
    """The digest of the model's folder."""
    if not config.path:
        return Inspection()
    return Inspection(content=content_digest(locate(config.path, None, "algorithm.path")))


def preflight(config: SteeredConfig, context: Context) -> Iterator[str]:
    """`UserError` for a foreign tokenizer, prefixes that it has no words for, or a run whose own
    policy has never seen them."""
    for prefix in (config.wanted, config.unwanted):
        check_prefix(context.tokenizer, prefix, "algorithm.wanted and .unwanted")
    if config.path:
        folder = locate(config.path, None, "algorithm.path")
        front = longest(context.tokenizer, (config.wanted, config.unwanted))
        check_beside(context, folder, "algorithm.path", every_prompt(context), front)
    elif missing := _never_seen(config, context):
        raise UserError(
            f"algorithm=steered: no text that this run trains on begins with {missing!r}, so that "
            "its policy cannot tell the classes apart. Give transforms=control_tokens, or name a "
            "model that was trained with both prefixes: algorithm.path=FOLDER."
        )
    yield from ()


def _never_seen(config: SteeredConfig, context: Context) -> str:
    """The first prefix with which no training text begins; "" if there is none."""
    texts: list[str] = []
    if context.has("documents"):
        documents: Sequence[Document] = context.records("documents", SPLITS[0])
        texts += [document.text for document in documents]
    if context.has("demonstrations"):
        demonstrations: Sequence[Demonstration] = context.records("demonstrations", SPLITS[0])
        texts += [row.prompt.text for row in demonstrations]
    prefixes = (config.wanted, config.unwanted)
    return next((p for p in prefixes if not any(text.startswith(p) for text in texts)), "")
