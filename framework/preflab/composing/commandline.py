"""Reading a command line of Hydra's form: what it asks for, and the jobs of its sweeps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from preflab.composing.compose import compose, readable_errors
from preflab.composing.untrusted import check_files, check_name
from preflab.errors import UserError

SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""Hydra's default. Its sweeps are grids, so that every job is known before the first starts."""


@dataclass(frozen=True)
class CommandLine:
    """What a command line asks for. jobs: the overrides of every job (one without multirun)."""

    config_name: str
    config_dir: str
    multirun: bool
    jobs: tuple[tuple[str, ...], ...]
    info: bool = False
    """It only asks to show something (--cfg, --info, --hydra-help, completion): nothing runs."""
    shows_job: bool = False
    """It asks for `--cfg job`: what the check has composed is the answer."""
    config: DictConfig | None = None
    """The config of the only job, or of the multirun as a whole; Hydra's own part included."""


def parse(argv: Sequence[str]) -> CommandLine:
    """Read a command line and expand its sweeps, without running anything."""
    args = get_args_parser().parse_args(list(argv))
    if args.config_path or args.experimental_rerun:
        flag = "--config-path" if args.config_path else "--experimental-rerun"
        raise UserError(
            f"{flag} is not supported: give your folder with --config-dir; 'preflab rerun DIR' "
            "repeats a run."
        )
    name = args.config_name or "config"
    check_name(name)
    overrides = list(args.overrides)
    folder = str(Path(args.config_dir).resolve()) if args.config_dir else ""
    if folder:
        check_files(Path(folder))
    if args.cfg or args.info or args.hydra_help or args.shell_completion:
        # query=bash and install=bash are not keys of the config.
        words = () if args.shell_completion else tuple(overrides)
        shows_job = args.cfg == "job" and not (args.package or args.resolve or args.info)
        return CommandLine(name, folder, args.multirun, (words,), info=True, shows_job=shows_job)
    with readable_errors():
        parsed = OverridesParser.create().parse_overrides(overrides)
    plain = [o.input_line for o in parsed if not o.is_sweep_override() and o.input_line]
    config = compose(plain, name, with_hydra=True, config_dir=folder)
    if not args.multirun and "MULTIRUN" not in str(config.hydra.mode):
        if plain != overrides:
            config = compose(overrides, name, with_hydra=True, config_dir=folder)
        return CommandLine(name, folder, False, (tuple(overrides),), config=config)
    if config.hydra.sweeper.get("_target_") != SWEEPER:
        raise UserError(
            "hydra/sweeper: preflab checks every job before the first starts, so it takes grids "
            "only (KEY=A,B). Leave hydra/sweeper out."
        )
    parameters = [f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()]
    with readable_errors():
        parsed = OverridesParser.create().parse_overrides([*parameters, *overrides])
        jobs = _grid(parsed)
    return CommandLine(name, folder, True, jobs, config=config)


def _grid(overrides: Sequence[Override]) -> tuple[tuple[str, ...], ...]:
    """The overrides of every job of a grid, as Hydra's basic sweeper orders them: the last key
    varies fastest, and of a key that is given twice the last counts."""
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise UserError(f"{override.input_line} is not a list of values: give {key}=A,B.")
    return tuple(itertools.product(*values.values()))
