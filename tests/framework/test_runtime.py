"""Shares and micro-batches of rows, and processes that do not know of each other."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflab import UserError
from preflab.launched import is_main, world_size
from preflab.options import problems
from preflab.runtime import Device, Runtime, RuntimeConfig, Sharding, weight


@pytest.mark.parametrize("n", [0, 1, 3, 8])
def test_shares_are_contiguous_and_hold_every_row_once(n: int) -> None:
    shares = []
    for rank in range(3):
        runtime = object.__new__(Runtime)
        runtime.accelerator = SimpleNamespace(process_index=rank, num_processes=3)
        shares.append(list(runtime.share(range(n))))
    assert [row for share in shares for row in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def one_of(rank: int, world: int, sharding: Sharding, micro_batch: int = 2) -> Runtime:
    """The runtime of a process that only counts."""
    runtime = object.__new__(Runtime)
    runtime.config = RuntimeConfig(micro_batch=micro_batch, sharding=sharding)
    runtime.accelerator = SimpleNamespace(process_index=rank, num_processes=world)
    return runtime


@pytest.mark.parametrize("n", [0, 1, 5, 7, 12])
def test_with_divided_weights_every_process_takes_as_many_passes(n: int) -> None:
    processes = [one_of(rank, 3, Sharding.full) for rank in range(3)]
    for read in (Runtime.passes, Runtime.read):
        passes = [list(read(runtime, range(n))) for runtime in processes]
        assert len({len(own) for own in passes}) == 1
        counted = [row for own in passes for rows in own if weight(rows) for row in rows]
        assert counted == list(range(n))
        assert all(list(rows) == [0] for own in passes for rows in own if not weight(rows))


def test_without_them_a_process_reads_its_own_rows_alone() -> None:
    """5 rows for two processes in micro-batches of 2: 2 rows, and 3 in two passes."""
    first, second = (one_of(rank, 2, Sharding.none) for rank in range(2))
    assert [list(rows) for rows in first.passes(range(5))] == [[0, 1]]
    assert [list(rows) for rows in second.passes(range(5))] == [[2, 3], [4]]


def test_what_is_only_read_keeps_the_micro_batches_of_one_process() -> None:
    """60 rows are 15 micro-batches of 4, 6 are two and 10 are three: they are dealt as they are. A
    single one would leave a process idle, so that its rows are dealt."""
    first, second = (one_of(rank, 2, Sharding.none, 4) for rank in range(2))
    pieces = [list(rows) for runtime in (first, second) for rows in runtime.read(range(60))]
    assert pieces == [list(range(i, i + 4)) for i in range(0, 60, 4)]
    assert [list(rows) for rows in first.read(range(6))] == [[0, 1, 2, 3]]
    assert [list(rows) for rows in second.read(range(6))] == [[4, 5]]
    assert [list(rows) for rows in first.read(range(10))] == [[0, 1, 2, 3]]
    assert [list(rows) for rows in second.read(range(10))] == [[4, 5, 6, 7], [8, 9]]
    assert [list(rows) for rows in first.read(range(4))] == [[0, 1]]
    assert [list(rows) for rows in second.read(range(4))] == [[2, 3]]


def test_more_processes_than_gpus_are_refused_before_cuda_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two GPUs; one alone may be another one in each process (srun --gpus-per-task=1)."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"3 processes .* 2 GPU\(s\).*--nproc_per_node 2"):
        Runtime(RuntimeConfig())


def test_micro_batches_are_consecutive() -> None:
    runtime = Runtime(RuntimeConfig(device=Device.cpu, micro_batch=3))
    assert list(runtime.micro_batches(range(7))) == [range(0, 3), range(3, 6), range(6, 7)]
    assert list(runtime.micro_batches(range(7), 5)) == [range(0, 5), range(5, 7)]
    assert list(runtime.micro_batches([])) == []


def test_one_process_has_the_whole_sum() -> None:
    runtime = Runtime(RuntimeConfig(device=Device.cpu))
    assert (runtime.rank, runtime.world, is_main(), world_size()) == (0, 1, True, 1)
    assert runtime.sum(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert runtime.gather([1, 2]) == [1, 2]
    assert runtime.agreed("x") == "x"


def test_processes_that_do_not_know_of_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"WORLD_SIZE is 2, but accelerate started 1 process"):
        Runtime(RuntimeConfig(device=Device.cpu))


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"runtime\.device=cuda, but torch sees no GPU"):
        Runtime(RuntimeConfig(device=Device.cuda))


def test_processes_wait_for_each_other_longer_than_torch_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Process 0 may wait for another job, or write a large model, for hours."""
    told: dict[str, Any] = {}

    def started(**given: Any) -> Any:
        told.update(given)
        return SimpleNamespace(num_processes=1, device="cpu")

    monkeypatch.setattr("accelerate.Accelerator", started)
    Runtime(RuntimeConfig(device=Device.cpu)).start()
    (handler,) = told["kwargs_handlers"]
    assert handler.timeout.days >= 1


def test_one_process_divides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    full = RuntimeConfig(sharding=Sharding.full)
    assert not full.divides
    assert replace(full, processes=2).divides
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert full.divides
    assert not RuntimeConfig(processes=2).divides


def test_to_compile_without_fast_paths_is_refused() -> None:
    ((key, said),) = problems(RuntimeConfig(compile=True, fast_paths=False), "runtime.")
    assert key == "runtime.compile"
    assert "with runtime.fast_paths=false nothing is there to compile" in said
    assert not list(problems(RuntimeConfig(compile=True)))
