"""How long stages take and how much memory, by what earlier runs took for the most similar ones.
Nothing is scaled: an estimate is what one stage took, and says which, and what was different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflab.planning.run import Stage
from preflab.storage.artifacts import Artifact

NAMED = 3
"""So many options that were different are named."""


@dataclass(frozen=True)
class Estimate:
    """What a similar stage took. seconds: of its making, since that was last started; megabytes:
    the most memory that its process ever had; source: its artifact; different: keys of the options
    that it had other values of."""

    seconds: float
    megabytes: float
    source: str
    different: tuple[str, ...]

    def words(self) -> str:
        """A phrase: from which artifact, and with what other options."""
        named = ", ".join(self.different[:NAMED])
        more = len(self.different) - NAMED
        others = f", which had other {named}{f' and {more} more' if more > 0 else ''}"
        return f"{self.source} took{others if self.different else ''}"


def estimate(stage: Stage, artifacts: Sequence[Artifact]) -> Estimate | None:
    """By the artifact of the same stage and component that differs in the fewest options, the
    newest of several; None if there is none. artifacts: oldest first."""
    mine = dict(_options(stage.recipe))
    best: Estimate | None = None
    for artifact in artifacts:
        manifest = artifact.manifest
        recipe, cost = manifest.get("recipe"), manifest.get("cost")
        if artifact.stage != stage.name or manifest.get("component") != stage.choice.name:
            continue
        if not isinstance(recipe, Mapping) or not isinstance(cost, Mapping):
            continue
        theirs = dict(_options(recipe))
        keys = dict.fromkeys([*mine, *theirs])
        other = tuple(k for k in keys if mine.get(k) != theirs.get(k))
        if best is None or len(other) <= len(best.different):
            named = tuple(key.replace("component", stage.choice.key, 1) for key in other)
            seconds, megabytes = float(cost["seconds"]), float(cost.get("peak_mb") or 0)
            best = Estimate(seconds, megabytes, artifact.folder.name, named)
    return best


def _options(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options, without seeds, in a recipe: of its component, of what it uses and reads."""
    identities = {"component": recipe["component"], **recipe["uses"], **recipe["data"]}
    for name, identity in identities.items():
        if isinstance(identity, Mapping):  # another stage's result has an id
            yield from _flat(identity["config"], name)
            content = [digest for _, digest in identity.get("content", ()) if digest]
            if content:
                yield f"{name} (its content)", content
    yield from _flat(recipe["runtime"], "runtime")


def _flat(node: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}.{key}")
        elif key != "seed":
            yield f"{above}.{key}", value
