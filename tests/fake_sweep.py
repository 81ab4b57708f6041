"""Run folders of any number of arms and seeds, made by hand in milliseconds: what a study leaves,
with the logs of every stage. Nothing is trained."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.kinds import STAGES

ROLES = {spec.name: spec.makes for spec in STAGES}
CLAIMS = {
    "less_kl": {
        "statement": "The smallest KL coefficient gives more reward than the largest",
        "measure": "reward/proxy",
        "arm": "coef=0",
        "versus": "coef=1",
    },
    "tax": {
        "statement": "It also keeps fewer of the pretraining tasks",
        "measure": "families/mean",
        "arm": "coef=0",
        "versus": "coef=1",
        "more": False,
    },
}


def one_run(folder: Path) -> Path:
    """A single run without a study."""
    _write(folder / "run", "", 1, ["algorithm=ppo"], 0.4, {})
    return folder


def two_by_two(folder: Path) -> Path:
    """Two arms, two seeds, claims."""
    arms = {"coef=0": 0.0, "coef=1": 1.0}
    return _study(folder, arms, (1, 2), {"title": "Two by two", "claims": CLAIMS})


def fifty_runs(folder: Path) -> Path:
    """Fifty arms of one seed, told apart by two swept keys; no claims."""
    job = 0
    for algorithm in ("ppo", "grpo", "rloo", "online_dpo", "expert_iteration"):
        for i in range(10):
            words = [f"algorithm={algorithm}", f"algorithm.kl.coef={0.01 * 2**i:g}"]
            _write(folder / str(job), "", 1, words, (job % 10 + len(algorithm) / 9) / 11, {})
            job += 1
    return folder


def _study(
    folder: Path, arms: Mapping[str, float], seeds: Sequence[int], declared: Mapping[str, Any]
) -> Path:
    for number, (arm, place) in enumerate(arms.items()):
        for seed in seeds:
            job = folder / str(number * len(seeds) + seed)
            _write(job, arm, seed, [f"arm={arm}", f"seed={seed}"], place, declared)
    return folder


def _write(
    folder: Path,
    arm: str,
    seed: int,
    words: Sequence[str],
    place: float,
    declared: Mapping[str, Any],
) -> None:
    """A finished run. place: of its arm between the ends of the sweep, 0 to 1."""
    rng = random.Random(f"{arm}{words}{seed}")
    artifacts = folder.parent / "kept"
    rows = []
    for stage in ("pretrain", "sft", "reward_model", "algorithm", "evaluation"):
        shared = stage in ("pretrain", "sft", "reward_model")
        place_of = artifacts / f"{stage}-{seed}{'' if shared else folder.name}"
        made = not place_of.exists()
        if made:
            place_of.mkdir(parents=True)
            _lines(
                place_of / "metrics.jsonl", _log(stage, place, random.Random(f"{place_of.name}"))
            )
        cost = {"seconds": 20.0, "tokens": 3e6, "flops": 4e12, "peak_mb": 700.0}
        rows.append(
            {"stage": stage, "name": "ppo" if stage == "algorithm" else stage, "seed": seed}
            | {"makes": ROLES[stage], "artifact": str(place_of), "recipe": place_of.name}
            | {"reused": not made, "seconds": 20.0 * made, "cost": cost}
        )
    _lines(Path(str(rows[-1]["artifact"])) / "samples.jsonl", _samples(place))
    facts = {"run": folder.name, "config_name": "sweep", "overrides": list(words), "seed": seed}
    facts |= {"arm": arm, "stages": rows, "versions": {}, "status": "complete"}
    facts |= {"command": ["preflab", "-cn", "sweep"]}
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(json.dumps({"study": declared, "fast": False}))
    (folder / "manifest.json").write_text(json.dumps(facts))
    dropped = {"total": 900, "dropped": {"private": 4}, "kept": {"train": 896}}
    evaluation = {"baseline": "sft", "n": 200, "measures": _measures(place, rng)}
    summary = {"evaluation": evaluation, "records": {"prompts": dropped}}
    (folder / "summary.json").write_text(json.dumps(summary))


def _measures(place: float, rng: random.Random) -> dict[str, Any]:
    def measure(value: float, half: float) -> dict[str, Any]:
        value += rng.gauss(0, half / 4)
        return {"value": value, "low": value - half, "high": value + half, "n": 200}

    kl, gain = 4.0 * (1 - place) ** 2, 1 - place
    return {
        "reward/proxy": measure(0.2 + gain, 0.06),
        "gold/gold": measure(0.4 + 0.4 * gain - 0.5 * gain**2, 0.05),
        "gold/helpful": measure(0.3 + 0.3 * gain, 0.05),
        "gold/truthful": measure(0.1 - 0.2 * gain, 0.02),
        "win_rate/held_out": measure(0.5 + 0.1 * gain, 0.03),
        "win_rate/labelers": measure(0.5 + 0.08 * gain, 0.03),
        "kl/reference": measure(kl, 0.1),
        "length/tokens": measure(8 + 4 * gain, 0.4),
        "length/terminated": measure(0.95, 0.02),
        "families/mean": measure(0.82 - 0.15 * gain, 0.03),
        "families/addition": measure(0.9 - 0.2 * gain, 0.04),
        "families/stories": measure(0.7 - 0.1 * gain, 0.04),
        "document_loss/all": measure(0.95 + 0.1 * gain, 0.02),
        "reward_accuracy/proxy/all": measure(0.67, 0.03),
    }


def _log(stage: str, place: float, rng: random.Random) -> list[dict[str, Any]]:
    """300 rows of a trained stage with validation after every hundred, 40 of the algorithm."""

    def loss(step: int, start: float) -> float:
        return start * (0.4 + 0.6 * math.exp(-step / 60)) + rng.gauss(0, 0.04)

    if stage == "algorithm":
        phases = {
            "rollout": 0.5,
            "scoring": 0.1,
            "old_log_probs": 0.2,
            "update": 0.9,
            "other": 0.02,
        }
        return [
            {"step": step, "objective/scores": (1.2 - place) * (1 - math.exp(-step / 9))}
            | {"objective/kl": 4 * (1 - place) * (1 - math.exp(-step / 15)) + rng.gauss(0, 0.1)}
            | {f"time/{phase}": seconds for phase, seconds in phases.items()}
            for step in range(40)
        ]
    if stage == "evaluation":
        return []
    rows: list[dict[str, Any]] = []
    for step in range(300):
        row: dict[str, Any] = {"step": step, f"loss/{stage}": loss(step, 2.0)}
        checked = step % 100 == 99
        if stage == "reward_model":
            row["reward_model/accuracy"] = 0.75 - 0.2 * math.exp(-step / 50) + rng.gauss(0, 0.05)
            if checked:
                row["reward_model/validation_accuracy"] = 0.68 + step / 10_000
        elif checked:
            row[f"{stage}/validation_loss"] = loss(step, 2.1)
        rows.append(row)
    return rows


def _samples(place: float) -> list[dict[str, Any]]:
    return [
        {
            "prompt_id": f"p{i}",
            "tags": ["sum"],
            "prompt": f"What is {i} plus {i}?",
            "response": f"It is {2 * i}. " + "Is there anything else? " * round(2 * (1 - place)),
            "baseline": f"{2 * i}",
            "terminated": True,
            "values": {"gold/gold": 0.5, "reward/proxy": 1 - place},
        }
        for i in range(12)
    ]


def _lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
