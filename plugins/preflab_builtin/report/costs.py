"""What the stages took, and where an iteration's time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.runs import RunResult

PHASES = ("rollout", "scoring", "old_log_probs", "update", "other")
"""What the algorithm's metrics ``time/PHASE`` tell apart, seconds an iteration, in the order in which they happen."""
SHARE_OF_MACHINE = "time/peak_fraction"


@dataclass(frozen=True)
class StageCost:
    """A stage over all runs. artifacts: different results; computed: by these runs; mean, total: seconds to make them once;
    tokens, flops: of all of them, 0 where nobody counted; peak_mb: most memory of a process that made one."""

    stage: str
    component: str
    artifacts: int
    computed: int
    reused: int
    mean: float
    total: float
    tokens: float
    flops: float
    peak_mb: float


@dataclass(frozen=True)
class IterationTime:
    """Seconds an iteration of an arm, by phase, mean over its iterations and runs. arm: with those of its runs that tell; share:
    of the machine's measured matmul peak, None where it was not measured; iterations: of each run."""

    number: int
    arm: Arm
    seconds: dict[str, float]
    share: float | None
    iterations: tuple[int, ...]


def costs(runs: Sequence[RunResult]) -> list[StageCost]:
    """What the stages took, by stage and component, in the order in which stages are made. Each artifact counts once."""
    longest_first = sorted(
        runs, key=lambda run: -len(run.stages)
    )  # a run that stops early does not say what comes between
    order = list(dict.fromkeys(row.stage for run in longest_first for row in run.stages))
    keys = dict.fromkeys((row.stage, row.component) for run in runs for row in run.stages)
    found = []
    for stage, component in sorted(keys, key=lambda key: order.index(key[0])):
        rows = [
            row
            for run in runs
            for row in run.stages
            if (row.stage, row.component) == (stage, component)
        ]
        once = {row.recipe: row for row in rows}.values()
        seconds = sum(row.seconds for row in once)
        found.append(
            StageCost(
                stage,
                component,
                artifacts=len(once),
                computed=sum(not row.reused for row in rows),
                reused=sum(row.reused for row in rows),
                mean=seconds / len(once),
                total=seconds,
                tokens=sum(row.tokens for row in once),
                flops=sum(row.flops for row in once),
                peak_mb=max(row.peak_mb for row in rows),
            )
        )
    return found


def iteration_times(arms: Sequence[Arm]) -> list[IterationTime]:
    """Where the time of each arm's algorithm goes; arms without such metrics are left out."""
    found = []
    for number, arm in enumerate(arms):
        logged = [(run, some) for run in arm.runs if (some := _timed(run))]
        rows = [row for _, some in logged for row in some]
        seconds = {}
        for phase in PHASES:
            values = [
                float(row[f"time/{phase}"])
                for row in rows
                if isinstance(row.get(f"time/{phase}"), (int, float))
            ]
            if values:
                seconds[phase] = sum(values) / len(values)
        shares = [
            float(row[SHARE_OF_MACHINE])
            for row in rows
            if isinstance(row.get(SHARE_OF_MACHINE), (int, float))
        ]
        if seconds:
            share = sum(shares) / len(shares) if shares else None
            told = replace(arm, runs=tuple(run for run, _ in logged))
            found.append(
                IterationTime(number, told, seconds, share, tuple(len(some) for _, some in logged))
            )
    return found


def _timed(run: RunResult) -> list[dict[str, Any]]:
    return [
        row for row in run.metrics("algorithm") if any(f"time/{phase}" in row for phase in PHASES)
    ]


def scaled(number: float) -> str:
    """A large number in three digits and a prefix.

    >>> scaled(0), scaled(950), scaled(12_345_678), scaled(3.456e15)
    ('', '950', '12.3 M', '3.46 P')
    """
    for size, prefix in (
        (1e18, " E"),
        (1e15, " P"),
        (1e12, " T"),
        (1e9, " G"),
        (1e6, " M"),
        (1e3, " k"),
        (1, ""),
    ):
        if number >= size:
            return f"{number / size:.3g}{prefix}"
    return ""
