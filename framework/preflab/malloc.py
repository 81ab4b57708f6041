"""What glibc does with memory that tensors on a CPU have freed."""

from __future__ import annotations

import contextlib
from typing import Any

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h."""


def keep_memory(keep: bool = True) -> None:
    """Have glibc keep freed memory for the next tensor of that size. By default it gives large
    pieces back to the system immediately and is handed zeroed pages again at the next step: a
    quarter of the CPU time of a small model's training step.

    keep: False gives every piece of a megabyte back at once, what was kept too. Weights that are
    gathered block by block, also by threads of gloo, else leave as much behind as whole weights
    take."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has no mallopt
        libc = _libc()
        if not keep:
            libc.mallopt(_MMAP_THRESHOLD, 2**20)
            give_back()
            return
        # Some versions take no more.
        libc.mallopt(_MMAP_THRESHOLD, 2**30) or libc.mallopt(_MMAP_THRESHOLD, 2**25)
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Have glibc give freed memory back to the system once, also what `keep_memory` has it keep."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has no malloc_trim
        _libc().malloc_trim(0)


def _libc() -> Any:
    import ctypes  # no command that computes nothing needs it

    return ctypes.CDLL("libc.so.6")
