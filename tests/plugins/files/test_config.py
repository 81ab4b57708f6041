"""The config of data=files: it names what to read in one of two ways; the presets fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from preflab.options import problems, typed
from preflab.records import RECORD_TYPES
from preflab_builtin import files, public_sets
from preflab_builtin.files.config import FilesConfig, RecordKind

_CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize(
    "values,key,expected",
    [
        ({}, "prompts", "are all null"),
        ({"path": "a"}, "record", "Allowed: prompts, demonstrations, rankings, documents"),
        ({"record": RecordKind.rankings}, "path", "must name a file of rankings"),
        (
            {"record": RecordKind.rankings, "path": "a", "prompts": "b"},
            "prompts",
            "use 'path', or data=files",
        ),
    ],
)
def test_a_config_must_say_what_to_read(values: dict[str, Any], key: str, expected: str) -> None:
    ((field, message),) = problems(FilesConfig(**values))
    assert field == key
    assert expected in message


def test_paths_by_record_type() -> None:
    assert FilesConfig(prompts="a", documents="b").paths() == {"prompts": "a", "documents": "b"}
    assert FilesConfig(record=RecordKind.rankings, path="c").paths() == {"rankings": "c"}


def test_presets_fit_their_schemas() -> None:
    plugins = (files, public_sets)
    components = {c.name: c for plugin in plugins for c in plugin.preflab_components()}
    paths = [_CONF / "data" / f"{name}.yaml" for name in ("files", "ukp", "ratings")]
    paths += [_CONF / record_type / "files.yaml" for record_type in RECORD_TYPES]
    for path in paths:
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(node, dict)
        first, *_, last = node.pop("defaults")
        assert (first, last) == (f"/schema/data/{path.stem}@_here_", "_self_")
        values = {str(key): value for key, value in node.items()}
        config = typed(components[path.stem].config_class, values, str(path))
        assert config.name == path.stem
        if path.parent.name in RECORD_TYPES:
            assert config.record.value == path.parent.name
