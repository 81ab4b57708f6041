"""Training that goes on from an earlier artifact must be made from the same as that was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from preflab.errors import UserError
from preflab.planning.asking import inspect
from preflab.planning.run import Stage
from preflab.storage.artifacts import opened


def check_going_on(stage: Stage) -> None:
    """`UserError`, before any work, for an earlier artifact that was made with another seed, from
    other records, or by other stages before. Where the code has changed since, the stages' contents
    are compared when this one begins."""
    folder = inspect(stage.choice).goes_on
    if not folder:
        return
    key, then = f"{stage.choice.key}.continues", opened(Path(folder)).manifest["recipe"]
    if then["seed"] != stage.seed:
        raise UserError(
            f"{key} names training with seed {then['seed']}, and this run has {stage.seed}: "
            f"give seed={then['seed']}."
        )
    if then["framework"] == stage.recipe["framework"]:
        for name in _different(then, stage.recipe):
            raise UserError(
                f"{key} names training that was made with another {name} than this run has, so "
                "that the KL reference, the value network, the scores or the order of the rows "
                "would be of two kinds. Give the rest of the command as it was: preflab rerun RUN "
                f"{key}=RUN with a larger length. To begin anew from its policy, give "
                "policy=pretrained policy.path=RUN."
            )


def _different(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Stages before, and records, that are not the same in two recipes."""
    stages = [
        {k: v for k, v in recipe["uses"].items() if isinstance(v, str)} for recipe in (then, now)
    ]
    records = [{k: (v["config"], v["content"]) for k, v in r["data"].items()} for r in (then, now)]
    for a, b in (stages, records):
        yield from (name for name in sorted({*a, *b}) if a.get(name) != b.get(name))
    filters = [[(f["config"], f["content"]) for f in recipe["filters"]] for recipe in (then, now)]
    if filters[0] != filters[1]:
        yield "filters"
