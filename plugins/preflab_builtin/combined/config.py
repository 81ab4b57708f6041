"""Config of a reward model that is made of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from preflab import option
from preflab.memory import Held, Load

if TYPE_CHECKING:
    from preflab.interfaces import Context


class Combine(StrEnum):
    """What the members' scores become."""

    sum = "sum"
    mean = "mean"
    minimum = "minimum"
    lower_bound = "lower_bound"


@dataclass
class CombinedConfig:
    """Several reward models as one: each is trained, if it is trained at all, scored and reported
    by itself."""

    name: str = option("combined", "component")
    members: dict[str, Any] = option(
        factory=dict, doc="reward_model components by a name of their own"
    )
    combine: Combine = option(
        Combine.sum,
        "sum (weighted), or of an ensemble: mean, minimum, lower_bound (mean less `spread` "
        "standard deviations: Coste et al. 2023, arXiv 2310.02743)",
    )
    weights: dict[str, float] = option(
        factory=dict, doc="sum: weight of a member by its name; a member that is missing has 1"
    )
    spread: float = option(1.0, "lower_bound: standard deviations below the mean", ge=0)
    shaping: dict[str, Any] = option(
        factory=dict, doc="reward shaping of a member by its name, before it is weighted"
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """The networks of all members that are trained, one after the other: rows and tokens are
        those of the member that reads most in a step (`preflab.memory.Load`)."""
        trained = [m for m in self.members.values() if hasattr(m, "load")]
        loads = [load for m in trained if (load := m.load(tokens, records)).trained]
        if not loads:
            return Load(0, 0, tokens, passes=0)
        networks, steps = sum(load.trained for load in loads), sum(load.steps for load in loads)
        most: Load = max(loads, key=lambda load: load.rows * load.tokens)
        return replace(most, trained=networks, held=Held(idle=networks - most.trained), steps=steps)

    def of_members(self) -> bool:
        """The reward says what each member's is."""
        return True

    def member_names(self, context: Context) -> Sequence[str]:
        """As they are named here."""
        return list(self.members)

    def check(self) -> Iterator[tuple[str, str]]:
        """Weights and shapings are of members, and an ensemble has two."""
        least = 1 if self.combine is Combine.sum else 2
        if len(self.members) < least:
            yield "members", f"has {len(self.members)} but combine={self.combine} needs {least}"
        for field in ("weights", "shaping"):
            for name in getattr(self, field):
                if name not in self.members:
                    allowed = ", ".join(self.members) or "no name, since there are no members"
                    yield f"{field}.{name}", f"names no member. Allowed: {allowed}"
        if self.weights and self.combine is not Combine.sum:
            yield "weights", f"are given but only combine=sum has them, not {self.combine}"
