"""A sequence classifier as a judge of responses. It reads text, so that its tokenizer need not be
the policy's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from preflab.errors import UserError
from preflab.interfaces import Context
from preflab.prompts import whole_text
from preflab.records import Rollout
from preflab.runtime import Runtime, weight
from preflab_builtin.benchmarks.config import ClassifierConfig
from preflab_builtin.benchmarks.labels import label_number
from preflab_builtin.causal_lm.checking import Use
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.reading import read_module
from preflab_builtin.causal_lm.tokenizer import read_wrapper

Window = dict[str, list[int]]
"""What a tokenizer makes of a text, or of a part of one: token ids, and what goes with each."""


def classifier(config: ClassifierConfig, context: Context) -> Classifier:
    """The classifier on the devices of the run."""
    return Classifier(config, context.runtime)


class Classifier:
    """`preflab.interfaces.RewardModel`: the probability of a label. With one output it is
    sigma(logit); with several it is the softmax, or sigma of the label's own logit where the
    model's config says that a text may have several labels. Of a text that is longer than the model
    reads it is the highest of its `windows`. key: of the options, for messages."""

    least, most = 0.0, 1.0

    def __init__(self, config: ClassifierConfig, runtime: Runtime, key: str = "classifier") -> None:
        folder = locate(config.path, config.revision, f"{key}.path", Use.classifier)
        self.config, self.runtime, self.folder = config, runtime, folder
        self.tokenizer: Any = read_wrapper(folder)
        model: Any = read_module(AutoModelForSequenceClassification, folder, attention=None)
        self.model = model.eval().requires_grad_(False).to(runtime.device)
        if self.tokenizer.pad_token is None:  # such as GPT-2
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.model.config.pad_token_id is None:
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.max_tokens = min(config.max_tokens, positions(self.model.config) or config.max_tokens)
        self.label = label_number(config.label, dict(self.model.config.id2label), key)
        around = self.tokenizer.num_special_tokens_to_add()
        if self.max_tokens <= around:
            raise UserError(
                f"{key}.max_tokens is {self.max_tokens}, but {folder} puts {around} tokens "
                f"around every text: it must be {around + 1} at least."
            )

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Probabilities [B] float32."""
        texts = list(rollout.texts)
        if self.config.whole_text:
            texts = [whole_text(p.text, t) for p, t in zip(rollout.prompts, texts, strict=True)]
        return probabilities(self, texts)

    def _probabilities(self, windows: list[Window]) -> torch.Tensor:
        rows = self.tokenizer.pad(windows, return_tensors="pt")
        with torch.no_grad():
            logits: torch.Tensor = self.model(**rows.to(self.runtime.device)).logits.float()
        several = self.model.config.problem_type == "multi_label_classification"
        if logits.shape[1] == 1 or several:
            return logits[:, min(self.label, logits.shape[1] - 1)].sigmoid()
        return logits.softmax(-1)[:, self.label]


def probabilities(classifier: Classifier, texts: Sequence[str]) -> torch.Tensor:
    """The probabilities [B] float32 of a classifier's label, of texts [B]. Every process has all of
    them, and what is read is divided among the processes."""
    of_texts = [windows(classifier.tokenizer, text, classifier.max_tokens) for text in texts]
    rows, runtime = list(itertools.chain(*of_texts)), classifier.runtime
    found = torch.zeros(len(rows), device=runtime.device)
    for part in runtime.read(range(len(rows))):
        values = classifier._probabilities([rows[i] for i in part])
        if weight(part):
            found[torch.as_tensor(list(part), device=found.device)] = values
    every = torch.split(runtime.sum(found), [len(of_text) for of_text in of_texts])
    # `max` keeps NaN, so that it is refused where it is compared.
    return torch.stack([own.max() for own in every]) if every else found


def windows(tokenizer: Any, text: str, max_tokens: int) -> list[Window]:
    """The rows that are read of a text: one with all of it, or windows that overlap by a quarter,
    each with the tokenizer's own tokens around it."""
    row = tokenizer(text, verbose=False)
    if not row["input_ids"]:  # a model cannot read a text without tokens: it reads one pad
        row = tokenizer(tokenizer.pad_token)
    ids: list[int] = row["input_ids"]
    if len(ids) <= max_tokens:
        return [dict(row)]
    inner = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    around = len(ids) - len(inner)
    front = next((i for i in range(around + 1) if ids[i : i + len(inner)] == inner), 0)
    room, back = max_tokens - around, front + len(inner)
    return [
        {
            key: [*column[:front], *column[front + at : front + at + room], *column[back:]]
            for key, column in row.items()
        }
        for at in starts(len(inner), room)
    ]


def starts(length: int, room: int) -> list[int]:
    """Where the windows of a text of more tokens than there is room for begin: each overlaps the
    one before it by a quarter, and the last one, which ends with the text, by that at least.

    >>> starts(10, 4)
    [0, 3, 6]
    """
    return [*range(0, length - room, room - room // 4), length - room]


def positions(config: Any) -> int | None:
    """Tokens that a classifier reads at most, by its config; None if it names no limit. RoBERTa and
    its kin number positions from behind the pad id."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    shifted = config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
    return limit - config.pad_token_id - 1 if limit is not None and shifted else limit
