"""What the profile of a training step counts, on a trace that is written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.between_kernels import between, covered, job_of


def event(category: str, name: str, start: float, end: float, thread: int = 1) -> dict[str, Any]:
    """Times in microseconds, as in a Chrome trace."""
    span = {"ts": start, "dur": end - start}
    return {"ph": "X", "cat": category, "name": name, "pid": 1, "tid": thread, **span}


TRACE = [
    {"ph": "M", "name": "process_name"},
    event("cpu_op", "backward", 0, 1000, thread=2),
    event("cpu_op", "linear", 0, 600),
    event("cpu_op", "addmm", 100, 300),
    event("cuda_runtime", "cudaLaunchKernel", 150, 200),
    event("cpu_op", "addmm", 300, 400),  # begins where the other ends: not within it
    event("cpu_op", "linear", 700, 800),
    event("python_function", "step", 0, 5000),  # is not counted
    event("kernel", "gemm", 200, 400, thread=7),
    event("kernel", "gelu", 300, 500, thread=8),  # of another stream, half at the same time
    event("gpu_memcpy", "copy", 900, 1000, thread=7),
]


def test_the_gpu_is_idle_where_no_stream_has_a_kernel() -> None:
    """Of 1000 microseconds 200 to 500 and 900 to 1000 have one."""
    found = between(TRACE)
    assert found.seconds == pytest.approx(1e-3)
    assert found.seconds_busy == pytest.approx(0.4e-3)
    assert found.share_idle == pytest.approx(0.6)
    assert found.kernels == 3


def test_an_operation_has_the_time_that_those_within_it_do_not_have() -> None:
    """linear 600 + 100 less 200 + 100 of addmm, which has 300 less 50 of the launch."""
    found = {operation.name: operation for operation in between(TRACE).operations}
    assert list(found) == ["backward", "linear", "addmm", "cudaLaunchKernel"]
    seconds = [operation.seconds * 1e6 for operation in found.values()]
    assert seconds == pytest.approx([1000, 400, 250, 50])
    assert found["addmm"].calls == found["linear"].calls == 2


def test_without_a_kernel_nothing_is_said_of_the_gpu() -> None:
    found = between([e for e in TRACE if e.get("cat") == "cpu_op"])
    assert (found.share_idle, found.kernels, found.seconds_busy) == (None, 0, 0)
    assert between([]).seconds == 0


def test_spans_that_touch_or_contain_each_other_count_once() -> None:
    assert covered([(5, 6), (0, 4), (1, 2), (4, 5)]) == 6
    assert covered([]) == 0


def test_the_command_line_names_a_job() -> None:
    more = "runtime.compile=true"
    job = job_of(["--size", "tiny", "--device", "cpu", "--ours", more], Path("data"), "scratch")
    assert (job.folder, job.size, job.name, job.more) == ("data/tiny", "tiny", "sft", more)
