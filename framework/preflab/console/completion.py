"""What the tab key offers: commands, runs, studies, values and components inside others here; keys
and other options by Hydra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import BooleanNode, DictConfig, EnumNode, OmegaConf

from preflab.composing.compose import compose
from preflab.composing.search_path import options, registry, sweeps_root
from preflab.door.registry import OWN_COMMANDS
from preflab.errors import UserError
from preflab.options import schema_of
from preflab.settings import RunSettings
from preflab.storage.runs import ROOT, is_run

ACTIONS = {
    "runs": ("compare", "export", "rm"),
    "artifacts": ("list", "prune"),
    "plugins": ("show",),
}
"""Words that follow a command."""
OF_RUNS = ("report", "rerun", "runs")
"""Commands whose words are runs, by name or by folder."""
SCRIPTS = {
    "bash": """_preflab() {
    local line="${COMP_LINE:0:$COMP_POINT}" answers
    answers="$(COMP_LINE="$line" preflab -sc query=bash 2>/dev/null)"
    COMPREPLY=($(compgen -W "$answers" -- "${line##* }"))
}
COMP_WORDBREAKS="${COMP_WORDBREAKS//[=@]/}"
complete -o nospace -o default -F _preflab preflab""",
    "zsh": """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
_preflab() {
    local -a found
    found=(${=:-"$(COMP_LINE="${(j: :)words[1,CURRENT]}" preflab -sc query=bash 2>/dev/null)"})
    compadd -Q -S '' -a found || _files
}
compdef _preflab preflab""",
}
"""What ``preflab -sc install=SHELL`` prints, to be evaluated in that shell. Bash parts words at =
and @, which stand within preflab's. Hydra has one for fish."""


def own_answers(line: str) -> list[str]:
    """Words that may stand where a command line ends, as far as Hydra does not know them."""
    words = line.split()[1:]
    word = "" if not words or line.endswith(" ") else words.pop()
    return [answer for answer in _answers(words, word) if answer.startswith(word)]


def _answers(words: Sequence[str], word: str) -> list[str]:
    if words and words[-1] in ("-cn", "--config-name"):
        return [path.stem for path in sorted(sweeps_root().glob("*.yaml"))]
    key, equals, _ = word.partition("=")
    if equals and "@" in key:
        return [f"{key}={name}" for name in options(key.lstrip("+").partition("@")[0])]
    if equals:
        return [f"{key}={name}" for name in _values(key, words)]
    if word.startswith("+"):
        return [f"+{kind}@{place}." for place, kind in _places(_composed(words))]
    if not words:
        return [*OWN_COMMANDS, *registry().commands()] if word else []
    known = list(ACTIONS.get(words[0], ())) if len(words) == 1 else []
    return known + (_runs() if words[0] in OF_RUNS and "=" not in word else [])


def _runs() -> list[str]:
    """Runs and multiruns below ``runs``, by their folders."""
    found = [*ROOT.glob("*/*"), *ROOT.glob("*/*/*")]
    return sorted(str(folder) for folder in found if is_run(folder))


def without_command(line: str) -> str:
    """The line as Hydra completes it: a command is none of its words."""
    program, _, rest = line.partition(" ")
    first, space, more = rest.lstrip().partition(" ")
    return f"{program} {more}" if space and first in OWN_COMMANDS else line


def _composed(words: Sequence[str]) -> DictConfig:
    """The config of the words before the last, or the default one if they are not whole."""
    flags = [i for i, word in enumerate(words) if word in ("-cn", "--config-name")]
    name = words[flags[-1] + 1] if flags and flags[-1] + 1 < len(words) else "config"
    with contextlib.suppress(UserError):
        return compose([word for word in words if "=" in word and word[0] != "-"], name)
    return compose()


def _places(config: DictConfig) -> Iterator[tuple[str, str]]:
    """(place, kind) of what may be added inside a chosen component, as algorithm.terms and
    gradient_term."""
    for group, kind in registry().stage_graph.groups.items():
        if config.get(group) is not None:
            nested = registry().component(kind, config[group].name).nested
            yield from ((f"{group}.{field}", inner) for field, inner in nested.items())


def _values(key: str, words: Sequence[str]) -> list[str]:
    """The values of an option, if it has a list of them: of a setting, or of the config of the
    words before."""
    found = _node(schema_of(RunSettings), key)
    if found is None and "." in key:
        found = _node(_composed(words), key)
    if isinstance(found, BooleanNode):
        return ["true", "false"]
    return [member.name for member in found.enum_type] if isinstance(found, EnumNode) else []


def _node(config: Any, key: str) -> Any:
    *above, name = key.split(".")
    parent = OmegaConf.select(config, ".".join(above)) if above else config
    return parent._get_node(name) if isinstance(parent, DictConfig) and name in parent else None
