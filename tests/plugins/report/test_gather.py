"""Reading run folders: results, failures, and which stage made a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_study import results, study, write_run
from preflab.errors import UserError
from preflab_builtin.report.arms import arms
from preflab_builtin.report.build import build_report
from preflab_builtin.report.gather import gather
from preflab_builtin.report.terminal import report_text

pytestmark = pytest.mark.slow


def test_failures_are_reported_once_and_from_the_ledger_first(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", seeds=(1,))
    write_run(folder / "40", "PPO", 1, ["seed=1"], None, status="running")
    (folder / "41").mkdir()
    (folder / "41" / "manifest.json").write_text("{half a manif")
    with (folder / "ledger.jsonl").open("a") as stream:
        stream.write('3\n{"half a li')  # not an object; a line that was cut
    gathered = gather([folder])
    assert [(f.folder.name, f.exit_code) for f in gathered.failures] == [
        ("5", 5),
        ("40", None),
        ("41", None),
    ]
    assert "not finite" in gathered.failures[0].error
    assert len(gathered.runs) == 5
    build_report([folder], tmp_path / "r.html")
    assert "3 jobs without a result" in (tmp_path / "r.html").read_text()


def test_jobs_that_were_not_begun_are_one_line_with_what_goes_on(tmp_path: Path) -> None:
    """Of a study of six jobs, one of which failed, that was stopped before twelve more."""
    folder = study(tmp_path / "a study", seeds=(1,))
    with (folder / "ledger.jsonl").open("a") as stream:
        for job in range(6, 18):
            row = {"job": job, "folder": str(job), "exit_code": 1, "status": "not started"}
            stream.write(json.dumps(row | {"error": "the multirun ended before it"}) + "\n")
    gathered = gather([folder])
    assert [(f.folder.name, f.jobs) for f in gathered.failures] == [("5", 1), ("a study", 12)]
    assert gathered.without_result == 13
    said = (
        f"No result: {folder}: 12 jobs were not begun, because the multirun ended before them. Go "
        f"on with: preflab rerun '{folder}'"
    )
    text = report_text(build_report([folder], tmp_path / "r.html"), tmp_path / "r.html")
    assert text.count("not begun") == 1
    assert said in text
    assert "13 jobs without a result" in (tmp_path / "r.html").read_text()


def test_no_run_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json"):
        build_report([tmp_path], tmp_path / "r.html")


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "baseline,expected",
    [
        ("base", "pretrain"),
        ("sft", "sft"),
        ("initial", "sft"),  # there is no stage select: the newest policy before it has the role
        ("result", "algorithm"),
        ("file", ""),
        ("", ""),
    ],
)
def test_the_baseline_is_the_policy_that_has_the_role(
    tmp_path: Path, baseline: str, expected: str, old: bool
) -> None:
    write_run(tmp_path / "0", "PPO", 1, [], {**results("PPO", 0.0), "baseline": baseline})
    path = tmp_path / "0" / "manifest.json"
    manifest = json.loads(path.read_text())
    for row in manifest["stages"]:
        row["recipe"] = row["stage"]
        if old:  # manifests of older versions do not say what a stage makes
            del row["makes"]
    path.write_text(json.dumps(manifest))
    (run,) = gather([tmp_path]).runs
    assert run.baseline_recipe() == expected


def test_stages_of_plugins_have_roles_and_seeds_too(tmp_path: Path) -> None:
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        words = ["algorithm=ppo", "seed=3", f"averaging.seed={seed}"]
        write_run(folder, "", 3, words, {**results("PPO", 0.0), "baseline": "average"})
        manifest = json.loads((folder / "manifest.json").read_text())
        own = {"stage": "averaging", "makes": "average", "recipe": f"a{seed}", "seed": seed}
        manifest["stages"].insert(2, own)
        manifest["stages"][-1]["recipe"] += str(seed)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    (arm,) = arms(gather([tmp_path]).runs)
    assert arm.seeds == ["3 (averaging 1)", "3 (averaging 2)"]
    assert [run.baseline_recipe() for run in arm.runs] == ["a1", "a2"]
