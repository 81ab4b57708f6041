"""A sequence classifier as a transformers folder: a tiny BERT over six words with the labels
"fine" and "toxic"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

WORDS = ["[PAD]", "[UNK]", "you", "are", "bad", "good"]


def write_classifier(folder: Path) -> Path:
    """Write it, the same weights every time."""
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapper: Any = PreTrainedTokenizerFast
    wrapper(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = BertConfig(
        vocab_size=len(WORDS),
        id2label={0: "fine", 1: "toxic"},
        label2id={"fine": 0, "toxic": 1},
        **sizes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder
