"""The first arm of every study, and all arms of some, small: evaluation and page, on the embedded
world."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from end_to_end.runs import preflab
from preflab.composing.compose import parse
from preflab.composing.search_path import sweeps_root
from support import represented_by

SMALL = ("debug=fast", "runtime.threads=1", "rollout.max_tokens=8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies share what their upstream stages have in common."""
    return tmp_path_factory.mktemp("studies")


def make_what_it_needs(folder: Path, name: str) -> None:
    """The run that the study's page says to make first."""
    if name == "refusals" and not (folder / "runs" / "overcautious").exists():
        words = "experiment=refusals data.overcautious=1 algorithm=none reward_model=none"
        words += " evaluation=none hydra.run.dir=runs/overcautious"
        code = preflab(folder, *words.split(), *SMALL)
        assert code == 0, (folder / "log.txt").read_text()[-3000:]


STUDIES = sorted(path.stem for path in sweeps_root().glob("*.yaml"))


@pytest.mark.parametrize("name", represented_by(["kl_versus_ptx", "ladder"], STUDIES))
def test_its_first_arm_runs_and_is_measured(name: str, folder: Path) -> None:
    make_what_it_needs(folder, name)
    line = parse(["-cn", name])
    words = (*line.jobs[0], *SMALL, *(["study.seeds=null"] if line.later else []))
    assert preflab(folder, "-cn", name, *words) == 0, (folder / "log.txt").read_text()[-3000:]
    (run,) = folder.glob(f"runs/{name}/*")
    summary = json.loads((run / "0" / "summary.json").read_text())
    assert summary["evaluation"]["measures"]
    claims = json.loads((run / "summary.json").read_text())["claims"]
    # With one arm, claims that compare arms are unanswered and say what is missing.
    assert all(
        claim["holds"] == "unanswered" and claim["why"]
        for claim in claims
        if claim["compared_with"]
    )


@pytest.mark.reliability
@pytest.mark.parametrize("name", ["groups", "refusals", "safety"])
def test_all_its_arms_run_from_presets_alone(name: str, folder: Path) -> None:
    make_what_it_needs(folder, name)
    words = (*SMALL, "study.seeds=null", "seed=1", f"name=all_of_{name}")
    assert preflab(folder, "-cn", name, *words) == 0, (folder / "log.txt").read_text()[-3000:]
    run = folder / "runs" / name / f"all_of_{name}"
    claims = json.loads((run / "summary.json").read_text())["claims"]
    # One small seed decides nothing, but every claim finds its arms and what they measured; what a
    # guard misses is measured only where something harmful was said.
    unanswered = {claim["name"] for claim in claims if claim["holds"] == "unanswered"}
    assert unanswered <= {"guard_misses"}
    assert "<h3>Harmless against helpful</h3>" in (run / "report.html").read_text()
