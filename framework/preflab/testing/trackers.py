"""What holds for trackers: what holds for observers, and every step is there once, also after a
kill."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from preflab.door.registry import Registry
from preflab.jobs.tracking import Tracking, earlier_samples
from preflab.testing import observers
from preflab.testing.components import ComponentContract
from preflab.tracking import TrackedRun, TrackerConfig

if TYPE_CHECKING:
    from preflab.testing.case import Case

Point = tuple[str, int]
"""A metric, and the step of its stage."""


class TrackerContract(ComponentContract):
    """``class TestMine(TrackerContract): name = "mine"``.

    outside: names of what it writes beside the run's folder (a database), if anything.
    points: how a test reads what it wrote; without it no test sees whether steps are there twice.
    """

    kind = "tracker"
    outside: Sequence[str] = ()

    @classmethod
    def points(cls, folder: Path) -> Sequence[Point] | None:
        """Every point that the place holds of a run with this folder; None: it cannot be read."""
        return None

    def test_it_has_the_options_of_every_tracker(self, preflab_case: Case) -> None:
        config = preflab_case.choice.config
        assert isinstance(config, TrackerConfig), (
            f"{type(config).__name__} is no TrackerConfig: without its options a run cannot say "
            "how often it wants to be shown"
        )

    def test_it_survives_any_run(self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        plays = (observers.whole, observers.killed_and_run_again, observers.reused)
        for play in (*plays, observers.failed_at_once):
            with _run(preflab_case, monkeypatch) as (tracked, folder):
                play(tracked, folder, preflab_case)

    def test_it_writes_where_it_says(
        self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with _run(preflab_case, monkeypatch) as (tracked, folder):
            observers.whole(tracked, folder, preflab_case)
            own = {"run", "artifact", *self.outside}
            others = sorted(set(os.listdir()) - own)
            assert not others, f"it wrote {others} beside the run's folder: name it in 'outside'"
            assert not any(Path("artifact").iterdir()), (
                "it wrote into an artifact, whose digest is part of what others rely on"
            )

    def test_it_changes_nothing_and_draws_nothing(
        self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with _run(preflab_case, monkeypatch) as (tracked, folder):
            observers.unchanged(tracked, folder, preflab_case)

    def test_every_step_is_there_once_after_a_kill(
        self, preflab_case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with _run(preflab_case, monkeypatch) as (tracked, folder):
            observers.killed_and_run_again(tracked, folder, preflab_case)
            found = self.points(folder)
        if found is not None:
            count = Counter((name, step) for name, step in found if name == "loss/sft")
            assert count == {("loss/sft", 0): 1, ("loss/sft", 1): 1}


class Tracked:
    """Calls one tracker, as a run does; that it is switched off is an error."""

    def __init__(self, case: Case) -> None:
        self.case, self.run = case, contextlib.ExitStack()
        self.registry = Registry()

    def __call__(self, hook: str, **arguments: Any) -> None:
        """Call a hook of an observer."""
        choice = self.case.choice
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*is switched off for this run")
            if hook == "preflab_run_started":
                self.run.close()
                folder: Path = arguments["folder"]
                tracking = Tracking(choice, TrackedRun(**arguments), earlier_samples(folder))
                observing = self.registry.run_observers([(choice.plugin, tracking)], **arguments)
                self.run.enter_context(observing)
            self.registry.observe(hook, **arguments)


@contextlib.contextmanager
def _run(case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tracked, Path]]:
    """A run's folder in a new folder, in which this process is meanwhile."""
    monkeypatch.chdir(case.fresh_folder("place"))
    Path("run").mkdir()
    tracked = Tracked(case)
    try:
        yield tracked, Path("run")
    finally:
        tracked.run.close()
