"""Training the members of a combined reward model one after the other, each as if it were alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.interfaces import Accountable, Context, Procedure, ShowsBatch, State
from preflab_builtin.combined.config import CombinedConfig


class CombinedTraining:
    """`preflab.interfaces.Procedure`: the steps of the first member that is trained, then those of
    the next. With members that are not trained there is no step."""

    def __init__(self, config: CombinedConfig, context: Context) -> None:
        self.procedures: dict[str, Procedure] = {}
        for name, member in config.members.items():
            part = context.within(name, getattr(member, "seed", None))
            procedure = part.procedure("reward_model", member)
            if procedure is not None:
                self.procedures[name] = procedure
        self.total_steps = sum(procedure.total_steps for procedure in self.procedures.values())

    def step(self, index: int) -> Mapping[str, float]:
        """One step of the member whose turn it is; its metrics end with its name."""
        name, procedure, own = self._turn(index)
        return {f"{key}/{name}": value for key, value in procedure.step(own).items()}

    def _turn(self, index: int) -> tuple[str, Procedure, int]:
        """The member of a step, and which of its own it is."""
        for name, procedure in self.procedures.items():
            if index < procedure.total_steps:
                return name, procedure, index
            index -= procedure.total_steps
        raise IndexError(index)

    def batch(self, index: int) -> State:
        """What a step read."""
        _, procedure, own = self._turn(index)
        return procedure.batch(own) if isinstance(procedure, ShowsBatch) else {}

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """That of each member."""
        counts: dict[str, float] = {}
        for name, procedure in self.procedures.items():
            if isinstance(procedure, Accountable):
                end = f"/{name}"
                rows = [
                    {k.removesuffix(end): v for k, v in row.items()}
                    for row in history
                    if any(key.endswith(end) for key in row)
                ]
                counts |= {f"{name}: {k}": n for k, n in procedure.accounting(rows).items()}
        return counts

    def state_dict(self) -> State:
        """The members' states."""
        return {name: procedure.state_dict() for name, procedure in self.procedures.items()}

    def load_state_dict(self, state: State) -> None:
        """Restore them."""
        for name, procedure in self.procedures.items():
            procedure.load_state_dict(state[name])

    def save(self, folder: Path) -> None:
        """Each member in a folder of its name."""
        for name, procedure in self.procedures.items():
            (folder / name).mkdir(exist_ok=True)
            procedure.save(folder / name)
