"""What glibc does with memory that a process has freed."""

from __future__ import annotations

import contextlib
import ctypes


def keep_memory(keep: bool = True) -> None:
    """Have glibc keep freed memory for the next tensor of that size. By default it gives large
    pieces back to the system immediately and is handed zeroed pages again at the next step: a
    quarter of the CPU time of a small model's training step.

    keep: False gives every piece of a megabyte back at once, what was kept too. Weights that are
    gathered block by block, also by threads of gloo, else leave as much behind as whole weights
    take."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has no mallopt
        libc = ctypes.CDLL("libc.so.6")
        mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
        if not keep:
            libc.mallopt(mmap_threshold, 2**20)
            give_back()
            return
        # Some versions take no more.
        libc.mallopt(mmap_threshold, 2**30) or libc.mallopt(mmap_threshold, 2**25)
        libc.mallopt(trim_threshold, 2**31 - 1)


def give_back() -> None:
    """Have glibc give back to the system the freed memory that it keeps for later
    (`keep_memory`)."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has no malloc_trim
        ctypes.CDLL("libc.so.6").malloc_trim(0)
