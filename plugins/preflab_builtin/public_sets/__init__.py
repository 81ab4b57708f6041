"""Public data: two sets of human judgements, and Python's own language reference."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The three data sources."""
    from preflab_builtin.public_sets import config as c

    ukp, ratings, pydoc = (f"preflab_builtin.public_sets.{n}" for n in ("ukp", "ratings", "pydoc"))
    return [
        Component("data", "ukp", c.UkpConfig, f"{ukp}:UkpSource", inspect=f"{ukp}:inspect"),
        Component(
            "data",
            "ratings",
            c.RatingsConfig,
            build=f"{ratings}:RatingsSource",
            inspect=f"{ratings}:inspect",
        ),
        Component(
            "data", "pydoc", c.PydocConfig, f"{pydoc}:PydocSource", inspect=f"{pydoc}:inspect"
        ),
    ]
