"""Shares and micro-batches of rows, and processes that do not know of each other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from preflab import UserError
from preflab.runtime import Device, Runtime, RuntimeConfig, is_main, threads, world_size


@pytest.mark.parametrize("n", [0, 1, 3, 8])
def test_shares_are_contiguous_and_hold_every_row_once(n: int) -> None:
    shares = []
    for rank in range(3):
        runtime = object.__new__(Runtime)
        runtime.accelerator = SimpleNamespace(process_index=rank, num_processes=3)
        shares.append(list(runtime.share(range(n))))
    assert [row for share in shares for row in share] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


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


def test_threads_are_those_that_torch_uses() -> None:
    assert threads(RuntimeConfig(threads=3)) == 3
    assert threads(RuntimeConfig()) == torch.get_num_threads()
