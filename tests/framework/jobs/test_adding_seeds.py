"""A study that adds seeds: which jobs of a block run, and why it stops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.composing.compose import CommandLine
from preflab.jobs import adding_seeds
from preflab.jobs.adding_seeds import add_seeds, seeds_ahead
from preflab.jobs.places import Places
from preflab.storage.run_folder import append_to_ledger
from preflab.study import ClaimConfig, SeedsConfig, StudyConfig, Until

CLAIMS = {name: ClaimConfig(name, "m", "A") for name in ("tax", "gain")}
STUDY = StudyConfig(claims=CLAIMS, seeds=SeedsConfig(at_least=2, at_most=6, block=2))
UNDECIDED = {"tax": "undecided", "gain": "holds"}
DECIDED = {"tax": "fails", "gain": "holds"}


def _block(first: int) -> tuple[tuple[str, ...], ...]:
    return (f"seed={first}",), (f"seed={first + 1}",)


def _ran(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: Sequence[Mapping[str, str]],
    study: StudyConfig = STUDY,
    fails_in: int = 0,
    waits_in: int = 0,
    fast: bool = False,
) -> tuple[list[str], list[list[str]]]:
    """Names of the job folders that a study of three blocks of two jobs ran, and which folders it
    looked at each time. fails_in, waits_in: number of a block whose jobs give no result, or of
    which one waits."""
    looked: list[list[str]] = []
    left = list(answers)

    def run(first: int, block: int) -> Places:
        for number in (first, first + 1):
            folder = root / str(number)
            folder.mkdir()
            waits = block == waits_in and number == first
            if block != fails_in and not waits:
                (folder / "manifest.json").write_text('{"status": "complete"}')
            line: Any = {"folder": str(number), "job": number}
            append_to_ledger(root, line | {"status": "waiting" if waits else "ok"})
        return Places(root, (root / str(first), root / str(first + 1)))

    def start(line: CommandLine, jobs: object, where: Path) -> Places:
        assert where == root
        return run(line.first_job, line.first_job // 2 + 1)

    class Plugins:
        def verdicts(self, folders: Sequence[Path]) -> Mapping[str, str]:
            looked.append([folder.name for folder in folders])
            return left.pop(0)

        def seeds_needed(self, folders: Sequence[Path]) -> Mapping[str, int | None]:
            return {"tax": 20}

    monkeypatch.setattr(adding_seeds, "start", start)
    monkeypatch.setattr(adding_seeds, "check_jobs", lambda line: line.jobs)
    monkeypatch.setattr(adding_seeds, "registry", Plugins)
    line = CommandLine("s", "", True, _block(1), later=(_block(3), _block(5)))
    where = add_seeds(line, study, run(0, 1), fast)
    assert where.folder == root
    return [job.name for job in where.jobs], looked


@pytest.mark.parametrize(
    "answers,jobs,said",
    [
        ([DECIDED], 2, "2 seeds: 2 of 2 claims decided. No more seeds."),
        ([UNDECIDED, DECIDED], 4, "4 seeds: 2 of 2 claims decided. No more seeds."),
        ([UNDECIDED] * 3, 6, "4 seeds: 1 of 2 claims decided; seeds are added for tax"),
        (
            [UNDECIDED] * 3,
            6,
            "Undecided after 6 seeds, the most that the study may have: tax. As many as these "
            "would decide with 80 %: tax (20 seeds). preflab power ",
        ),
        ([{"gain": "holds"}], 2, "and no run that answers tax, whatever the number of seeds."),
        ([{}], 2, "No installed plugin decides claims: no more seeds after 2."),
    ],
)
def test_blocks_run_until_the_claims_are_decided(
    answers: list[dict[str, str]],
    jobs: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran, looked = _ran(tmp_path, monkeypatch, answers)
    assert ran == [str(i) for i in range(jobs)]
    # A look sees the blocks before it.
    assert looked == [[str(i) for i in range(2 * n)] for n in range(1, len(answers) + 1)]
    assert said in capsys.readouterr().err


def test_debug_runs_give_no_advice_on_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _ran(tmp_path, monkeypatch, [UNDECIDED] * 3, fast=True)
    said = capsys.readouterr().err
    assert "Runs with debug=fast decide nothing, whatever the number of seeds." in said
    assert "20 seeds" not in said


def test_only_the_named_claims_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = StudyConfig(claims=CLAIMS, seeds=SeedsConfig(at_most=6, claims=["gain"]))
    assert len(_ran(tmp_path, monkeypatch, [UNDECIDED], named)[0]) == 2


def test_a_block_without_a_result_ends_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran, looked = _ran(tmp_path, monkeypatch, [UNDECIDED], fails_in=2)
    assert (len(ran), len(looked)) == (4, 1)
    assert "No job of the last block gave a result" in capsys.readouterr().err


def test_a_job_that_waits_for_people_ends_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran, looked = _ran(tmp_path, monkeypatch, [], waits_in=1)
    assert (len(ran), len(looked)) == (2, 0)
    assert "Jobs wait for people: the same command adds seeds" in capsys.readouterr().err


def test_a_plan_says_what_will_be_added() -> None:
    assert seeds_ahead(SeedsConfig()).endswith("every claim is decided or there are 24 seeds.")
    assert "until tax is decided or" in seeds_ahead(SeedsConfig(claims=["tax"]))
    assert "until tax, gain are decided or" in seeds_ahead(SeedsConfig(claims=["tax", "gain"]))
    assert seeds_ahead(SeedsConfig(until=Until.at_most)) == "The study runs 24 seeds, from 1."
