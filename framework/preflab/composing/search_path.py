"""Where Hydra finds configs: preflab's own, studies, presets of plugins, schemas of components."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Hashable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from preflab.composing.loading import SharingLoader
from preflab.door import discovery
from preflab.door.registry import Registry
from preflab.kinds import LISTS
from preflab.options import schema_of

SCHEME = "preflab"
SCHEMAS = "schema/"
"""Where presets find the schemas of components: ``/schema/KIND/NAME@_here_``."""


def _shipped(name: str) -> Path:
    """A folder of YAML: within the package in a wheel, at the top of a checkout."""
    inside = Path(__file__).parents[1] / name
    return inside if inside.is_dir() else Path(__file__).parents[3] / name


def config_root() -> Path:
    """The folder of configs."""
    return _shipped("conf")


def sweeps_root() -> Path:
    """The folder of studies."""
    return _shipped("sweeps")


@cache
def registry() -> Registry:
    """The plugins of this process, loaded once. Hydra knows their schemas and presets then."""
    loaded = discovery.load()
    _extend_hydra()
    return loaded


def _extend_hydra() -> None:
    """Our search path and schemas among Hydra's plugins. Its joblib launcher forgets them when a
    job has run in this process (n_jobs=1): it restores Hydra's state without plugins."""
    for extension in (PreflabSearchPath, SchemaSource):
        Plugins.instance().register(extension)


COMMAND_LINE = "command-line"
"""How Hydra names the provider of the folder of --config-dir, as its own command line does."""
_config_dir = ""
"""The folder of --config-dir while `hydra_initialised` lasts."""


class PreflabSearchPath(SearchPathPlugin):
    """Adds studies, presets of plugins, and last the bare schemas to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        # Studies come before plugins, which therefore cannot replace ours.
        search_path.append(provider="preflab", path=f"file://{sweeps_root()}")
        for plugin, package in registry().config_packages():
            search_path.append(provider=plugin, path=f"pkg://{package}")
        if _config_dir:
            search_path.append(provider=COMMAND_LINE, path=f"file://{_config_dir}")
        search_path.append(provider="preflab schemas", path=f"{SCHEME}://schemas")


class SchemaSource(ConfigSource):
    """Serves the schema of every component as ``schema/KIND/NAME``, and makes a component
    selectable that has no YAML preset: its schema's defaults are the preset. A schema is made
    when a config asks for it: Hydra's own store would hold all of them, and Hydra copies that
    store before it composes anything."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        component = _component(config_path)
        assert component is not None, config_path
        kind, name = component
        path = f"{SCHEME}://schemas"
        if config_path.strip("/").startswith(SCHEMAS):
            config_class: Any = registry().component(kind, name).config_class
            schema = copy.deepcopy(schema_of(config_class))
            provider = registry().provider(kind, name).name
            return ConfigResult(provider, path, schema, header={"package": None})
        defaults = {"defaults": [{f"/{SCHEMAS}{kind}@_here_": name}, "_self_"]}
        preset = OmegaConf.create(defaults)
        return ConfigResult(self.provider, path, preset, header={"package": None})

    def content(self, config_path: str) -> Hashable:
        """What decides a config, see `preflab.composing.loading.HasContent`."""
        component = _component(config_path)
        assert component is not None, config_path
        kind, name = component
        config_class: Any = registry().component(kind, name).config_class
        return kind, config_class, registry().provider(kind, name).name

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in {"", *_groups()}

    def is_config(self, config_path: str) -> bool:
        return _component(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = config_path.strip("/")
        prefix = f"{group}/" if group else ""
        below = {
            g.removeprefix(prefix).partition("/")[0] for g in _groups() if g.startswith(prefix)
        }
        groups = [] if results_filter is ObjectType.CONFIG else sorted(below)
        configs = [] if results_filter is ObjectType.GROUP else registry().names(_kind(group))
        return [*groups, *configs]


def _kind(group: str) -> str:
    """The kind of component that a config group chooses from."""
    if group.startswith(SCHEMAS):
        return group.removeprefix(SCHEMAS)
    return registry().stage_graph.groups.get(group, group)


def _component(config_path: str) -> tuple[str, str] | None:
    """(kind, name) of the component that the path of a config names, if there is one."""
    group, _, name = config_path.removesuffix(".yaml").strip("/").rpartition("/")
    kind = _kind(group)
    return (kind, name) if name in registry().names(kind) else None


def _groups() -> set[str]:
    """Config groups that components are chosen from: those of a run, the kinds inside other
    components (``+gradient_term@algorithm.terms.mine=mine``), and the same below ``schema``."""
    kinds = {component.kind for component, _ in registry().components()}
    below = {SCHEMAS + kind for kind in kinds}
    return {*registry().stage_graph.groups, *kinds, SCHEMAS.rstrip("/"), *below}


def groups_of_a_run() -> list[str]:
    """Config groups that a command line chooses from by GROUP=OPTION, in the order of a run."""
    return [*registry().stage_graph.groups, *LISTS, "experiment", "watch", "debug"]


@contextlib.contextmanager
def hydra_initialised(config_dir: str = "") -> Iterator[Any]:
    """Hydra's compose API with our search path, whatever was initialised before; gives Hydra's
    loader of configs."""
    global _config_dir
    registry()
    _extend_hydra()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    _config_dir = config_dir
    try:
        with initialize_config_dir(str(config_root()), job_name="job", version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            hydra.config_loader = SharingLoader(hydra.config_loader.get_search_path())
            yield hydra.config_loader
    finally:
        _config_dir = ""
        if before is not None:
            GlobalHydra.instance().initialize(before)


def options(group: str) -> list[str]:
    """Selectable options of a config group: YAML presets of preflab and of plugins, and components
    without one."""
    return options_of([group])[group]


def options_of(groups: Iterable[str]) -> dict[str, list[str]]:
    """The options of several config groups. Hydra's own list of them copies all sources first, for
    each group again."""
    with hydra_initialised() as loader:
        sources = loader.get_sources()
        names = {
            group: {
                name
                for source in sources
                if source.is_group(group)
                for name in source.list(group, ObjectType.CONFIG)
            }
            for group in groups
        }
    return {g: sorted(n for n in known if not n.startswith("_")) for g, known in names.items()}
