"""The page on larger models: its commands compose, for models that have a config and a tokenizer
alone, and `plan` reckons what it prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab import UserError
from preflab.composing.compose import parse
from preflab.console.plan import plan
from preflab.console.plan_estimates import sentences, taken_speed
from preflab.engine.preflight import check_checkpoints
from preflab.jobs.job import start
from preflab.planning.reading import check_jobs
from preflab_builtin.causal_lm.config import Family, TinyConfig, TokenizerKind
from preflab_builtin.causal_lm.sources import TinySource
from tiny_vllm import plugin

PAGE = (Path(__file__).parents[3] / "framework" / "LARGER.md").read_text(encoding="utf8")
COMMANDS = [
    block.strip() for block in PAGE.split("\n\n") if block.startswith("    preflab plan --gflops")
]
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "eos_token_id": 257,
}
SIZES: dict[str, dict[str, Any]] = {
    "1b": {
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
    },
    "7b": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "intermediate_size": 11008,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    },
    "70b": {
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    },
}
"""Of Llama 3.2 1B and of Llama 2."""
RECORDS = {
    "demonstrations": {"prompt": "Greet number {}.", "completion": " Hello!"},
    "rankings": {"prompt": "Greet number {}.", "chosen": " Hello!", "rejected": " Go."},
    "prompts": {"prompt": "Greet number {}."},
}


@pytest.fixture(autouse=True, scope="module")
def _vllm() -> Iterator[None]:
    """The engine that the command for 70B names."""
    with plugin():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands name: models without weights, and files with 300 rows."""
    root = tmp_path_factory.mktemp("larger")
    tokenizer = root / "tokenizer"
    config = TinyConfig(
        family=Family.llama, layers=1, width=8, heads=1, tokenizer=TokenizerKind.bytes
    )
    TinySource(config, None).create(torch.Generator()).save(tokenizer)
    for name, sizes in SIZES.items():
        model = root / "models" / name
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps({**LLAMA, **sizes}))
        for file in tokenizer.glob("*token*.json"):
            (model / file.name).write_bytes(file.read_bytes())
    for name, row in RECORDS.items():
        rows = (
            json.dumps({k: v.replace("{}", str(i)) for k, v in row.items()}) for i in range(300)
        )
        (root / f"{name}.jsonl").write_text("\n".join(rows))
    return root


def words(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "))[2:]


def test_there_is_a_command_for_each_size() -> None:
    assert [next(s for s in SIZES if f"models/{s} " in c) for c in COMMANDS] == list(SIZES)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_compose_and_take_what_the_page_says(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No save ends such a job, and without its weights no run begins."""
    monkeypatch.chdir(folder)
    overrides, speed = taken_speed(words(command))
    line = parse(overrides)
    (job,) = check_jobs(line)
    check_checkpoints(job.run, job.run.stages)
    told = sentences([(job.run, stage) for stage in job.run.stages], speed)
    assert len(told) == 2 + len(job.run.stages)
    for sentence in told[2:]:
        assert f"    {sentence}\n" in PAGE
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(UserError, match=r"policy: .*the weights are missing\. .*preflab plan"):
        start(line, [job])


@pytest.mark.slow
def test_a_command_is_planned_without_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is asked before a run is asked of a model without weights too."""
    monkeypatch.chdir(folder)
    assert plan(words(COMMANDS[0])) == 0
    text = capsys.readouterr().out
    assert "- A run would be refused: policy: " in text
    assert "at 1,600,000 GFLOP/s" in text
