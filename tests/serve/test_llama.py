"""llama.cpp's server with the model of a run answers as the run does: `make test-llama`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

import preflab
from end_to_end.runs import preflab as preflab_command
from preflab_builtin.causal_lm.smollm2 import gguf_file
from preflab_builtin.causal_lm.tokenizer import TextTokenizer
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer, word_tokenizer

pytestmark = pytest.mark.llama
CONVERT = Path("build/llama/llama.cpp/convert_hf_to_gguf.py").absolute()
PROMPTS = ("what is the color of gus ?", "Hello there, I've 23 apples.\n\nAnd you?")
WORDS = (
    *("debug=fast", "runtime.threads=1", "pretrain=none", "comparisons=none", "reward_model=none"),
    *("algorithm=none", "evaluation=none", "trackers=none", "data.documents=100"),
    *("data.prompts=50", "data.demonstrations=40", "--no-plugin", "report", "name=tuned"),
)
MOST = 12


def test_greedy_texts_are_those_of_the_run(tmp_path: Path) -> None:
    """A small Llama with SmolLM2's tokenizer, after SFT: completions, and turns of a conversation
    through the chat template in the folder. Its weights are wide, so that its words differ."""
    from transformers import AutoTokenizer

    source = gguf_file()
    wrapper: Any = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    begun = tmp_path / "begun"
    tiny_llama(begun, len(wrapper), wrapper.eos_token_id)
    wrapper.save_pretrained(begun)
    begin = ("policy=pretrained", f"policy.path={begun}", "sft=demonstrations")
    assert preflab_command(tmp_path, *WORDS, *begin) == 0, (tmp_path / "log.txt").read_text()
    (model,) = tmp_path.glob("artifacts/debug/sft-*/model")
    converted = convert(model)
    assert converted.returncode == 0, converted.stderr
    run = preflab.load(tmp_path / "runs" / "config" / "tuned")
    greedy: dict[str, Any] = {"temperature": 0, "max_tokens": MOST}
    turns = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    expected = run.sample(list(PROMPTS), "sft", **greedy)
    expected += run.sample(turns, "sft", **greedy)
    server: Any = llama_server(model / "model.gguf")
    with httpx.Client(base_url=server.listening_address, timeout=300) as client:
        texts = [_asked(client, "completions", greedy | {"prompt": p}) for p in PROMPTS]
        said = [_asked(client, "chat/completions", greedy | {"messages": t}) for t in turns]
    got = [choice["text"] for choice in texts] + [choice["message"]["content"] for choice in said]
    assert got == expected
    assert min(len(set(text.split())) for text in got) > 2


@pytest.mark.parametrize("tokenizer", [word_tokenizer(["gus", "?"]), byte_tokenizer()])
def test_tokenizers_that_preflab_makes_are_refused(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    tiny_llama(tmp_path, tokenizer.size, tokenizer.eos_id)
    tokenizer.save(tmp_path)
    converted = convert(tmp_path)
    assert converted.returncode == 1
    assert "BPE pre-tokenizer was not recognized" in converted.stderr


def tiny_llama(folder: Path, size: int, end: int) -> None:
    """Two blocks for a vocabulary of that size."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
    ends: dict[str, Any] = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = LlamaConfig(
        vocab_size=size, tie_word_embeddings=True, initializer_range=0.2, **shape, **heads, **ends
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def convert(model: Path) -> subprocess.CompletedProcess[str]:
    """model.gguf in the folder of a model, in float32."""
    words = [str(model), "--outfile", str(model / "model.gguf"), "--outtype", "f32"]
    return subprocess.run(
        [sys.executable, str(CONVERT), *words], capture_output=True, text=True, check=False
    )


def llama_server(model: Path) -> Any:
    """llama.cpp's own server, in this process, on a free port of this machine."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx, parameters.n_parallel, parameters.cpuparams.n_threads = 512, 1, 1
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    return xllamacpp.Server(parameters)


def _asked(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """The one choice of an answer."""
    (choice,) = client.post(f"/v1/{path}", json=body).raise_for_status().json()["choices"]
    return choice
