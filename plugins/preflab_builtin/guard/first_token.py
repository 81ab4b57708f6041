"""A language model as a guard: how likely its first word says that something is not allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preflab import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context, Policy
from preflab.records import Message, Prompt
from preflab.rows import path_digest
from preflab_builtin.guard.calibration import calibrated
from preflab_builtin.guard.config import FirstTokenConfig
from preflab_builtin.guard.verdicts import Scoring

ROWS = 16
"""Texts that are read at a time."""


def first_token(config: FirstTokenConfig, context: Context) -> Scoring:
    """A guard by the first token of a language model, on the devices of the run."""
    from preflab_builtin.causal_lm.folders import locate
    from preflab_builtin.causal_lm.sources import FolderSource

    folder = locate(config.path, None, "guard.path")
    policy = FolderSource(folder, context.runtime.device).load(folder)
    policy.module.requires_grad_(False)
    words = [_first(policy, config, word) for word in (config.safe, config.unsafe)]
    if words[0] == words[1]:
        raise UserError(
            f"guard: '{config.safe}' and '{config.unsafe}' begin with the same token of {folder}: "
            "give other words for guard.safe and guard.unsafe."
        )

    def scores(prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[float]:
        texts = [None] * len(prompts) if responses is None else responses
        rows = [asked(policy, config, p, t) for p, t in zip(prompts, texts, strict=True)]
        found: list[float] = []
        for start in range(0, len(rows), ROWS):
            found += _unsafe(policy, rows[start : start + ROWS], words)
        return found

    threshold = calibrated(
        *(config.threshold, config.calibration, config.false_blocks, config.checks, scores, "guard")
    )
    return Scoring(scores, threshold, config.category, config.checks, config.action)


def inspect(config: FirstTokenConfig) -> Inspection:
    """The digest of the model's folder, and of the calibration file."""
    from preflab_builtin.causal_lm.folders import content_digest, locate

    file = path_digest(Path(config.calibration)) if config.calibration else ""
    return Inspection(content=content_digest(locate(config.path, None, "guard.path")) + file)


def asked(
    policy: Policy, config: FirstTokenConfig, prompt: Prompt, response: str | None
) -> list[int]:
    """What the guard reads of a prompt, or of a response to it."""
    before = policy.tokenizer.encode(config.before) if config.before else []
    if config.template:
        text = config.template.replace("{prompt}", prompt.text).replace(
            "{response}", response or ""
        )
        return [*policy.tokenizer.encode_prompt(Prompt(prompt.id, text)), *before]
    turns = prompt.messages or (Message("user", prompt.text),)
    if response is not None:
        turns = (*turns, Message("assistant", response))
    talk = replace(prompt, messages=turns, rendered=False)
    return [*policy.tokenizer.encode_prompt(talk), *before]


def _first(policy: Policy, config: FirstTokenConfig, word: str) -> int:
    ids = policy.tokenizer.encode(word)
    if not ids:
        raise UserError(f"guard: the model of {config.path} has no token for '{word}'.")
    return ids[0]


def _unsafe(policy: Policy, rows: Sequence[Sequence[int]], words: Sequence[int]) -> list[float]:
    """p(unsafe) / (p(safe) + p(unsafe)) after each row: the softmax over the two alone."""
    import torch

    from preflab_builtin.rollouts.prompts import left_padded

    device = next(policy.module.parameters()).device
    ids, mask = left_padded(rows, policy.tokenizer.pad_id, device)
    with torch.inference_mode():
        logits, _ = policy.prefill(ids, mask)
    return [float(value) for value in logits[:, list(words)].softmax(-1)[:, 1]]
