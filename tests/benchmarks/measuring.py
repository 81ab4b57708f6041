"""Both sides in turn: A B A B ..., each in its own process, which waits while the other works."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import flops
from benchmarks.channel import Worker
from benchmarks.results import SAME, Different, Measured, Row, Unit, fits, row, same, same_all
from benchmarks.shapes import SIZES, ppo_shape, ranking_shape, rollout_shape, sft_shape
from preflab.console.startup import SPIN

TESTS = Path(__file__).parents[1]
UNITS = {"ppo_iteration": "s/iteration", "reward_model": "prompts/s", "sft": "tokens/s"}
"""Unit of each measurement; the others sample tokens."""
LOSS = {"reward_model": "loss/reward_model", "sft": "loss/sft"}
"""Our name of the loss that is compared with the peer's."""
COMPARED = {
    "objective/scores": "objective/scores",
    "objective/kl": "objective/kl",
    "objective/rlhf_reward": "objective/rlhf_reward",
    "objective/entropy": "policy/entropy_avg",
    "loss/policy_avg": "loss/policy_avg",
    "loss/value_avg": "loss/value_avg",
}
"""What is compared of PPO: our name of the metric, and TRL's."""


@dataclass(frozen=True)
class Machine:
    """Where things are measured. folder: of weights and data, by size below it; gflops: the
    measured matmul peak; device and precision as preflab's runtime names them; ours: further
    overrides of our side."""

    folder: Path
    peer_python: str
    threads: int
    gflops: float
    device: str = "cpu"
    precision: str = "float32"
    ours: str = ""

    def environment(self, ours: bool) -> dict[str, str]:
        """Of a worker: as many OpenMP threads as torch is told, and this package in reach. Ours
        waits as on an idle machine, which it is at each turn, though not while both sides start."""
        threads = {
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
            "PYTHONPATH": str(TESTS),
        }
        return {**threads, "GOMP_SPINCOUNT": SPIN} if ours else threads

    def worker(self, ours: bool, stack: ExitStack, name: str, size: str, **more: Any) -> Worker:
        """A worker that is ready; it ends with the stack."""
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        job = {
            "name": name,
            "size": size,
            "folder": str(self.folder / size),
            "scratch": scratch,
            "threads": self.threads,
        }
        job |= {"device": self.device, "precision": self.precision, **more}
        job |= {"more": self.ours} if ours else {}
        python, module = (
            (sys.executable, "benchmarks.ours") if ours else (self.peer_python, "benchmarks.theirs")
        )
        log = self.folder / f"{module}.{name}.{size}.log"
        return stack.enter_context(Worker(python, module, job, self.environment(ours), log))

    def both(self, stack: ExitStack, name: str, size: str, **more: Any) -> tuple[Worker, Worker]:
        """Both workers."""
        return self.worker(True, stack, name, size, **more), self.worker(
            False, stack, name, size, **more
        )


def rows_of(machine: Machine, size: str) -> Any:
    """The token ids that `prepare` wrote."""
    return json.loads((machine.folder / size / "rows.json").read_text(encoding="utf8"))


def work(
    name: str, size: str, step: int, answer: Mapping[str, Any], rows: Any
) -> tuple[float, float]:
    """(amount, FLOP) of a unit of work."""
    model = SIZES[size]
    if name == "ppo_iteration":
        return 1.0, flops.ppo_iteration(model, ppo_shape(size))
    if name == "reward_model":
        shape = ranking_shape(size)
        return float(shape.prompts), flops.ranking_step(model, shape)
    if name == "sft":
        batch = sft_shape(size).batch
        lengths = [len(ids) for ids in rows["sft"][step * batch : (step + 1) * batch]]
        return float(sum(lengths)), flops.sft_step(model, lengths)
    lengths = answer["lengths"]
    return float(sum(lengths)), flops.rollout(model, rollout_shape(size), lengths)


def alternate(machine: Machine, name: str, size: str, repeats: int) -> Row:
    """Check that both sides compute the same, then measure them in turn."""
    check = check_ppo(machine, size) if name == "ppo_iteration" else {}
    rows = rows_of(machine, size)
    with ExitStack() as stack:
        sides = machine.both(stack, name, size)
        first = [side.ask("step") for side in sides]  # warm-up, and what the check looks at
        check |= check_first(name, sides, first, SAME[machine.precision])
        found: tuple[list[Unit], list[Unit]] = ([], [])
        last = first
        for step in range(1, repeats + 1):
            last = [side.ask("step") for side in sides]
            for units, answer in zip(found, last, strict=True):
                amount, flop = work(name, size, step, answer, rows)
                units.append(Unit(answer["seconds"], amount, flop))
        ours, peer = (
            Measured(tuple(u), answer["peak_mb"]) for u, answer in zip(found, last, strict=True)
        )
    return row(name, size, UNITS.get(name, "tokens/s"), ours, peer, machine.gflops, check)


def check_first(
    name: str,
    sides: tuple[Worker, Worker],
    first: Sequence[Mapping[str, Any]],
    tolerance: float = SAME["float32"],
) -> dict[str, float]:
    """What the first step says about whether both compute the same; `Different` if they do not."""
    if name == "ppo_iteration":
        ended = (
            metric(first[0], "objective/eos_rate") * ppo_shape(sides[0].size).batch,
            metric(first[1], "val/num_eos_tokens"),
        )
        if max(ended) > 1:
            raise Different(
                f"PPO: {ended[0]:.0f} of our responses and {ended[1]:.0f} of the peer's ended "
                "early: not the same work"
            )
        return {}
    if name in LOSS:
        return {
            "loss_difference": same(
                "the loss", metric(first[0], LOSS[name]), metric(first[1], "loss"), tolerance
            )
        }
    check: dict[str, float] = {}
    for who, answer in zip(("ours", "peer"), first, strict=True):
        judgements = [side.ask("judge", rows=answer["rows"]) for side in sides]
        difference = same_all(
            f"log-probabilities of the tokens of {who}", *(j["log_probs"] for j in judgements)
        )
        check[f"log_prob_difference_{who}"] = difference
        check[f"p_value_{who}"] = fits(who, judgements[0]["bins"])
        check[f"mean_length_{who}"] = sum(answer["lengths"]) / len(answer["lengths"])
    return check


def check_ppo(machine: Machine, size: str) -> dict[str, float]:
    """Two iterations on given responses, all in one minibatch: scores, KL, entropy and losses
    must agree before any update and after one. The largest difference; `Different` if it is too
    large."""
    worst = 0.0
    with ExitStack() as stack:
        sides = machine.both(stack, "ppo_iteration", size, given=True, precision="float32")
        for iteration in range(2):
            ours, peer = (side.ask("step") for side in sides)
            for mine, theirs in COMPARED.items():
                worst = max(
                    worst,
                    same(
                        f"PPO, iteration {iteration}, {mine}",
                        metric(ours, mine),
                        metric(peer, theirs),
                    ),
                )
    return {"ppo_difference": worst, "kl_after_update": metric(ours, "objective/kl")}


def metric(answer: Mapping[str, Any], name: str) -> float:
    """A metric of a step; `Different` if the side does not report it (any more)."""
    metrics: Mapping[str, float] = answer["metrics"]
    if name not in metrics:
        raise Different(
            f"there is no metric {name} to compare; a step reports {', '.join(sorted(metrics))}"
        )
    return metrics[name]


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
