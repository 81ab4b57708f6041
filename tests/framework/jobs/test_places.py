"""Where results go: what Hydra's settings say, and what is refused before anything runs. Runs with
such settings are in tests/end_to_end/test_places.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from preflab import UserError
from preflab.composing.compose import parse
from preflab.jobs.places import Places, check_not_running, check_places, places
from preflab.planning.reading import check_jobs
from preflab.storage.run_folder import note_jobs, running
from preflab.storage.runs import process_mark

BASE = ("sft=none", "algorithm=none", "reward_model=none", "evaluation=none", "policy=tiny")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFLAB_RUN_FOLDER", "")


def _places(*words: str) -> Places:
    line = parse([*BASE, *words])
    return places(line, check_jobs(line))


def _check(*words: str) -> None:
    line = parse([*BASE, *words])
    check_places(line, check_jobs(line))


def _manifest(folder: str, words: tuple[str, ...], **facts: Any) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    value = {"config_name": "config", "overrides": [*BASE, *words], "stages": [], **facts}
    Path(folder, "manifest.json").write_text(json.dumps(value))


def test_without_settings_a_run_has_a_new_folder() -> None:
    first, second = _places(), _places()
    assert first.folder.parent == Path("runs/config")
    assert first.jobs == (first.folder,)
    assert first.folder != second.folder


def test_settings_of_hydra_say_where_results_go() -> None:
    """References and resolvers of Hydra's among them; nothing is made elsewhere."""
    assert _places("hydra.run.dir=mine/${seed}", "seed=7").folder == Path("mine/7")
    many = _places("-m", "hydra.sweep.dir=ours", "hydra.sweep.subdir=s${seed}", "seed=1,2")
    assert many == Places(Path("ours"), (Path("ours/s1"), Path("ours/s2")))
    named = _places(
        "-m", "hydra.sweep.dir=all", "seed=1,2", "hydra.sweep.subdir=${hydra.job.num}/x"
    )
    assert named.jobs == (Path("all/0/x"), Path("all/1/x"))
    names = _places("-m", "hydra.sweep.subdir=${hydra.job.override_dirname}", "seed=1,2").jobs
    assert [str(name).endswith(f"seed={n},sft=none") for n, name in enumerate(names, 1)] == [
        True
    ] * 2
    assert not list(Path("runs").glob("config/*/*"))


REFUSED = {
    "one folder for two jobs": (("-m", "seed=1,2", "hydra.sweep.subdir=x"), "jobs 0 and 1"),
    "the sweep's own folder": (("-m", "seed=1", "hydra.sweep.subdir=."), "job 0 the folder"),
    "a file": (("hydra.run.dir=file",), "file cannot be the folder of a run: it is a file"),
    "below a file": (("hydra.run.dir=file/run",), "hydra.run.dir=FOLDER"),
    "a long name": (("hydra.run.dir=" + 300 * "x",), "a part of the path is too long"),
    "files that a run would overwrite": (("hydra.run.dir=full",), "holds summary.json"),
    "a sweep would overwrite": (("-m", "seed=1", "hydra.sweep.dir=full"), "holds summary.json"),
    "among the artifacts": (("hydra.run.dir=artifacts/x",), "one would lie in the other"),
    "artifacts in the run": (("hydra.run.dir=.",), "one would lie in the other"),
    "a swept path": (("-m", "hydra.sweep.dir=a,b"), "cannot be swept"),
    "a folder of artifacts below a file": (("artifacts.dir=file/x",), "lies in, a file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_lose_results_is_refused(what: str) -> None:
    words, message = REFUSED[what]
    Path("file").write_text("")
    Path("full").mkdir()
    Path("full/summary.json").write_text("")
    before = set(Path().iterdir())
    with pytest.raises(UserError, match=message):
        _places(*words)
    with pytest.raises(UserError, match=message):
        _check(*words)
    assert set(Path().iterdir()) == before


def test_a_check_makes_nothing_and_takes_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _check("hydra.run.dir=mine/x", "artifacts.dir=store/x")
    _check("-m", "seed=1,2")
    monkeypatch.delenv("PREFLAB_RUN_FOLDER")
    _check()
    assert "PREFLAB_RUN_FOLDER" not in os.environ
    assert not list(Path().iterdir())


def test_the_same_command_goes_on_in_its_folder() -> None:
    for status in ("stopped", "complete"):
        _manifest("mine", (), status=status)
        assert _places("hydra.run.dir=mine").folder == Path("mine")
    _manifest("ours/0", ("seed=1",), status="complete")
    Path("ours/ledger.jsonl").write_text("")
    assert _places("-m", "hydra.sweep.dir=ours", "seed=1,2").jobs[0] == Path("ours/0")


OTHERS = {
    "another command": (("seed=2",), {}, "holds the run of another command"),
    "other code or data": (
        (),
        {"status": "complete", "stages": [{"recipe": "f" * 64}]},
        "same command with other code or data",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_is_not_overwritten(what: str) -> None:
    words, facts, message = OTHERS[what]
    _manifest("mine", words, **facts)
    with pytest.raises(UserError, match=message):
        _places("hydra.run.dir=mine")


def test_a_run_that_is_going_on_is_left_alone() -> None:
    _manifest("mine", (), status="running")
    with (
        running(Path("mine")),
        pytest.raises(UserError, match="another process is running in mine: wait for it, stop it,"),
    ):
        _places("hydra.run.dir=mine")


def test_a_named_command_that_is_going_on_is_refused_before_its_jobs_are_checked() -> None:
    """With the id of the process to stop: that of the multirun, not that of the job."""
    line = parse(["-m", "name=kl1", "seed=1,2"])
    check_not_running(line)
    _manifest("runs/config/kl1/0", (), status="running")
    note_jobs(Path("runs/config/kl1"), process_mark(os.getpid()), 0, [[], []])
    check_not_running(line)
    with (
        running(Path("runs/config/kl1/0")),
        pytest.raises(UserError, match=rf"kl1/0: wait .* stop it \(process {os.getpid()}\), or "),
    ):
        check_not_running(line)
    # Between two jobs no run is at work, but the multirun is.
    note_jobs(Path("runs/config/kl1"), process_mark(os.getppid()), 0, [[], []])
    with pytest.raises(UserError, match=rf"kl1: wait .* stop it \(process {os.getppid()}\), or "):
        check_not_running(line)


def test_a_name_is_the_last_part_of_the_folder() -> None:
    """Of a run, or of the whole multirun; what else the owner says of it changes no folder."""
    assert _places("name=mine").folder == Path("runs/config/mine")
    many = _places("-m", "name=grid", "seed=1,2")
    assert many.jobs == (Path("runs/config/grid/0"), Path("runs/config/grid/1"))
    _manifest("runs/config/again", ("name=again", "note=first try"), status="complete")
    assert _places("name=again", "tags=[x]").folder == Path("runs/config/again")


def test_a_name_that_another_run_has_is_refused() -> None:
    _manifest("runs/config/mine", ("seed=2",))
    with pytest.raises(UserError, match=r"name=mine: .*holds the run of another .*another name"):
        _places("name=mine")
    with pytest.raises(UserError, match=r"name=mine: .*holds manifest.json.*another name"):
        _places("-m", "name=mine", "seed=1,2")
    Path("runs/config/grid").mkdir()
    Path("runs/config/grid/ledger.jsonl").write_text("")
    with pytest.raises(UserError, match=r"name=grid: .*holds ledger.jsonl.*another name"):
        _places("name=grid")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a b", "x" * 101])
def test_a_name_is_that_of_a_folder(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a run"):
        check_jobs(parse([*BASE, f"name='{name}'"]))
