"""The graph of stages: order, config groups, roles and their fall-backs, stages of plugins."""

from __future__ import annotations

import pytest

from preflab import PluginError
from preflab.kinds import STAGES, StageGraph, StageSpec

GRAPH = StageGraph()


def test_stages_are_in_the_order_of_making() -> None:
    names = "pretrain sft samples comparisons reward_model select algorithm evaluation"
    assert [spec.name for spec in GRAPH] == names.split()
    assert GRAPH["select"].makes == "initial"


def test_every_record_type_may_have_a_source_of_its_own() -> None:
    assert GRAPH.groups["rankings"] == GRAPH.groups["documents"] == "data"
    assert GRAPH.groups["algorithm"] == "algorithm"
    assert "rankings" not in GRAPH.required


def test_a_role_falls_back_to_the_stage_before() -> None:
    assert GRAPH.roles == ["result", "initial", "sft", "base"]
    assert GRAPH.makers("initial") == ["select", "sft", "pretrain"]
    assert GRAPH.makers("base") == ["pretrain"]


def test_a_stage_uses_the_policies_before_it_and_what_it_names() -> None:
    assert GRAPH.used("pretrain") == ["policy"]
    assert GRAPH.used("comparisons") == ["policy", "pretrain", "sft", "samples", "labeler"]


def test_stages_of_a_plugin_follow_theirs_in_the_order_given() -> None:
    more = [StageSpec("average", after="sft", makes="averaged"), StageSpec("prune", after="sft")]
    graph = GRAPH.extended(more)
    names = [spec.name for spec in graph]
    assert names[1:5] == ["sft", "average", "prune", "samples"]
    assert graph.makers("averaged") == ["average", "sft", "pretrain"]
    assert {"average", "prune"} <= set(graph.used("algorithm"))
    assert graph.groups["average"] == "average"
    assert tuple(GRAPH) == STAGES  # the first graph is unchanged


@pytest.mark.parametrize(
    "spec,message",
    [
        (StageSpec("mine", after="stf"), "after 'stf', which is not a stage.*Did you mean 'sft'"),
        (StageSpec("sft", after="sft"), "'sft', whose name or config group is taken"),
        (StageSpec("data", after="sft"), "'data', whose name or config group is taken"),
        (StageSpec("mine", after="sft", group="policy"), "whose name or config group is taken"),
        (StageSpec("mine", after="sft", makes="base"), "for the role 'base', which is taken"),
    ],
)
def test_a_stage_that_does_not_fit_is_refused(spec: StageSpec, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        GRAPH.extended([spec])
