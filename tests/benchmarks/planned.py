"""What `preflab plan` reckons of memory against what runs held: python tests/benchmarks/planned.py
(minutes). A line of JSON for each stage of three models of the embedded world: reckoned and
measured MB, and their ratio; operations, reckoned and counted, and how many were done per second.
Exit code 1 if memory is further off than 15 %.

The constants of `preflab.memory` were fitted to the benchmark's workers; these are whole runs from
the command line, of other shapes. Of two processes that divide weights the peak is that of process
0, which saves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from preflab.composing.compose import parse
from preflab.planning.reading import check_jobs
from preflab.planning.sizing import sized
from preflab.storage.artifacts import opened

DIVIDED = "runtime.processes=2 runtime.sharding=full"
MODELS = {
    "llama 4 x 128": "policy.family=llama policy.layers=4 policy.width=128 policy.heads=4",
    "llama 6 x 384": "policy.family=llama policy.layers=6 policy.width=384 policy.heads=6",
    "gpt2 8 x 512": "policy.family=gpt2 policy.layers=8 policy.width=512 policy.heads=8",
    **{
        f"gpt2 8 x {width}, divided": "policy.family=gpt2 policy.layers=8 policy.heads=8 "
        f"policy.width={width} {DIVIDED}"
        for width in (512, 768)
    },
}
ONCE = (
    "pretrain.steps=2 sft.steps=2 evaluation=none rollout.max_tokens=32 data.documents=400 "
    "data.prompts=120 data.demonstrations=80 checkpoint.state_mb=0 "
    "checkpoint.every_seconds=100000 checkpoint.every_steps=1 runtime.threads=1"
)
"""A few steps of each stage, of the batches that a run has, and a checkpoint."""
_RANKED = "samples.prompts=20 samples.validation_prompts=4 samples.k=4 reward_model.steps=2"
_PPO = "algorithm=ppo algorithm.episodes=128 algorithm.batch=64 algorithm.minibatch=32"
STAGES = {
    "sft": "reward_model=none algorithm=none samples=none comparisons=none",
    "reward_model": f"algorithm=none {_RANKED}",
    "algorithm": f"{_PPO} algorithm.epochs=1 {_RANKED}",
}
"""What makes a stage the last of its run. A process has held what its stages before held, so that
each is made in a process of its own, which takes the others from their artifacts."""
OFF = 0.15


def rows(model: str, folder: Path) -> Iterator[dict[str, object]]:
    """The stages of one model."""
    for name, last in STAGES.items():
        words = [*MODELS[model].split(), *ONCE.split(), *last.split()]
        words += [f"artifacts.dir={folder / 'artifacts'}", f"hydra.run.dir={folder / name}"]
        (job,) = check_jobs(parse(words))
        stage = job.run.stage(name)
        assert stage is not None
        reckoned = sized(job.run, stage)
        assert reckoned is not None
        subprocess.run([sys.executable, "-m", "preflab", *words], check=True, stdout=sys.stderr)
        (made,) = (folder / "artifacts").glob(f"{name}-*/artifact.json")
        cost = opened(made.parent).manifest["cost"]
        measured = float(cost["peak_mb"])
        own = reckoned.memory.total / 2**20
        yield {
            "model": model,
            "stage": name,
            "reckoned_mb": round(own),
            "measured_mb": round(measured),
            "ratio": round(own / measured, 2),
            "reckoned_flops": reckoned.flops,
            "counted_flops": cost["flops"],
            "gflops_a_second": round(cost["flops"] / cost["seconds"] / 1e9, 1),
            "parts_mb": {k: round(v / 2**20) for k, v in vars(reckoned.memory).items() if v},
        }


def main() -> int:
    """All models, or those whose names hold a word of the command line."""
    os.environ["OMP_NUM_THREADS"] = "1"
    worst = 0.0
    for model in MODELS:
        if sys.argv[1:] and not any(word in model for word in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in rows(model, Path(folder)):
                print(json.dumps(row), flush=True)
                worst = max(worst, abs(float(str(row["ratio"])) - 1))
    return int(worst > OFF)


if __name__ == "__main__":
    sys.exit(main())
