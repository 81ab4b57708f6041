"""``preflab runs``: the table, what differs, removal only after a yes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from framework.storage.test_runs import write
from preflab import UserError
from preflab.console import runs
from preflab.console.commands import run


@pytest.fixture(autouse=True)
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs that differ in the coefficient, and in the options of their reward model."""
    monkeypatch.chdir(tmp_path)
    stages = [{"stage": "sft", "recipe": "a" * 64, "artifact": "none", "seconds": 900.0}]
    for name, coef, reward in (("a", 0.1, "length"), ("b", 0.2, "noise")):
        facts = {"name": name, "tags": ["tax", name], "note": f"try {name}", "versions": {"x": "1"}}
        started = "2026-11-29T12:00:00+00:00"
        folder = write(
            Path("runs/config") / name, arm="PPO", started=started, stages=stages, **facts
        )
        config = {
            "name": name,
            "algorithm": {"name": "ppo", "kl": {"coef": coef}},
            "reward_model": {"name": reward, f"of_{reward}": 1},
        }
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
        measures = {"reward/proxy": {"value": coef, "low": 0.0, "high": 1.0}}
        (folder / "summary.json").write_text(json.dumps({"evaluation": {"measures": measures}}))


def test_the_table_has_name_arm_state_hours_and_chosen_measures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("runs", ["--measures", "reward/*"]) == 0
    table = capsys.readouterr().out
    row = next(line for line in table.splitlines() if "runs/config/b" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:2] == ["runs/config/b", "PPO"]
    assert cells[3:] == ["complete", "0.25", "0.2", "tax b", "try b"]  # 900 s are 0.25 hours


def test_json_and_tags(capsys: pytest.CaptureFixture[str]) -> None:
    run("runs", ["runs", "--json", "--tag", "a"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["folder"], row["name"], row["tags"]) == ("runs/config/a", "a", ["tax", "a"])
    assert row["measures"]["reward/proxy"]["value"] == 0.1


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_a_run_can_be_copied_at_any_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table needs 77 characters: cells of 13, 3, 16, 8, 5, 5 and 5 (55), two blanks in each
    (14), and 8 lines around them."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    run("runs", [])
    lines = capsys.readouterr().out.splitlines()
    assert sum("runs/config/b " in f"{line} " for line in lines) == 1
    assert lines[0].startswith("┏") == (width >= 80)
    if width < 80:
        assert "PPO, complete, 2026-11-29 12:00, hours 0.25, tags tax b, note try b" in lines[3]


def test_without_an_arm_the_words_tell_runs_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the jobs of a multirun those that not all of them have."""
    both = ["algorithm=ppo", "name=x"]
    write(Path("runs/config/m/0"), overrides=[*both, "seed=1"])
    write(Path("runs/config/m/1"), overrides=[*both, "seed=2"])
    rows = [{"job": i, "folder": str(i), "overrides": [*both, f"seed={i + 1}"]} for i in (0, 1)]
    Path("runs/config/m/ledger.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write(Path("runs/config/alone"), overrides=[*both, "seed=1"])
    run("runs", [])
    lines = capsys.readouterr().out.splitlines()
    cells = {c[1].strip(): c[2].strip() for line in lines if len(c := line.split("│")) > 2}
    assert cells["runs/config/m/0"] == "seed=1"
    assert cells["runs/config/m/1"] == "seed=2"
    assert cells["runs/config/alone"] == "algorithm=ppo seed=1"


WRONG = {
    "a measure that none has": (["--measures", "reward/prox"], "Did you mean 'reward/proxy'"),
    "a tag that none has": (["--tag", "taxi"], "Did you mean 'tax'"),
    "a folder that is not there": (["elsewhere"], "There is no folder elsewhere"),
    "a misspelt action": (["comapre", "a", "b"], "Did you mean 'compare'"),
    "one run to compare": (["compare", "a"], "needs two runs"),
    "a run that is not there": (["rm", "c"], "There is no run 'c'"),
    "nobody to ask": (["rm", "a"], "give --yes"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    words, message = WRONG[what]
    with pytest.raises(UserError, match=message):
        run("runs", words)
    assert Path("runs/config/a").is_dir()


@pytest.mark.parametrize("answer", ["n", "", "y"])
def test_a_run_is_removed_after_a_yes(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    run("runs", ["rm", "a"])
    assert Path("runs/config/a").is_dir() == (answer != "y")
    assert Path("runs/config/b").is_dir()


def test_names_of_actions_are_those_of_the_usage() -> None:
    assert all(f"| {name} " in (run_usage() or "") for name in runs._ACTIONS)


def run_usage() -> str | None:
    from preflab.console.commands import runs as documented

    return " ".join((documented.__doc__ or "").split())
