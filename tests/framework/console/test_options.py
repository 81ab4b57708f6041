"""Every option of every command is in its ``--help`` with a word of explanation, and in its
manual."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.composing.search_path import registry
from preflab.console.commands import COMMANDS
from preflab.door.registry import command_name
from preflab_people.commands.parsing import COMMANDS as OF_LABEL

ROOT = Path(__file__).parents[3]
MANUALS = {
    "power": "sweeps",
    "label": "plugins/preflab_people",
    "serve": "plugins/preflab_serve",
    "monitor": "plugins/preflab_serve",
    "evaluate-samples": "plugins/preflab_builtin/stored_samples",
}
"""Folders of the manuals of the plugins' commands; those of the framework have its own."""
ACTIONS = {"runs": ("compare", "export", "rm"), "label": tuple(OF_LABEL)}
"""First words that make a command another one."""
OF_HYDRA = ("plan", "rerun")
"""Commands that take the words of a run, which ``preflab --help`` and conf/README.md explain."""


class _Read(Exception):
    """A command has made its parser and is about to read its words."""


def _commands() -> dict[str, Callable[[list[str]], int]]:
    own = [*COMMANDS.values(), *(function for function, _ in registry().commands().values())]
    return {command_name(function): function for function in own}


def _lines() -> Iterator[tuple[str, ...]]:
    for name in _commands():
        if name not in OF_HYDRA:
            yield from ((name,), *((name, action) for action in ACTIONS.get(name, ())))


def _parser(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    def read(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise _Read(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", read)
    with pytest.raises(_Read) as caught:
        _commands()[words[0]]([*words[1:], *["x"] * (words[0] in ("label", "serve"))])
    parser: argparse.ArgumentParser = caught.value.args[0]
    return parser


@pytest.mark.parametrize("words", list(_lines()), ids=" ".join)
def test_options_are_explained(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / MANUALS.get(words[0], "framework") / "README.md"
    manual = page.read_text(encoding="utf8")
    actions = [a for a in _parser(words, monkeypatch)._actions if a.option_strings]
    for action in actions:
        *_, option = action.option_strings
        assert action.help, f"preflab {' '.join(words)} --help does not say what {option} is"
        said = re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", manual) or option == "--help"
        assert said, f"{page.relative_to(ROOT)} does not have {option} of {' '.join(words)}"


def test_every_command_is_looked_at() -> None:
    assert {words[0] for words in _lines()} == _commands().keys() - {*OF_HYDRA}
