"""The plugin door: names, files, flags. What breaks is in test_faults.py, what hooks are given in
test_hookspecs.py."""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from preflab import UserError
from preflab.door import discovery
from preflab.door.discovery import take_plugin_flags


def test_plugin_flags_leave_the_command_line_and_reach_workers() -> None:
    rest, variables = take_plugin_flags(
        ["-m", "--plugin=a.py", "seed=1,2", "--no-plugin", "x"], {"PREFLAB_NO_PLUGINS": "y"}
    )
    assert rest == ["-m", "seed=1,2"]
    assert variables == {
        "PREFLAB_PLUGIN_FILES": str(Path("a.py").resolve()),
        "PREFLAB_NO_PLUGINS": "y,x",
    }
    with pytest.raises(UserError, match="--plugin needs a value"):
        take_plugin_flags(["--plugin"])


def test_a_fresh_process_unpickles_objects_of_a_plugin_file(tmp_path: Path) -> None:
    """As the workers of joblib and submitit do: nothing is imported there before, and the
    variable is all they have."""
    file = tmp_path / "mine.py"
    file.write_text("class C:\n    value = 7\n")
    found = discovery.import_file(file).C()
    read = "import pickle, sys; print(pickle.load(sys.stdin.buffer).value)"
    environment = {
        **os.environ,
        discovery.FILES: f"{tmp_path / 'other' / 'more.py'}{os.pathsep}{file}",
    }
    worker = subprocess.run(
        [sys.executable, "-c", read],
        input=pickle.dumps(found),
        env=environment,
        capture_output=True,
    )
    assert (worker.stdout, worker.stderr) == (b"7\n", b"")


GOOD = """from dataclasses import dataclass
from preflab import Component, hookimpl, option


@dataclass
class C:
    name: str = option('from_file', 'component')


@hookimpl
def preflab_components():
    return [Component('algorithm', 'from_file', C)]
"""


def test_a_file_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good_plugin.py").write_text(GOOD)
    monkeypatch.setenv("PREFLAB_PLUGIN_FILES", str(tmp_path / "good_plugin.py"))
    assert "from_file" in discovery.load().names("algorithm")


UNUSABLE = {
    "import does_not_exist_anywhere\n": "No module named 'does_not_exist_anywhere'.*mine.py:1",
    "\nimport preflab\nx = 1 / 0\n": r"ZeroDivisionError: division by zero \(.*mine.py:3\)",
    "def f(:\n": "SyntaxError",
    GOOD.replace("preflab_components", "preflab_component"): "Did you mean 'preflab_components'",
}


@pytest.mark.parametrize("text", UNUSABLE)
def test_a_file_that_cannot_be_used_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the command is: the file was asked for by name."""
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.setenv("PREFLAB_PLUGIN_FILES", str(tmp_path / "mine.py"))
    with pytest.raises(UserError, match=f"--plugin .*mine.py: .*{UNUSABLE[text]}"):
        discovery.load()
    monkeypatch.setenv("PREFLAB_NO_PLUGINS", "mine")
    discovery.load()  # unless it is left out


def test_a_file_that_is_missing_or_named_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFLAB_PLUGIN_FILES", str(tmp_path / "absent.py"))
    with pytest.raises(UserError, match=r"absent\.py: there is no such Python file"):
        discovery.load()
    both = [tmp_path / "a" / "mine.py", tmp_path / "b" / "mine.py"]
    monkeypatch.setenv("PREFLAB_PLUGIN_FILES", os.pathsep.join(map(str, both)))
    with pytest.raises(UserError, match="have one name: rename a file"):
        discovery.load()


def test_a_plugin_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFLAB_NO_PLUGINS", "ppo")
    registry = discovery.load()
    assert "ppo" not in registry.names("algorithm")
    assert next(p for p in registry.plugins if p.name == "ppo").problem == "left out by --no-plugin"


def test_every_built_in_plugin_loads() -> None:
    assert {p.name: p.problem for p in discovery.load().plugins if p.problem} == {}


def test_metadata_is_parsed_once_per_distribution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[str] = []
    parse = importlib.metadata.Distribution.metadata.fget  # type: ignore[attr-defined]

    def counted(distribution: importlib.metadata.Distribution) -> object:
        found = parse(distribution)
        parsed.append(found["Name"])
        return found

    monkeypatch.setattr(importlib.metadata.PathDistribution, "metadata", property(counted))
    ours = [plugin for plugin in discovery.load().plugins if plugin.built_in]
    assert len(ours) > 15
    assert 0 < parsed.count("preflab") <= 3  # its name, its version, and Python's look for doubles
