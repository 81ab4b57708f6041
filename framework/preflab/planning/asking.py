"""What the component of a choice says of itself: what it needs, and what its outside inputs are."""

from __future__ import annotations

from preflab.components import Inspection
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.errors import PluginError

FOLDER_MARK = "{run}"
"""Stands for the folder of a run in a sentence of a component that waits."""


def needs(choice: Choice) -> set[str]:
    """What a choice and its nested choices need, in the words of `Component.needs`."""
    return own_needs(choice).union(*map(needs, choice.nested))


def own_needs(choice: Choice) -> set[str]:
    """What a choice needs, without its nested ones."""
    with blamed(choice):
        return set(choice.component.needs(choice.config))


def words(choice: Choice) -> set[str]:
    """What a choice and its nested choices need, without the splits of records and the roles of
    policies."""
    return {str(need).partition(":")[0] for need in needs(choice)}


def inspect(choice: Choice) -> Inspection:
    """What the outside inputs of a choice are."""
    with blamed(choice):
        inspection = choice.component.inspect(choice.config)
    if not isinstance(inspection, Inspection):
        raise PluginError(
            f"{choice.component.kind} '{choice.name}' of {choice.plugin.label}: inspect returned "
            f"{inspection!r}"
        )
    return inspection


def missing(choice: Choice) -> str:
    """What a run lacks of the inputs of a choice, and a plan does without, as a sentence; "" if
    nothing. A config says so by a method ``missing()``."""
    with blamed(choice):
        return str(getattr(choice.config, "missing", str)())


def waiting(choice: Choice) -> str:
    """What a choice and its nested choices wait for, as they say it now; "" if for nothing."""
    sentences = ((c, inspect(c).waiting) for c in choice.all())
    return " ".join(f"{c.key}={c.name}: {sentence}" for c, sentence in sentences if sentence)
