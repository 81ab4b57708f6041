"""Every study composes, job by job, and its claims speak of arms that it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from preflab.composing.compose import parse
from preflab.composing.search_path import sweeps_root
from preflab.planning.claims import check_claims
from preflab.planning.reading import check_jobs
from preflab.study import StudyConfig
from support import FakeContext

STUDIES = sorted(path.stem for path in sweeps_root().glob("*.yaml"))


def test_the_manual_lists_every_study() -> None:
    manual = (sweeps_root() / "README.md").read_text(encoding="utf8")
    assert [name for name in STUDIES if f"| `{name}` |" not in manual] == []


@pytest.fixture(params=STUDIES)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each study, in a folder with what its page says to make before."""
    monkeypatch.chdir(tmp_path)
    if request.param == "refusals":
        FakeContext(tmp_path).policy("sft").save(tmp_path / "runs" / "overcautious")
    chosen: str = request.param
    return chosen


@pytest.mark.reliability
def test_a_study_composes_with_all_its_seeds(name: str) -> None:
    assert check_jobs(parse(["-cn", name]))


@pytest.mark.slow
def test_a_study_composes_and_its_claims_name_its_arms(name: str) -> None:
    line = parse(["-cn", name])
    assert line.multirun
    seeds = {word for job in line.jobs for word in job if word.startswith("seed=")}
    line = replace(
        line, jobs=tuple(job for job in line.jobs if min(seeds, default="") in ("", *job))
    )  # one seed is enough
    jobs = check_jobs(line)
    assert check_claims(line, jobs) == []
    runs = [job.run for job in jobs]
    named = {run.settings.arm for run in runs} - {""}
    study = runs[0].study or StudyConfig()
    for claim in study.claims.values():
        others = claim.frontier if claim.versus is None else [claim.versus]
        for arm in (arm for name in (claim.arm, *others) for arm in study.series.get(name, [name])):
            # An arm is a file with a name, or else the swept values that tell it apart.
            assert arm in named or any(set(arm.split()) <= set(job) for job in line.jobs), (
                claim.statement,
                arm,
            )
    for arms in study.series.values() if named else ():
        assert set(arms) <= named
