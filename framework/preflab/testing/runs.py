"""A stage of one component, run through the engine's own loop and compared bit by bit."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab.door.choice import Choice
from preflab.errors import UserError
from preflab.storage.artifacts import (
    LAST,
    METRICS,
    STATE,
    file_digest,
    files_below,
    read_rows,
)

if TYPE_CHECKING:
    from preflab.interfaces import Procedure
    from preflab.testing.context import FakeContext


class Killed(BaseException):
    """Stands for a SIGKILL: no code of a procedure may catch it."""


@dataclass(frozen=True)
class Kill:
    """When a run is killed. step: 0-based. saved: right after the checkpoint behind that step;
    else right before it."""

    step: int
    saved: bool


@dataclass(frozen=True)
class Prints:
    """What a stage left. files: digest by name; rows: the metrics of each step as JSON, the clock
    left out."""

    files: Mapping[str, str]
    rows: tuple[str, ...]

    def differences(self, other: Prints) -> str:
        """What differs from another run's, in words; "" if nothing does."""
        differences = [
            f"{name} differs"
            for name in sorted(self.files.keys() & other.files.keys())
            if self.files[name] != other.files[name]
        ]
        differences += [
            f"only one of them wrote {name}"
            for name in sorted(self.files.keys() ^ other.files.keys())
        ]
        if len(self.rows) != len(other.rows):
            differences.append(
                f"one has metrics of {len(self.rows)} steps, the other of {len(other.rows)}"
            )
        for step, (own_row, other_row) in enumerate(zip(self.rows, other.rows, strict=False)):
            a, b = json.loads(own_row), json.loads(other_row)
            keys = sorted(
                k for k in a.keys() | b.keys() if json.dumps(a.get(k)) != json.dumps(b.get(k))
            )
            differences += [
                f"metric {k} of step {step}: {a.get(k)} and {b.get(k)}" for k in keys[:3]
            ]
        return "; ".join(differences[:8])


def procedure(choice: Choice, context: FakeContext) -> Procedure:
    """The procedure of a chosen component."""
    assert choice.component.procedure is not None, (
        f"{choice.component.kind} '{choice.name}' has no procedure: it makes no stage"
    )
    return choice.component.procedure(choice.config, context)


def work(choice: Choice, context: FakeContext, kill: Kill | None = None) -> int:
    """Make the stage in the context's folder, resuming from a checkpoint that is there;
    number of its steps. With ``kill`` it ends in the middle, as by SIGKILL."""
    from preflab.engine.loop import CheckpointConfig, Loop

    tried = procedure(choice, context)

    def observe(hook: str, **arguments: Any) -> None:
        if kill is None:
            return
        at = (
            ("preflab_checkpoint_saved", kill.step + 1)
            if kill.saved
            else ("preflab_step_finished", kill.step)
        )
        if hook == at[0] and arguments["step"] == at[1]:
            raise Killed

    settings = CheckpointConfig(every_seconds=1e9, every_steps=1)
    with contextlib.suppress(Killed):
        Loop(context.stage, tried, context.streams, context.folder, settings, observe).run()
    return tried.total_steps


def prints(folder: Path) -> Prints:
    """What the stage in a folder left."""
    files = [
        p
        for p in files_below(folder)
        if p.name != METRICS and not {STATE, LAST} & {*p.relative_to(folder).parts}
    ]
    rows = [
        {k: v for k, v in row.items() if not k.startswith("time/")}
        for row in read_rows(folder / METRICS)
    ]
    return Prints(
        {str(p.relative_to(folder)): file_digest(p) for p in files},
        tuple(json.dumps(row, sort_keys=True) for row in rows),
    )


def refusal(call: Callable[[], object]) -> str:
    """What a `preflab.UserError` says; "" if there is none."""
    try:
        call()
    except UserError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Python's, numpy's and torch's global generators at a seed; afterwards as they were.
    `AssertionError` naming the one that was used, or seeded, in between."""
    import numpy
    import torch

    before = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        numpy.random.seed(seed)
        torch.manual_seed(seed)
        start = _global_states()
        yield
        changed = [name for name, state in _global_states().items() if state != start[name]]
        assert not changed, (
            f"the global random generator of {' and '.join(changed)} was used or seeded: draw from "
            "context.streams['name'], or from a generator seeded by "
            "preflab.randomness.derive_seed, so that a run can be repeated and resumed"
        )
    finally:
        random.setstate(before[0])
        numpy.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _global_states() -> dict[str, str]:
    import numpy
    import torch

    _, keys, *position = numpy.random.get_state()
    return {
        "python": str(random.getstate()),
        "numpy": f"{list(map(int, keys))} {position}",
        "torch": str(torch.get_rng_state().tolist()),
    }
