"""Folders of runs for the tests: a manifest, and the artifacts that people are asked about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab.records import Prompt, to_json
from preflab.storage.artifacts import file_digest
from preflab.storage.durable import write_json, write_sealed

Rows = Sequence[Mapping[str, Any]]


def run_folder(
    base: Path,
    name: str,
    artifacts: Mapping[str, tuple[str, Rows]],
    arm: str = "",
    labeler: Mapping[str, str] | None = None,
) -> Path:
    """``base/runs/NAME`` with a file of rows in the artifact of each stage."""
    folder = base / "runs" / name
    for stage, (file, rows) in artifacts.items():
        made = folder / "artifacts" / stage
        made.mkdir(parents=True)
        (made / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        write_sealed(made / "artifact.json", {"files": {file: file_digest(made / file)}})
    manifest = {
        "run": name,
        "config_name": "config",
        "overrides": [f"name={name}"],
        "arm": arm,
        "status": "complete",
        "where": {"cwd": str(base), "output_subdir": ".hydra"},
        "stages": [{"stage": stage, "artifact": ""} for stage in artifacts],
    }
    (folder / ".hydra").mkdir(parents=True)
    write_json(folder / "manifest.json", manifest)
    config = {"labeler": labeler or {"name": "simulated"}}
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    return folder


def evaluated(base: Path, name: str, responses: Sequence[str], **facts: Any) -> Path:
    """A finished run that answered prompts; the baseline's response to each is "base"."""
    rows = [
        {
            **{"prompt_id": f"p{i}", "prompt": f"say {i} .", "user": "", "tags": []},
            **{"response": response, "baseline": "base", "values": {}},
        }
        for i, response in enumerate(responses)
    ]
    return run_folder(base, name, {"evaluation": ("samples.jsonl", rows)}, **facts)


def sampled(base: Path, name: str, pool: Sequence[Sequence[str]], **facts: Any) -> Path:
    """A run that waits for people to rank its samples."""
    rows = [
        {"prompt": to_json(Prompt(f"p{i}", f"say {i} .", split="train")), "responses": responses}
        for i, responses in enumerate(pool)
    ]
    return run_folder(base, name, {"samples": ("pool.jsonl", rows)}, **facts)
