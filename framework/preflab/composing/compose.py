"""From a command line of Hydra's form to composed configs: its jobs, and errors that name the
key, what is allowed and the nearest name."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from preflab.composing.explaining import HAS_ITS_OWN, readable_errors, refuse_added
from preflab.composing.fast import shrink
from preflab.composing.search_path import hydra_initialised
from preflab.composing.sweeping import SWEEPER, Overrides, Search, jobs_of, search_of, seeds_of
from preflab.composing.untrusted import check_files, check_name, refuse_secrets
from preflab.errors import UserError, nearest


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
    search: Search | None = None
    """What proposes the later blocks, if the study tries values by itself; jobs are those of its
    first trials."""
    said: tuple[str, ...] = ()
    """What a person should know of how the jobs were chosen."""


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
    folder = str(Path(args.config_dir).resolve()) if args.config_dir else ""
    if folder:
        check_files(Path(folder))
    if args.cfg or args.info or args.hydra_help or args.shell_completion:
        # query=bash and install=bash are not keys of the config.
        words = () if args.shell_completion else tuple(args.overrides)
        shows_job = args.cfg == "job" and not (args.package or args.resolve or args.info)
        return CommandLine(name, folder, args.multirun, (words,), info=True, shows_job=shows_job)
    overrides = _with_own_sweep(list(args.overrides), name, folder)
    with readable_errors():
        parsed = OverridesParser.create().parse_overrides(overrides)
    plain = [o.input_line for o in parsed if not o.is_sweep_override() and o.input_line]
    config = compose(plain, name, with_hydra=True, config_dir=folder)
    if not args.multirun and "MULTIRUN" not in str(config.hydra.mode):
        if plain != overrides:
            config = compose(overrides, name, with_hydra=True, config_dir=folder)
        if any(_SEARCH.match(word) for word in overrides):
            raise UserError("study.search is about several runs: add -m.")
        return CommandLine(name, folder, False, (tuple(overrides),), config=config)
    return _multirun(CommandLine(name, folder, True, (), config=config), overrides)


_OWN_SWEEP = re.compile(r"study\.(seeds|search)(?=[.=])")
_SEARCH = re.compile(r"\+*study\.search(?=[.=])(?!=null$)")
"""Words that ask for seeds or values that a study adds by itself; for the latter, not none."""


def _with_own_sweep(overrides: list[str], name: str, folder: str) -> list[str]:
    """Overrides of which those that give a study seeds or values of its own are taken whether or
    not its file has them: it lets them out where it sweeps its own."""
    asked = [word for word in overrides if _OWN_SWEEP.match(word)]
    if not asked:
        return overrides
    config = compose([], name, config_dir=folder)
    own = {key for key in ("seeds", "search") if OmegaConf.select(config, f"study.{key}")}
    return [
        f"++{word}" if (found := _OWN_SWEEP.match(word)) and found[1] not in own else word
        for word in overrides
    ]


def _multirun(line: CommandLine, overrides: Sequence[str]) -> CommandLine:
    """A multirun with its jobs. line: without them."""
    config = line.config
    assert config is not None
    if config.hydra.sweeper.get("_target_") != SWEEPER:
        raise UserError(
            "hydra/sweeper: preflab checks every job before the first starts, so it takes grids "
            f"only (KEY=A,B). Leave hydra/sweeper out. {HAS_ITS_OWN}"
        )
    parameters = {k: f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()}
    seeds, search, said = seeds_of(config), search_of(config), list[str]()
    if seeds and "seed" in parameters:
        if not any(_OWN_SWEEP.match(word.lstrip("+")) for word in overrides):
            raise UserError(
                f"The study names its seeds twice: study.seeds, and {parameters['seed']} in "
                "hydra.sweeper.params. Give ~hydra.sweeper.params.seed, or study.seeds=null."
            )
        said.append(f"study.seeds takes the place of the study's own {parameters.pop('seed')}.")
    with hydra_initialised(line.config_dir) as loader, readable_errors():  # glob(...) of a group
        swept = OverridesParser.create(loader).parse_overrides([*parameters.values(), *overrides])
        if search is not None:
            found = Search.read(search, swept)
            first = found.jobs_of(found.first)
            return replace(line, jobs=first, search=found, said=tuple(said))
        jobs, *later = jobs_of(swept, seeds)
    return replace(line, jobs=jobs, later=tuple(later), said=tuple(said))
