"""Observers: functions of a module, and objects that live for one run. One that fails is named and
switched off for that run, and the others are called. The checks do not depend on the hook, so that
``make test`` takes three hooks for each fault and ``make reliability`` all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.faulty_plugins import (
    HOOKS,
    OBSERVERS,
    RAISED,
    RETURNED,
    crossed,
    registered,
    written_hook,
)
from preflab.door.registry import Registry

Observed = tuple[Registry, Callable[[], None], list[int]]


def observed(hook: str, body: str) -> Observed:
    """A registry of two observers with that hook, one with that body and, called after it, one that
    notes its calls; a function that calls the hook; the notes."""
    registry = Registry()
    attentive = "SEEN = []" + written_hook(hook, "", "SEEN.append(1)")
    seen = registered(registry, "attentive", attentive).SEEN
    registered(registry, "faulty", written_hook(hook, "", body))
    arguments: dict[str, Any] = dict.fromkeys(HOOKS[hook].parameters)
    return registry, lambda: registry.observe(hook, **arguments), seen


def _silently(call: Callable[[], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call()


@pytest.mark.parametrize("hook,raised", crossed(OBSERVERS, RAISED))
def test_an_observer_that_raises(hook: str, raised: str) -> None:
    registry, call, seen = observed(hook, f"raise {raised}")
    message = rf"plugin 'faulty' \(faulty-dist 2.5\) is switched off .*: {hook} raised {raised[:9]}"
    with pytest.warns(UserWarning, match=message):
        call()
    _silently(call)
    assert seen == [1, 1]  # both times
    with registry.run_observers(folder=Path(), config={}, stages=[]):
        pass
    with pytest.warns(UserWarning, match=message):  # only that run went on without it
        call()


@pytest.mark.parametrize("hook,returned", crossed(OBSERVERS, RETURNED))
def test_the_return_value_of_an_observer_is_not_used(hook: str, returned: str) -> None:
    _, call, seen = observed(hook, f"return {returned}")
    _silently(call)
    assert seen == [1]


@pytest.mark.parametrize("hook", crossed(OBSERVERS))
def test_an_interrupt_in_an_observer_is_raised(hook: str) -> None:
    _, call, _ = observed(hook, "raise KeyboardInterrupt")
    for _ in range(2):  # it is not switched off
        with pytest.raises(KeyboardInterrupt):
            call()


def returning(
    name: str,
    mark: str = "@hookimpl",
    arguments: str = "",
    body: str = "pass",
    what: str = "Observer()",
) -> str:
    """A plugin that returns an observer with one method."""
    method = f"    {mark}\n    def {name}(self{arguments}):\n        {body}\n"
    hook = written_hook("preflab_observers", "folder", f"return [{what}]")
    return f"\n\nclass Observer:\n{method}{hook}"


STEP = "preflab_step_finished"
OBJECTS = {
    "a misspelt method": (
        returning("preflab_step_finishd"),
        "preflab_observers returned an object of class Observer, which has a hook "
        "'preflab_step_finishd' that preflab does not know here. ",
    ),
    "a misspelt method without a mark": (
        returning("preflab_step_finishd", mark=""),
        "Did you mean 'preflab_step_finished'",
    ),
    "a method without a mark": (
        returning(STEP, mark=""),
        f"'{STEP}' that is not marked as a hook: write @preflab.hookimpl above it",
    ),
    "a hook of plugins": (
        returning("preflab_components"),
        "has a hook 'preflab_components' that preflab does not know here",
    ),
    "a wrapper": (
        returning(STEP, mark="@hookimpl(wrapper=True)", body="return (yield)"),
        f"the hook '{STEP}' as a wrapper",
    ),
    "an unknown argument": (returning(STEP, arguments=", wrongly"), "wrongly"),
    "no hook": (
        returning("step_finished", mark=""),
        "of class Observer, which observes nothing: mark methods",
    ),
    "a class": (returning(STEP, what="Observer"), "the class Observer: return an instance"),
    "no list": (
        written_hook("preflab_observers", "", "return 3"),
        "returned 3, which must be a list of objects",
    ),
    "an error": (
        written_hook("preflab_observers", "", "raise OSError('full')"),
        "is switched off for this run: preflab_observers raised OSError: full",
    ),
}


@pytest.mark.parametrize("fault", OBJECTS)
def test_observers_of_a_run_that_cannot_be_used(fault: str) -> None:
    source, message = OBJECTS[fault]
    registry = Registry()
    registered(registry, "faulty", source)
    with (
        pytest.warns(UserWarning, match="is switched off for this run") as caught,
        registry.run_observers(folder=Path("run"), config={}, stages=[]),
    ):
        _silently(lambda: registry.observe("preflab_step_finished", stage="s", step=0, metrics={}))
    (warning,) = caught
    assert str(warning.message).startswith("plugin 'faulty' (faulty-dist 2.5) is ")
    assert message in str(warning.message)


def test_an_observer_object_that_raises_is_switched_off_for_its_run() -> None:
    registry = Registry()
    raises = returning("preflab_run_started", arguments=", folder", body="raise OSError('full')")
    registered(registry, "faulty", raises)
    run: dict[str, Any] = {"folder": Path("run"), "config": {}, "stages": []}

    def start() -> None:
        registry.observe("preflab_run_started", **run)

    for _ in range(2):  # in each of two runs
        with registry.run_observers(**run):
            with pytest.warns(UserWarning, match="off for this run: preflab_run_started raised"):
                start()
            _silently(start)
    _silently(start)  # no run, no observer


def test_observers_are_dropped_when_their_run_fails() -> None:
    registry = Registry()
    source = "SEEN = []" + returning("preflab_step_finished", body="SEEN.append(self)")
    seen = registered(registry, "plain", source).SEEN
    step: dict[str, Any] = {"stage": "sft", "step": 0, "metrics": {}}

    def run(error: type[BaseException]) -> None:
        with registry.run_observers(folder=Path("run"), config={}, stages=["sft"]):
            registry.observe("preflab_step_finished", **step)
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            run(error)
        registry.observe("preflab_step_finished", **step)
    assert len(seen) == 2
    assert seen[0] is not seen[1]
