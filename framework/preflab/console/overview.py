"""What ``preflab --help`` prints."""

from __future__ import annotations

from collections.abc import Callable

from preflab.composing.search_path import (
    config_root,
    groups_of_a_run,
    options_of,
    registry,
    sweeps_root,
)
from preflab.console.commands import COMMANDS
from preflab.door.registry import command_name


def overview() -> str:
    """Commands, config groups with their options, and what is broken."""
    plugins, graph = registry(), registry().stage_graph
    theirs = [function for function, _ in plugins.commands().values()]
    usages = [_usage(function) for function in (*COMMANDS.values(), *theirs)]
    groups = groups_of_a_run()
    kinds = {component.kind for component, _ in plugins.components()}
    nested = sorted(kinds - set(graph.groups.values()))
    options = options_of([*groups, *nested])
    studies = sorted(path.stem for path in sweeps_root().glob("*.yaml"))

    def listed(names: list[str]) -> list[str]:
        return [f"  {name + ':':16}{', '.join(options[name])}" for name in names]

    lines = [
        "preflab: the InstructGPT experiment bench",
        "",
        "  preflab [KEY=VALUE ...]      run the composed experiment",
        "  preflab -m KEY=A,B ...       run every combination",
        "  preflab -cn STUDY            run a study",
        "",
        *(f"  preflab {usage}" for usage in usages),
        "",
        "Config groups (choose with GROUP=OPTION):",
        *listed(groups),
        "",
        "Inside another component (+KIND@FIELD.NAME=OPTION, as in "
        "+gradient_term@algorithm.terms.ptx=ptx):",
        *listed(nested),
        "",
        f"Studies: {', '.join(studies) or 'none'}",
        f"Configs: {config_root()}",
        "Show a composed config with --cfg job, its source with --info searchpath, completion with "
        "-sc install=bash.",
    ]
    return "\n".join(lines) + plugins.not_loaded()


def _usage(command: Callable[[list[str]], int]) -> str:
    """The first paragraph of a command's docstring, in one line."""
    paragraph = (command.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.split()) or command_name(command)
