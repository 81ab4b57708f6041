"""What a plugin offers is checked when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from preflab import Component, PluginError, option
from preflab.door import checking, discovery


def test_every_built_in_config_class_is_a_schema() -> None:
    """Loading looks at those of others only, to save 0.06 s at every start."""
    built_in = [component for component, plugin in discovery.load().components() if plugin.built_in]
    assert len(built_in) > 50
    for component in built_in:
        checking.component_schema(component)


@dataclass
class Config:
    name: str = option("mine", "component")


def test_a_gradient_terms_config_must_have_a_coefficient() -> None:
    with pytest.raises(PluginError, match="has no field 'coef'"):
        checking.component_schema(Component("gradient_term", "mine", Config))


@dataclass
class _Terms:
    name: str = option("mine", "component")
    terms: dict[str, Any] = option(factory=dict, doc="gradient terms")


def test_a_field_that_holds_components_elsewhere_must_be_declared() -> None:
    """Without the declaration its components would arrive as plain values."""
    fields = {"terms": "gradient_term"}
    with pytest.raises(PluginError, match=r"declare it with nested=\{'terms': 'gradient_term'\}"):
        checking.component_nested(Component("algorithm", "mine", _Terms), fields)
    checking.component_nested(Component("algorithm", "mine", _Terms, nested=fields), fields)
    checking.component_nested(Component("algorithm", "mine", _Terms), {"shaping": "x"})
