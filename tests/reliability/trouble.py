"""A plugin whose algorithm fails in a chosen way, unless the working directory has a file
``mended``."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab import Component, hookimpl, option

STEP = 0.02


@dataclass
class TroubleConfig:
    """How to fail."""

    name: str = option("trouble", "component")
    how: str = option(
        "ok",
        "raise, sys_exit, os_exit, sigkill, sigsegv, memory, slow, hang, slow_start; else nothing",
    )


class Trouble:
    """A procedure of two steps, or of 3,000."""

    def __init__(self, config: TroubleConfig, context: Any) -> None:
        self.how = config.how
        self.total_steps = 3000 if self.how == "slow" else 2
        if self.how == "slow_start":
            Path("starting").touch()
            time.sleep(60)

    def step(self, index: int) -> Mapping[str, float]:
        if self.how == "slow":
            time.sleep(STEP)
        if index == 1 and not Path("mended").exists():
            self._fail()
        return {"loss/trouble": float(index)}

    def _fail(self) -> None:
        if self.how == "raise":
            raise ValueError("raised on purpose")
        if self.how == "sys_exit":
            sys.exit(7)
        if self.how == "os_exit":
            os._exit(0)
        if self.how == "sigkill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "sigsegv":
            ctypes.string_at(0)
        if self.how == "memory":
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            bytearray(1 << 32)
        if self.how == "hang":
            Path("hanging").touch()
            time.sleep(60)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is none."""

    def save(self, folder: Path) -> None:
        (folder / "done.txt").write_text(self.how)


@hookimpl
def preflab_components() -> list[Component]:
    """One algorithm."""
    return [Component("algorithm", "trouble", TroubleConfig, procedure=Trouble)]


ALONE = (
    "pretrain=none",
    "sft=none",
    "comparisons=none",
    "reward_model=none",
    "evaluation=none",
    "checkpoint.every_steps=1",
)
TINY = ("data.documents=100", "data.prompts=50", "data.demonstrations=10")
QUIET = ("--no-plugin", "report", "trackers.tensorboard=null")  # they take longer than the run
WORDS = ("--plugin", __file__, *QUIET, *ALONE, *TINY, "runtime.threads=1", "algorithm=trouble")
"""A run of this algorithm and nothing else."""
