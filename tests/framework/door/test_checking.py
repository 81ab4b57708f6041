"""What a plugin offers is checked when it is loaded."""

from __future__ import annotations

from preflab.door import checking, discovery


def test_every_built_in_config_class_is_a_schema() -> None:
    """Loading looks at those of others only, to save 0.06 s at every start."""
    built_in = [component for component, plugin in discovery.load().components() if plugin.built_in]
    assert len(built_in) > 50
    for component in built_in:
        checking.component_schema(component)
