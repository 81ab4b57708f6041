"""Expert iteration: the policy imitates the best of several responses of its own, repeatedly."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The algorithm."""
    from preflab_builtin.expert_iteration.config import ExpertIterationConfig
    from preflab_builtin.on_policy.component import on_policy_component

    place = "preflab_builtin.expert_iteration.training:expert_iteration"
    return [on_policy_component("expert_iteration", ExpertIterationConfig, place)]
