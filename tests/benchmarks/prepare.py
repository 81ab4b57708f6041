"""The weights and data that both sides read: ``python -m benchmarks.prepare SIZE FOLDER``.

Everything follows from one seed and from Python's own language reference (``pydoc_data.topics``).
In FOLDER: ``policy`` never ends a response (its end token is too unlikely), ``ragged`` ends one
after a third of the cap on average, ``reward`` is a scalar model; records as preflab reads them
(*.jsonl), and the same as token ids in the order in which preflab draws them (rows.json), because
the peers read ids.
"""

from __future__ import annotations

import hashlib
import json
import math
import pydoc_data.topics
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from benchmarks.shapes import (
    SEED,
    SIZES,
    STEPS,
    PPOShape,
    Size,
    ppo_shape,
    ranking_shape,
    sft_shape,
)
from preflab.randomness import Streams, draw_order
from preflab_builtin.causal_lm.models import CausalPolicy
from preflab_builtin.causal_lm.sources import FolderSource
from preflab_builtin.causal_lm.tokenizer import TextTokenizer

WORDS = 2048
"""Tokens that text is made of; a larger vocabulary is filled up with tokens that no text contains.
"""
PROMPTS = 512
SHIFT = 0.1
"""Size of the constant that all embeddings share: it gives hidden states a common direction,
along which the end token's unembedding is moved."""
NEVER = 1e-9
"""Probability of the end token per step, in the weights that never end a response."""
COMPLETIONS = (2, 3, 4, 6, 9)
"""K of the files of rankings."""
PROMPT_OF_DEMONSTRATION = 8


def tokenizer(size: Size) -> Any:
    """Byte-level BPE, trained on the language reference; ids 0 and 1 are <pad> and <eos>."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    settings: dict[str, Any] = {
        "vocab_size": WORDS,
        "special_tokens": ["<pad>", "<eos>"],
        "initial_alphabet": alphabet,
    }
    trainer: Any = trainers.BpeTrainer(show_progress=False, **settings)
    backend.train_from_iterator(
        (pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)), trainer
    )
    content = json.loads(backend.to_str())
    taken = len(content["model"]["vocab"])
    content["model"]["vocab"] |= {f"<unused{i}>": i for i in range(taken, size.vocabulary)}
    make: Any = PreTrainedTokenizerFast
    return make(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<eos>",
        padding_side="left",
    )


def configuration(size: Size, words: Any) -> GPT2Config | LlamaConfig:
    """The transformers config: tied embeddings, no dropout."""
    ids = {
        "pad_token_id": words.pad_token_id,
        "eos_token_id": words.eos_token_id,
        "bos_token_id": words.bos_token_id,
    }
    shared: dict[str, Any] = {"vocab_size": size.vocabulary, "tie_word_embeddings": True, **ids}
    if size.family == "gpt2":
        own: dict[str, Any] = {
            "n_positions": size.positions,
            "n_embd": size.width,
            "n_layer": size.layers,
            "n_head": size.heads,
        }
        return GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **own, **shared)
    return LlamaConfig(
        hidden_size=size.width,
        intermediate_size=size.mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=size.positions,
        **shared,
    )


def hazard(cap: int, mean: float) -> float:
    """The probability per step with which responses, cut at ``cap`` tokens, have ``mean`` tokens on
    average: the root of (1 - (1 - p)^cap) / p = mean, by bisection."""
    low, high = 1e-9, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - (1 - middle) ** cap) / middle > mean else (low, middle)
    return low


def move_end_token(module: Any, contexts: torch.Tensor, eos: int, probability: float) -> None:
    """Change the unembedding of the end token so that its mean probability after the contexts [B,
    T] is this one. It moves along the mean hidden state m: logits change by c (h . m) / |m|^2,
    about c everywhere."""
    head = module.get_output_embeddings().weight
    with torch.no_grad():
        hidden = (
            module.base_model(input_ids=contexts)
            .last_hidden_state[:, 4:]
            .reshape(-1, head.shape[1])
        )
        mean = hidden.mean(0)
        direction = mean / (mean @ mean)
        logits, along = hidden @ head.T, hidden @ direction
        others = torch.cat([logits[:, :eos], logits[:, eos + 1 :]], dim=1).logsumexp(1)
        low, high = -200.0, 200.0
        for _ in range(60):
            middle = (low + high) / 2
            found = float(torch.sigmoid(logits[:, eos] + middle * along - others).mean())
            low, high = (middle, high) if found < probability else (low, middle)
        head[eos] += low * direction


def write_model(
    size: Size, words: Any, contexts: torch.Tensor, probability: float, folder: Path
) -> None:
    """Random weights from the seed whose end token has this probability per step."""
    torch.manual_seed(SEED)
    module: Any = AutoModelForCausalLM.from_config(configuration(size, words))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        signs = torch.randint(0, 2, (size.width,)) * 2 - 1
        module.get_input_embeddings().weight.add_(SHIFT * signs)
    move_end_token(module.eval(), contexts, words.eos_token_id, probability)
    module.save_pretrained(folder)
    words.save_pretrained(folder)


def pieces(
    encode: Callable[[str], list[int]], decode: Callable[[Sequence[int]], str]
) -> Callable[[int], tuple[str, list[int]]]:
    """A source of stretches of the reference: each call gives one of n tokens, as text and
    as the ids that this text encodes to; stretches that other ids would be made of (cut words)
    are passed over."""
    ids = encode(
        "\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))
    )
    place = 0

    def piece(length: int) -> tuple[str, list[int]]:
        nonlocal place
        while True:
            place = (place + 37) % (len(ids) - length)
            found = ids[place : place + length]
            text = decode(found)
            if text.strip() and encode(text) == found:
                return text, found

    return piece


def in_order(rows: Sequence[Any], stage: str) -> list[Any]:
    """Rows as the first epoch of a stage draws them."""
    return [rows[i] for i in draw_order(len(rows), 0, len(rows), SEED, stage, "order")]


def write_rows(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Records as preflab reads them, all for training."""
    path.write_text(
        "".join(json.dumps({**row, "split": "train"}) + "\n" for row in rows), encoding="utf8"
    )


def write_prompts(
    piece: Callable[[int], tuple[str, list[int]]], shape: PPOShape, folder: Path
) -> dict[str, Any]:
    """Prompts to sample from; and as many as one iteration takes, with responses that are given
    for the check."""
    prompts = [piece(shape.prompt) for _ in range(PROMPTS)]
    given = [(prompt, piece(shape.response)[1]) for prompt in prompts[: shape.batch]]
    write_rows(folder / "prompts.jsonl", ({"prompt": text} for text, _ in prompts))
    write_rows(folder / "check.jsonl", ({"prompt": text} for (text, _), _ in given))
    table = [{"text": text, "prompt": ids, "response": response} for (text, ids), response in given]
    (folder / "given.json").write_text(json.dumps(table), encoding="utf8")
    return {"prompts": [ids for _, ids in prompts], "check": [ids for (_, ids), _ in given]}


def write_rankings(
    piece: Callable[[int], tuple[str, list[int]]], size: Size, eos: int, k: int, folder: Path
) -> list[Any]:
    """Rankings of K completions, best first; as ids, [prompt, completions with their end token]
    in the order of drawing."""
    shape = ranking_shape(size.name)
    made = []
    for _ in range(shape.prompts * STEPS):
        prompt, completions = piece(shape.prompt), [piece(shape.response - 1) for _ in range(k)]
        made.append((prompt, completions))
    rows = (
        {"prompt": p, "completions": [t for t, _ in cs], "ranks": list(range(1, k + 1))}
        for (p, _), cs in made
    )
    write_rows(folder / f"rankings_k{k}.jsonl", rows)
    return in_order([[p, [[*ids, eos] for _, ids in cs]] for (_, p), cs in made], "reward_model")


def write_demonstrations(
    piece: Callable[[int], tuple[str, list[int]]], size: Size, eos: int, folder: Path
) -> list[Any]:
    """Demonstrations of uneven length; as ids with their end token, in the order of drawing."""
    shape, generator = sft_shape(size.name), random.Random(SEED)
    made = []
    for _ in range(shape.batch * STEPS):
        tokens = int(math.exp(generator.gauss(shape.mu, shape.sigma)))
        tokens = min(shape.longest, max(shape.shortest, tokens))
        made.append((piece(PROMPT_OF_DEMONSTRATION), piece(tokens - PROMPT_OF_DEMONSTRATION - 1)))
    write_rows(
        folder / "demonstrations.jsonl", ({"prompt": p, "completion": r} for (p, _), (r, _) in made)
    )
    return in_order([[*p, *r, eos] for (_, p), (_, r) in made], "sft")


def write_reward(folder: Path) -> None:
    """The scalar model of the policy's trunk, with the head that a training run of this seed
    starts from."""
    policy: CausalPolicy = FolderSource(folder / "policy").load(folder / "policy")
    policy.scalar_model(Streams(SEED, "reward_model")["head"]).save(folder / "reward")


def prepare(size: Size, folder: Path) -> None:
    """Write everything of a size; nothing if it is there already, made by this very code."""
    code = b"".join(
        Path(__file__).with_name(name).read_bytes() for name in ("prepare.py", "shapes.py")
    )
    stamp, made_by = folder / "made_by.txt", hashlib.sha256(code).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf8") == made_by:
        return
    folder.mkdir(parents=True, exist_ok=True)
    wrapper = tokenizer(size)
    words = TextTokenizer(wrapper)
    piece = pieces(words.encode, words.decode)
    ppo = ppo_shape(size.name)
    rows: dict[str, Any] = write_prompts(piece, ppo, folder)
    contexts = torch.tensor(rows["prompts"][:16])
    write_model(size, wrapper, contexts, NEVER, folder / "policy")
    write_model(size, wrapper, contexts, hazard(ppo.response, ppo.response / 3), folder / "ragged")
    write_reward(folder)
    rows["rankings"] = {
        str(k): write_rankings(piece, size, words.eos_id, k, folder) for k in COMPLETIONS
    }
    rows["sft"] = write_demonstrations(piece, size, words.eos_id, folder)
    rows |= {"pad": words.pad_id, "eos": words.eos_id}
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf8")
    stamp.write_text(made_by, encoding="utf8")


if __name__ == "__main__":
    prepare(SIZES[sys.argv[1]], Path(sys.argv[2]))
