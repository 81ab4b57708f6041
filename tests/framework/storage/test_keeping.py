"""Runs are copied whole, and removed without taking from others."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from framework.storage.test_runs import write
from preflab import StorageError, UserError
from preflab.storage.artifacts import Store
from preflab.storage.keeping import export, removal, remove
from preflab.storage.run_folder import running, stage_folder


def made(store: Path, stage: str, recipe: str, text: str = "weights") -> dict[str, str]:
    """A complete artifact, as a run's manifest lists it."""
    with Store(store).making(stage, recipe) as partial:
        partial.mkdir(parents=True)
        (partial / "model").mkdir()
        (partial / "model" / "w").write_text(text)
    return stage_row(stage, recipe, Store(store).commit(stage, recipe, {}).folder)


def stage_row(stage: str, recipe: str, artifact: Path) -> dict[str, str]:
    """A stage in a run's manifest."""
    row = dict.fromkeys("name makes seed reused seconds cost".split(), "")
    folder = str(artifact.resolve())
    return {**row, "stage": stage, "group": stage, "recipe": recipe, "artifact": folder}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two jobs of a multirun with one sft; each has an algorithm of its own."""
    monkeypatch.chdir(tmp_path)
    sft = made(Path("artifacts"), "sft", "a" * 64)
    for job in (0, 1):
        own = made(Path("artifacts"), "algorithm", f"{job}" * 64, f"weights {job}")
        folder = write(Path(f"runs/study/x/{job}"), stages=[sft, own])
        (folder / "artifacts").mkdir()
        for row in (sft, own):
            (folder / "artifacts" / row["stage"]).symlink_to(row["artifact"])
    Path("runs/study/x/ledger.jsonl").write_text("")
    return Path("runs/study/x")


def test_a_copy_needs_nothing_from_elsewhere(study: Path, tmp_path: Path) -> None:
    """3 artifacts: the sft that both jobs have, and two of their own."""
    assert export(study, Path("copy")) == 3
    for path in [*study.rglob("*"), *Path("artifacts").rglob("*")]:
        if path.is_file():
            path.write_text("changed since")
    found = stage_folder(Path("copy/1"), "algorithm")
    assert found is not None
    assert found.is_relative_to(tmp_path / "copy")
    assert (found / "model" / "w").read_text() == "weights 1"
    shared = Path("copy/1/artifacts/sft")
    assert shared.is_symlink()  # copied once
    assert shared.resolve() == (tmp_path / "copy" / "0" / "artifacts" / "sft")


def test_artifacts_are_found_by_their_own_names_in_a_copy_too(study: Path) -> None:
    """What one of them says of another beside it holds in each job, and in a copy of the copy."""
    export(study, Path("copy"))
    export(Path("copy/1"), Path("again"))
    for folder in (Path("copy/0"), Path("copy/1"), Path("again")):
        assert (folder / f"artifacts/sft-{'a' * 16}/model/w").read_text() == "weights"
        beside = folder / f"artifacts/algorithm/../sft-{'a' * 16}"
        assert beside.resolve() == (folder / "artifacts/sft").resolve()
    removal(Path("copy"), Path()).refuse()


def test_a_copy_may_be_one_file(study: Path) -> None:
    export(study / "0", Path("one.tar.gz"))
    with tarfile.open("one.tar.gz") as archive:
        assert "one/artifacts/algorithm/model/w" in archive.getnames()
    assert not list(Path().glob(".one*"))


def test_what_cannot_be_copied_whole_is_refused(study: Path) -> None:
    Path("there").mkdir()
    with pytest.raises(UserError, match="there exists"):
        export(study, Path("there"))
    with pytest.raises(UserError, match="lies in runs/study/x"):
        export(study, study / "copy")
    with running(study / "0"):
        write(study / "0", status="running")
        with pytest.raises(UserError, match="runs/study/x/0 is running"):
            export(study, Path("copy"))
    (Path("artifacts") / f"algorithm-{'1' * 16}" / "model" / "w").write_text("changed")
    with pytest.raises(StorageError, match="was changed since the artifact was made"):
        export(study / "1", Path("copy"))
    assert sorted(str(p) for p in Path().iterdir()) == ["artifacts", "runs", "there"]


def test_a_removal_knows_what_is_shared(study: Path) -> None:
    """Job 0 shares the sft with job 1; both together share nothing with others."""
    one = removal(study / "0", Path("runs"))
    assert [place.name for place in one.own] == [f"algorithm-{'0' * 16}"]
    assert [place.name for place in one.shared] == [f"sft-{'a' * 16}"]
    one.refuse()
    both = removal(study, Path("runs"))
    assert (len(both.runs), len(both.own), both.shared) == (2, 3, ())


def test_what_is_used_or_running_is_not_removed(study: Path) -> None:
    using("runs/config/user", "name: pretrained, path: runs/study/x/0")
    with pytest.raises(UserError, match=r"runs/study/x is used by runs/config/user"):
        removal(study, Path("runs")).refuse()
    removal(study / "1", Path("runs")).refuse()
    with running(study / "1"):
        write(study / "1", status="running")
        with pytest.raises(UserError, match="runs/study/x/1 is running"):
            removal(study / "1", Path("runs")).refuse()


SFT = f"artifacts/sft-{'a' * 16}/model"
NAMES = {
    "a link in the run that leads out of it": "path: runs/study/x/0/artifacts/sft/model",
    "a link to the run": "path: linked/artifacts/sft",
    "in a list of mappings": "of: [{model: runs/study/x/0}]",
    "by a reference": "base: runs/study, path: '${policy.base}/x/0'",
    "by a reference that has no value here": "path: '${oc.env:NOWHERE_AT_ALL}/x/0'",
}


def using(folder: str, policy: str) -> Path:
    """A run whose config has a policy so."""
    user = write(Path(folder), where={"cwd": str(Path.cwd())})
    (user / ".hydra").mkdir()
    (user / ".hydra" / "config.yaml").write_text(f"policy: {{{policy}}}")
    return user


@pytest.mark.parametrize("how", NAMES)
def test_a_run_that_is_named_in_any_way_is_used(study: Path, how: str) -> None:
    Path("linked").symlink_to(study / "0")
    using("runs/2026/11/30/12-00/user", NAMES[how])  # where hydra.run.dir may have put it
    with pytest.raises(UserError, match=r"x/0 is used by runs/2026/11/30/12-00/user"):
        removal(study / "0", Path("runs")).refuse()
    removal(study / "1", Path("runs")).refuse()


@pytest.mark.parametrize("word", [SFT, f"to/{SFT}"])
def test_an_artifact_that_is_named_is_kept(study: Path, word: str) -> None:
    """Of the three artifacts of both jobs a config names the sft."""
    Path("to").symlink_to(".")
    using("runs/config/user", f"path: {word}")
    about = removal(study, Path("runs"))
    about.refuse(artifacts=True)
    assert len(about.own) == 2
    assert [place.name for place in about.shared] == [f"sft-{'a' * 16}"]


def test_artifacts_of_a_run_that_was_begun_again_and_killed_are_its_own(study: Path) -> None:
    """Begun again, it lists no stage until the first is reused; its links tell what it has."""
    write(study / "1", status="running")
    about = removal(study / "0", Path("runs"))
    assert [place.name for place in about.shared] == [f"sft-{'a' * 16}"]
    assert [place.name for place in about.own] == [f"algorithm-{'0' * 16}"]


def test_no_artifacts_are_removed_while_others_may_need_them(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(study / "1", status="running", host="elsewhere")
    about = removal(study / "0", Path("runs"))
    about.refuse()
    with pytest.raises(UserError, match="runs/study/x/1 is running, perhaps on another machine"):
        about.refuse(artifacts=True)
    with running(study / "1"), pytest.raises(UserError, match="runs/study/x/1 is running"):
        removal(study / "0", Path("runs")).refuse(artifacts=True)
    write(study / "1")
    Path("other").mkdir()
    monkeypatch.chdir("other")
    with pytest.raises(UserError, match="does not lie where other runs are looked for"):
        removal(Path("../runs/study/x/0"), Path("runs")).refuse(artifacts=True)


def test_a_copy_goes_as_a_whole(study: Path) -> None:
    """Job 1 of a copy links to the sft in job 0, which is no artifact apart from the folder."""
    export(study, Path("runs/copy"))
    with pytest.raises(UserError, match="runs/copy/0 is used by runs/copy/1"):
        removal(Path("runs/copy/0"), Path("runs")).refuse()
    whole = removal(Path("runs/copy"), Path("runs"))
    whole.refuse(artifacts=True)
    assert (whole.own, whole.shared) == ((), ())


def test_what_has_changed_since_the_question_is_not_removed(study: Path) -> None:
    runs = Path("runs")
    about = removal(study / "0", runs)
    with running(study / "0"), pytest.raises(UserError, match="Another process is running"):
        remove(about, runs, artifacts=True)
    user = using("runs/config/user", "path: runs/study/x/0")
    with pytest.raises(UserError, match="is used by runs/config/user"):
        remove(about, runs, artifacts=True)
    (user / ".hydra" / "config.yaml").write_text(f"path: artifacts/algorithm-{'0' * 16}")
    whole = removal(study, runs)
    write(study / "2")
    with pytest.raises(UserError, match="has other runs by now"):
        remove(whole, runs, artifacts=True)
    assert (study / "0").is_dir()
    own = Path(f"artifacts/algorithm-{'0' * 16}").resolve()
    assert (about.own, remove(about, runs, artifacts=True)) == ((own,), [own])
    assert own.is_dir()  # it was nobody else's when it was asked about
    assert not (study / "0").exists()


def test_artifacts_that_no_other_run_has_are_removed(study: Path) -> None:
    """Job 0 was killed: its manifest still says that it runs."""
    write(study / "0", status="running")
    assert remove(removal(study / "0", Path("runs")), Path("runs"), artifacts=True) == []
    left = sorted(place.name for place in Path("artifacts").iterdir() if place.is_dir())
    assert left == [f"algorithm-{'1' * 16}", f"sft-{'a' * 16}"]


def test_links_are_refused_where_they_lead_nowhere_or_to_a_run(study: Path) -> None:
    Path("linked").symlink_to(study / "0")
    with pytest.raises(UserError, match="linked is a link to runs/study/x/0: give that folder"):
        removal(Path("linked"), Path("runs")).refuse()
    (study / "0" / "notes").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"x/0/notes cannot be copied: .*Remove it, or bring back"):
        export(study, Path("copy"))
    assert not list(Path().glob("*copy*"))
