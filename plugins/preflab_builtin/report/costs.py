"""The costs of the stages, and where the time of an iteration goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from preflab.interfaces import Measure
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.runs import RunResult, StageResult

TRAINING = "cost/"
"""Prefix of the measures of what training an arm's algorithm took."""
TIME = "time/"
"""Prefix of the metrics that are the seconds of an iteration's phases."""
SHARE_OF_MACHINE = "time/peak_fraction"
"""The one metric with this prefix that is not a phase."""


@dataclass(frozen=True)
class StageCost:
    """A stage over all runs.

    artifacts: different results. computed: how many these runs made. mean, total: seconds to make
    each once. tokens, flops: of all of them, 0 if not counted. peak_mb: most memory of a process
    that made one.
    """

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
    """Seconds per iteration of an arm, by phase, mean over its iterations and runs.

    arm: with those of its runs that logged times. share: of the machine's measured matmul peak,
    None if it was not measured. iterations: of each run.
    """

    number: int
    arm: Arm
    seconds: dict[str, float]
    share: float | None
    iterations: tuple[int, ...]


def training_costs(stages: Sequence[StageResult]) -> dict[str, Measure]:
    """cost/flops and cost/tokens: what making the artifact of the run's algorithm took, whichever
    run made it, with earlier training that it went on from; 0 for a run without a stage of an
    algorithm. No measure where nothing was counted.
    """
    own = [row for row in stages if row.group == "algorithm"]
    counts = {
        f"{TRAINING}flops": [row.flops + row.flops_before for row in own],
        f"{TRAINING}tokens": [row.tokens + row.tokens_before for row in own],
    }
    return {name: Measure(sum(values), least=0.0) for name, values in counts.items() if all(values)}


def costs(runs: Sequence[RunResult]) -> list[StageCost]:
    """Costs by stage and component, in the order in which stages are made. Each artifact counts
    once."""
    # A run that stops early does not show which stages come between.
    longest_first = sorted(runs, key=lambda run: -len(run.stages))
    order = list(dict.fromkeys(row.stage for run in longest_first for row in run.stages))
    all_rows = [row for run in runs for row in run.stages]
    keys = dict.fromkeys((row.stage, row.component) for row in all_rows)
    stage_costs = []
    for stage, component in sorted(keys, key=lambda key: order.index(key[0])):
        rows = [row for row in all_rows if (row.stage, row.component) == (stage, component)]
        artifacts = {row.recipe: row for row in rows}.values()
        seconds = sum(row.seconds for row in artifacts)
        stage_costs.append(
            StageCost(
                stage,
                component,
                artifacts=len(artifacts),
                computed=sum(not row.reused for row in rows),
                reused=sum(row.reused for row in rows),
                mean=seconds / len(artifacts),
                total=seconds,
                tokens=sum(row.tokens for row in artifacts),
                flops=sum(row.flops for row in artifacts),
                peak_mb=max(row.peak_mb for row in rows),
            )
        )
    return stage_costs


def iteration_times(arms: Sequence[Arm]) -> list[IterationTime]:
    """Where the time of each arm's algorithm goes; arms that logged no times are left out."""
    return [time for number, arm in enumerate(arms) if (time := _iteration_time(number, arm))]


def _iteration_time(number: int, arm: Arm) -> IterationTime | None:
    values: dict[str, list[float]] = {}
    runs, iterations = [], []
    for run in arm.runs:
        rows = [
            {k: v for k, v in row.items() if k.startswith(TIME) and isinstance(v, (int, float))}
            for row in run.metrics("algorithm")
        ]
        rows = [row for row in rows if row.keys() - {SHARE_OF_MACHINE}]
        if rows:
            runs.append(run)
            iterations.append(len(rows))
        for row in rows:
            for name, value in row.items():
                values.setdefault(name, []).append(value)
    means = {name.removeprefix(TIME): sum(some) / len(some) for name, some in values.items()}
    share = means.pop(SHARE_OF_MACHINE.removeprefix(TIME), None)
    if not means:
        return None
    return IterationTime(number, replace(arm, runs=tuple(runs)), means, share, tuple(iterations))
