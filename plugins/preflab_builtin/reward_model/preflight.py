"""Rankings and given reward models, looked at before the first stage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.lengths import check_rows, prompt_sizes, refuse_prompts
from preflab.records import SPLITS, Prompt, Ranking
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.reward_model.config import KwiseConfig, PretrainedRewardConfig
from preflab_builtin.reward_model.examples import CUT, NO_PREFERENCE, examples


def kwise(config: KwiseConfig, context: Context) -> Iterator[str]:
    """`UserError` for rankings of the data that do not fit into the policy, whose preferred
    response is cut to the same tokens as the other, or among which there is no preference. What the
    comparisons will be is not known yet."""
    if not context.has("rankings"):
        return
    if not any(ranking.preferences for ranking in context.rankings("train")):
        raise UserError(NO_PREFERENCE)
    cut = config.max_tokens
    try:
        check_rows(context, "rankings", _ranked(context), cut)
    except UserError:
        check_rows(context, "rankings", _ranked(context), 1)  # prompts that are too long alone
        check_rows(context, "rankings", _ranked(context), cut, [CUT])
    if cut is not None:
        alike = [row for row in _ranked(context) if _begin_alike(row, cut)]
        examples(alike, context.tokenizer, cut, context.max_positions)
    yield from ()


def _ranked(context: Context) -> Iterator[Ranking]:
    for split in SPLITS[:2]:  # those for testing are not read
        yield from (ranking for ranking in context.rankings(split) if ranking.preferences)


def _begin_alike(ranking: Ranking, tokens: int) -> bool:
    """Whether two responses may be cut to the same tokens: each token has a byte at least, and a
    character four at most."""
    starts = [text[: tokens // 4] for text in ranking.responses]
    return any(starts[better] == starts[worse] for better, worse in ranking.preferences)


def pretrained(config: PretrainedRewardConfig, context: Context) -> Iterator[str]:
    """`UserError` for a model that is broken, has another tokenizer, or has fewer positions than a
    prompt and its response need."""
    folder = Path(config.path)
    check_finite(folder)
    limit, own = context.load_scalar(folder).max_positions, context.max_positions
    fewer = limit is not None and (own is None or limit < own)
    if limit is not None and fewer and context.has("prompts"):
        longest = context.rollout().sampling.max_tokens
        sizes = prompt_sizes(context.tokenizer, _prompts(context), limit - longest)
        refuse_prompts(sizes, limit, longest, "the reward model")
    yield from ()


def _prompts(context: Context) -> Iterator[Prompt]:
    """Those of all splits; a run that only evaluates may have none to train on."""
    for split in SPLITS:
        with contextlib.suppress(UserError):
            yield from context.records("prompts", split)
