"""Model folders that are refused before any work: what is wrong, and the cure. Each case is a whole
folder with one thing changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from preflab.errors import UserError
from preflab_builtin.causal_lm.checking import Use, check_folder
from preflab_builtin.causal_lm.config import TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.sources import TinySource

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 4\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved policy of two blocks; its tokens are bytes."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    config = TinyConfig(layers=2, width=16, heads=2, tokenizer=TokenizerKind.bytes)
    TinySource(config, None).create(torch.Generator()).save(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    shutil.copytree(whole, tmp_path / "model")
    return tmp_path / "model"


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def rename(folder: Path, old: str, new: str) -> None:
    (folder / old).rename(folder / new)


def shards(folder: Path, files: int) -> None:
    """The weights in so many files, with an index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = [f"model-{i + 1:05}-of-{files:05}.safetensors" for i in range(files)]
    where = {name: names[i % files] for i, name in enumerate(sorted(tensors))}
    for file in names:
        save_file({n: tensors[n] for n in where if where[n] == file}, folder / file)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": where}))


def without(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def no_tokenizer(folder: Path) -> None:
    without(folder, TOKENIZER, "tokenizer_config.json")


def adapter(folder: Path) -> None:
    rename(folder, WEIGHTS, "adapter_model.safetensors")
    without(folder, CONFIG)
    facts = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (folder / "adapter_config.json").write_text(json.dumps(facts))


def adapter_beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def missing_shard(folder: Path) -> None:
    shards(folder, 2)
    without(folder, "model-00002-of-00002.safetensors")


def shard_of_another_model(folder: Path) -> None:
    shards(folder, 2)
    save_file({"other": torch.zeros(1)}, folder / "model-00002-of-00002.safetensors")


def gguf(folder: Path) -> None:
    rename(folder, WEIGHTS, "model.q4.gguf")


def only_gguf(folder: Path) -> None:
    gguf(folder)
    without(folder, CONFIG)


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tokenizer": (
        no_tokenizer,
        r"holds no tokenizer \(tokenizer\.json\): copy it from the base",
    ),
    "adapter": (
        adapter,
        r"is a LoRA adapter of org/base, .*merge it \(merge_and_unload\) and save",
    ),
    "adapter beside the model": (adapter_beside, r"a LoRA adapter .*remove adapter_config\.json"),
    "pickled": (
        lambda f: rename(f, WEIGHTS, "pytorch_model.bin"),
        r"no \*\.safetensors, but pytorch_model\.bin\. .*convert them with save_pretrained",
    ),
    "other weights": (
        lambda f: rename(f, WEIGHTS, "consolidated.safetensors"),
        r"has consolidated\.safetensors, but neither model\.safetensors nor",
    ),
    "no weights": (lambda f: without(f, WEIGHTS), r"no \*\.safetensors: the weights are missing"),
    "GGUF": (gguf, r"model\.q4\.gguf is a GGUF file.* gguf_file='model\.q4\.gguf'\)"),
    "GGUF alone": (only_gguf, r"no config\.json: model\.q4\.gguf is a GGUF file"),
    "missing shard": (
        missing_shard,
        r"lacks model-00002-of-00002\.safetensors, one of the 2 shards .*\(1 missing\)",
    ),
    "foreign shard": (shard_of_another_model, r"model-00002-of-00002\.safetensors lacks .*"),
    "cut weights": (cut, r"is not a whole safetensors file: it has [\d,]+ bytes and should have"),
    "empty weights": (lambda f: (f / WEIGHTS).write_bytes(b""), r"model\.safetensors is empty"),
    "pointer of weights": (
        lambda f: (f / WEIGHTS).write_text(POINTER),
        r"model\.safetensors: is a pointer of Git LFS.* git lfs pull",
    ),
    "pointer of tokenizer": (
        lambda f: (f / TOKENIZER).write_text(POINTER),
        r"tokenizer\.json: is a pointer of Git LFS",
    ),
    "config that is no JSON": (
        lambda f: (f / CONFIG).write_text("[1, 2"),
        r"config\.json cannot be read",
    ),
    "quantised": (
        lambda f: edit(f / CONFIG, quantization_config={"quant_method": "gptq"}),
        r"is quantised \(gptq\), and preflab trains float32",
    ),
    "encoder-decoder": (
        lambda f: edit(f / CONFIG, is_encoder_decoder=True, architectures=["T5Model"]),
        r"holds T5Model, not a causal language model: it reads with an encoder",
    ),
    "encoder": (
        lambda f: edit(f / CONFIG, architectures=["BertForMaskedLM"]),
        r"holds BertForMaskedLM, not a causal language model: it fills in masked words",
    ),
    "classifier": (
        lambda f: edit(f / CONFIG, architectures=["LlamaForSequenceClassification"]),
        r"not a causal language model: it scores texts.*reward_model\.path=FOLDER",
    ),
    "vocabulary of another model": (
        lambda f: edit(f / CONFIG, vocab_size=300),
        r"vocab_size=300, but model\.embed_tokens\.weight has 258 rows.* Set vocab_size=258",
    ),
    "width of another model": (
        lambda f: edit(f / CONFIG, hidden_size=32),
        r"a width of 32, but model\.embed_tokens\.weight is 16 wide",
    ),
    "fewer blocks in the config": (
        lambda f: edit(f / CONFIG, num_hidden_layers=1),
        r"num_hidden_layers=1, but the weights are of 2 blocks",
    ),
    "code in the config": (
        lambda f: edit(f / CONFIG, attn_implementation="org/kernel"),
        r"attn_implementation is 'org/kernel', which names code",
    ),
}


def test_a_whole_folder_is_taken(folder: Path) -> None:
    check_folder(folder)
    shards(folder, 3)
    check_folder(folder)


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_the_cure(case: str, folder: Path) -> None:
    break_it, message = CASES[case]
    break_it(folder)
    with pytest.raises(UserError, match=message) as refusal:
        locate(str(folder), None)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_classifier_may_be_of_any_kind_but_no_language_model(folder: Path) -> None:
    with pytest.raises(UserError, match=r"holds LlamaForCausalLM, .*, not a sequence classifier"):
        check_folder(folder, Use.classifier)
    edit(folder / CONFIG, architectures=["BertForSequenceClassification"], num_hidden_layers=7)
    check_folder(folder, Use.classifier)


def test_a_reward_model_has_one_output(folder: Path) -> None:
    edit(folder / CONFIG, architectures=["LlamaForSequenceClassification"])
    tensors = load_file(folder / WEIGHTS)
    save_file({**tensors, "score.weight": torch.zeros(1, 16)}, folder / WEIGHTS)
    check_folder(folder, Use.reward_model)
    save_file({**tensors, "score.weight": torch.zeros(3, 16)}, folder / WEIGHTS)
    with pytest.raises(UserError, match=r"has 3 outputs.*reward_model=classifier"):
        check_folder(folder, Use.reward_model)


def test_tokenizers_without_a_file_of_words_are_known(folder: Path) -> None:
    """ByT5 reads bytes: its class is all that its folder says."""
    no_tokenizer(folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    check_folder(folder)


def test_a_path_to_a_file_names_the_folder(folder: Path) -> None:
    with pytest.raises(UserError, match=rf"is a file\. Name the folder .*policy\.path={folder}"):
        locate(str(folder / WEIGHTS), None)
    gguf(folder)
    with pytest.raises(UserError, match=r"is a file\. model\.q4\.gguf is a GGUF file"):
        locate(str(folder / "model.q4.gguf"), None)


def test_a_folder_above_models_names_them(folder: Path) -> None:
    with pytest.raises(UserError, match=rf"no config\.json: .*Model folders in it: {folder}"):
        locate(str(folder.parent), None)
