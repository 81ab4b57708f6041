"""What the tab key offers: commands, runs, studies, values and components inside others here; keys
and other options by Hydra."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import BooleanNode, DictConfig, EnumNode, OmegaConf

from preflab.composing.compose import compose
from preflab.composing.search_path import options, registry, sweeps_root
from preflab.door.registry import OWN_COMMANDS
from preflab.errors import UserError
from preflab.options import schema_of
from preflab.settings import RunSettings
from preflab.storage.runs import ROOT, is_multirun, is_run

ACTIONS = {
    "runs": ("compare", "export", "rm"),
    "artifacts": ("list", "prune"),
    "plugins": ("show",),
}
"""Words that follow a command."""
OF_RUNS = ("report", "rerun", "runs", "chat")
"""Commands whose words are runs, by name or by folder; those of plugins may be of them."""
OF_OVERRIDES = ("plan", "rerun")
"""Commands whose words are those of a run."""
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
        folders = [sweeps_root(), *map(Path, _after(words, "-cd", "--config-dir"))]
        return [path.stem for folder in folders for path in sorted(folder.glob("*.yaml"))]
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
    if words[0] in registry().commands():
        known += [*_runs(word), *(path.stem for path in sorted(sweeps_root().glob("*.yaml")))]
    if words[0] not in OF_RUNS:
        return known
    return known + _runs(word, words[0] == "chat" or list(words[:2]) == ["runs", "compare"])


def _runs(word: str, single: bool = False) -> list[str]:
    """Runs and multiruns below ``runs``: by their names where a word begins so, and by their
    folders. single: runs alone, jobs in the place of their multirun."""
    near = [folder for folder in sorted(ROOT.glob("*/*")) if is_run(folder)]
    jobs = [folder for folder in sorted(ROOT.glob("*/*/*")) if is_run(folder)]
    if single:
        near = [folder for folder in near if not is_multirun(folder)]
    names = [folder.name for folder in near if word]
    if single or "/" in word:
        names += [f"{job.parent.name}/{job.name}" for job in jobs if word]
    return [*names, *map(str, sorted([*near, *jobs]))]


def hydras(line: str) -> str | None:
    """The line as Hydra completes it: neither a command nor its run is a word of it. None: it has
    no word for Hydra.

    >>> hydras("preflab plan algor"), hydras("preflab rerun RUN al"), hydras("preflab chat al")
    ('preflab algor', 'preflab al', None)
    """
    program, _, rest = line.partition(" ")
    command, space, more = rest.lstrip().partition(" ")
    if not space or "=" in command or command.startswith("-"):
        return line
    if command not in OF_OVERRIDES:
        return None
    if command == "rerun":
        _, space, more = more.lstrip().partition(" ")
    return f"{program} {more}" if space else None


def _after(words: Sequence[str], *flags: str) -> list[str]:
    """The values of a flag."""
    return [value for flag, value in itertools.pairwise(words) if flag in flags]


def _composed(words: Sequence[str]) -> DictConfig:
    """The config of the words before the last, or the default one if they are not whole."""
    name = ["config", *_after(words, "-cn", "--config-name")][-1]
    folder = ["", *_after(words, "-cd", "--config-dir")][-1]
    overrides = [word for word in words if "=" in word and word[0] != "-"]
    with contextlib.suppress(UserError):
        return compose(overrides, name, config_dir=str(Path(folder).resolve()) if folder else "")
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
