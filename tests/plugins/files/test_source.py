"""data=files as a source: paths, folders and sets, what is counted; a file is read once."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from preflab import UserError
from preflab.interfaces import LeavesOut, World
from preflab.records import Prompt
from preflab_builtin.files.config import FilesConfig, OnBadRow, RecordKind, Template
from preflab_builtin.files.source import FileSource, inspect


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b"\n \n", "there are no rows"),
        ("a.jsonl", b"x\n", "JSON: (?s:.*)none is left"),
        ("a.txt", b"\n\n", "there are no rows"),
        ("a.txt", b"bad \xff", ":1: UTF-8: byte 0xff"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*rows kept")
def test_a_file_without_a_good_row(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path / name))}.*({expected})"):
        FileSource(FilesConfig(documents=str(tmp_path / name), on_bad_row=OnBadRow.skip))


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "q"}')
    with pytest.raises(UserError, match=r"no such file or folder. Did you mean 'prompts.jsonl'"):
        FileSource(FilesConfig(prompts=str(tmp_path / "prompt.jsonl")))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"prompts\.jsonl: is \.jsonl, but a\.txt is \.txt"):
        FileSource(FilesConfig(prompts=str(tmp_path)))
    with pytest.raises(UserError, match=r"\.txt files hold documents, not prompts"):
        FileSource(FilesConfig(prompts=str(tmp_path / "a.txt")))
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="the folder is empty"):
        FileSource(FilesConfig(prompts=str(tmp_path / "none")))


def test_what_a_skipped_row_leaves(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "q"}\n{}\n')
    config = FilesConfig(prompts=str(path), on_bad_row=OnBadRow.skip)
    with pytest.warns(UserWarning, match="1 of 2 rows kept"):
        source = FileSource(config)
    assert isinstance(source, LeavesOut)
    assert not isinstance(source, World)
    assert source.left_out("prompts") == {"bad row": 1}
    assert source.left_out("rankings") == {}
    assert source.records("rankings") == []
    (rejected,) = inspect(config).rejected["prompts"]
    assert rejected.startswith(f"{path}:2: columns: none")


def test_record_types_of_two_forms_are_named(tmp_path: Path) -> None:
    said = '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'
    (tmp_path / "p.jsonl").write_text('{"prompt": "q"}')
    (tmp_path / "d.jsonl").write_text(f'{{"messages": {said}}}')
    (tmp_path / "t.jsonl").write_text('{"text": "t"}')
    paths = {"prompts": "p", "demonstrations": "d", "documents": "t"}
    config = FilesConfig(**{k: str(tmp_path / f"{v}.jsonl") for k, v in paths.items()})  # type: ignore[arg-type]
    (notice,) = inspect(config).notices
    assert notice.startswith("prompts are texts, but demonstrations are conversations")
    assert notice.endswith("data.template=chat.")
    config.template = Template.chat
    assert inspect(config).notices == []


def test_sources_of_one_file_share_its_records(tmp_path: Path) -> None:
    path = str(tmp_path / "a.jsonl")
    Path(path).write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n')
    rankings = FileSource(FilesConfig(rankings=path, prompts=path)).records("rankings")
    alone = FilesConfig(record=RecordKind.rankings, path=path)
    assert FileSource(alone).records("rankings") is rankings
    assert FileSource(FilesConfig(rankings=path, user="chosen")).records("rankings") != rankings


def test_splits_of_a_saved_dict_become_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "dataset_dict.json").write_text("{}")
    parts: dict[str, list[dict[str, str | None]]] = {
        "train": [{"prompt": "a"}],
        "test": [{"prompt": "b"}, {"prompt": None}],
    }
    module = types.ModuleType("datasets")
    module.load_from_disk = {str(folder): parts}.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(UserError, match=r"set/test:row 2: prompt: is null"):
        FileSource(FilesConfig(prompts=str(folder)))
    parts["test"].pop()
    prompts = FileSource(FilesConfig(prompts=str(folder))).records("prompts")
    assert [(p.text, p.split) for p in prompts if isinstance(p, Prompt)] == [
        ("a", "train"),
        ("b", "test"),
    ]


_LIGHT = """
import sys
from preflab_builtin import files, filters, public_sets
plugins = (files, filters, public_sets)
components = {c.name: c for plugin in plugins for c in plugin.preflab_components()}
files, pydoc = components["files"], components["pydoc"]
assert files.inspect(files.config_class(prompts=sys.argv[1])).records == {"prompts": 1}
assert pydoc.inspect(pydoc.config_class()).records["documents"] > 300
heavy = {"torch", "transformers", "numpy", "pyarrow", "datasets", "hydra", "omegaconf"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_reading_and_inspecting_import_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "q"}')
    command = [sys.executable, "-c", _LIGHT, str(tmp_path / "a.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
