"""What the tab key offers: commands, studies and enum values here, keys and options by Hydra."""

from __future__ import annotations

from typing import Any

from preflab.composing.search_path import registry, sweeps_root
from preflab.door.registry import OWN_COMMANDS
from preflab.options import schema_of
from preflab.settings import RunSettings


def own_answers(line: str) -> list[str]:
    """Words that may stand where a command line ends, as far as Hydra does not know them."""
    words = line.split()[1:]
    word = "" if not words or line.endswith(" ") else words.pop()
    if words and words[-1] in ("-cn", "--config-name"):
        return [p.stem for p in sorted(sweeps_root().glob("*.yaml")) if p.stem.startswith(word)]
    key, equals, value = word.partition("=")
    if equals:
        return [f"{key}={name}" for name in _enum(key) if name.startswith(value)]
    commands = [*OWN_COMMANDS, *registry().commands()] if not words else []
    return [command for command in commands if word and command.startswith(word)]


def without_command(line: str) -> str:
    """The line as Hydra completes it: a command is none of its words."""
    program, _, rest = line.partition(" ")
    first, space, more = rest.lstrip().partition(" ")
    return f"{program} {more}" if space and first in OWN_COMMANDS else line


def _enum(key: str) -> list[str]:
    """Names of a setting's values, if it has a list of them."""
    node: Any = schema_of(RunSettings)
    *above, name = key.split(".")
    for part in above:
        node = node.get(part) if part in node else None
        if node is None or not hasattr(node, "_get_node"):
            return []
    kind = getattr(node._get_node(name), "enum_type", None) if name in node else None
    return [member.name for member in kind] if kind else []
