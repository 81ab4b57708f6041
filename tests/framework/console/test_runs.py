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
from preflab.storage.run_folder import note_jobs


@pytest.fixture(autouse=True)
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs that differ in the coefficient, and in the options of their reward model."""
    monkeypatch.chdir(tmp_path)
    stages = [{"stage": "sft", "recipe": "a" * 64, "artifact": "none", "seconds": 900.0}]
    for name, coef, reward in (("a", 0.1, "length"), ("b", 0.2, "noise")):
        facts = {"name": name, "tags": ["tax", name], "note": f"try {name}", "versions": {"x": "1"}}
        started = "2026-11-29T12:00:00+00:00"
        folder = write(
            Path("runs/config") / name, arm="PPO", seed=1, started=started, stages=stages, **facts
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
    assert cells[:3] == ["runs/config/b", "PPO", "1"]
    assert cells[4:] == ["complete", "0.25", "0.2", "tax b", "try b"]  # 900 s are 0.25 hours


def test_json_and_tags(capsys: pytest.CaptureFixture[str]) -> None:
    run("runs", ["runs", "--json", "--tag", "a"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["folder"], row["name"], row["tags"]) == ("runs/config/a", "a", ["tax", "a"])
    assert row["measures"]["reward/proxy"]["value"] == 0.1


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_a_run_can_be_copied_at_any_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table needs 84 characters: cells of 13, 3, 4, 16, 8, 5, 5 and 5 (59), two blanks in each
    (16), and 9 lines around them."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    run("runs", [])
    lines = capsys.readouterr().out.splitlines()
    assert sum("runs/config/b " in f"{line} " for line in lines) == 1
    assert lines[0].startswith("┏") == (width >= 84)
    if width < 84:
        assert (
            "PPO, complete, 2026-11-29 12:00, seed 1, hours 0.25, tags tax b, note try b"
            in lines[3]
        )


def test_without_an_arm_the_words_tell_runs_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the jobs of a multirun those that not all of them have; never the seed."""
    both = ["algorithm=ppo", "name=x"]
    coefs = {"0": "a.coef=1", "1": "a.coef=2"}
    for job, coef in coefs.items():
        write(Path("runs/config/m") / job, overrides=[*both, coef, "seed=1"])
    rows = [
        {"job": int(i), "folder": i, "overrides": [*both, coef, "seed=1"]}
        for i, coef in coefs.items()
    ]
    Path("runs/config/m/ledger.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write(Path("runs/config/alone"), overrides=[*both, "seed=1"])
    cells = arms(capsys)
    assert cells["runs/config/m/0"] == "a.coef=1"
    assert cells["runs/config/m/1"] == "a.coef=2"
    assert cells["runs/config/alone"] == "algorithm=ppo"


def arms(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The arm of each run in the table."""
    run("runs", [])
    lines = capsys.readouterr().out.splitlines()
    return {c[1].strip(): c[2].strip() for line in lines if len(c := line.split("│")) > 2}


def test_arms_have_their_names_before_all_jobs_have_begun(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two of four jobs exist, which differ in the seed alone, and only the first has ended."""
    words = [["p=1", f"a.coef={coef}", f"seed={seed}"] for coef in (1, 2) for seed in (11, 12)]
    for number in (0, 1):
        write(Path("runs/config/m") / str(number), overrides=words[number])
    note_jobs(Path("runs/config/m"), "", 0, words)
    row = {"job": 0, "folder": "0", "overrides": words[0]}
    Path("runs/config/m/ledger.jsonl").write_text(json.dumps(row))
    cells = arms(capsys)
    assert {cells["runs/config/m/0"], cells["runs/config/m/1"]} == {"a.coef=1"}


def test_what_was_typed_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"algorithm.option_{i}=0.12345" for i in range(20)]
    write(Path("runs/config/alone"), overrides=words)
    run("runs", [])
    table = capsys.readouterr().out
    assert [word in table for word in words[:3]] == [True, True, False]  # 26 + 1 + 26 + 2 of 60
    run("runs", ["--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["overrides"] for row in rows if row["folder"].endswith("alone")] == [words]


def test_words_that_tell_runs_apart_are_seen_first(capsys: pytest.CaptureFixture[str]) -> None:
    common = [f"data.option_{i}=0.12345" for i in range(5)]
    for coef in "12":
        write(Path("runs/config") / coef, overrides=[*common, f"a.coef={coef}"])
    cells = arms(capsys)
    assert [cells[f"runs/config/{coef}"].split()[0] for coef in "12"] == ["a.coef=1", "a.coef=2"]


def test_a_name_lists_the_runs_of_a_multirun(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("runs/config/m/0"))
    Path("runs/config/m/ledger.jsonl").touch()
    for word in ("m", "m/0"):
        run("runs", ["--json", word])
        assert [r["folder"] for r in json.loads(capsys.readouterr().out)] == ["runs/config/m/0"]


def test_that_no_run_has_tags_is_said() -> None:
    write(Path("runs/other/c"))
    with pytest.raises(UserError, match=r"^No run in runs/other has tags: .*tags=\[nosuch\]"):
        run("runs", ["runs/other", "--tag", "nosuch"])


WRONG = {
    "a measure that none has": (["--measures", "reward/prox"], "Did you mean 'reward/proxy'"),
    "a tag that none has": (["--tag", "taxi"], "Did you mean 'tax'"),
    "a folder that is not there": (["elsewhere"], "There is no run 'elsewhere'"),
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
