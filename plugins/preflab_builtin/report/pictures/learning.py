"""Learning curves: of the algorithm, and of the stages before it with their validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.pictures.curves import Curve, curve, curves_picture
from preflab_builtin.report.pictures.picture import ALL_ARMS, Picture
from preflab_builtin.report.wording import count

CURVES = {
    "objective/scores": "Reward of the training samples",
    "objective/kl": "KL to the reference, nats per response",
    "objective/length": "Length of the training samples, tokens",
    "loss/ptx": "Pretraining loss of the ptx term, nats per token",
}
WATCHED = "watch/"
"""Metrics of judgements while an algorithm trains."""


@dataclass(frozen=True)
class _Watched:
    """A metric of a stage before the algorithm, and the same on validation records."""

    stage: str
    metric: str
    validation: str
    title: str
    steps: str


_EARLIER = (
    _Watched(
        "pretrain",
        "loss/pretrain",
        "pretrain/validation_loss",
        "Pretraining loss, nats per token",
        "Step of pretraining",
    ),
    _Watched(
        "sft",
        "loss/sft",
        "sft/validation_loss",
        "SFT loss, nats per token",
        "Step of supervised fine-tuning",
    ),
    _Watched(
        "reward_model",
        "loss/reward_model",
        "",
        "Loss of the reward model",
        "Step of the reward model",
    ),
    _Watched(
        "reward_model",
        "reward_model/accuracy",
        "reward_model/validation_accuracy",
        "Pairs ordered right, share",
        "Step of the reward model",
    ),
)


def learning_curves(arms: Sequence[Arm]) -> list[Picture]:
    """One picture per metric of the algorithm."""
    logs = [[run.metrics("algorithm") for run in arm.runs] for arm in arms]
    titles = CURVES | _titles(row for logged in logs for rows in logged for row in rows)
    pictures = []
    for metric, title in titles.items():
        found = [curve(arm, logged, metric) for arm, logged in zip(arms, logs, strict=True)]
        if curves := [one for one in found if one]:
            pictures.append(curves_picture(curves, title, "Step of the algorithm"))
    return pictures


def earlier_curves(arms: Sequence[Arm]) -> list[Picture]:
    """Pretraining, SFT and the reward model, with their validation. Arms that share a stage in
    all of their runs are one curve."""
    pictures = []
    logs: dict[str, list[dict[str, Any]]] = {}
    for watched in _EARLIER:
        curves = [
            one
            for members in _sharing(arms, watched.stage)
            if (one := _shared_curve(members, watched, logs, len(arms)))
        ]
        if curves:
            pictures.append(curves_picture(curves, watched.title, watched.steps))
    return pictures


def _titles(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The first measure that each evaluator gives, and its title: the others are its parts."""
    first: dict[str, str] = {}
    for name in (name for row in rows for name in row if name.startswith(WATCHED)):
        first.setdefault(name.split("/")[1], name)
    return {name: f"{name.removeprefix(WATCHED)} on held-out prompts" for name in first.values()}


def _sharing(arms: Sequence[Arm], stage: str) -> list[list[Arm]]:
    """The arms that have a stage, by its results: arms of one list share all of them."""
    groups: dict[frozenset[str], list[Arm]] = {}
    for arm in arms:
        recipes = frozenset(row.recipe for run in arm.runs if (row := run.stage(stage)))
        if recipes:
            groups.setdefault(recipes, []).append(arm)
    return list(groups.values())


def _shared_curve(
    members: Sequence[Arm], watched: _Watched, logs: dict[str, list[dict[str, Any]]], arms: int
) -> Curve | None:
    """The curve of arms that share a stage, each of its results once. logs: what is read, by
    recipe."""
    runs = {row.recipe: run for run in members[0].runs if (row := run.stage(watched.stage))}
    for recipe, run in runs.items():
        if recipe not in logs:
            logs[recipe] = run.metrics(watched.stage)
    first, others = members[0], len(members) - 1
    label = first.label if not others else f"{first.label} and {count(others, 'other')}"
    if others and len(members) == arms:
        label = ALL_ARMS
    arm = replace(
        first, label=label, short="" if others else first.short, runs=tuple(runs.values())
    )
    return curve(arm, [logs[recipe] for recipe in runs], watched.metric, watched.validation)
