"""Rankings and given reward models, looked at before the first stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.lengths import every_prompt, prompt_sizes, refuse_prompts
from preflab.records import SPLITS, Ranking
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.reward_model.config import (
    NO_PREFERENCE,
    KwiseConfig,
    PretrainedRewardConfig,
    RankingLoss,
)
from preflab_builtin.reward_model.folder import located
from preflab_builtin.reward_model.refusing import (
    check_rankings,
    refuse_contradictions,
    refuse_unrated,
)

NAMED = 8
"""Groups that a sentence names."""


def kwise(config: KwiseConfig, context: Context) -> Iterator[str]:
    """`UserError` for more trainable blocks than the policy has; for rankings of the data that do
    not fit into the policy, whose preferred response has the same tokens as the other, or among
    which there is no preference, or (plackett_luce) which have no order, or (regression) no
    ratings. What the comparisons will be is not known yet."""
    if config.trainable_layers:
        from preflab_builtin.reward_model.training import blocks_of

        network = context.policy("base").module
        blocks_of(network, config.trainable_layers, context.key_of(config))
    if not context.has("rankings"):
        return
    if not any(ranking.preferences for ranking in context.rankings("train")):
        raise UserError(NO_PREFERENCE)
    ranked, key = list(_ranked(context)), context.key_of(config)
    if config.loss is RankingLoss.plackett_luce:
        refuse_contradictions(ranked, key)
    if config.loss is RankingLoss.regression:
        refuse_unrated(ranked, key)
    check_rankings(context, ranked, config.max_tokens, key)
    if key == context.stage:  # not the training of heads of groups
        yield from one_for_all(ranking.group for ranking in ranked)


def one_for_all(groups: Iterable[str]) -> Iterator[str]:
    """A sentence if people of several groups ranked. groups: of each ranking, "" if not known."""
    sizes = Counter(filter(None, groups))
    if len(sizes) > 1:
        largest = ", ".join(f"{name} {number}" for name, number in sizes.most_common(NAMED))
        more = f" and {len(sizes) - NAMED} more" * (len(sizes) > NAMED)
        yield (
            f"The rankings are of {len(sizes)} groups of people ({largest}{more}), and one reward "
            "for all weighs groups by these numbers. How often it is right about each: the "
            "evaluator reward_accuracy (evaluation=reward_model), by its option by_group where the "
            "groups are many. A head for each group: reward_model=kwise_groups."
        )


def _ranked(context: Context) -> Iterator[Ranking]:
    for split in SPLITS[:2]:  # those for testing are not read
        yield from (ranking for ranking in context.rankings(split) if ranking.preferences)


def pretrained(config: PretrainedRewardConfig, context: Context) -> Iterator[str]:
    """`UserError` for a model that is broken, has another tokenizer, or has fewer positions than a
    prompt and its response need."""
    folder = located(config)
    check_finite(folder)
    refuse_long(context.load_scalar(folder).max_positions, context)
    yield from ()


def refuse_long(limit: int | None, context: Context) -> None:
    """`UserError` if a given reward model has fewer positions than a prompt and its response need.
    limit: its positions."""
    own = context.max_positions
    fewer = limit is not None and (own is None or limit < own)
    if limit is not None and fewer and context.has("prompts"):
        longest = context.rollout().sampling.max_tokens
        sizes = prompt_sizes(context.tokenizer, every_prompt(context), limit - longest)
        refuse_prompts(sizes, limit, longest, "the reward model")
