"""Jobs that launchers of others start: two machines, played by two torchrun agents on the loopback,
with one folder and with a folder each; and accelerate's launcher."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from end_to_end.runs import digests, preflab
from support import largest_difference

pytestmark = pytest.mark.reliability

WORDS = (
    *("debug=fast", "artifacts.dir=artifacts", "runtime.threads=1", "evaluation=none"),
    "algorithm=none",
)


def agents(folders: Sequence[Path], *words: str) -> list[int]:
    """The exit codes of torchrun on each machine, one process each; the output goes to
    log-N.txt."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = []
    for number, folder in enumerate(folders):
        command = [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", str(len(folders)), "--node_rank", str(number), "--nproc_per_node", "1"),
            *("--master_addr", "127.0.0.1", "--master_port", str(port), "-m", "preflab", *words),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (folder / f"log-{number}.txt").open("wb") as log:
            running.append(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            )
    try:
        return [agent.wait(240) for agent in running]
    finally:
        for agent in running:
            agent.kill()
            agent.wait()


def test_two_machines_with_one_folder_make_one_run(tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    together.mkdir()
    alone.mkdir()
    assert agents([together, together], *WORDS) == [0, 0], (together / "log-0.txt").read_text()
    assert preflab(alone, *WORDS, "runtime.micro_batch=4") == 0
    (run,) = together.glob("runs/config/*")
    assert json.loads((run / "manifest.json").read_text())["status"] == "complete"
    assert digests(together).keys() == digests(alone).keys()


def test_two_machines_with_a_folder_each_end_within_the_first_stage(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    assert agents(folders, *WORDS) == [1, 1]  # torchrun's own code
    logs = [(folder / f"log-{number}.txt").read_text() for number, folder in enumerate(folders)]
    for log in logs:
        assert "Process 1 does not see the artifact pretrain-" in log
        assert f"process 0 has in {folders[0]}/artifacts/pretrain-" in log
        assert f"{folders[1]}/artifacts/pretrain-" in log
    # Whoever ends first, torchrun stops the other, if it is still there.
    assert "exitcode  : 4" in "".join(logs)
    assert not list(tmp_path.glob("*/artifacts/pretrain-*/artifact.json"))


def test_accelerate_launch_divides_the_weights_as_it_is_asked_to(tmp_path: Path) -> None:
    """The command of framework/README.md, on two processes of a CPU; the weights are those that one
    process trains, but for the order of sums."""
    launched, alone = tmp_path / "launched", tmp_path / "alone"
    launched.mkdir()
    alone.mkdir()
    page = (Path(__file__).parents[2] / "framework" / "README.md").read_text(encoding="utf8")
    (given,) = re.findall(r"`accelerate (launch --use_fsdp .*) -m preflab WORDS`", page)
    left_out = ("sft", "samples", "comparisons", "labeler", "reward_model")
    words = (*WORDS, *(f"{group}=none" for group in left_out), "runtime.device=cpu")
    command = [
        *(sys.executable, "-m", "accelerate.commands.accelerate_cli"),
        *given.replace("--num_processes 8", "--num_processes 2").split(),
        *("--fsdp_sharding_strategy", "SHARD_GRAD_OP", "--fsdp_activation_checkpointing", "true"),
        *("-m", "preflab", *words),
    ]
    log = launched / "log.txt"
    with log.open("wb") as stream:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        options: dict[str, Any] = {"cwd": launched, "env": environment, "timeout": 480}
        done = subprocess.run(command, stdout=stream, stderr=stream, check=False, **options)
    said = log.read_text()
    assert done.returncode == 0, said[-3000:]
    asked = "runtime.sharding=full runtime.reshard=false runtime.checkpointing=true"
    assert f"--use_fsdp is taken as {asked}." in said
    assert preflab(alone, *words) == 0
    two, one = (
        load_file(next(folder.glob("artifacts/pretrain-*/model/model.safetensors")))
        for folder in (launched, alone)
    )
    assert largest_difference(one, two) <= 1e-5
