"""A search: what is proposed after what, from jobs whose objective is arithmetic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.composing.compose import CommandLine
from preflab.composing.sweeping import Search
from preflab.errors import SweepError, UserError
from preflab.jobs import searching
from preflab.jobs.places import Places
from preflab.jobs.searching import check_found, go_on_searching, search_ahead
from preflab.searching import Dimension, Space, Trial, Value
from preflab.storage.run_folder import append_to_ledger
from preflab.study import SearchConfig

SPACE = Space((Dimension("x", low=0.0, high=100.0),))


class Further:
    """Proposes one more than the best, then two more; asks what it was told."""

    def __init__(self) -> None:
        self.told: list[list[float | None]] = []

    def propose(self, trials: Sequence[Trial], number: int) -> list[Mapping[str, Value]]:
        self.told.append([trial.objective for trial in trials])
        done = [float(t.values["x"]) for t in trials if t.objective is not None]
        return [{"x": max(done, default=0.0) + i + 1} for i in range(number)]

    def importance(self, trials: Sequence[Trial]) -> dict[str, float]:
        return {"x": 1.0}


def _run(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: Callable[[float, int], float | None],
    refused: Sequence[float] = (),
    **config: Any,
) -> tuple[Further, list[dict[str, Any]]]:
    """A search of trials with seeds 1 and 2, whose jobs have this objective by x and seed (None:
    they fail); what the sampler was told, and the trials of search.json."""
    sampler = Further()
    chosen: dict[str, Any] = {"trials": 5, "block": 2, "sampler": "further"} | config
    given = SearchConfig("gold/gold", **chosen)
    choice: Any = SimpleNamespace(
        all=lambda: (), name="further", plugin=SimpleNamespace(label="tests")
    )
    first = tuple(sampler.propose((), min(2, given.trials)))
    words: Mapping[str, tuple[str, ...]] = {"x": (), "seed": ("seed=1", "seed=2")}
    search = Search(given, SPACE, words, sampler, choice, first)

    def start(line: CommandLine, jobs: Sequence[Any], where: Path) -> Places:
        folders = []
        for number, job in enumerate(jobs, line.first_job):
            x, seed = (word.partition("=")[2] for word in job.overrides)
            value = objective(float(x), int(seed))
            folder = where / str(number)
            folder.mkdir(exist_ok=True)
            status = "ok" if value is not None else "failed"
            if value is not None:
                (folder / "manifest.json").write_text('{"status": "complete"}')
                summary = {"evaluation": {"measures": {"gold/gold": {"value": value}}}}
                (folder / "summary.json").write_text(json.dumps(summary))
            line_of: Any = {"folder": str(number), "job": number, "status": status}
            append_to_ledger(where, line_of)
            folders.append(folder)
        return Places(where, tuple(folders))

    def check(line: CommandLine) -> list[Any]:
        if any(f"x={x}" in job for job in line.jobs for x in refused):
            raise UserError("x is refused")
        return [SimpleNamespace(overrides=job) for job in line.jobs]

    monkeypatch.setattr(searching, "start", start)
    monkeypatch.setattr(searching, "check_jobs", check)
    line = CommandLine("s", "", True, search.jobs_of(first), search=search)
    where = go_on_searching(line, start(line, check(line), root))
    facts = json.loads((root / "search.json").read_text())
    assert len(where.jobs) == len({job for t in facts["trials"] for job in t["folders"]})
    return sampler, facts["trials"]


def test_each_block_is_proposed_from_the_means_of_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Objective 10 x + seed: its mean over seeds 1 and 2 is 10 x + 1.5.
    sampler, trials = _run(tmp_path, monkeypatch, lambda x, seed: 10 * x + seed)
    assert [t["values"]["x"] for t in trials] == [1, 2, 3, 4, 5]
    assert [t["by_seed"] for t in trials][:2] == [[11, 12], [21, 22]]
    assert sampler.told == [[], [11.5, 21.5], [11.5, 21.5, 31.5, 41.5]]
    assert [t["folders"] for t in trials][-1] == ["8", "9"]
    assert json.loads((tmp_path / "search.json").read_text())["best"] == 4
    said = capsys.readouterr().err
    assert "2 of 5 trials; the best so far is x=2.0: gold/gold 21.5." in said
    assert "5 of 5 trials; the best so far is x=5.0: gold/gold 51.5." in said


def test_a_failed_and_a_refused_trial_are_told_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of the two seeds of x = 2 fails; the pre-flight refuses x = 5.
    sampler, trials = _run(
        tmp_path,
        monkeypatch,
        lambda x, seed: None if x == 2 and seed == 2 else -x,
        refused=[5.0],
        trials=6,
    )
    assert [(t["values"]["x"], t["objective"]) for t in trials] == [
        *[(1, -1), (2, None), (2, None), (3, -3), (4, -4), (5, None)]
    ]
    assert sampler.told == [[], [-1, None], [-1, None, None, -3]]
    check_found(tmp_path)  # two trials have results
    assert [t["why"] for t in trials if t["state"] == "failed"] == [
        "job 3 gave no result",
        "job 5 gave no result",
        "x is refused",
    ]


def test_a_search_stops_when_a_whole_block_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, trials = _run(tmp_path, monkeypatch, lambda x, seed: None)
    assert len(trials) == 2
    with pytest.raises(SweepError, match=r"none of 2 has given gold/gold. The first: job 0 gave"):
        check_found(tmp_path)
    assert "No trial of the last block gave a result: job 0 gave no result" in (
        capsys.readouterr().err
    )


def test_a_measure_that_is_missing_is_told_with_the_nearest(tmp_path: Path) -> None:
    folder = tmp_path / "0"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"status": "complete"}')
    measures = {"evaluation": {"measures": {"gold/gold": {"value": None}}}}
    (folder / "summary.json").write_text(json.dumps(measures))
    assert (
        "no gold/gld in job 0. Allowed: gold/gold. Did you mean 'gold/gold'?"
        in (searching._objectives("gold/gld", [folder])[1])
    )
    assert "gold/gold is not a number" in searching._objectives("gold/gold", [folder])[1]


def test_a_search_goes_on_with_the_same_trials_whatever_its_jobs_give_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At first x = 2 fails, so that x = 2 and 3 follow on x = 1. When it no longer fails, they stay.
    def fails(x: float, seed: int) -> float | None:
        return None if x == 2 and not list(tmp_path.glob("9")) else x

    _, before = _run(tmp_path, monkeypatch, fails)
    values = [t["values"]["x"] for t in before]
    assert values[:4] == [1, 2, 2, 3]
    _, after = _run(tmp_path, monkeypatch, lambda x, seed: x)
    assert [t["values"]["x"] for t in after] == values
    assert [t["state"] for t in after] == ["done"] * 5


def test_a_plan_says_what_will_be_searched() -> None:
    words = {"x": (), "seed": ("seed=1", "seed=2")}
    config = SearchConfig("gold/gold", more=False)
    choice: Any = None
    search = Search(config, SPACE, words, Further(), choice, ({"x": 1.0},) * 4)
    assert search_ahead(search) == [
        "The search is for gold/gold (the less, the better, mean over 2 seeds), in 24 trials.",
        "The table has the first 4 trials. The others are proposed by tpe in blocks of 4, each "
        "from the results before it.",
    ]
