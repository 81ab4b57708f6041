"""Hydra's loader of configs, which does only once in a process what has the same result each time:
it reads no text twice, and merges no list of configs twice.

A study composes each of its arms anew for every seed, and a command composes what it checks before
it composes its jobs. What is kept is found by content, so an edited file is read again.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hydra._internal import defaults_list as hydra_defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.defaults_list import Overrides
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

from preflab.kept import Kept, Shelf

KEPT = Shelf(400)
"""Configs by where they are from and what is written there; merged lists of configs by those."""


@dataclass
class _Result(ConfigResult):
    """What a repository gives for the path of a config. kept: itself, as it was read."""

    kept: Kept | None = None


@runtime_checkable
class HasContent(Protocol):
    """A source of configs that says what decides the config at a path."""

    def content(self, config_path: str) -> Hashable:
        """What decides it, to be compared."""


class SharingLoader(ConfigLoaderImpl):
    """Hydra's loader, with a `SharingRepository`."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = SharingRepository(config_search_path)

    def _load_configuration_impl(self, *args: Any, **kwargs: Any) -> DictConfig:
        with _choices_if_needed():
            return super()._load_configuration_impl(*args, **kwargs)

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        key = _all_of(defaults, repo)
        if key is None:
            return super()._compose_config_from_defaults_list(defaults, repo)
        found = KEPT.find(key)
        if found is None:
            made = super()._compose_config_from_defaults_list(defaults, repo)
            KEPT.put(key, made)
            return made
        merged: DictConfig = found.copied()
        _resolve_again(merged)
        return merged


def _all_of(defaults: Sequence[ResultDefault], repo: IConfigRepository) -> Hashable:
    """All that decides what a list of configs is merged to; None if it is not known."""
    parts, schemas = [], repo.get_schema_source()
    for default in defaults:
        assert default.config_path is not None
        loaded = repo.load_config(default.config_path)
        if not isinstance(loaded, _Result):
            return None
        if not loaded.is_schema_source and schemas.is_config(default.config_path):
            return None  # Hydra merges it with the schema of the same name
        parts.append((default.config_path, default.package, default.primary, loaded.kept))
    return tuple(parts)


def _resolve_again(config: DictConfig) -> None:
    """What OmegaConf resolves once for a config, and has resolved while it was merged: the time, in
    ``${now:...}``."""
    asked = [
        f"${{{name}:{','.join(words)}}}"
        for name, values in OmegaConf.get_cache(config).items()
        for words in values
    ]
    OmegaConf.clear_cache(config)
    for text in asked:
        OmegaConf.create([text], parent=config)[0]


class SharingRepository(ConfigRepository):
    """Hydra's repository, which gives a config that it has given before without reading it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharingRepository:
        """Hydra takes a copy for each composition, and gives that other sources at most."""
        return copy.copy(self)

    def load_config(self, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        content = None if source is None else _content(source, config_path)
        if source is None or content is None:
            return super().load_config(config_path)
        key = (source.scheme(), source.provider, source.path, config_path, content)
        kept = KEPT.find(key)
        if kept is None:
            read = super().load_config(config_path)
            if _content(source, config_path) == content:  # it was not edited meanwhile
                kept = KEPT.put(key, read)
            if kept is None:
                return read
        return _Result(**vars(kept.copied()), kept=kept)


def _content(source: ConfigSource, config_path: str) -> Hashable:
    """What decides the config at a path of a source; None if it is not known."""
    name, scheme = source._normalize_file_name(config_path), source.scheme()
    with contextlib.suppress(OSError):  # who reads it says what is wrong
        if scheme == "file":
            return Path(source.path, name).read_bytes()
        if scheme == "pkg":
            return resources.files(source.path).joinpath(name).read_bytes()
    if scheme == "structured":
        return Same(ConfigStore.instance()._load(name))
    return source.content(config_path) if isinstance(source, HasContent) else None


@dataclass(frozen=True)
class Same:
    """A thing that equals itself alone, whatever is in it."""

    thing: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


@contextlib.contextmanager
def _choices_if_needed() -> Iterator[None]:
    """Within it Hydra makes a config of all choices only for a defaults list that refers to them
    (``- model: ${size}``): for each defaults list it makes one, which takes a quarter of the time
    of composing and is read nowhere else."""
    make = hydra_defaults._create_interpolation_map

    def choices(
        overrides: Overrides, defaults_list: list[InputDefault], self_added: bool
    ) -> DictConfig:
        if any(default.is_interpolation() for default in defaults_list):
            return make(overrides, defaults_list, self_added)
        return OmegaConf.create()

    hydra_defaults._create_interpolation_map = choices
    try:
        yield
    finally:
        hydra_defaults._create_interpolation_map = make
