"""Freed memory stays in the process until it is given back."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from preflab.malloc import give_back, keep_memory

MEGABYTE = 2**20


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def freed() -> int:
    """Bytes of 64 MB of tensors that the system has again once they are gone."""
    tensors = [torch.ones(MEGABYTE // 4 * 8) for _ in range(8)]
    held = resident()
    del tensors
    return held - resident()


def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    keep_memory()
    assert freed() < 8 * MEGABYTE
    held = resident()
    give_back()
    assert held - resident() > 56 * MEGABYTE
    keep_memory(False)
    assert freed() > 56 * MEGABYTE
    keep_memory()
