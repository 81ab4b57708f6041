"""Folders that `datasets` saved, the presets, and that choosing a data source imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from preflab import UserError
from preflab.options import typed
from preflab.records import RECORD_TYPES, Prompt
from preflab_builtin.files import hub, preflab_components, reading
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


def test_splits_of_a_saved_dict_become_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: dict[str, list[dict[str, str | None]]] = {
        "train": [{"prompt": "a"}],
        "test": [{"prompt": "b"}, {"prompt": None}],
    }
    _saved(monkeypatch, tmp_path / "set", "dataset_dict.json", parts)
    with pytest.raises(UserError, match=r"set/test:row 2: prompt: is null"):
        load(FilesConfig(prompts=str(tmp_path / "set")))
    parts["test"].pop()
    (tmp_path / "set" / "more").write_text("changed")
    prompts = load(FilesConfig(prompts=str(tmp_path / "set"))).records("prompts")
    assert [p.split for p in prompts] == ["train", "test"]


def _hub(
    monkeypatch: pytest.MonkeyPatch, sets: dict[tuple[str, ...], list[dict[str, str]]]
) -> list[dict[str, str | None]]:
    """A hub with some sets, by id, config and split, in place of `datasets`; what else it was asked for."""
    asked: list[dict[str, str | None]] = []

    def load_dataset(*names: str, split: str, revision: str | None) -> list[dict[str, str]]:
        asked.append({"split": split, "revision": revision})
        if (*names, split) not in sets:
            raise ConnectionError(f"Couldn't reach '{names[0]}'\non the Hub")
        return sets[(*names, split)]

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    hub._loaded.cache_clear()
    return asked


def test_a_set_on_the_hub_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "a"}, {"prompt": "b"}]
    asked = _hub(monkeypatch, {("who/what", "train"): rows, ("who/what", "hard", "test"): rows[1:]})
    found = load(FilesConfig(prompts="hub://who/what/train")).records("prompts")
    assert [p.text for p in found if isinstance(p, Prompt)] == ["a", "b"]
    harder = load(FilesConfig(prompts="hub://who/what@abc123/hard/test")).records("prompts")
    assert [p.text for p in harder if isinstance(p, Prompt)] == ["b"]
    assert asked == [
        {"split": "train", "revision": None},
        {"split": "test", "revision": "abc123"},
    ]  # once a set
    # The recipe holds the rows: others are another set.
    digests = [reading.digest(Path(f"hub://who/what/{part}")) for part in ("train", "hard/test")]
    assert len(set(digests)) == 2
    rows.append({"prompt": "c"})
    assert reading.digest(Path("hub://who/what/train")) != digests[0]


@pytest.mark.parametrize(
    "path,said",
    [
        (
            "hub://who/absent/train",
            r"hub://who/absent/train: datasets cannot load it: Couldn't reach 'who/absent' on the Hub\.",
        ),
        (
            "hub://squad/train",
            r"hub://squad/train: is no set on the hub\. Allowed: hub://OWNER/NAME/SPLIT",
        ),
    ],
)
def test_a_set_that_cannot_be_had_says_what_to_do(
    path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hub(monkeypatch, {})
    with pytest.raises(UserError, match=said):
        load(FilesConfig(prompts=path))


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, {})
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import of it fails
    with pytest.raises(
        UserError,
        match=r"hub://who/what/test: a set on the hub needs datasets.*'preflab\[datasets\]'",
    ):
        load(FilesConfig(prompts="hub://who/what/test"))


def test_presets_fit_their_schemas() -> None:
    components = {c.name: c for c in preflab_components()}
    paths = [_CONF / "data" / f"{name}.yaml" for name in ("files", "ukp", "ratings")]
    paths += [_CONF / record_type / "files.yaml" for record_type in RECORD_TYPES]
    for path in paths:
        node = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(node, dict)
        assert node.pop("defaults") == [f"/schema/data/{path.stem}@_here_", "_self_"]
        config = typed(
            components[path.stem].config_class, {str(k): v for k, v in node.items()}, str(path)
        )
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
