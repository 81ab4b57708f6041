"""Public data: two sets of human judgements, and Python's own language reference."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The three data sources."""
    from preflab_builtin.public_sets.config import PydocConfig, RatingsConfig, UkpConfig

    here = "preflab_builtin.public_sets"
    sources = {"ukp": UkpConfig, "ratings": RatingsConfig, "pydoc": PydocConfig}
    return [
        Component(
            "data", name, config, build=f"{here}.{name}:load", inspect=f"{here}.{name}:inspect"
        )
        for name, config in sources.items()
    ]
