"""Words of a command: errors name the wrong word, what is allowed, the nearest one, and help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from preflab.errors import UserError, nearest

COMMANDS = {
    "invite": "members:invite",
    "state": "members:state",
    "forget": "members:forget",
    "status": "showing:status",
    "close": "closing:close",
    "backup": "closing:backup",
    "export": "exchanging:export",
    "import": "exchanging:take_in",
    "guard": "guarding:guard",
}
"""By word: where it is."""
WITHOUT_STORE = ("guard",)
"""Those that read files alone, which need no extra: a machine with a GPU may have none."""


class Parser(argparse.ArgumentParser):
    """The parser of one command. Its errors are `UserError` (exit code 2), and long options are not
    to be shortened: a shortened one would change its meaning when another is added."""

    def __init__(self, command: str, about: str | None) -> None:
        super().__init__(
            prog=f"preflab {command}",
            description=" ".join((about or "").split()),
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}. '{self.prog} --help' lists what there is.")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The words as values; `UserError` for one that is not known."""
        options, unknown = self.parse_known_intermixed_args(list(words))
        if unknown:
            known = [flag for action in self._actions for flag in action.option_strings]
            wrong = next((word for word in unknown if word.startswith("-")), unknown[0])
            self.error(f"{wrong!r} is not known. {nearest(wrong.partition('=')[0], known)[:-1]}")
        return options

    def name(self) -> None:
        """The name of a round, first."""
        self.add_argument("name", metavar="NAME", help="of the round: labels/NAME, or a path")


def share(word: str) -> float:
    """A number from 0 to 1."""
    return _number(word, 0.0, 1.0)


def part(word: str) -> float:
    """A number above 0 and below 1."""
    value = _number(word, 0.0, 1.0)
    if value in (0.0, 1.0):
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1, not {word!r}")
    return value


def above_zero(word: str) -> float:
    """A number above 0."""
    value = _number(word, 0.0, sys.float_info.max)
    if not value:
        raise argparse.ArgumentTypeError(f"must be above 0, not {word!r}")
    return value


def _number(word: str, least: float, most: float) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"must be between {least:g} and {most:g}, not {word!r}")
    return value


def port(word: str) -> int:
    """The number of a port; 0 is any that is free."""
    if not word.isdecimal() or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 65535, not {word!r}")
    return int(word)


def count(word: str) -> int:
    """A whole number, at least 1."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {word!r}")
    return int(word)


def file(word: str) -> Path:
    """A file that is there."""
    path = Path(word)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {word}")
    return path


def read_text(path: Path) -> str:
    """The text of a file; `UserError` for what is none."""
    try:
        text = path.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not text.strip():
        raise UserError(f"{path} is empty.")
    return text


def given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options among some that were given, by name."""
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value not in (None, [], False)}
