"""What lies between the kernels of a GPU while preflab trains: the share of the time in which it
has none, and the operations on which the processor spends it.

    PYTHONPATH=tests python -m benchmarks.between_kernels --name sft --ours runtime.compile=true

Steps of a real stage are profiled after some that warm it up. One line of JSON on the standard
output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import TESTS
from benchmarks.ours import STAGES, Job, composed, step_through
from benchmarks.shapes import SIZES

WARM_UP, PROFILED, SHOWN = 3, 3, 12
"""Steps before, steps that are profiled, and operations that are shown."""
ON_GPU = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
ON_CPU = frozenset({"cpu_op", "cuda_runtime", "cuda_driver"})
"""Categories of torch's traces."""


@dataclass(frozen=True)
class Operation:
    """What a processor does: its name, how often, and its seconds without those of the operations
    that it calls."""

    name: str
    calls: int
    seconds: float


@dataclass(frozen=True)
class Between:
    """Of a trace: its seconds, those in which the GPU has a kernel, the share in which it has none,
    the number of kernels, and the operations that take longest. share_idle: None without a
    kernel."""

    seconds: float
    seconds_busy: float
    share_idle: float | None
    kernels: int
    operations: tuple[Operation, ...]


def between(events: Iterable[Mapping[str, Any]]) -> Between:
    """What the events of a Chrome trace say, times in microseconds."""
    timed = [event for event in events if event.get("ph") == "X"]
    gpu = [_span(event) for event in timed if event.get("cat") in ON_GPU]
    cpu = [event for event in timed if event.get("cat") in ON_CPU]
    spans = [*gpu, *map(_span, cpu)]
    whole = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0
    busy = covered(gpu)
    return Between(
        seconds=whole / 1e6,
        seconds_busy=busy / 1e6,
        share_idle=1 - busy / whole if gpu else None,
        kernels=len(gpu),
        operations=tuple(operations(cpu)[:SHOWN]),
    )


def _span(event: Mapping[str, Any]) -> tuple[float, float]:
    return float(event["ts"]), float(event["ts"]) + float(event.get("dur", 0))


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """How long at least one of some spans (start, end) lasts: kernels of several streams
    overlap."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def operations(events: Sequence[Mapping[str, Any]]) -> list[Operation]:
    """By name, the longest first. What lies within another operation on its thread is called by
    it."""
    calls, times = defaultdict[str, int](int), defaultdict[str, float](float)
    threads = defaultdict[Any, list[Mapping[str, Any]]](list)
    for event in events:
        threads[event.get("pid"), event.get("tid")].append(event)
    for of_thread in threads.values():
        callers: list[tuple[str, float]] = []
        for event in sorted(of_thread, key=lambda e: (_span(e)[0], -_span(e)[1])):
            (start, end), name = _span(event), str(event["name"])
            while callers and callers[-1][1] <= start:
                callers.pop()
            if callers:
                times[callers[-1][0]] -= end - start
            calls[name] += 1
            times[name] += end - start
            callers.append((name, end))
    found = [Operation(name, calls[name], time / 1e6) for name, time in times.items()]
    return sorted(found, key=lambda operation: -operation.seconds)


def profiled(job: Job, trace: Path) -> None:
    """Write the trace of some steps of the job's stage."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if job.device == "cuda":
        activities.append(ProfilerActivity.CUDA)
    profiler, done = profile(activities=activities), 0

    def observe(hook: str, **shown: Any) -> None:
        """Called by the engine after each step."""
        nonlocal done
        if hook != "preflab_step_finished":
            return
        done += 1
        if done in (WARM_UP, WARM_UP + PROFILED) and job.device == "cuda":
            torch.cuda.synchronize()
        if done == WARM_UP:
            profiler.start()
        elif done == WARM_UP + PROFILED:
            profiler.stop()
            profiler.export_chrome_trace(str(trace))

    step_through(job, composed(job, observe))


def job_of(arguments: Sequence[str], folder: Path, scratch: str) -> Job:
    """The command line; argparse ends the process for an unknown name."""
    parser = argparse.ArgumentParser(prog="benchmarks.between_kernels", description=__doc__)
    parser.add_argument("--size", default="smol_full", choices=list(SIZES))
    parser.add_argument("--name", default="sft", choices=list(STAGES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--ours", default="", dest="more", help="further overrides")
    found = vars(parser.parse_args(arguments))
    return Job(folder=str(folder / found["size"]), scratch=scratch, **found)


def main(arguments: Sequence[str]) -> int:
    """Profile, and print what lies between kernels; the exit code."""
    from benchmarks.bench import helper, tell
    from preflab.console.startup import calm_threads

    with tempfile.TemporaryDirectory() as scratch:
        job = job_of(arguments, TESTS.parent / "build" / "bench", scratch)
        tell(f"{job.size}: weights and data")
        helper("prepare", job.size, job.folder, threads=job.threads)
        calm_threads()
        trace = Path(scratch) / "trace.json"
        tell(f"{job.name}: {WARM_UP} steps, then {PROFILED} that are profiled")
        profiled(job, trace)
        found = between(json.loads(trace.read_text(encoding="utf8"))["traceEvents"])
    facts = {"name": job.name, "size": job.size, "precision": job.precision, "ours": job.more}
    print(json.dumps({**facts, "steps": PROFILED, **asdict(found)}))
    if found.share_idle is None:
        tell("no kernel of a GPU is in the trace: only what the processor does is counted")
    else:
        tell(f"the GPU has no kernel in {found.share_idle:.0%} of {found.seconds:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
