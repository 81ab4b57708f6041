"""Runs whose people have not answered yet: what does not depend on them is made, the run ends with
exit code 6, and the same command goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import waiting_people
from end_to_end.runs import preflab

pytestmark = pytest.mark.slow

PEOPLE = ("--plugin", waiting_people.__file__)
NO_REPORT = ("--no-plugin", "report")
"""For runs of which nobody looks at it."""
PLAIN = ("trackers.tensorboard=null", "--no-plugin", "progress")
FAST = ("debug=fast", "runtime.threads=1", "algorithm=none", "evaluation=none")
RUN = (*PEOPLE, *PLAIN, *FAST, "labeler=round")
STORE = "artifacts/debug"
BEFORE = ["pretrain", "sft", "samples"]
FROM_THERE = ["comparisons", "reward_model"]


def said(folder: Path) -> str:
    """What was printed since the last time."""
    log = folder / "log.txt"
    text = log.read_text()
    log.write_text("")
    return text


def manifests(folder: Path) -> list[dict[str, Any]]:
    """Those of all runs in a folder, oldest first."""
    paths = sorted(folder.glob("runs/**/manifest.json"), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text()) for path in paths]


def stages(manifest: dict[str, Any], reused: bool | None = None) -> list[str]:
    """Names of the stages of a run, of those that it reused or made if asked."""
    return [row["stage"] for row in manifest["stages"] if reused in (None, row["reused"])]


def planned(folder: Path, *words: str) -> dict[str, str]:
    """The status of each stage in a plan."""
    assert preflab(folder, "plan", *words) == 0
    rows = [line.strip("│ ").split("│") for line in said(folder).splitlines() if "│" in line]
    return {row[0].strip(): row[-1].strip() for row in rows}


def test_a_run_waits_says_what_for_and_goes_on(tmp_path: Path) -> None:
    statuses = planned(tmp_path, *RUN)
    assert {statuses[name] for name in BEFORE} == {"to compute"}
    assert statuses["comparisons"] == "waits for labeler"
    assert {statuses[name] for name in FROM_THERE[1:]} == {"waits for comparisons"}

    assert preflab(tmp_path, *RUN) == 6
    (waiting,) = manifests(tmp_path)
    run = f"runs/config/{waiting['run']}"
    text = said(tmp_path)
    assert f"begin-round {run}" in text
    assert f"preflab rerun {run}" in text
    assert "Traceback" not in text
    assert waiting["status"] == "waiting"
    sentence = f"labeler=round: there is no round round.txt yet: begin-round {run}"
    assert waiting["waiting"] == f"comparisons waits for {sentence}"
    assert stages(waiting) == BEFORE
    assert {path.name for path in (tmp_path / run / "artifacts").iterdir()} == {*BEFORE}
    # Nothing was stored for a stage that waits, not even half of it.
    kept = sorted(path.name for path in (tmp_path / STORE).iterdir() if path.is_dir())
    assert [name.partition("-")[0] for name in kept] == sorted(BEFORE)

    (tmp_path / "round.txt").write_text("open")
    assert preflab(tmp_path, *RUN) == 6
    text = said(tmp_path)
    assert "0 of 16 prompts are ranked: label runs/config/" in text
    assert stages(manifests(tmp_path)[-1], reused=True) == BEFORE

    (tmp_path / "round.txt").write_text("short")
    assert preflab(tmp_path, "--plugin", waiting_people.__file__, "rerun", run) == 0
    whole = manifests(tmp_path)[-1]
    assert (whole["status"], whole["waiting"]) == ("complete", "")
    assert stages(whole, reused=True) == BEFORE
    assert stages(whole, reused=False) == FROM_THERE
    said(tmp_path)
    # The report of all three knows which of them wait.
    assert preflab(tmp_path, "report", "runs") == 0
    assert said(tmp_path).count("Waiting: runs/config/") == 2


@pytest.mark.reliability
def test_a_named_folder_goes_on_in_place(tmp_path: Path) -> None:
    words = (*NO_REPORT, *RUN, "hydra.run.dir=mine")
    assert preflab(tmp_path, *words) == 6
    (tmp_path / "round.txt").write_text("long")
    assert preflab(tmp_path, *words) == 0
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert (manifest["status"], manifest["waiting"]) == ("complete", "")


@pytest.mark.reliability
def test_other_labels_give_other_comparisons_and_keep_the_first(tmp_path: Path) -> None:
    recipes: list[dict[str, str]] = []
    for word in ("short", "long"):
        (tmp_path / "round.txt").write_text(word)
        assert preflab(tmp_path, *NO_REPORT, *RUN) == 0
        recipes.append({row["stage"]: row["recipe"] for row in manifests(tmp_path)[-1]["stages"]})
    first, second = recipes
    assert planned(tmp_path, *RUN[:-1], "labeler=simulated")["samples"] == "reused"
    assert {name for name in first if first[name] == second[name]} == {*BEFORE}
    assert len(list((tmp_path / STORE).glob("comparisons-*/rankings.jsonl"))) == 2


@pytest.mark.parametrize(
    "wrong, code, statuses",
    [
        pytest.param((), 6, ["waiting", "ok"], id="only waiting", marks=pytest.mark.reliability),
        pytest.param(("labeler.noise=1e9",), 1, ["waiting", "failed"], id="one failed"),
    ],
)
def test_a_job_that_waits_stops_no_other(
    tmp_path: Path, wrong: Sequence[str], code: int, statuses: Sequence[str]
) -> None:
    plugin = tmp_path / "wrong.py"
    plugin.write_text(WRONG)
    labelers = "labeler=round,simulated" if not wrong else "labeler=round,wrong"
    words = ("--plugin", str(plugin), *RUN[:-1], "-m", labelers)
    assert preflab(tmp_path, *words) == code
    (ledger,) = tmp_path.glob("runs/*/*/ledger.jsonl")
    rows = sorted(map(json.loads, ledger.read_text().splitlines()), key=lambda row: row["job"])
    assert [row["status"] for row in rows] == statuses
    assert rows[0]["exit_code"] == 6
    assert f"begin-round runs/config/{ledger.parent.name}/0" in rows[0]["error"]
    text = said(tmp_path)
    assert "1 job(s) wait; the same command goes on with them:\n  job 0 (" in text
    assert ("1 job(s) failed" in text) == (code == 1)
    assert text.count("Waiting: ") == 1  # in the report


WRONG = """
from preflab import Component, hookimpl, option
from dataclasses import dataclass

@dataclass
class C:
    name: str = option("wrong", "component")

def build(config, context):
    raise ValueError("on purpose")

@hookimpl
def preflab_components():
    return [Component("labeler", "wrong", C, build=build)]
"""


@pytest.mark.reliability
def test_labels_that_turn_out_to_be_missing_are_waited_for(tmp_path: Path) -> None:
    """A component may notice it only when it is used."""
    (tmp_path / "round.txt").write_text("short")
    assert preflab(tmp_path, *RUN, "labeler.late=true") == 6
    (manifest,) = manifests(tmp_path)
    assert manifest["status"] == "waiting"
    assert manifest["waiting"].startswith("nobody has ranked this pool: label runs/config/")
    assert stages(manifest) == BEFORE
    assert not list((tmp_path / STORE).glob("comparisons-*/artifact.json"))


@pytest.mark.reliability
def test_an_evaluator_that_waits_is_the_last_to_be_made(tmp_path: Path) -> None:
    words = (
        *(*NO_REPORT, *PEOPLE, *PLAIN, *FAST[:-1], "sft=none", "labeler=none", "reward_model=none"),
        *("evaluation=files", "+evaluator@evaluation.evaluators.people=round"),
    )
    assert planned(tmp_path, *words)["evaluation"] == "waits for evaluation.evaluators.people"
    assert preflab(tmp_path, *words) == 6
    assert stages(manifests(tmp_path)[-1]) == ["pretrain"]
    (tmp_path / "round.txt").write_text("short")
    assert preflab(tmp_path, *words) == 0
    (summary,) = tmp_path.glob("runs/config/*/summary.json")
    measures = json.loads(summary.read_text())["evaluation"]["measures"]
    assert measures["people/short"]["value"] == 1.0


def test_records_that_people_have_yet_to_write_are_waited_for(tmp_path: Path) -> None:
    words = (
        *NO_REPORT,
        *PEOPLE,
        *PLAIN,
        *FAST,
        "labeler=none",
        "reward_model=none",
        "demonstrations=round",
    )
    assert planned(tmp_path, *words)["sft"] == "waits for demonstrations"
    assert preflab(tmp_path, *words) == 6
    assert stages(manifests(tmp_path)[-1]) == ["pretrain"]
    (tmp_path / "round.txt").write_text("short")
    assert preflab(tmp_path, *words) == 0
    assert stages(manifests(tmp_path)[-1]) == ["pretrain", "sft"]


@pytest.mark.reliability
def test_several_processes_wait_as_one(tmp_path: Path) -> None:
    assert preflab(tmp_path, *RUN, "runtime.processes=2") == 6
    (manifest,) = manifests(tmp_path)
    assert manifest["status"] == "waiting"
    assert said(tmp_path).count("begin-round") == 1
