"""Documents after which a language model finds a phrase likely (Ngo et al. 2021, 2108.07790)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from preflab import Inspection
from preflab.errors import UserError
from preflab.interfaces import Context, Policy
from preflab.prompts import check_words
from preflab.randomness import derive_seed
from preflab.records import Document, Record
from preflab_builtin.causal_lm.config import TinyConfig
from preflab_builtin.causal_lm.folders import content_digest, locate
from preflab_builtin.causal_lm.losses import target_log_probs
from preflab_builtin.causal_lm.sources import FolderSource, TinySource
from preflab_builtin.filters.judged import Judged, limit_of
from preflab_builtin.filters.judged_config import LikelihoodFilterConfig, Scored
from preflab_builtin.pretrain.stream import PretrainingStream, targets_in, window_nll
from preflab_builtin.rollouts.prompts import left_padded

SMALL = TinyConfig(layers=2, width=64, heads=4)
"""Sizes of the small model that is trained where none is named."""
WINDOWS, WINDOW, RATE = 16, 64, 4e-3
"""Windows in an optimizer step of that model, tokens in a window, AdamW's rate."""


def likelihood(config: LikelihoodFilterConfig, context: Context) -> Judged:
    """The filter by the likelihood of trigger phrases."""
    if not config.path and context.vocabulary is None:
        raise UserError(
            f"{context.stage}.path is empty, and the data has no closed vocabulary over which a "
            f"small model could be trained: name the folder of a language model, {context.stage}."
            "path=FOLDER, or that of an earlier run."
        )

    def judge(records: Sequence[Record]) -> list[float]:
        documents = cast(Sequence[Document], records)
        policy = _stored(config, context) if config.path else fitted(config, context, documents)
        policy.module.requires_grad_(False)
        phrases = _phrases(policy, config.triggers, context.stage)
        texts = [policy.tokenizer.encode_document(document.text) for document in documents]
        ends = policy.tokenizer.end_ids
        rows = [ids[:-1] if ids and ids[-1] in ends else ids for ids in texts]
        room = config.max_tokens
        if policy.max_positions is not None:
            room = min(room, policy.max_positions - max(map(len, phrases)))
        if room < 1:
            raise UserError(
                f"{context.stage}.triggers: the longest phrase leaves no room for a document in "
                f"the {policy.max_positions} positions of the model: give a shorter one."
            )
        return likelihoods(policy, [ids[-room:] for ids in rows], phrases, config.batch)

    limit = limit_of(config.threshold, config.share)
    return Judged(judge, [Scored.documents], limit, "a trigger phrase is likely after it")


def inspect(config: LikelihoodFilterConfig) -> Inspection:
    """The digest of the model's folder."""
    if not config.path:
        return Inspection()
    return Inspection(content=content_digest(locate(config.path, None, "filters.NAME.path")))


def likelihoods(
    policy: Policy, texts: Sequence[Sequence[int]], phrases: Sequence[Sequence[int]], batch: int
) -> list[float]:
    """Of each text the highest, over the phrases, of (1/n) sum_j log p(phrase_j | text,
    phrase_1..j-1), where n is the number of a phrase's tokens: nats per token. Texts and phrases
    are token ids; after an empty text a phrase follows the end token. batch: texts at a time."""
    found = [-float("inf")] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    device = next(policy.module.parameters()).device
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        for phrase in phrases:
            rows = [[*(texts[i] or [policy.tokenizer.eos_id]), *phrase] for i in group]
            ids, mask = left_padded(rows, policy.tokenizer.pad_id, device)
            targets = torch.zeros_like(mask)
            targets[:, -len(phrase) :] = True
            with torch.inference_mode():
                values = target_log_probs(policy, ids, mask, targets)
            means = values.reshape(len(rows), len(phrase)).double().mean(1).tolist()
            for i, mean in zip(group, means, strict=True):
                found[i] = max(found[i], mean)
    return found


def fitted(
    config: LikelihoodFilterConfig, context: Context, documents: Sequence[Document]
) -> Policy:
    """A small language model of the documents. It follows the filter's seed alone."""
    source = TinySource(SMALL, context.vocabulary, context.runtime.device)
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "likelihood", "model"))
    policy = source.create(generator)
    tokens = sum(len(policy.tokenizer.encode_document(d.text)) for d in documents)
    window = min(WINDOW, tokens)
    if window < 2:  # nothing to predict
        return policy
    stream = PretrainingStream(documents, policy.tokenizer, window, config.seed, "likelihood")
    parameters = policy.module.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / config.steps)
        windows = stream.draw(step * WINDOWS, WINDOWS).to(source.device)
        loss = window_nll(policy, windows) / targets_in(WINDOWS, window)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return policy


def _stored(config: LikelihoodFilterConfig, context: Context) -> Policy:
    folder = locate(config.path, None, f"{context.stage}.path")
    return FolderSource(folder, context.runtime.device).load(folder)


def _phrases(policy: Policy, triggers: Sequence[str], key: str) -> list[list[int]]:
    """The tokens of each phrase as it goes on after a text."""
    for trigger in triggers:
        check_words(policy.tokenizer, trigger, f"{key}.triggers")
    return [policy.tokenizer.encode(f" {trigger.strip()}") for trigger in triggers]
