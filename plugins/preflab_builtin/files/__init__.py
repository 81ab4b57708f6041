"""Your own inputs: files of records in the shapes that people have."""

from __future__ import annotations

from preflab import Component, hookimpl


@hookimpl
def preflab_components() -> list[Component]:
    """The data source."""
    from preflab_builtin.files.config import FilesConfig

    here = "preflab_builtin.files"
    return [
        Component(
            "data",
            "files",
            FilesConfig,
            f"{here}.source:FileSource",
            inspect=f"{here}.source:inspect",
            preflight=f"{here}.preflight:special_tokens",
        )
    ]
