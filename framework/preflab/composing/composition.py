"""Typed composition on Hydra: where configs are found, what a command line composes to, and errors that name the key."""

from __future__ import annotations

import contextlib
import copy
import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflab.composing.untrusted import check_files, check_name, refuse_secrets
from preflab.door import discovery
from preflab.door.registry import Registry
from preflab.errors import UserError, nearest
from preflab.options import schema_of

SCHEME = "preflab"
SCHEMAS = "schema/"
"""Where presets find the schemas of components: ``/schema/KIND/NAME@_here_``."""


def _shipped(name: str) -> Path:
    """A folder of YAML: beside the package in a wheel, at the top of a checkout."""
    inside = Path(__file__).parents[1] / name
    return inside if inside.is_dir() else Path(__file__).parents[3] / name


def config_root() -> Path:
    """The folder of configs."""
    return _shipped("conf")


def sweeps_root() -> Path:
    """The folder of studies."""
    return _shipped("sweeps")


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Composition makes many objects that stay. Python's garbage collector looks through the new ones at every 700, which is a
    tenth of all the work here; at every 100,000 it still finds what is left of one composition while the next ones run."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@cache
@_seldom_collected()
def registry() -> Registry:
    """The plugins of this process, loaded once; their schemas and presets are known to Hydra afterwards."""
    loaded = discovery.load()
    for extension in (PreflabSearchPath, SchemaSource):
        Plugins.instance().register(extension)
    return loaded


_config_dir = ""
"""The folder of --config-dir while a pre-flight composes; in the run itself Hydra adds it."""


class PreflabSearchPath(SearchPathPlugin):
    """Adds the presets of plugins, the studies, and last the bare schemas to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(
            provider="preflab", path=f"file://{sweeps_root()}"
        )  # before plugins: none can replace ours
        for plugin, package in registry().config_packages():
            search_path.append(provider=plugin, path=f"pkg://{package}")
        if _config_dir:
            search_path.append(provider="command-line", path=f"file://{_config_dir}")
        search_path.append(provider="preflab schemas", path=f"{SCHEME}://schemas")


class SchemaSource(ConfigSource):
    """Serves the schema of every component as ``schema/KIND/NAME``, and makes a component selectable that has no YAML preset: its
    schema's defaults are the preset. A schema is made when a config asks for it: Hydra's own store would hold all of them, and
    Hydra copies that store before it composes anything."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        found = _component(config_path)
        assert found is not None, config_path
        kind, name = found
        path = f"{SCHEME}://schemas"
        if config_path.strip("/").startswith(SCHEMAS):
            config_class: Any = registry().component(kind, name).config_class
            made = copy.deepcopy(schema_of(config_class))
            return ConfigResult(
                registry().provider(kind, name).name, path, made, header={"package": None}
            )
        preset = OmegaConf.create({"defaults": [{f"/{SCHEMAS}{kind}@_here_": name}, "_self_"]})
        return ConfigResult(self.provider, path, preset, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in {"", *_groups()}

    def is_config(self, config_path: str) -> bool:
        return _component(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = config_path.strip("/")
        inside = f"{group}/" if group else ""
        groups = {
            known.removeprefix(inside).partition("/")[0]
            for known in _groups()
            if known.startswith(inside)
        }
        found = [] if results_filter is ObjectType.CONFIG else sorted(groups)
        return (
            found
            if results_filter is ObjectType.GROUP
            else [*found, *registry().names(_kind(group))]
        )


def _kind(group: str) -> str:
    """The kind of component that a config group chooses from."""
    return (
        group.removeprefix(SCHEMAS)
        if group.startswith(SCHEMAS)
        else registry().stage_graph.groups.get(group, group)
    )


def _component(config_path: str) -> tuple[str, str] | None:
    """(kind, name) of the component that a path of a config means, if there is one."""
    group, _, name = config_path.removesuffix(".yaml").strip("/").rpartition("/")
    kind = _kind(group)
    return (kind, name) if name in registry().names(kind) else None


def _groups() -> set[str]:
    """Config groups that components are chosen from: those of a run, and the kinds that stand inside other components
    (``+gradient_term@algorithm.terms.mine=mine``), and below ``schema`` again."""
    kinds = {component.kind for component, _ in registry().components()}
    return {
        *registry().stage_graph.groups,
        *kinds,
        SCHEMAS.rstrip("/"),
        *(SCHEMAS + kind for kind in kinds),
    }


@contextlib.contextmanager
def _hydra(config_dir: str = "") -> Iterator[None]:
    """Hydra's compose API with our search path, whatever was initialised before."""
    global _config_dir
    registry()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    _config_dir = config_dir
    try:
        with initialize_config_dir(str(config_root()), version_base="1.3"):
            yield
    finally:
        _config_dir = ""
        if before is not None:
            GlobalHydra.instance().initialize(before)


def compose(
    overrides: Sequence[str] = (),
    config_name: str = "config",
    with_hydra: bool = False,
    config_dir: str = "",
) -> DictConfig:
    """The config that a command line composes to, for notebooks and checks: ``preflab.compose(["algorithm=ppo"])``.

    Raises `UserError` naming the key, what is allowed and the nearest name.
    """
    with _seldom_collected(), _hydra(config_dir), _readable_errors():
        return hydra_compose(config_name, overrides=list(overrides), return_hydra_config=with_hydra)


class _ReadOnce(ConfigRepository):
    """Hydra's repository of configs, which reads and parses each of them once for all jobs of a command. What it gives away are
    copies: Hydra merges into what it was given."""

    def __init__(self, sources: list[ConfigSource], known: dict[str, ConfigResult | None]) -> None:
        self.sources, self._known = sources, known

    def __deepcopy__(self, memo: dict[int, Any]) -> _ReadOnce:
        return _ReadOnce(self.sources, self._known)  # Hydra makes one for each composition

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        super().initialize_sources(config_search_path)
        self._known = {}  # a job with a hydra.searchpath of its own looks elsewhere

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._known:
            self._known[config_path] = super().load_config(config_path)
        kept = self._known[config_path]
        if kept is None:
            return None
        return replace(kept, config=copy.deepcopy(kept.config), header=dict(kept.header))


@contextlib.contextmanager
def composing(
    config_name: str, config_dir: str = ""
) -> Iterator[Callable[[Sequence[str]], DictConfig]]:
    """A function that composes one job of a command after another. What it returns is what `compose` does, but for the overrides
    that Hydra's own part lists.

    Jobs that choose the same options of groups are composed once: Hydra applies all other overrides afterwards, in their order
    (`ConfigLoaderImpl._load_configuration_impl`), and so does this, to a copy. Each file is read once.
    """
    parser, composed = OverridesParser.create(), dict[tuple[str, ...], DictConfig]()

    def whole(overrides: Sequence[str]) -> DictConfig:
        return hydra_compose(config_name, overrides=list(overrides), return_hydra_config=True)

    def one(overrides: Sequence[str]) -> DictConfig:
        with _readable_errors():
            parsed = parser.parse_overrides(list(overrides))
            if any(o.is_hydra_override() or o.is_sweep_override() for o in parsed):
                return whole(overrides)
            chooses = [
                loader.repository.group_exists(o.key_or_group) and not isinstance(o.value(), dict)
                for o in parsed
            ]
            options = tuple(
                str(o.input_line) for o, group in zip(parsed, chooses, strict=True) if group
            )
            if options not in composed:
                composed[options] = whole(options)
            config = copy.deepcopy(composed[options])
            own = [o for o, group in zip(parsed, chooses, strict=True) if not group]
            ConfigLoaderImpl._apply_overrides_to_config(own, config)
            return config

    with _seldom_collected(), _hydra(config_dir):
        loader: Any = GlobalHydra.instance().config_loader()
        loader.repository = _ReadOnce(loader.repository.sources, {})
        yield one


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(explain(error)) from None
    except RecursionError:
        raise UserError(
            "The config leads back to itself: look for a file that its own defaults list names."
        ) from None


def explain(error: BaseException) -> str:
    """A Hydra or OmegaConf error as one sentence: key, value, what is allowed, nearest name."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for item in chain:
        options = getattr(item, "options", None)
        missing = getattr(item, "missing_cfg_file", None)
        if missing and options is not None:
            group, _, name = str(missing).rpartition("/")
            known = nearest(name, [str(o) for o in options])
            return f"There is no {group or 'config'} '{name}'. {known}{registry().not_loaded()}"
    for item in chain:
        parent, key = getattr(item, "parent_node", None), getattr(item, "key", None)
        if parent is not None and key is not None and re.search("not in", str(item)):
            allowed = [str(k) for k in parent] if OmegaConf.is_dict(parent) else []
            return f"{getattr(item, 'full_key', key) or key} is not an option. {nearest(str(key), allowed)}"
    text = " ".join(line.strip() for line in str(chain[0]).splitlines() if line.strip())
    cause = next(
        (str(c).splitlines()[0] for c in chain[1:] if isinstance(c, OmegaConfBaseException)), ""
    )
    return text if cause in text else f"{text}: {cause}"


def trust_the_check() -> None:
    """Have Hydra's sweeper not compose every job once more before the first starts: whoever calls this has done so."""
    BasicSweeper.validate_batch_is_legal = lambda self, batch: None  # type: ignore[method-assign]


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
    """It asks for `--cfg job`: what the check has composed is the answer, and Hydra need not compose it again."""
    composed: DictConfig | None = None
    """The config of the only job, if finding out that it is the only one has composed it (Hydra's own part included)."""


def parse(argv: Sequence[str]) -> CommandLine:
    """Read a Hydra command line and expand its sweeps, without running anything."""
    from hydra._internal.utils import get_args_parser

    args = get_args_parser().parse_args(list(argv))
    if args.config_path or args.experimental_rerun:
        flag = "--config-path" if args.config_path else "--experimental-rerun"
        raise UserError(
            f"{flag} is not taken: give your folder with --config-dir; 'preflab rerun DIR' repeats a run."
        )
    name = args.config_name or "config"
    check_name(name)
    overrides = list(args.overrides)
    folder = str(Path(args.config_dir).resolve()) if args.config_dir else ""
    if folder:
        check_files(Path(folder))
    if args.cfg or args.info or args.hydra_help or args.shell_completion:
        words = (
            () if args.shell_completion else tuple(overrides)
        )  # query=bash, install=bash: no keys of the config
        shows_job = args.cfg == "job" and not (args.package or args.resolve or args.info)
        return CommandLine(name, folder, args.multirun, (words,), info=True, shows_job=shows_job)
    with _readable_errors():
        swept = OverridesParser.create().parse_overrides(overrides)
    plain = [o.input_line for o in swept if not o.is_sweep_override() and o.input_line]
    config = compose(plain, name, with_hydra=True, config_dir=folder)
    multirun = args.multirun or "MULTIRUN" in str(config.hydra.mode)
    if not multirun:
        return CommandLine(
            name,
            folder,
            False,
            (tuple(overrides),),
            composed=config if plain == overrides else None,
        )
    parameters = [f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()]
    with _readable_errors():
        parsed = OverridesParser.create().parse_overrides([*parameters, *overrides])
        jobs = [tuple(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    return CommandLine(name, folder, True, tuple(jobs))


def job_yaml(config: DictConfig) -> str:
    """What ``--cfg job`` shows of a composed config: all but Hydra's own part."""
    return OmegaConf.to_yaml(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    )


def resolved(config: DictConfig) -> dict[str, Any]:
    """All but Hydra's own part as plain values; `UserError` for a reference that leads nowhere or in a circle."""
    with _readable_errors():
        own = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
        plain: dict[str, Any] = OmegaConf.to_container(own, resolve=True)  # type: ignore[assignment]
    refuse_secrets(plain)
    return plain


def options(group: str) -> list[str]:
    """Selectable options of a config group: YAML presets of preflab and of plugins, and components without one."""
    return options_of([group])[group]


def options_of(groups: Iterable[str]) -> dict[str, list[str]]:
    """The options of several config groups. Hydra's own list of them copies all sources first, for each group anew."""
    with _hydra():
        sources = GlobalHydra.instance().config_loader().get_sources()
        found = {
            g: {o for s in sources if s.is_group(g) for o in s.list(g, ObjectType.CONFIG)}
            for g in groups
        }
    return {
        group: sorted(name for name in names if not name.startswith("_"))
        for group, names in found.items()
    }
