"""Typed composition on Hydra: where configs are found, what a command line composes to, and errors that name the key."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable, Iterator, Sequence
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
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflab import plugins
from preflab.errors import UserError, nearest
from preflab.foreign import check_files, check_name, refuse_environment, refuse_secrets
from preflab.plugins import Registry

COMPONENT_GROUPS = {
    **{kind: kind for kind in ("data", "policy", "pretrain", "sft", "comparisons", "labeler", "reward_model", "select")},
    **{kind: kind for kind in ("algorithm", "rollout", "evaluation")},
    **{record_type: "data" for record_type in ("prompts", "demonstrations", "rankings", "documents")},
}
"""Config group -> kind of the component that it chooses."""
SCHEME = "preflab"


def _shipped(name: str) -> Path:
    """A folder of YAML: beside the package in a wheel, at the top of a checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name


def config_root() -> Path:
    """The folder of configs."""
    return _shipped("conf")


def sweeps_root() -> Path:
    """The folder of studies."""
    return _shipped("sweeps")


@cache
def registry() -> Registry:
    """The plugins of this process, loaded once; their schemas and presets are known to Hydra afterwards."""
    loaded = plugins.load()
    store = ConfigStore.instance()
    for component, plugin in loaded.components():
        group = f"schema/{component.kind}"
        store.store(group=group, name=component.name, node=component.config_class, provider=plugin.name)
    for extension in (PreflabSearchPath, SchemaSource):
        Plugins.instance().register(extension)
    return loaded


_config_dir = ""
"""The folder of --config-dir while a pre-flight composes; in the run itself Hydra adds it."""


class PreflabSearchPath(SearchPathPlugin):
    """Adds the presets of plugins, the studies, and last the bare schemas to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="preflab", path=f"file://{sweeps_root()}")  # before plugins: none can replace ours
        for plugin, package in registry().config_packages():
            search_path.append(provider=plugin, path=f"pkg://{package}")
        if _config_dir:
            search_path.append(provider="command-line", path=f"file://{_config_dir}")
        search_path.append(provider="preflab schemas", path=f"{SCHEME}://schemas")


class SchemaSource(ConfigSource):
    """Makes a component selectable that has no YAML preset: its schema's defaults are the preset."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def available(self) -> bool:
        return True

    def _component(self, config_path: str) -> tuple[str, str] | None:
        group, _, name = config_path.removesuffix(".yaml").strip("/").partition("/")
        kind = COMPONENT_GROUPS.get(group, group)
        return (kind, name) if name in registry().names(kind) else None

    def load_config(self, config_path: str) -> ConfigResult:
        found = self._component(config_path)
        assert found is not None, config_path
        defaults = OmegaConf.create({"defaults": [{f"/schema/{found[0]}@_here_": found[1]}, "_self_"]})
        path = f"{SCHEME}://schemas"
        return ConfigResult(config=defaults, path=path, provider=self.provider, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in _groups()

    def is_config(self, config_path: str) -> bool:
        return self._component(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = config_path.strip("/")
        if not group:
            return sorted(_groups()) if results_filter in (None, ObjectType.GROUP) else []
        names = registry().names(COMPONENT_GROUPS.get(group, group))
        return names if results_filter in (None, ObjectType.CONFIG) else []


def _groups() -> set[str]:
    """Config groups that components are chosen from: those of a run, and the kinds that stand inside other components
    (``+gradient_term@algorithm.terms.mine=mine``)."""
    return {*COMPONENT_GROUPS, *(component.kind for component, _ in registry().components())}


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
    overrides: Sequence[str] = (), config_name: str = "config", with_hydra: bool = False, config_dir: str = ""
) -> DictConfig:
    """The config that a command line composes to, for notebooks and checks: ``preflab.compose(["algorithm=ppo"])``.

    Raises `UserError` naming the key, what is allowed and the nearest name.
    """
    with _hydra(config_dir), _readable_errors():
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
def composing(config_name: str, config_dir: str = "") -> Iterator[Callable[[Sequence[str]], DictConfig]]:
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
            chooses = [loader.repository.group_exists(o.key_or_group) and not isinstance(o.value(), dict) for o in parsed]
            options = tuple(str(o.input_line) for o, group in zip(parsed, chooses, strict=True) if group)
            if options not in composed:
                composed[options] = whole(options)
            config = copy.deepcopy(composed[options])
            own = [o for o, group in zip(parsed, chooses, strict=True) if not group]
            ConfigLoaderImpl._apply_overrides_to_config(own, config)
            return config

    with _hydra(config_dir):
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
        raise UserError("The config leads back to itself: look for a file that its own defaults list names.") from None


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
    cause = next((str(c).splitlines()[0] for c in chain[1:] if isinstance(c, OmegaConfBaseException)), "")
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


def parse(argv: Sequence[str]) -> CommandLine:
    """Read a Hydra command line and expand its sweeps, without running anything."""
    from hydra._internal.utils import get_args_parser

    args = get_args_parser().parse_args(list(argv))
    if args.config_path or args.experimental_rerun:
        flag = "--config-path" if args.config_path else "--experimental-rerun"
        raise UserError(f"{flag} is not taken: give your folder with --config-dir; 'preflab rerun DIR' repeats a run.")
    name = args.config_name or "config"
    check_name(name)
    overrides = list(args.overrides)
    folder = str(Path(args.config_dir).resolve()) if args.config_dir else ""
    if folder:
        check_files(Path(folder))
    if args.cfg or args.info or args.hydra_help or args.shell_completion:
        words = () if args.shell_completion else tuple(overrides)  # query=bash, install=bash: no keys of the config
        shows_job = args.cfg == "job" and not (args.package or args.resolve or args.info)
        return CommandLine(name, folder, args.multirun, (words,), info=True, shows_job=shows_job)
    with _readable_errors():
        swept = OverridesParser.create().parse_overrides(overrides)
    plain = [o.input_line for o in swept if not o.is_sweep_override() and o.input_line]
    config = compose(plain, name, with_hydra=True, config_dir=folder)
    multirun = args.multirun or "MULTIRUN" in str(config.hydra.mode)
    if not multirun:
        return CommandLine(name, folder, False, (tuple(overrides),))
    parameters = [f"{k}={v}" for k, v in (config.hydra.sweeper.get("params") or {}).items()]
    with _readable_errors():
        parsed = OverridesParser.create().parse_overrides([*parameters, *overrides])
        jobs = [tuple(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    return CommandLine(name, folder, True, tuple(jobs))


def job_yaml(config: DictConfig) -> str:
    """What ``--cfg job`` shows of a composed config: all but Hydra's own part."""
    return OmegaConf.to_yaml(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))


def refuse_code_in_config(config: DictConfig) -> None:
    """Refuse what Hydra itself would execute from a config: ``_target_`` under hydra.callbacks, ``()`` and ``class`` in
    its logging configs. Launchers and sweepers are chosen by group name and keep their own target. Outside of Hydra's own
    part resolvers are refused too: ``${oc.env:TOKEN}`` would write a secret into the files of the run."""
    refuse_environment(config.hydra.job.get("env_set") or {})
    suspicious = list(_targets(config.hydra.callbacks, "hydra.callbacks"))
    for part in ("job_logging", "hydra_logging"):
        suspicious += _targets(config.hydra[part], f"hydra.{part}")
    suspicious += _targets({k: v for k, v in config.items_ex(resolve=False) if k != "hydra"}, "")
    if suspicious:
        raise UserError(
            f"The config would run code: {', '.join(suspicious)}. preflab configs name components and never Python objects; "
            "bring code in with an installed plugin or --plugin FILE."
        )
    calling = list(_resolvers({k: v for k, v in config.items_ex(resolve=False) if k != "hydra"}, ""))
    if calling:
        raise UserError(
            f"The config calls a resolver: {', '.join(calling)}. Values may refer to other keys, as ${{seed}} does, but "
            "never to the environment or to functions: write the value itself."
        )


def resolved(config: DictConfig) -> dict[str, Any]:
    """All but Hydra's own part as plain values; `UserError` for a reference that leads nowhere or in a circle."""
    with _readable_errors():
        own = OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
        plain: dict[str, Any] = OmegaConf.to_container(own, resolve=True)  # type: ignore[assignment]
    refuse_secrets(plain)
    return plain


_LOGGING_CLASSES = {"logging.StreamHandler", "logging.FileHandler"}


def _targets(node: Any, path: str) -> Iterator[str]:
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict):
        for key, value in node.items():
            here = f"{path}.{key}".lstrip(".")
            harmless = key == "class" and (value in _LOGGING_CLASSES or not path.startswith("hydra."))
            if key in ("_target_", "()") or (key == "class" and not harmless):
                yield here
            else:
                yield from _targets(value, here)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _targets(value, f"{path}.{i}")


def _resolvers(node: Any, path: str) -> Iterator[str]:
    """Keys whose text holds ``${name:``, at whatever depth; a reference to a key has no colon."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _resolvers(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _resolvers(value, f"{path}.{i}")
    elif isinstance(node, str) and _RESOLVER.search(node):
        yield path


_RESOLVER = re.compile(r"\$\{[^}]*:")


def options(group: str) -> list[str]:
    """Selectable options of a config group: YAML presets of preflab and of plugins, and components without one."""
    with _hydra():
        loader = GlobalHydra.instance().config_loader()
        return [o for o in loader.get_group_options(group) if not o.startswith("_")]
