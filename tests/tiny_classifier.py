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


def write_finder(folder: Path) -> Path:
    """The same tokenizer and size, with weights made by hand: "toxic" has a probability near 1
    where "bad" is among the tokens that it reads, and near 0 elsewhere. Every token attends to all
    alike, and layer norms make any share of "bad" the whole of it: the logit is 10, else -10."""
    write_classifier(folder)
    model: Any = BertForSequenceClassification.from_pretrained(folder)
    layer = model.bert.encoder.layer[0].attention
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1)
        for dense in (layer.self.value, layer.output.dense, model.bert.pooler.dense):
            dense.weight.copy_(torch.eye(16))
        model.bert.embeddings.word_embeddings.weight[WORDS.index("bad"), 0] = 1
        model.classifier.weight[1, 0], model.classifier.bias[1] = 20, -10
    model.save_pretrained(folder)
    return folder
