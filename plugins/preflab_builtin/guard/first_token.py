"""A language model as a guard: how likely its first word says that something is not allowed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from preflab import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context, Policy
from preflab.records import Message, Prompt, Tokenizer
from preflab_builtin.guard.calibration import calibrated, inspected
from preflab_builtin.guard.config import FirstTokenConfig, Part
from preflab_builtin.guard.verdicts import Scoring

ROWS = 16
"""Texts that are read at a time."""
LEAST = 0.01
"""Probability that the two answers have together at least: with less the model gives neither, and
which of them is likelier means nothing."""


def first_token(config: FirstTokenConfig, context: Context) -> Scoring:
    """A guard by the first token of a language model, on the devices of the run. `UserError` if the
    model does not answer with the words of the config."""
    from preflab_builtin.causal_lm.folders import locate
    from preflab_builtin.causal_lm.sources import FolderSource

    folder = locate(config.path, None, "guard.path")
    policy = FolderSource(folder, context.runtime.device).load(folder)
    policy.module.requires_grad_(False)
    words = answers(policy.tokenizer, config)

    def scores(prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[float]:
        texts = [None] * len(prompts) if responses is None else responses
        rows = [asked(policy.tokenizer, config, p, t) for p, t in zip(prompts, texts, strict=True)]
        found: list[float] = []
        for start in range(0, len(rows), ROWS):
            found += _unsafe(policy, config, rows[start : start + ROWS], words)
        return found

    # A model that does not answer as the config says is refused here, and not at the first text.
    scores([Prompt("", config.safe)], None if config.checks is Part.prompt else [config.safe])
    threshold = calibrated(config, scores, "guard")
    return Scoring(scores, threshold, config.category, config.checks, config.action)


def inspect(config: FirstTokenConfig) -> Inspection:
    """The digest of the model's folder, and of the calibration file."""
    from preflab_builtin.causal_lm.folders import content_digest, locate

    content = content_digest(locate(config.path, None, "guard.path"))
    return inspected(config, "guard", content)


def preflight(config: FirstTokenConfig, context: Context) -> Sequence[str]:
    """`UserError` for what the tokenizer shows: answers that it has no tokens for, and a template
    that leaves out what is to be checked."""
    from preflab_builtin.causal_lm.folders import locate
    from preflab_builtin.causal_lm.tokenizer import folder_tokenizer

    answers(folder_tokenizer(locate(config.path, None, "guard.path")), config)
    return ()


def answers(tokenizer: Tokenizer, config: FirstTokenConfig) -> list[int]:
    """The first tokens of the answers safe and unsafe. `UserError` if these do not tell them apart,
    or if what the guard reads does not show the text that it is to check."""
    words = (config.safe, config.unsafe)
    first = [_first(tokenizer, config, word) for word in words]
    if first[0] == first[1]:
        raise UserError(
            f"guard: '{words[0]}' and '{words[1]}' begin with the same token of {config.path}: "
            "give other words for guard.safe and guard.unsafe."
        )
    for part in (Part.prompt, Part.response):
        if config.checks not in (part, Part.both):
            continue
        if part is Part.prompt:
            read = [asked(tokenizer, config, Prompt("", word), None) for word in words]
        else:
            read = [asked(tokenizer, config, Prompt("", words[0]), word) for word in words]
        if read[0] == read[1]:
            raise UserError(
                f"guard: guard.checks is {config.checks}, but the chat template of {config.path} "
                f"leaves the {part} out. Give a guard.template, or set guard.checks to the other "
                "part."
            )
    return first


def asked(
    tokenizer: Tokenizer, config: FirstTokenConfig, prompt: Prompt, response: str | None
) -> list[int]:
    """What the guard reads of a prompt, or of a response to it."""
    before = tokenizer.encode(config.before) if config.before else []
    if config.template:
        # In one pass: a prompt in which somebody typed {response} is not filled in once more.
        given = {"{prompt}": prompt.text, "{response}": response or ""}
        text = re.sub("|".join(map(re.escape, given)), lambda at: given[at[0]], config.template)
        return [*tokenizer.encode_prompt(Prompt(prompt.id, text)), *before]
    turns = prompt.messages or (Message("user", prompt.text),)
    if response is not None:
        turns = (*turns, Message("assistant", response))
    talk = replace(prompt, messages=turns, rendered=False)
    return [*tokenizer.encode_prompt(talk), *before]


def _first(tokenizer: Tokenizer, config: FirstTokenConfig, word: str) -> int:
    ids = tokenizer.encode(word)
    if not ids or tokenizer.decode(ids).casefold().split() != word.casefold().split():
        raise UserError(f"guard: the model of {config.path} has no token for '{word}'.")
    return ids[0]


def _unsafe(
    policy: Policy, config: FirstTokenConfig, rows: Sequence[Sequence[int]], words: Sequence[int]
) -> list[float]:
    """p(unsafe) / (p(safe) + p(unsafe)) after each row: the softmax over the two alone. `UserError`
    where the model does not answer with either, or cannot read all of a row."""
    import torch

    from preflab_builtin.rollouts.prompts import left_padded

    longest, limit = max(map(len, rows)), policy.max_positions
    if limit is not None and longest > limit:
        raise UserError(
            f"guard: a text has {longest} tokens as the model of {config.path} reads it, which has "
            f"{limit} positions: it cannot be checked."
        )
    device = next(policy.module.parameters()).device
    ids, mask = left_padded(rows, policy.tokenizer.pad_id, device)
    with torch.inference_mode():
        logits, _ = policy.prefill(ids, mask)
    of_two = logits[:, list(words)]
    together = (of_two.logsumexp(-1) - logits.logsumexp(-1)).exp()
    least = int(together.argmin())
    if together[least] < LEAST:  # NaN is refused where it is compared with the threshold
        likeliest = policy.tokenizer.decode([int(logits[least].argmax())])
        raise UserError(
            f"guard: the model of {config.path} answers with '{config.safe}' or '{config.unsafe}' "
            f"with a probability of {float(together[least]):.1g} together, so that its score would "
            f"mean nothing. It would rather begin with {likeliest!r}. Give the answers as it "
            "writes them (guard.safe, guard.unsafe; a space in front matters), what it writes in "
            "front of them (guard.before), or the guard.template that it was trained with."
        )
    return [float(value) for value in of_two.softmax(-1)[:, 1]]
