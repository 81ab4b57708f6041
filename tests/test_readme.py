"""The README tells the truth: functions, config keys and tests that it names exist, and its commands compose."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab.composing.commandline import parse
from preflab.composing.compose import compose
from preflab.composing.search_path import registry
from preflab.planning.reading import read

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")
EQUATIONS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in README.partition("## From the paper to the code")[2]
    .partition("\n## ")[0]
    .splitlines()
    if line.startswith("| ") and "`" in line
]
COMMANDS = re.findall(
    r"^    (preflab (?!plan|-cn).*?)(?:  +#.*)?$",
    README.partition("## Your own data")[0],
    re.MULTILINE,
)


def _resolve(name: str) -> object:
    """The object of a dotted name: a module and attributes of it."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[split:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(f"{name} is no module")


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: str(row[0])[:40])
def test_an_equation_leads_to_function_key_and_test(row: tuple[str, ...]) -> None:
    _, functions, keys, tests = row
    for name in re.findall(r"`([^`]+)`", functions):
        assert _resolve(name) is not None
    for key in re.findall(r"`([^`]+)`", keys):
        if "=" in key:
            compose([key])
        else:
            assert (
                OmegaConf.select(
                    compose(["algorithm=ppo_ptx"]), key, throw_on_missing=True, default="absent"
                )
                != "absent"
            ), key
    named = re.findall(r"`([^`]+)`", tests)
    assert named
    for path in named:
        file, _, function = path.partition("::")
        assert re.search(
            rf"^def {function}\(", (ROOT / file).read_text(encoding="utf8"), re.MULTILINE
        ), path


def test_there_are_equations_and_commands() -> None:
    assert len(EQUATIONS) >= 20
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_printed_command_is_one(command: str) -> None:
    line = parse(shlex.split(command)[1:])
    for overrides in line.jobs:
        config = OmegaConf.to_container(compose(overrides, line.config_name), resolve=True)
        assert isinstance(config, dict)
        assert read({str(k): v for k, v in config.items()}, registry()).stages
