"""Every indented block of plugins/README.md, word for word: what is Python is loaded and asked, what is a command composes."""

from __future__ import annotations

import os
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.composing import compose as composition
from preflab.composing import search_path
from preflab.console import commands
from preflab.door import discovery
from preflab.door.discovery import take_plugin_flags
from preflab.testing import AlgorithmContract

PAGE = (Path(__file__).parents[2] / "plugins" / "README.md").read_text(encoding="utf8")
BLOCKS = [
    textwrap.dedent(m[0]).strip()
    for m in re.finditer(r"(?:^ {4}.*\n(?:\n(?= {4}))*)+", PAGE, re.MULTILINE)
]
TESTED = (
    "# my_package/__init__.py",
    "preflab new-plugin",
    "from preflab.testing",
    "# my_rewards.py",
)
COMMAND = re.compile(r"^ *preflab (.*?)(?: +#.*)?$|`preflab ([^`]*=[^`]*)`", re.MULTILINE)


def _block(first: str) -> str:
    (found,) = (block for block in BLOCKS if block.startswith(first))
    return found


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The manual's two files of code, loaded as --plugin FILE would."""
    (tmp_path / "my_file.py").write_text(_block("# my_package").partition("# pyproject.toml")[0])
    (tmp_path / "my_rewards.py").write_text(_block("# my_rewards").partition("preflab --plugin")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(
        discovery.FILES,
        os.pathsep.join(str(tmp_path / name) for name in ("my_file.py", "my_rewards.py")),
    )
    search_path.registry.cache_clear()
    yield tmp_path
    search_path.registry.cache_clear()


def _scores(name: str, **options: Any) -> list[float]:
    component = search_path.registry().component("reward_model", name)
    assert component.build is not None
    built: Any = component.build(component.config_class(**options), None)  # type: ignore[arg-type]
    prompts = [SimpleNamespace(text="say it") for _ in range(3)]
    rollout = SimpleNamespace(
        texts=["hey!!", "", "one two!"], prompts=prompts, prompt_ids=SimpleNamespace(device="cpu")
    )
    found: list[float] = built.score(rollout).tolist()
    return found


def test_no_block_is_untested() -> None:
    assert [next((t for t in TESTED if block.startswith(t)), block) for block in BLOCKS] == list(
        TESTED
    )


def test_the_files_of_code_work_as_they_stand(files: Path) -> None:
    assert _scores("shout", weight=2.0) == [4.0, 0.0, 2.0]  # 2 an exclamation mark
    assert _scores("short") == [-1.0, 0.0, -2.0]  # minus the number of words
    entry = tomllib.loads(_block("# my_package").partition("# pyproject.toml")[2])
    assert entry == {"project": {"entry-points": {"preflab": {"my_package": "my_package"}}}}


def test_every_command_line_composes(files: Path) -> None:
    lines = [a or b for a, b in COMMAND.findall(PAGE)]
    runs = [
        line.split()
        for line in lines
        if "=" in line and "my_idea" not in line and "KIND" not in line
    ]
    assert len(runs) >= 4
    for words in runs:
        rest, _ = take_plugin_flags(words, {})
        assert composition.compose(rest).algorithm.name == "ppo"


def test_the_three_commands_are_those_of_a_written_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/packaging gives them for every kind."""
    monkeypatch.chdir(tmp_path)
    new, install, run = (
        line.partition("#")[0].split() for line in _block("preflab new-plugin").splitlines()
    )
    assert commands.run(new[1], new[2:]) == 0
    written = [
        line.strip()
        for line in Path(new[2], "README.md").read_text().splitlines()
        if line.startswith("    ")
    ]
    assert [" ".join(install).removeprefix(f"cd {new[2]} && "), " ".join(run)] == [
        " && ".join(written[:2]),
        written[2],
    ]


def test_the_test_file_is_a_contract_with_overrides_of_the_written_package() -> None:
    names: dict[str, Any] = {"__name__": "test_mine"}
    exec(_block("from preflab.testing"), names)
    assert issubclass(names["TestMine"], AlgorithmContract)
    assert names["TestMine"].name == "mine"
    assert names["TestMine"].overrides == ["algorithm.optimizer.lr=0.01"]
