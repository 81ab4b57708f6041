"""`preflab --help`: commands, config groups with their options, studies."""

from __future__ import annotations

from preflab.composing.search_path import registry, sweeps_root
from preflab.console.commands import COMMANDS
from preflab.console.overview import overview


def test_every_group_is_listed_with_its_options() -> None:
    lines = dict(
        line.strip().split(":", 1)
        for line in overview().splitlines()
        if line.startswith("  ")
        if ":" in line and not line.startswith("  preflab")
    )
    for group in (*registry().stage_graph.groups, "filters", "experiment", "debug"):
        assert group in lines, group
    assert {"ppo", "ppo_ptx", "none"} <= set(lines["algorithm"].replace(",", " ").split())
    assert "ptx" in lines["gradient_term"]


def test_every_command_and_study_is_named() -> None:
    text = overview()
    for command in COMMANDS:
        assert f"  preflab {command}" in text
    for study in sweeps_root().glob("*.yaml"):
        assert study.stem in text
