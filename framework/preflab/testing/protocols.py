"""A misspelt method of a component is silence to the engine: the contract suites look for it."""

from __future__ import annotations

import inspect

from preflab import interfaces
from preflab.errors import nearest


def known_members() -> set[str]:
    """The public members of all protocols in `preflab.interfaces`."""
    protocols = (p for p in vars(interfaces).values() if getattr(p, "_is_protocol", False))
    return {name for protocol in protocols for name in vars(protocol) if not name.startswith("_")}


def unknown_methods(made: object) -> list[str]:
    """What is wrong with the public methods that the object's own package gives it: those that no
    protocol asks for, and that override nothing."""
    known, package = known_members(), _package(type(made))
    own = [cls for cls in type(made).__mro__ if _package(cls) == package]
    others = [cls for cls in type(made).__mro__ if _package(cls) != package]
    found = sorted(
        {
            name
            for cls in own
            for name, value in vars(cls).items()
            if inspect.isfunction(value) and not name.startswith("_") and name not in known
        }
        - {name for cls in others for name in vars(cls)}
    )
    return [
        f"has a public method '{name}' that no protocol asks for. {nearest(name, known)} Begin its "
        "name with an underscore if it is your own"
        for name in found
    ]


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]
