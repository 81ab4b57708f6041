"""Two processes train as one process with accumulation 2 does, to the bit: reward model, PPO and PPO-ptx."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

from support import FakeContext, largest_difference

SCRIPT = """
import json, sys
from pathlib import Path
from preflab.optimization import OptimizerConfig
from preflab.records import Document, Prompt, Ranking, preferences_from_ranks
from preflab_builtin.ppo.config import Controller, KLPenaltyConfig, PPOConfig
from preflab_builtin.ppo.training import PPO
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.training import KwiseTraining
from preflab.rewards import FunctionReward
from preflab_builtin.rewards.functions import noise_reward
from support import WORDS, FakeContext

folder, micro_batch = Path(sys.argv[1]), int(sys.argv[2])
documents = [Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(9))) for i in range(12)]
prompts = [Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 5])) for i in range(10)]
texts = ("red", "red blue please thanks", "bad bad")
rankings = [Ranking(p, texts, preferences_from_ranks([1, 2, 3])) for p in prompts]
records = [*documents, *prompts, *rankings]
context = FakeContext(folder, records, micro_batch=micro_batch, reward=FunctionReward(noise_reward(0)))
ranked = FakeContext(folder, records, micro_batch=6)  # 4 rankings of 3 completions are two micro-batches
optimizer = OptimizerConfig(lr=1e-2)
kl = KLPenaltyConfig(coef=0.1, controller=Controller.adaptive, horizon=50.0)
ppo = PPOConfig(episodes=24, batch=8, minibatch=4, kl=kl, policy=optimizer, value=optimizer, ema=0.9)
ptx = PPOConfig(**{**vars(ppo), "terms": {"ptx": PtxConfig(coef=2.0, ratio=1.0, window=8)}})
rows = {}
for name, procedure in (
    ("reward_model", KwiseTraining(KwiseConfig(epochs=2, batch=4, optimizer=optimizer), ranked)),
    ("ppo", PPO(ppo, context)),
    ("ptx", PPO(ptx, context)),
):
    rows[name] = [dict(procedure.step(i)) for i in range(procedure.total_steps)]
    if context.runtime.rank == 0:
        procedure.save(folder / name)
if context.runtime.rank == 0:
    (folder / "rows.json").write_text(json.dumps(rows))
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
    one, two = (json.loads((tmp_path / name / "rows.json").read_text()) for name in ("one", "two"))
    fresh = FakeContext(tmp_path).policy("base").module.state_dict()
    # Each optimizer step is two micro-batches, the same rows in both cases, and a + b is a + b in either order.
    for stage in ("reward_model", "ppo", "ptx"):
        weights = [
            load_file(tmp_path / name / stage / "model" / "model.safetensors")
            for name in ("one", "two")
        ]
        assert largest_difference(*weights) == 0.0, stage
        assert any(not weights[0][k].equal(fresh[k]) for k in weights[0] if k in fresh)
        for first, second in zip(one[stage], two[stage], strict=True):
            assert first.keys() == second.keys()
            timeless = {k for k in first if not k.startswith("time/")}
            different = {
                k: (first[k], second[k])
                for k in timeless
                if abs(first[k] - second[k]) > 1e-4 * max(1, abs(first[k]))
            }
            assert not different, (stage, different)
