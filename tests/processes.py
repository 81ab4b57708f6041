"""Training in one process and in several, forked from this one, which has imported torch."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

from accelerate.state import AcceleratorState, GradientState, PartialState
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

Training = Callable[[Path], None]


def trained(training: Training, folder: Path, processes: int, dies: bool = False) -> Path:
    """Call training(folder) in some forked processes that know of each other; the folder. dies:
    whether they are expected to fail."""
    folder.mkdir(exist_ok=True)
    child = multiprocessing.get_context("fork").Process(
        target=_launch, args=(training, folder, processes)
    )
    child.start()
    child.join(300)
    said = f"{processes} process(es) ended with {child.exitcode}"
    assert child.exitcode is not None, f"{processes} process(es) have not ended"
    assert (child.exitcode != 0) is dies, said
    return folder


def _launch(training: Training, folder: Path, processes: int) -> None:
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()  # what this process inherits knows of one process only
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="fork",
        max_restarts=0,
    )
    elastic_launch(launch, _ending)(training, folder)


def _ending(training: Training, folder: Path) -> None:
    from accelerate import Accelerator

    training(folder)
    accelerator = Accelerator(cpu=True)
    accelerator.wait_for_everyone()
    accelerator.end_training()  # without it gloo's threads may abort a process that ends
