"""Training that goes on from an earlier artifact must be made from the same as that was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.planning.asking import inspect
from preflab.planning.recipes import digest
from preflab.planning.run import Stage
from preflab.storage.artifacts import opened

INPUT = "input: "
"""Before the names of what a stage is made from beside the stages before."""


def check_going_on(stage: Stage) -> None:
    """`UserError`, before any work, for an earlier artifact that was made with another seed, from
    other records, by other stages before, or with other components. Where the code has changed
    since, the contents of the stages are compared when this one begins."""
    folder = inspect(stage.choice).goes_on
    if not folder:
        return
    key, then = f"{stage.choice.key}.continues", opened(Path(folder)).manifest["recipe"]
    if then["seed"] != stage.seed:
        pinned = getattr(stage.choice.config, "seed", None) is not None
        option = f"{stage.choice.key}.seed" if pinned else "seed"
        raise UserError(
            f"{key} names training with seed {then['seed']}, and this run has {stage.seed}: "
            f"give {option}={then['seed']}."
        )
    same_code = then["framework"] == stage.recipe["framework"]
    before, now = made_from(then), made_from(stage.recipe)
    stages = _stages(then), _stages(stage.recipe)
    for name in different(before, now) or (different(*stages) if same_code else []):
        raise UserError(
            f"{key} names training that was made with another {name.removeprefix(INPUT)} than "
            f"this run has: {why_not(stage.choice.key)}"
        )


def why_not(group: str) -> str:
    """What would be mixed, and what to do. group: whose option names the earlier training."""
    return (
        "the KL reference, the value network, the scores or the order of the rows would be of two "
        "kinds. Give the rest of the command as it was: preflab rerun RUN "
        f"{group}.continues=RUN and a larger length. To begin anew from its policy, give "
        "policy=pretrained policy.path=RUN sft=none."
    )


def made_from(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the components that a stage uses, of the records that it reads, of the filters and
    the transforms, whatever code reads them; and of the options with which it uses the result of a
    stage before, which stand behind that one's recipe id (`preflab.planning.recipes.made`)."""
    used = {k: [v] for k, v in recipe["uses"].items() if not isinstance(v, str)}
    read = {k: [v] for k, v in recipe["data"].items()}
    found = {**used, **read, "filters": recipe["filters"]}
    found["transforms"] = recipe.get("transforms", [])
    results = ((k, v.partition(" ")[2]) for k, v in recipe["uses"].items() if isinstance(v, str))
    used_with = {f"{INPUT}use of {name}": options for name, options in results if options}
    return used_with | {
        f"{INPUT}{name}": digest([[seen["config"], seen["content"]] for seen in those])
        for name, those in found.items()
    }


def different(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two. Records that only one of them reads (a term or a judge that was
    added) do not count."""
    inputs = then.keys() & now.keys()
    names = inputs | {n for n in then.keys() | now.keys() if not n.startswith(INPUT)}
    return sorted(name for name in names if then.get(name) != now.get(name))


def _stages(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The recipe ids of the stages before."""
    return {k: v for k, v in recipe["uses"].items() if isinstance(v, str)}
