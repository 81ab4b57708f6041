"""Groups, looked at before the first stage. The nested training looks at the rankings itself."""

from __future__ import annotations

from collections.abc import Iterator

from preflab.interfaces import Context
from preflab_builtin.groups.config import KwiseGroupsConfig, Welfare
from preflab_builtin.groups.heads import counted, refuse_names

ONE_RESPONSE = (
    "reward_model.welfare=worst compares the responses to one prompt that are scored together. A "
    "prompt with one response (algorithm.samples=1, and the evaluators reward and win_rate) gets "
    "the mean of the groups' rewards instead: train with several samples a prompt, for example "
    "algorithm=grpo."
)


def kwise_groups(config: KwiseGroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` for rankings of the data that are of fewer than two groups, or have none of a
    group that has a weight. What the comparisons will be is not known yet."""
    if context.has("rankings"):
        rankings = (r for r in context.rankings("train") if r.preferences)
        refuse_names(config.weights, counted(rankings), context.key_of(config))
    if config.welfare is Welfare.worst:
        yield ONE_RESPONSE
