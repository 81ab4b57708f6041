"""From a command line of Hydra's form to composed configs: its jobs, and errors that name the
key, what is allowed and the nearest name."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from preflab.composing.explaining import readable_errors, refuse_added
from preflab.composing.fast import shrink
from preflab.composing.search_path import hydra_initialised
from preflab.composing.untrusted import check_files, check_name, refuse_secrets
from preflab.errors import UserError, nearest
from preflab.options import problems, typed
from preflab.study import SeedsConfig


def compose(
    overrides: Sequence[str] = (),
    config_name: str = "config",
    with_hydra: bool = False,
    config_dir: str = "",
) -> DictConfig:
    """The config that a command line composes to: ``preflab.compose(["algorithm=ppo"])``.

    with_hydra: keep Hydra's own part. Raises `UserError` naming the key, what is allowed and the
    nearest name.
    """
    with hydra_initialised(config_dir):
        config = composed(overrides, config_name, config_dir)
    if not with_hydra:
        with open_dict(config):
            del config["hydra"]
    return config


def composed(overrides: Sequence[str], config_name: str, config_dir: str = "") -> DictConfig:
    """The config of one job, Hydra's own part included, within `hydra_initialised`."""
    with readable_errors(config_dir):
        config = hydra_compose(config_name, list(overrides), return_hydra_config=True)
        refuse_added(overrides, config)
        shrink(config, config.hydra)
    return config


def job_yaml(config: DictConfig) -> str:
    """What ``--cfg job`` shows of a composed config: all but Hydra's own part."""
    return OmegaConf.to_yaml(_own(config))


def resolved(config: DictConfig) -> dict[str, Any]:
    """All but Hydra's own part as plain values; `UserError` for a reference that leads nowhere or
    in a circle."""
    with readable_errors():
        plain: dict[str, Any] = OmegaConf.to_container(_own(config), resolve=True)  # type: ignore[assignment]
    refuse_secrets(plain)
    return plain


def _own(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""Hydra's default. Its sweeps are grids, so that every job is known before the first starts."""


Overrides = tuple[tuple[str, ...], ...]
"""The overrides of each of some jobs."""


@dataclass(frozen=True)
class CommandLine:
    """What a command line asks for. jobs: the overrides of every job (one without multirun).

    A study that adds seeds by itself (`preflab.study.SeedsConfig`) asks for its jobs in blocks.
    jobs: those of the first block; later: those of each of the others; first_job: number of the
    first of the jobs.
    """

    config_name: str
    config_dir: str
    multirun: bool
    jobs: Overrides
    info: bool = False
    """It only asks to show something (--cfg, --info, --hydra-help, completion): nothing runs."""
    shows_job: bool = False
    """It asks for `--cfg job`: what the check has composed is the answer."""
    config: DictConfig | None = None
    """The config of the only job, or of the multirun as a whole; Hydra's own part included."""
    later: tuple[Overrides, ...] = ()
    first_job: int = 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """A command line by Hydra's flags, which may stand anywhere; `UserError` for one that is
    none."""
    parser = get_args_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings]

    def refuse(message: str) -> NoReturn:
        wrong = next((word for word in argv if word.partition("=")[0] in message.split()), "")
        near = f" {nearest(wrong, flags)}" if wrong.startswith("-") else ""
        raise UserError(f"{message}.{near} preflab --help shows more.")

    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_intermixed_args(list(argv))


def flags_first(argv: Sequence[str]) -> list[str]:
    """A command line as Hydra itself takes it: flags before overrides."""
    overrides, flags = arguments(argv).overrides, list(argv)
    for word in reversed(overrides):
        del flags[len(flags) - 1 - flags[::-1].index(word)]
    return [*flags, *overrides]


def parse(argv: Sequence[str]) -> CommandLine:
    """Read a command line and expand its sweeps, without running anything."""
    args = arguments(argv)
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
    with hydra_initialised(folder) as loader, readable_errors():  # for glob(...) over a group
        swept = OverridesParser.create(loader).parse_overrides([*parameters, *overrides])
        seeds = _seeds(config)
        own = [word for word in parameters if seeds and word.startswith("seed=")]
        if own:
            raise UserError(
                f"The study names its seeds twice: study.seeds, and {own[0]} in "
                "hydra.sweeper.params. Give ~hydra.sweeper.params.seed, or study.seeds=null."
            )
        jobs, *later = _blocks(swept, seeds)
    return CommandLine(name, folder, True, jobs, config=config, later=tuple(later))


def _seeds(config: DictConfig) -> SeedsConfig | None:
    """The seeds that a study adds by itself; `UserError` if they are not valid."""
    node = OmegaConf.select(config, "study.seeds")
    if node is None:
        return None
    if not OmegaConf.is_dict(node):
        raise UserError(
            f"study.seeds is {node!r} but holds options of its own: give study.seeds.at_least, "
            "study.seeds.at_most; for seeds of your own study.seeds=null seed=1,2,3."
        )
    plain = {str(k): v for k, v in OmegaConf.to_container(node, resolve=True).items()}  # type: ignore[union-attr]
    seeds: SeedsConfig = typed(SeedsConfig, plain, "study.seeds")
    wrong = [f"study.seeds.{name} {message}" for name, message in problems(seeds)]
    if wrong:
        raise UserError("\n".join(wrong))
    return seeds


def _blocks(swept: list[Override], seeds: SeedsConfig | None) -> list[Overrides]:
    """The jobs of every block: one block, unless the study adds seeds by itself."""
    if seeds is None:
        return [_grid(swept)]
    given = next((o.input_line for o in swept if o.get_key_element().lstrip("+") == "seed"), None)
    if given is not None:
        values = given.partition("=")[2]
        raise UserError(
            f"{given}: the study chooses its seeds by itself (study.seeds: {seeds.first} to "
            f"{seeds.first + seeds.at_most - 1}). For others give study.seeds.first=N; for these "
            f"alone, without a correction for looks: study.seeds=null seed={values}"
        )
    parser = OverridesParser.create()
    return [
        _grid([*swept, parser.parse_override(f"seed={','.join(map(str, block))}")])
        for block in seeds.blocks()
    ]


def _grid(overrides: Sequence[Override]) -> Overrides:
    """The overrides of every job of a grid, as Hydra's basic sweeper orders them: the last key
    varies fastest, and of a key that is given twice the last counts."""
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override() and key.startswith("hydra"):
            raise UserError(f"{override.input_line}: Hydra's own settings cannot be swept.")
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise UserError(f"{override.input_line} is not a list of values: give {key}=A,B.")
    return tuple(itertools.product(*values.values()))
