"""Two processes give the bits of one process with accumulation 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from support import FakeContext, largest_difference

SCRIPT = """
import sys
from pathlib import Path
from preflab.optimization import OptimizerConfig
from preflab.records import Demonstration, Document, Prompt
from preflab_builtin.pretrain.config import PretrainConfig
from preflab_builtin.pretrain.training import Pretraining
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from support import WORDS, FakeContext

folder, micro_batch = Path(sys.argv[1]), int(sys.argv[2])
documents = [Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9))) for i in range(12)]
demonstrations = [Demonstration(Prompt(str(i), " ".join(WORDS[: 1 + i % 5])), WORDS[i % 10]) for i in range(8)]
context = FakeContext(folder, [*documents, *demonstrations], micro_batch=micro_batch)
optimizer = OptimizerConfig(lr=1e-2)
for name, procedure in (
    ("pretrain", Pretraining(PretrainConfig(steps=3, batch=4, window=8, optimizer=optimizer), context)),
    ("sft", SupervisedFineTuning(SFTConfig(epochs=2, batch=4, dropout=0.1, optimizer=optimizer), context)),
):
    rows = [procedure.step(i) for i in range(procedure.total_steps)]
    if context.runtime.rank == 0:
        procedure.save(folder / name)
context.runtime.accelerator.wait_for_everyone()
context.runtime.accelerator.end_training()  # without it gloo's threads may abort a process that ends
"""


def test_two_processes_equal_one_with_accumulation(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
    ]
    for start, name in (([sys.executable], "one"), (launch, "two")):
        (tmp_path / name).mkdir()
        command = [*start, str(script), str(tmp_path / name), "2"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    for stage in ("pretrain", "sft"):
        one, two = (
            load_file(tmp_path / name / stage / "model" / "model.safetensors")
            for name in ("one", "two")
        )
        assert largest_difference(one, two) == 0
    fresh = dict(FakeContext(tmp_path).policy("base").module.named_parameters())
    assert not torch.equal(fresh["model.embed_tokens.weight"], one["model.embed_tokens.weight"])
