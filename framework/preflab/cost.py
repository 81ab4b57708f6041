"""How much was computed: tokens read and arithmetic done by models in this process, and what the
machine could do.

Models count what they do (`WORK.add`); a stage's cost and an algorithm's profile are differences of
two readings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from preflab.runtime import Runtime


@dataclass
class Work:
    """tokens: read by models, each pass counted, pads never. flops: floating-point operations of
    their matrix products (2 for a multiplication with its addition; a pass that is trained counts 3
    times), without what is computed again to save memory."""

    tokens: int = 0
    flops: float = 0.0

    def add(self, tokens: int, flops: float) -> None:
        """Count a pass."""
        self.tokens += tokens
        self.flops += flops

    def reading(self) -> Work:
        """What was done so far."""
        return replace(self)

    def since(self, before: Work) -> Work:
        """What was done since a reading."""
        return Work(self.tokens - before.tokens, self.flops - before.flops)

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.flops + other.flops)


WORK = Work()
"""Of this process."""


class Spent:
    """The work of making a stage, counted from now on and through kills: steps that a kill undid do
    not count twice. reading: what was done so far, by default in this process."""

    def __init__(self, reading: Callable[[], Work] = WORK.reading) -> None:
        self.total, self._reading, self._counted = Work(), reading, reading()

    def count(self) -> None:
        """Add what was done since it was last counted."""
        now = self._reading()
        self.total, self._counted = self.total + now.since(self._counted), now

    def goes_on(self, total: Work) -> None:
        """Replace what was counted by the total of a checkpoint from which the stage goes on."""
        self.total, self._counted = total, self._reading()


@lru_cache
def peak_flops(device: torch.device, threads: int) -> float:
    """Operations per second that a large float32 matrix product reaches here: measured once per
    process and number of threads, in about 0.2 s. It is a yardstick, not a limit: small products
    stay below it, and bfloat16 on a GPU goes beyond."""
    import torch

    size, repeats = (2048, 40) if device.type == "cuda" else (768, 6)
    a, b = (torch.ones(size, size, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(3):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return repeats * 2 * size**3 / best


class Profile:
    """Where a step's time goes, part by part, and how much of the machine its arithmetic uses."""

    def __init__(self, runtime: Runtime) -> None:
        import torch

        self.runtime = runtime
        # Measured before the clock starts.
        self.peak = peak_flops(runtime.device, torch.get_num_threads())
        self.before, self.parts = WORK.reading(), dict[str, float]()
        self.started = self.last = self._now()

    def ended(self, part: str) -> None:
        """Since the last part ended this one was done."""
        now = self._now()
        self.parts[part], self.last = now - self.last, now

    def metrics(self) -> dict[str, float]:
        """time/PART: seconds; time/peak_fraction: operations per second, as a share of what a large
        matrix product reaches."""
        share = WORK.since(self.before).flops / (self.peak * (self.last - self.started))
        return {f"time/{part}": seconds for part, seconds in self.parts.items()} | {
            "time/peak_fraction": share
        }

    def _now(self) -> float:
        if self.runtime.device.type == "cuda":
            import torch

            # Kernels are only queued: wait for them once per part.
            torch.cuda.synchronize(self.runtime.device)
        return time.perf_counter()
