"""Groups of people: a reward model with a head for each, how they are weighed, and what each group
gets."""

from __future__ import annotations

from preflab import Component, hookimpl
from preflab.components import keeps_none

_ROOM = "preflab_builtin.groups"


@hookimpl
def preflab_components() -> list[Component]:
    """The reward models, the algorithm and the evaluators."""
    from preflab_builtin.groups import config as c

    return [
        Component(
            "reward_model",
            "kwise_groups",
            c.KwiseGroupsConfig,
            build=f"{_ROOM}.scoring:groups_reward",
            procedure=f"{_ROOM}.training:groups_training",
            needs=c.KwiseGroupsConfig.needs,
            nested={"kwise": "reward_model"},
            preflight=f"{_ROOM}.preflight:kwise_groups",
        ),
        Component(
            "reward_model",
            "pretrained_groups",
            c.PretrainedGroupsConfig,
            build=f"{_ROOM}.scoring:pretrained_groups",
            inspect=f"{_ROOM}.folder:inspect_heads",
            preflight=f"{_ROOM}.preflight:pretrained_groups",
        ),
        Component(
            "reward_model",
            "kwise_mean_variance",
            c.MeanVarianceConfig,
            build=f"{_ROOM}.mean_variance:mean_variance",
            procedure=f"{_ROOM}.mean_variance:mean_variance_training",
            needs=c.MeanVarianceConfig.needs,
            nested={"kwise": "reward_model"},
        ),
        Component(
            "reward_model",
            "pretrained_mean_variance",
            c.PretrainedMeanVarianceConfig,
            build=f"{_ROOM}.mean_variance:pretrained",
            inspect=f"{_ROOM}.folder:inspect_heads",
            preflight=f"{_ROOM}.mean_variance:preflight",
        ),
        Component(
            "algorithm",
            "for_groups",
            c.ForGroupsConfig,
            build=f"{_ROOM}.conditioned:for_groups",
            procedure=f"{_ROOM}.conditioned:ForGroupsTraining",
            needs=c.ForGroupsConfig.needs,
            nested={"algorithm": "algorithm"},
            preflight=f"{_ROOM}.conditioned:preflight",
            checkpoint=keeps_none,
        ),
        *_evaluators(),
    ]


def _evaluators() -> list[Component]:
    from preflab_builtin.groups import evaluators as c

    return [
        Component(
            "evaluator",
            "hidden_context",
            c.HiddenContextConfig,
            build=f"{_ROOM}.mean_variance:HiddenContext",
            needs=("reward_model", "reward_model:variance", "rankings:test,validation"),
        ),
        Component(
            "evaluator",
            "group_heads",
            c.GroupHeadsConfig,
            build=f"{_ROOM}.held_out:HeldOutHeads",
            needs=("reward_model", "reward_model:members", "rankings:test,validation"),
        ),
        Component(
            "evaluator",
            "groups",
            c.GroupsConfig,
            build=f"{_ROOM}.asking:groups",
            needs=c.GroupsConfig.needs,
            preflight=f"{_ROOM}.asking:preflight",
        ),
        Component(
            "evaluator",
            "group_agreement",
            c.GroupAgreementConfig,
            build=f"{_ROOM}.agreement:GroupAgreement",
            needs=("rankings:train,validation",),
            preflight=f"{_ROOM}.agreement:preflight",
        ),
    ]
