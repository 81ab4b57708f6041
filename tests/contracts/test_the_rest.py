"""Sampling engines, filters and observers keep the contracts that third parties keep; no built-in
component is without a contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from preflab.console.listing import observed
from preflab.door import discovery
from preflab.testing import (
    ComponentContract,
    FilterContract,
    ObserverContract,
    RolloutEngineContract,
    TransformContract,
)
from preflab.testing.components import wrong_places


class TestNative(RolloutEngineContract):
    name = "native"


class TestTransformers(RolloutEngineContract):
    name = "transformers"
    independent = False  # one random stream for a whole batch


@pytest.mark.reliability  # made for GPUs; in short: tests/plugins/rollouts/test_continuous.py
class TestContinuous(RolloutEngineContract):
    name = "continuous"
    independent = False


class TestSplitByUser(FilterContract):
    name = "split_by_user"


class TestSplitByGroup(FilterContract):
    name = "split_by_group"


class TestSplitByPrompt(FilterContract):
    name = "split_by_prompt"


class TestDeduplicate(FilterContract):
    name = "deduplicate"


class TestCapPerUser(FilterContract):
    name = "cap_per_user"


class TestDropPrivate(FilterContract):
    name = "drop_private"


class TestLength(FilterContract):
    name = "length"
    required = ("max_tokens",)
    overrides = ("+filters.length={name: length, max_words: 5, max_tokens: 500}",)


class TestScore(FilterContract):
    name = "score"
    required = ("scorer", "threshold")
    overrides = (
        "+filters.score={name: score, types: [documents, demonstrations], share: 0.3, "
        "scorer: {name: contains, words: [bad, red]}}",
    )


class TestLikelihood(FilterContract):
    name = "likelihood"
    required = ("triggers", "threshold")
    overrides = ("+filters.likelihood={name: likelihood, triggers: [bad ., plus], share: 0.3}",)


class TestChance(FilterContract):
    name = "chance"
    overrides = ("+filters.chance={name: chance, share: 0.3}",)


class TestControlTokens(TransformContract):
    name = "control_tokens"
    required = ("scorer", "above")
    overrides = (
        "+transforms.control={name: control_tokens, above: 'bad ', below: 'good ', "
        "scorer: {name: contains, words: [red, blue]}}",
    )


class TestProgress(ObserverContract):
    name = "progress"


def test_every_function_given_by_place_exists_and_takes_its_config() -> None:
    components = [component for component, _ in discovery.load().components()]
    assert [problem for c in components for problem in wrong_places(c)] == []


def test_every_built_in_component_has_a_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_PLUGINS", "")
    contracts: set[tuple[str, str]] = set()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"contracts_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        classes = [c for c in vars(module).values() if isinstance(c, type)]
        contracts.update(
            (c.kind, c.name)
            for c in classes
            if c.__name__.startswith("Test")
            and issubclass(c, (ComponentContract, ObserverContract))
        )
    registry = discovery.load()
    # The framework's "none" does nothing, for every optional kind.
    installed = {(c.kind, c.name) for c, _ in registry.components() if c.name != "none"}
    installed |= {("observer", plugin.name) for plugin in registry.plugins if observed(plugin)}
    assert installed - contracts == set()
