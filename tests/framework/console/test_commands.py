"""Commands of plugins: called, checked, and named when they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from framework.faulty_plugins import HEAD, load, reported, written_hook
from framework.storage.test_runs import write
from preflab.composing import search_path
from preflab.console import chat, commands, overview
from preflab.door import registry as plugins
from preflab.errors import PluginError, UserError

COMMAND = (
    HEAD
    + "def {name}(words):\n    '''{name} WORDS: something of mine'''\n    {body}\n"
    + written_hook("preflab_commands", "", "return [{name}]")
)


def test_a_command_of_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = COMMAND.format(name="count_words", body="print(len(words)); return 3")
    registry, _ = load(tmp_path, source, monkeypatch)
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    assert commands.run("count-words", ["a", "b"]) == 3
    assert capsys.readouterr().out == "2\n"
    with pytest.raises(UserError, match="Did you mean 'count-words'"):
        commands.run("count-word", [])


def test_a_command_that_raises_is_its_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _ = load(
        tmp_path, COMMAND.format(name="count_words", body="return 1 // 0"), monkeypatch
    )
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    with pytest.raises(
        PluginError,
        match=r"'faulty' \(faulty-dist 2\.5\) raised in its command count-words: ZeroDivisionError",
    ):
        commands.run("count-words", [])


def test_a_closed_pipe_is_no_fault_of_a_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever read it has seen enough (| head): `preflab.console.cli.main` ends without a word."""
    source = COMMAND.format(name="count_words", body="raise BrokenPipeError")
    registry, _ = load(tmp_path, source, monkeypatch)
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    with pytest.raises(BrokenPipeError):
        commands.run("count-words", [])


@pytest.mark.parametrize("name", ["plan", "evaluate_samples"])
def test_a_command_that_there_is_already(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plugin = load(tmp_path, COMMAND.format(name=name, body="return 0"), monkeypatch)
    reported(
        registry,
        plugin,
        f"command '{name.replace('_', '-')}' in preflab_commands, which exists already",
    )


def test_own_commands_are_those_that_plugins_may_not_take() -> None:
    assert tuple(commands.COMMANDS) == plugins.OWN_COMMANDS


@pytest.mark.parametrize("returned", ["None", "'text'", "True", "1.0"])
def test_what_a_command_returns_is_an_exit_code(
    returned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _ = load(
        tmp_path, COMMAND.format(name="count_words", body=f"return {returned}"), monkeypatch
    )
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    with pytest.raises(
        PluginError, match=r"'faulty' \(faulty-dist 2\.5\) returned .* which must be an exit code"
    ):
        commands.run("count-words", [])


def test_a_file_that_a_command_does_not_find_is_its_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _ = load(
        tmp_path, COMMAND.format(name="count_words", body="open('/nowhere/at/all')"), monkeypatch
    )
    monkeypatch.setattr(search_path, "registry", lambda: registry)
    with pytest.raises(PluginError, match="raised in its command count-words: FileNotFoundError"):
        commands.run("count-words", [])


def test_a_command_whose_documentation_is_blank_does_not_break_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = COMMAND.format(name="count_words", body="return 0").replace(
        "count_words WORDS: something of mine", " "
    )
    registry, plugin = load(tmp_path, source, monkeypatch)
    assert plugin.problem == ""
    monkeypatch.setattr(overview, "registry", lambda: registry)
    assert "  preflab count-words\n" in overview.overview()


def test_help_lists_components_inside_others() -> None:
    lines = overview.overview().splitlines()
    assert "  gradient_term:  entropy, ptx" in lines
    assert "  reward_shaping: in_order, length_penalty, shuffled, soft_clip" in lines


def _rerun_words(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[list[str], str]:
    """The command line that ``rerun`` gives, and the folder in which it gives it."""
    given: list[tuple[list[str], str]] = []
    before = Path.cwd()

    def launch(line: list[str]) -> int:
        given.append((line, str(Path.cwd())))
        return 0

    monkeypatch.setattr("preflab.console.launch.launch", launch)
    assert commands.run("rerun", list(words)) == 0
    monkeypatch.chdir(before)
    return given[0]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job of a multirun of an own study, given in work/, and this process elsewhere."""
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()
    write(
        Path("work/runs/mine/grid/0"),
        name="grid",
        config_name="mine",
        overrides=["name=grid", "seed=1"],
        command=["preflab", "-cd", "studies", "-cn", "mine", "name=grid"],
        where={"cwd": str(tmp_path / "work"), "config_dir": str(tmp_path / "work/studies")},
    )
    Path("work/runs/mine/grid/ledger.jsonl").write_text('{"job": 0, "folder": "0"}\n')
    return Path("work/runs/mine/grid")


def test_rerun_of_a_study_gives_its_command_where_it_was_given(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, where = _rerun_words(monkeypatch, str(study))
    assert words == ["-cd", "studies", "-cn", "mine", "name=grid"]
    assert where == str(study.parents[2].resolve())


def test_rerun_of_a_job_makes_a_run_without_the_name_of_the_multirun(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config folder is found from anywhere; a run of its own keeps its name."""
    here = study.parents[2].resolve()
    words, where = _rerun_words(monkeypatch, str(study / "0"), "seed=2")
    assert words[:4] == ["-cd", str(here / "studies"), "-cn", "mine"]
    assert words[4:] == ["seed=1", "hydra.mode=RUN", "seed=2"]
    assert where == str(here)
    (study / "ledger.jsonl").unlink()
    assert "name=grid" in _rerun_words(monkeypatch, str(study / "0"))[0]


def test_rerun_takes_a_name(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("work")
    assert _rerun_words(monkeypatch, "grid")[0][-1] == "name=grid"


def test_chat_takes_names_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [write(Path(f"runs/config/{name}")) for name in ("low", "high")]
    asked: list[object] = []

    def talk(*words: object) -> int:
        asked.extend(words)
        return 0

    monkeypatch.setattr(chat, "talk", talk)
    assert commands.run("chat", ["low", str(folders[1])]) == 0
    assert asked == [folders, "", 1, None]
    with pytest.raises(UserError, match="Did you mean 'low'"):
        commands.run("chat", ["lwo"])
