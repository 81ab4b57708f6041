"""Folders that `datasets` saved, the presets, and that choosing a data source imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab import UserError
from preflab.records import RECORD_TYPES, Prompt
from preflab.schemas import typed
from preflab_builtin.files import preflab_components
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.source import load

_CONF = Path(__file__).parents[3] / "conf"


def _saved(monkeypatch: pytest.MonkeyPatch, folder: Path, marker: str, loaded: object) -> None:
    """A folder that looks saved, and a `datasets` that reads it: only the call and the mapping are ours to test."""
    folder.mkdir()
    (folder / marker).write_text("{}")
    module = types.ModuleType("datasets")
    module.load_from_disk = {str(folder): loaded}.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_a_saved_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _saved(monkeypatch, tmp_path / "set", "dataset_info.json", [{"prompt": "a"}, {"prompt": "b"}])
    prompts = load(FilesConfig(prompts=str(tmp_path / "set"))).records("prompts")
    assert [p.text for p in prompts if isinstance(p, Prompt)] == ["a", "b"]


def test_splits_of_a_saved_dict_become_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, list[dict[str, str | None]]] = {"train": [{"prompt": "a"}], "test": [{"prompt": "b"}, {"prompt": None}]}
    _saved(monkeypatch, tmp_path / "set", "dataset_dict.json", parts)
    with pytest.raises(UserError, match=r"set/test:row 2: prompt: is null"):
        load(FilesConfig(prompts=str(tmp_path / "set")))
    parts["test"].pop()
    (tmp_path / "set" / "more").write_text("changed")
    prompts = load(FilesConfig(prompts=str(tmp_path / "set"))).records("prompts")
    assert [p.split for p in prompts] == ["train", "test"]


def test_presets_fit_their_schemas() -> None:
    components = {c.name: c for c in preflab_components()}
    paths = [_CONF / "data" / f"{name}.yaml" for name in ("files", "ukp", "ratings")]
    paths += [_CONF / record_type / "files.yaml" for record_type in RECORD_TYPES]
    for path in paths:
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(node, dict)
        assert node.pop("defaults") == [f"/schema/data/{path.stem}@_here_", "_self_"]
        config = typed(components[path.stem].config_class, {str(k): v for k, v in node.items()}, str(path))
        assert config.name == path.stem
        if path.parent.name in RECORD_TYPES:
            assert config.record.value == path.parent.name


def test_reading_and_inspecting_import_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "q"}')
    code = (
        "import sys\n"
        "from preflab_builtin import files, filters\n"
        "components = {c.name: c for c in [*files.preflab_components(), *filters.preflab_components()]}\n"
        f"found = components['files'].inspect(components['files'].config_class(prompts={str(tmp_path / 'a.jsonl')!r}))\n"
        "assert found.records == {'prompts': 1}, found\n"
        "assert components['pydoc'].inspect(components['pydoc'].config_class()).records['documents'] > 300\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'datasets', 'hydra', 'omegaconf'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
