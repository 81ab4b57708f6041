"""How long stages take and how much memory, by what an earlier run took for the same work. Nothing
is scaled: an estimate is what one stage took, and says which, and what was different. Where sizes,
models or data were others there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from preflab.options import canonical
from preflab.planning.run import Run, Stage
from preflab.precision import on_gpu
from preflab.runtime import as_launched
from preflab.storage.artifacts import Artifact

NAMED = 3
"""So many options that were different are named."""
RATES = frozenset(
    "lr beta1 beta2 eps weight_decay final_fraction warmup_fraction clip coef mix_coef beta gamma "
    "lam label_smoothing ratio_high head_rate shrink temperature".split()
)
"""Names of options that weigh or scale something and leave out nothing unless they are 0: with
another value the work is the same."""


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


def work(run: Run, stage: Stage) -> dict[str, Any]:
    """What decides how much memory and time a stage takes and is not in its recipe, as values that
    JSON holds: how the run computes, by its config or its launcher, and with what options the
    stages before it are made."""
    runtime = as_launched(run.settings.runtime, os.environ)
    rollout = run.choices.get("rollout")
    before = run.stages[: run.stages.index(stage)]
    return {
        "runtime": {**asdict(runtime), "device": "cuda" if on_gpu(runtime) else "cpu"},
        "rollout": {"batch": getattr(rollout.config, "batch", None) if rollout else None},
        **{made.name: canonical(made.choice.config) for made in before},
    }


def estimate(run: Run, stage: Stage, artifacts: Sequence[Artifact]) -> Estimate | None:
    """By the artifact of the same stage and component that differs in the fewest options, none of
    which decides memory or time (`_is_rate`), the newest of several; None if there is none.
    artifacts: oldest first."""
    mine = {**dict(_options(stage.recipe)), **dict(_flat(work(run, stage)))}
    best: Estimate | None = None
    for artifact in artifacts:
        manifest = artifact.manifest
        recipe, cost = manifest.get("recipe"), manifest.get("cost")
        if artifact.stage != stage.name or manifest.get("component") != stage.choice.name:
            continue
        if not isinstance(recipe, Mapping) or not isinstance(cost, Mapping):
            continue
        theirs = {**dict(_options(recipe)), **dict(_flat(manifest.get("work", {})))}
        keys = dict.fromkeys([*mine, *theirs])
        other = tuple(k for k in keys if mine.get(k) != theirs.get(k))
        if not all(_is_rate(key, mine.get(key), theirs.get(key)) for key in other):
            continue
        if best is None or len(other) <= len(best.different):
            named = tuple(key.replace("component", stage.choice.key, 1) for key in other)
            seconds, megabytes = float(cost["seconds"]), float(cost.get("peak_mb") or 0)
            best = Estimate(seconds, megabytes, artifact.folder.name, named)
    return best


def _is_rate(key: str, *values: Any) -> bool:
    """Whether the work stays the same with other values of an option: one of `RATES`, but 0 leaves
    something out. Other fractions may be sizes, such as windows per episode or the share of the
    records that a filter passes."""
    named = key.rpartition(".")[2] in RATES
    return named and all(isinstance(value, float) and value != 0 for value in values)


def _options(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options, without seeds, in a recipe: of its component, of what it uses and reads, and of
    what records pass before."""
    passed = [*recipe["filters"], *recipe.get("transforms", ())]
    numbered = {f"filters or transforms ({i})": identity for i, identity in enumerate(passed)}
    identities = {"component": recipe["component"], **recipe["uses"], **recipe["data"], **numbered}
    for name, identity in identities.items():
        if isinstance(identity, Mapping):  # another stage's result has an id
            yield from _flat(identity["config"], name)
            content = [digest for _, digest in identity.get("content", ()) if digest]
            if content:
                yield f"{name} (its content)", content


def _flat(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        place = f"{above}.{key}" if above else key
        if isinstance(value, Mapping) and value:
            yield from _flat(value, place)
        elif key != "seed":
            yield place, value
