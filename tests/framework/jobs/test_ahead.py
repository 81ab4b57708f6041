"""All jobs of a command are asked before the first of them starts, and what is refused leaves
nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance.engine import plugin_file
from end_to_end.runs import preflab
from framework.engine import outspoken
from preflab import PluginError, UserError
from preflab.composing.compose import parse
from preflab.console import commands
from preflab.console.launch import launch
from preflab.console.plan import plan
from preflab.engine.stages import Stages
from preflab.jobs import ahead, job
from preflab.planning.reading import Job, check_jobs
from preflab.records import Record
from preflab.storage.run_folder import read_ledger
from preflab_builtin.filters.judged import Judged
from reliability import trouble

pytestmark = pytest.mark.slow
PLUGIN = Path(outspoken.__file__)
WORDS = (*trouble.ALONE, *trouble.TINY, "runtime.threads=1", "algorithm=outspoken")


@pytest.fixture
def _outspoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["preflab"])
    with plugin_file(PLUGIN):
        yield


def _jobs(*words: str) -> Sequence[Job]:
    return check_jobs(parse(["-m", *WORDS, *words]))


def _calls(folder: Path) -> int:
    file = folder / outspoken.CALLS
    return len(file.read_text().splitlines()) if file.exists() else 0


def _left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"log.txt", str(outspoken.CALLS)}


@pytest.mark.usefixtures("_outspoken")
def test_all_that_is_refused_is_said_at_once(tmp_path: Path) -> None:
    """Of two seeds that are refused for the same reason, the first is asked."""
    says = "algorithm.says=one,fail,refuse"
    with pytest.raises(UserError) as refused:
        ahead.notices(_jobs(says, "seed=1,2"))
    first, *reasons = str(refused.value).split("\n\n")
    assert first == "4 of 6 jobs are refused, so none is started."
    assert [reason.splitlines()[0] for reason in reasons] == [
        "algorithm.says=fail fails: say something else",
        "algorithm.says=refuse fails: say something else",
    ]
    assert all("seed=1 and 1 more)" in reason for reason in reasons)
    assert _calls(tmp_path) == 3


@pytest.mark.usefixtures("_outspoken")
def test_a_job_is_asked_though_one_with_all_its_stages_was_refused() -> None:
    """The first job is refused for its algorithm, before anybody looks at its evaluation; the
    second makes the same evaluation, and nothing else that is new."""
    with_evaluation = "evaluation=outspoken"
    jobs = [
        *_jobs("algorithm.says=fail", with_evaluation, "evaluation.says=refuse"),
        *_jobs("algorithm=none", with_evaluation, "evaluation.says=refuse"),
    ]
    with pytest.raises(UserError, match=r"(?s)says=fail fails.*says=refuse fails"):
        ahead.notices(jobs)


@pytest.mark.usefixtures("_outspoken")
def test_in_a_child_the_same_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"says=fail fails: say.*\n\(in the job .*says=fail\)"):
        ahead.check(_jobs("algorithm.says=one,fail"))
    with pytest.raises(PluginError, match=r"outspoken.* raised ValueError: raised on purpose"):
        ahead.check(_jobs("algorithm.says=raise"))
    ahead.check(_jobs("algorithm.says=one,two"))
    assert _left(tmp_path) == set()


@pytest.mark.usefixtures("_outspoken")
def test_jobs_that_slurm_gives_a_gpu_are_asked_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a login node: the jobs get as far as the launcher, and what they say of themselves still
    refuses them."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    asked: list[str] = []

    def places(*given: Any) -> None:
        asked.append("made")
        raise ZeroDivisionError

    monkeypatch.setattr(job, "places", places)
    slurm = ("hydra/launcher=submitit_slurm", "runtime.device=cuda")
    for says, ends in (("one", ZeroDivisionError), ("fail", UserError)):
        line = parse(["-m", *WORDS, *slurm, f"algorithm.says={says}"])
        with pytest.raises(ends):
            job.start(line, check_jobs(line))
    assert asked == ["made"]


@pytest.mark.usefixtures("_outspoken")
def test_a_child_that_is_killed_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = _jobs("algorithm.says=one")
    monkeypatch.setattr(ahead, "notices", lambda jobs: os.kill(os.getpid(), signal.SIGKILL))
    ahead.check(jobs)


@pytest.mark.usefixtures("_outspoken")
@pytest.mark.parametrize(
    "filters, works",
    [
        (("filters=likelihood",), True),
        (("+filter@filters.score=score", "+reward_model@filters.score.scorer=length"), False),
    ],
)
def test_filters_that_work_are_left_for_the_run(
    filters: tuple[str, ...], works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trains nothing, scores nothing by a network, and says so; cheap filters are applied."""
    read: list[str] = []

    def judge(filter: Judged, records: Sequence[Record]) -> Any:
        read.append(filter._reason)
        return records, {}

    monkeypatch.setattr(Judged, "__call__", judge)
    extra = [] if works else ["filters.score.share=0.1"]
    jobs = _jobs("algorithm=none", "evaluation=none", "pretrain=documents", *filters, *extra)
    said = ahead.notices(jobs)
    left = [sentence for sentence in said if "reads every record with a model" in sentence]
    assert (len(left), bool(read)) == ((1, False) if works else (0, True))
    assert all("filters.likelihood=likelihood" in sentence for sentence in left)
    # The run itself applies them before its first stage.
    Stages(jobs[0].run, lambda hook, **shown: None, {}).preflight()
    assert read


@pytest.mark.usefixtures("_outspoken")
def test_a_plan_refuses_a_place_as_a_run_does(tmp_path: Path) -> None:
    words = ["-m", *WORDS, "algorithm.says=one", "seed=1,2", "hydra.sweep.subdir=x"]
    with pytest.raises(UserError, match="gives jobs 0 and 1 the folder"):
        commands.run("plan", words)
    with pytest.raises(UserError, match="gives jobs 0 and 1 the folder"):
        launch(words)
    assert _left(tmp_path) == set()
    assert _calls(tmp_path) == 0


REFUSED = {
    "a run": ("algorithm.says=fail",),
    "a run in a folder of its own": ("algorithm.says=fail", "hydra.run.dir=mine"),
    "a multirun": ("-m", "algorithm.says=one,fail", "seed=1,2"),
    "a run in two processes": ("algorithm.says=fail", "runtime.processes=2"),
    "a run that a plugin breaks": ("algorithm.says=raise",),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_before_any_work_leaves_nothing(what: str, tmp_path: Path) -> None:
    words = ("--plugin", str(PLUGIN), *WORDS, *REFUSED[what])
    code = preflab(tmp_path, *words)
    log = (tmp_path / "log.txt").read_text()
    assert code == (3 if "plugin" in what else 2), log
    assert "says=fail fails" in log or "raised on purpose" in log
    assert _left(tmp_path) == set()


def test_a_run_is_asked_once_and_a_multirun_once_more(tmp_path: Path) -> None:
    words = ("--plugin", str(PLUGIN), *WORDS, "algorithm.says=hello")
    assert preflab(tmp_path, *words) == 0, (tmp_path / "log.txt").read_text()
    assert _calls(tmp_path) == 1
    more = ("-m", "hydra.sweep.dir=all", "seed=2,3")
    assert preflab(tmp_path, *words, *more) == 0, (tmp_path / "log.txt").read_text()
    assert _calls(tmp_path) == 1 + 1 + 2
    assert [row["exit_code"] for row in read_ledger(tmp_path / "all")] == [0, 0]
    assert preflab(tmp_path, *words, *more) == 0, "everything is there: nobody is asked"
    assert _calls(tmp_path) == 1 + 1 + 2


WITH_SHARDING = {
    "rollout=continuous": r"Give rollout=native, rollout=transformers .* or leave runtime\.shard",
    "reward_model=kwise_groups": r"or give reward_model\.shrink=0",
}
"""What does not work with divided weights, and its cure."""


@pytest.mark.parametrize("word", WITH_SHARDING)
def test_what_sharding_cannot_do_is_refused_by_the_plan(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is one process, and the run will be two."""
    monkeypatch.chdir(tmp_path)
    words = ["debug=fast", "runtime.processes=2", "runtime.sharding=full", word]
    with pytest.raises(UserError, match=WITH_SHARDING[word]):
        plan(words)
