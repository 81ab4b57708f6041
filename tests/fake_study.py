"""A multirun folder made by hand: known numbers, a failed job, hostile text everywhere."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.kinds import STAGES

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)> & [bold]b[/bold] \x1b[31m |pipe|'
FAMILIES = ("addition", "facts", "letters", "stories")
ROLES = {spec.name: spec.makes for spec in STAGES}
LADDER: dict[str, dict[str, float]] = {
    "base": {
        "proxy": -0.19,
        "gold": -0.6,
        "win": 0.2,
        "kl": 15.8,
        "length": 11.7,
        "mean": 0.79,
        "loss": 1.019,
    },
    "SFT": {
        "proxy": 0.04,
        "gold": 0.39,
        "win": 0.5,
        "kl": 0.0,
        "length": 8.9,
        "mean": 0.80,
        "loss": 0.986,
    },
    "best-of-n": {
        "proxy": 0.77,
        "gold": 0.59,
        "win": 0.59,
        "kl": 0.64,
        "length": 10.1,
        "mean": 0.80,
        "loss": 0.986,
    },
    "PPO": {
        "proxy": 1.32,
        "gold": 0.60,
        "win": 0.60,
        "kl": 2.9,
        "length": 12.8,
        "mean": 0.70,
        "loss": 1.057,
    },
    "PPO-ptx": {
        "proxy": 1.22,
        "gold": 0.62,
        "win": 0.598,
        "kl": 2.5,
        "length": 12.6,
        "mean": 0.84,
        "loss": 0.973,
    },
}


def _measure(value: float, half: float | None = 0.03) -> dict[str, Any]:
    low, high = (None, None) if half is None else (value - half, value + half)
    return {"value": value, "low": low, "high": high, "n": 400}


def results(arm: str, shift: float) -> dict[str, Any]:
    v = LADDER[arm]
    measures = {
        "reward/proxy": _measure(v["proxy"] + shift),
        "gold/gold": _measure(v["gold"] + shift, 0.1),
        "gold/helpful": _measure(v["gold"] / 2),
        "gold/truthful": _measure(v["gold"] / 2),
        "gold/win": _measure(v["win"]),
        "win_rate/labelers": _measure(v["win"] + shift),
        "length/tokens": _measure(v["length"]),
        "length/terminated": _measure(0.98),
        "kl/bound" if arm == "best-of-n" else "kl/reference": _measure(
            v["kl"], None if arm == "best-of-n" else 0.2
        ),
        "families/mean": _measure(v["mean"]),
        "document_loss/all": _measure(v["loss"]),
        "reward_accuracy/proxy/all": _measure(0.67),
        "reward_accuracy/proxy/matched": {"value": None, "low": None, "high": None, "n": 0},
    }
    measures |= {
        f"families/{family}": _measure(v["mean"] + 0.02 * i) for i, family in enumerate(FAMILIES)
    }
    return {"subject": "result", "baseline": "sft", "n": 400, "measures": measures}


def _curve(arm: str, seed: int) -> list[dict[str, Any]]:
    """25 metric rows that approach the arm's reward and KL, with noise."""
    rng, rows = random.Random(f"{arm}{seed}"), []
    for step in range(25):
        reward = LADDER[arm]["proxy"] * (1 - math.exp(-step / 6)) + rng.gauss(0, 0.05)
        kl = LADDER[arm]["kl"] * (1 - math.exp(-step / 9)) + rng.gauss(0, 0.08)
        row = {
            "stage": "algorithm",
            "step": step,
            "time": 1.0,
            "objective/scores": reward,
            "objective/kl": kl,
        }
        phases = {
            "rollout": 0.5,
            "scoring": 0.1,
            "old_log_probs": 0.2,
            "update": 0.75 if arm == "PPO" else 1.25,
            "other": 0.05,
        }
        times = {f"time/{phase}": seconds for phase, seconds in phases.items()}
        rows.append(row | times | {"loss/value_avg": None, "time/peak_fraction": 0.25})
    return rows


def write_run(
    folder: Path,
    arm: str,
    seed: int,
    overrides: Sequence[str],
    evaluation: dict[str, Any] | None,
    **manifest: Any,
) -> None:
    """A run folder as preflab leaves it, with its artifacts in it."""
    folder.mkdir(parents=True)
    trained = ["algorithm"] if arm not in ("base", "SFT") else []
    names = ["pretrain", "sft", *trained, "evaluation"]
    rows = [_stage_row(folder / "kept", arm, seed, i, stage) for i, stage in enumerate(names)]
    if evaluation is not None:
        samples = "".join(json.dumps(row) + "\n" for row in _samples(arm))
        (Path(rows[-1]["artifact"]) / "samples.jsonl").write_text(samples)
    if arm in ("PPO", "PPO-ptx"):
        lines = [json.dumps(row) + "\n" for row in _curve(arm, seed)]
        (folder / "metrics.jsonl").write_text("".join(lines) + '{"cut in ha')
    facts: dict[str, Any] = {"run": folder.name, "config_name": "ladder"}
    facts |= {"overrides": list(overrides), "seed": seed, "arm": arm, "stages": rows}
    facts |= {"versions": {}, "status": "complete"}
    (folder / "manifest.json").write_text(json.dumps({**facts, **manifest}))
    summary: dict[str, Any] = {"run": folder.name} | (
        {"evaluation": evaluation} if evaluation else {}
    )
    (folder / "summary.json").write_text(json.dumps(summary))


def _stage_row(artifacts: Path, arm: str, seed: int, number: int, stage: str) -> dict[str, Any]:
    """A finished stage as a manifest has it; its folder is made."""
    upstream = stage in ("pretrain", "sft")
    place = artifacts / f"{stage}-{seed}-{'' if upstream else arm}"
    place.mkdir(parents=True)
    reused = upstream and arm != "base"
    row: dict[str, Any] = {"stage": stage, "name": {"algorithm": "ppo"}.get(stage, "documents")}
    row |= {"makes": ROLES[stage], "seed": seed, "artifact": str(place), "recipe": place.name}
    row |= {"reused": reused, "seconds": 0.0 if reused else 9.5}
    tokens, flops = 1_500_000 * (number + 1), 2e12 * (number + 1)
    cost = {"seconds": 10.0 + number, "tokens": tokens, "flops": flops, "peak_mb": 512}
    return row | {"cost": cost}


def _samples(arm: str) -> list[dict[str, Any]]:
    values = {"gold/gold": 0.5, "reward/proxy": None}
    facts: dict[str, Any] = {"tags": ["sum", EVIL], "tokens": 3, "values": values}
    texts = [
        {"prompt": f"please add {i} {EVIL}", "response": f"{arm} says {i} {EVIL}"}
        for i in range(12)
    ]
    return [
        {"prompt_id": f"p{i}", "terminated": i != 1, "baseline": f"sft says {i}", **facts, **t}
        for i, t in enumerate(texts)
    ]


def study(folder: Path, seeds: Sequence[int] = (1, 2, 3)) -> Path:
    """A multirun of the ladder with a job that failed."""
    ledger, job = [], 0
    for arm in LADDER:
        for seed in seeds:
            overrides = [f"arm={arm}", f"seed={seed}"]
            write_run(folder / str(job), arm, seed, overrides, results(arm, 0.02 * (seed - 2)))
            ledger.append(
                {
                    "job": job,
                    "overrides": overrides,
                    "status": "ok",
                    "exit_code": 0,
                    "folder": str(job),
                    "error": "",
                }
            )
            job += 1
    write_run(folder / str(job), "PPO", 9, ["arm=ppo", "seed=9"], None, status="failed")
    error = f"the gradient is not finite {EVIL}"
    ledger.append(
        {
            "job": job,
            "overrides": ["arm=ppo", "seed=9"],
            "exit_code": 5,
            "folder": str(job),
            "error": error,
        }
    )
    (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ledger))
    return folder


def write_declaring_run(
    folder: Path,
    study: str,
    label: str,
    seed: int,
    values: Mapping[str, float],
    claims: Sequence[tuple[str, str, str]],
    overrides: Sequence[str] = (),
    code: str = "",
    algorithm: int | None = None,
) -> None:
    """A run folder of a study with claims (name, arm, versus) about the measure g; every measure
    has 7 values. code: makes another result of the same overrides; algorithm: seed of this
    stage."""
    declared = {
        c: {"statement": f"{a} beats {b}", "measure": "g", "arm": a, "versus": b}
        for c, a, b in claims
    }
    config = {"title": f"Study {study}", "claims": declared, "series": {"line": ["A", "B"]}}
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(json.dumps({"study": config}))  # JSON is YAML
    stages = [{"stage": "evaluation", "recipe": f"{folder}{code}", "seed": seed}]
    if algorithm is not None:
        stages.insert(0, {"stage": "algorithm", "recipe": f"a{algorithm}", "seed": algorithm})
    manifest = {
        "config_name": study,
        "overrides": list(overrides),
        "seed": seed,
        "arm": label,
        "stages": stages,
        "status": "complete",
        "command": ["p", "-cn", study],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    measures = {name: {"value": value, "n": 7} for name, value in values.items()}
    (folder / "summary.json").write_text(json.dumps({"evaluation": {"measures": measures, "n": 7}}))
