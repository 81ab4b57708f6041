"""``preflab runs compare``: first what was typed, then what else differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.storage.test_runs import write
from preflab.console.commands import run


@pytest.fixture(autouse=True)
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs. For the second no coefficient was typed: its algorithm has another one."""
    monkeypatch.chdir(tmp_path)
    typed = {
        "a": ["algorithm=ppo", "algorithm.kl.coef=0.1", "seed=1", "+sft.masked=true", "name=a"],
        "b": ["algorithm=grpo", "seed=1"],
    }
    for name, coef in (("a", 0.1), ("b", 0.2)):
        stages = [{"stage": "sft", "recipe": name * 64, "artifact": "none", "seconds": 1.0}]
        folder = write(Path("runs/config") / name, overrides=typed[name], name=name, stages=stages)
        option = typed[name][0].partition("=")[2]
        config = {
            "name": name,
            "seed": 1,
            "algorithm": {"name": option, "kl": {"coef": coef}, f"of_{option}": 1},
            "sft": {"masked": name == "a", "epochs": 2, "weights": [1, None]},
            "rollout": {"max_tokens": 8 if name == "a" else 16},
        }
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
        noted = {"hydra": {"runtime": {"choices": {"algorithm": option, "sft": "demonstrations"}}}}
        (folder / ".hydra" / "hydra.yaml").write_text(json.dumps(noted))
        measures = {"reward/proxy": {"value": coef}, "length/tokens": {"value": 8.0}}
        (folder / "summary.json").write_text(json.dumps({"evaluation": {"measures": measures}}))


DIFFERENT = {
    "runs": ["runs/config/a", "runs/config/b"],
    "typed": {
        "algorithm": ["ppo", "grpo"],
        "algorithm.kl.coef": ["0.1", "0.2"],
        "sft.masked": ["true", "false"],
    },
    "config": {"rollout.max_tokens": ["8", "16"]},
    "made with": {},
    "stages": {"sft": ["a" * 16, "b" * 16]},
    "measures": {"reward/proxy": ["0.1", "0.2"]},
}


def test_what_differs_is_shown_first_what_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    run("runs", ["compare", "a", "b", "--json"])
    assert json.loads(capsys.readouterr().out) == DIFFERENT
    run("runs", ["compare", "a", "b"])
    table = capsys.readouterr().out
    assert table.index("algorithm.kl.coef") < table.index("rollout.max_tokens")
    assert "of_ppo" not in table


def test_measures_that_are_asked_for_are_shown_though_they_are_equal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("runs", ["compare", "a", "b", "--measures", "length/*", "--json"])
    assert json.loads(capsys.readouterr().out)["measures"] == {"length/tokens": ["8", "8"]}


def test_a_comparison_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    run("runs", ["compare", "a", "a", "--json"])
    parts = json.loads(capsys.readouterr().out)
    assert not any(rows for part, rows in parts.items() if part != "runs")


def test_measures_are_compared_as_they_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    # 0.20001 and 0.2 are both shown as 0.2; other things are the same to the last letter.
    measures = {"reward/proxy": {"value": 0.20001}, "length/tokens": {"value": 8.0}}
    summary = Path("runs/config/a/summary.json")
    summary.write_text(json.dumps({"evaluation": {"measures": measures}}))
    run("runs", ["compare", "a", "b"])
    lines = capsys.readouterr().out.splitlines()
    said = {line.split("│")[1].strip(): line for line in lines if "the same" in line}
    assert list(said) == ["made with", "measures"]
    assert "the same to 4 digits" in said["measures"]
    assert "digits" not in said["made with"]
