"""Sampling engines and filters keep what every component keeps; and no built-in component is without a contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from preflab import plugins
from preflab.testing import ComponentContract


class TestNative(ComponentContract):
    kind = "rollout"
    name = "native"


class TestTransformers(ComponentContract):
    kind = "rollout"
    name = "transformers"


class TestSplitByUser(ComponentContract):
    kind = "filter"
    name = "split_by_user"


class TestSplitByGroup(ComponentContract):
    kind = "filter"
    name = "split_by_group"


class TestDeduplicate(ComponentContract):
    kind = "filter"
    name = "deduplicate"


class TestCapPerUser(ComponentContract):
    kind = "filter"
    name = "cap_per_user"


class TestDropPrivate(ComponentContract):
    kind = "filter"
    name = "drop_private"


class TestLength(ComponentContract):
    kind = "filter"
    name = "length"


def test_every_built_in_component_has_a_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_PLUGINS", "")
    tried: set[tuple[str, str]] = set()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"contracts_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = [c for c in vars(module).values() if isinstance(c, type) and c.__name__.startswith("Test")]
        tried.update((c.kind, c.name) for c in found if issubclass(c, ComponentContract))
    installed = {(component.kind, component.name) for component, _ in plugins.load().components()}
    assert installed - tried == set()
