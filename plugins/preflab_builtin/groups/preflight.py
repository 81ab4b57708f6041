"""Groups, looked at before the first stage. The nested training looks at the rankings itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from preflab.errors import UserError, nearest
from preflab.interfaces import Context
from preflab.lengths import every_prompt
from preflab.records import Ranking
from preflab_builtin.causal_lm.weights import check_finite
from preflab_builtin.groups.config import (
    KwiseGroupsConfig,
    PretrainedGroupsConfig,
    Weighing,
    Welfare,
)
from preflab_builtin.groups.counting import counted, pairs
from preflab_builtin.groups.folder import located_at
from preflab_builtin.groups.heads import MEAN_VARIANCE, refuse_names
from preflab_builtin.reward_model.preflight import refuse_long

SHARDED = (
    "reward_model=kwise_groups and runtime.sharding=full do not work "
    "together yet: reward_model.shrink needs the whole heads. Leave runtime.sharding out, or give "
    "reward_model.shrink=0, or choose reward_model=kwise, one reward model for everybody."
)
ONE_RESPONSE = (
    "reward_model.welfare=worst compares the responses to one prompt that are scored together. A "
    "prompt with one response (algorithm.samples=1, and the evaluators reward and win_rate) gets "
    "the mean of the groups' rewards instead: train with several samples per prompt, for example "
    "algorithm=grpo."
)


FEW = 200
"""Pairs below which a head of one's own is often worse than one reward for all: heads of 50 pairs
were, until tastes were far apart, and weighting 50 to 200 pairs up gained 0 to 2 points."""
SHOWN = 8
"""Groups that are named: of real people there can be hundreds."""


def groups_told(rankings: Sequence[Ranking]) -> str:
    """A sentence with the pairs of each group, and the rankings without one."""
    named = ", ".join(f"{name} {number}" for name, number in pairs(rankings).items())
    said = f"Pairs that each group's head learns from: {named}."
    without = sum(not ranking.group for ranking in rankings)
    if without:
        said += f" {without} of {len(rankings)} rankings have no group and train every head."
    return said


def without_head(known: Iterable[str], held_out: Iterable[Ranking]) -> Iterator[str]:
    """A sentence on groups whose rankings are all held out. known: the groups that have heads."""
    lost = sorted({ranking.group for ranking in held_out if ranking.group} - set(known))
    if lost:
        named = ", ".join(lost[:SHOWN]) + (f" and {len(lost) - SHOWN} more" * (len(lost) > SHOWN))
        yield (
            f"No head for {named}: all their rankings are held out (validation or test), so that "
            "there is nothing to learn from, and their wishes have no weight. Give more rankings "
            "of theirs, put them into the training split ('split' of a row), or join groups."
        )


def few_pairs(counts: Mapping[str, int], config: Weighing) -> Iterator[str]:
    """A sentence on groups with few pairs to learn from, by the pairs of each group."""
    few = sorted((number, name) for name, number in counts.items() if number < FEW)
    if not few:
        return
    named = [f"{name} {number}" for number, name in few[:SHOWN]]
    if len(few) > SHOWN:
        named.append(f"and {len(few) - SHOWN} more of {len(counts)} groups")
    loud = config.welfare in (Welfare.equal, Welfare.worst) or config.standardise
    how = "standardise=true" if config.standardise else f"welfare={config.welfare}"
    said = (
        f"Groups with fewer than {FEW} pairs to learn from: {', '.join(named)}. What their heads "
        "say is mostly noise, unless tastes are far apart: raise reward_model.shrink, or join "
        "groups."
    )
    yield f"{said} {how} gives that noise the say of a group with many pairs." if loud else said


def kwise_groups(config: KwiseGroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` for weights divided among processes; for rankings of the data that are of fewer
    than two groups; for weights of a group that has no rankings there, or no simulated people, or
    for prompts with a tag that none has. What other comparisons will be is not known yet. It says
    how many pairs each group has, and which have few."""
    if context.runtime.config.divides and config.shrink:
        raise UserError(SHARDED)
    key, wanted = context.key_of(config), config.weighed()
    if context.has("rankings"):
        rankings = [r for r in context.rankings("train") if r.preferences]
        refuse_names(wanted, counted(rankings), key)
        yield groups_told(rankings)
        yield from few_pairs(pairs(rankings), config)
        held_out = (*context.rankings("validation"), *context.rankings("test"))
        yield from without_head(counted(rankings), held_out)
    elif wanted and (known := config.member_names(context)):
        refuse_names(wanted, known, key)
    refuse_tags(config.weights_by_tag, context, key)
    if config.welfare is Welfare.worst:
        yield ONE_RESPONSE


def refuse_tags(wanted: Iterable[str], context: Context, key: str) -> None:
    """`UserError` for weights of a tag that no prompt has. key: of the component."""
    tags = list(wanted)
    known = {tag for prompt in (every_prompt(context) if tags else ()) for tag in prompt.tags}
    for tag in tags:
        if tag not in known:
            raise UserError(
                f"{key}.weights_by_tag.{tag}: no prompt has the tag {tag!r}. {nearest(tag, known)}"
            )


def pretrained_groups(config: PretrainedGroupsConfig, context: Context) -> Iterator[str]:
    """`UserError` for a model that is broken, has no heads, another tokenizer, or fewer positions
    than a prompt and its response need; and for weights of groups that it does not have, or for
    prompts with a tag that none has."""
    folder = located_at(config.path)
    check_finite(folder)
    model = context.load_heads(folder)
    if model.names == MEAN_VARIANCE:
        raise UserError(
            f"{folder} has a mean and a variance, and no groups: choose "
            "reward_model=pretrained_mean_variance."
        )
    key = context.key_of(config)
    refuse_names(config.weighed(), model.names, key)
    refuse_tags(config.weights_by_tag, context, key)
    refuse_long(model.max_positions, context)
    if config.welfare is Welfare.worst:
        yield ONE_RESPONSE
