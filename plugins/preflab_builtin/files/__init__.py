"""Real inputs: files of records in the shapes that people have, two public sets of human judgements, and Python's own help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflab import Component, Inspection, hookimpl

if TYPE_CHECKING:
    from preflab.interfaces import Context
    from preflab_builtin.files.config import FilesConfig, PydocConfig, RatingsConfig, UkpConfig
    from preflab_builtin.files.pydoc import PydocSource
    from preflab_builtin.files.ratings import RatingsSource
    from preflab_builtin.files.source import FileSource
    from preflab_builtin.files.ukp import UkpSource


@hookimpl
def preflab_components() -> list[Component]:
    """The four data sources."""
    from preflab_builtin.files.config import FilesConfig, PydocConfig, RatingsConfig, UkpConfig

    return [
        Component("data", "files", FilesConfig, build=_files, inspect=_inspect_files),
        Component("data", "ukp", UkpConfig, build=_ukp, inspect=_inspect_ukp),
        Component("data", "ratings", RatingsConfig, build=_ratings, inspect=_inspect_ratings),
        Component("data", "pydoc", PydocConfig, build=_pydoc, inspect=_inspect_pydoc),
    ]


def _files(config: FilesConfig, context: Context) -> FileSource:
    from preflab_builtin.files.source import load

    return load(config)


def _inspect_files(config: FilesConfig) -> Inspection:
    from preflab_builtin.files.source import inspect

    return inspect(config)


def _ukp(config: UkpConfig, context: Context) -> UkpSource:
    from preflab_builtin.files.ukp import load

    return load(config)


def _inspect_ukp(config: UkpConfig) -> Inspection:
    from preflab_builtin.files.ukp import inspect

    return inspect(config)


def _ratings(config: RatingsConfig, context: Context) -> RatingsSource:
    from preflab_builtin.files.ratings import load

    return load(config)


def _inspect_ratings(config: RatingsConfig) -> Inspection:
    from preflab_builtin.files.ratings import inspect

    return inspect(config)


def _pydoc(config: PydocConfig, context: Context) -> PydocSource:
    from preflab_builtin.files.pydoc import load

    return load(config)


def _inspect_pydoc(config: PydocConfig) -> Inspection:
    from preflab_builtin.files.pydoc import inspect

    return inspect(config)
