"""A sequence classifier as a judge of responses. It reads text, so that its tokenizer need not be
the policy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from preflab.errors import UserError, nearest
from preflab.interfaces import Context
from preflab.records import Rollout
from preflab.runtime import Runtime, weight
from preflab_builtin.benchmarks.config import ClassifierConfig
from preflab_builtin.causal_lm.checking import Use
from preflab_builtin.causal_lm.folders import locate
from preflab_builtin.causal_lm.reading import read_module
from preflab_builtin.causal_lm.tokenizer import read_wrapper


def classifier(config: ClassifierConfig, context: Context) -> Classifier:
    """The classifier on the devices of the run."""
    return Classifier(config, context.runtime)


class Classifier:
    """`preflab.interfaces.RewardModel`: the probability of a label. With one output it is
    sigma(logit); with several it is the softmax, or sigma of the label's own logit where the
    model's config says that a text may have several labels."""

    least, most = 0.0, 1.0

    def __init__(self, config: ClassifierConfig, runtime: Runtime) -> None:
        folder = locate(config.path, config.revision, "classifier.path", Use.classifier)
        self.config, self.runtime, self.folder = config, runtime, folder
        self.tokenizer: Any = read_wrapper(folder)
        model: Any = read_module(AutoModelForSequenceClassification, folder, attention=None)
        self.model = model.eval().requires_grad_(False).to(runtime.device)
        if self.tokenizer.pad_token is None:  # such as GPT-2
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.model.config.pad_token_id is None:
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.max_tokens = min(config.max_tokens, positions(self.model.config) or config.max_tokens)
        self.label = label_number(config.label, dict(self.model.config.id2label))

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Probabilities [B] float32."""
        texts = list(rollout.texts)
        if self.config.whole_text:
            texts = [p.text + text for p, text in zip(rollout.prompts, texts, strict=True)]
        return probabilities(self, texts)

    def _probabilities(self, texts: list[str]) -> torch.Tensor:
        rows = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        with torch.no_grad():
            logits: torch.Tensor = self.model(**rows.to(self.runtime.device)).logits.float()
        several = self.model.config.problem_type == "multi_label_classification"
        if logits.shape[1] == 1 or several:
            return logits[:, min(self.label, logits.shape[1] - 1)].sigmoid()
        return logits.softmax(-1)[:, self.label]


def probabilities(classifier: Classifier, texts: Sequence[str]) -> torch.Tensor:
    """The probabilities [B] float32 of a classifier's label, of texts [B]. Every process has all of
    them, and they are divided among the processes."""
    # A model cannot read a text without tokens: it reads one pad instead.
    read, pad = classifier.tokenizer, classifier.tokenizer.pad_token
    texts = [text if read(text)["input_ids"] else pad for text in texts]
    runtime = classifier.runtime
    found = torch.zeros(len(texts), device=runtime.device)
    for part in runtime.read(range(len(texts))):
        values = classifier._probabilities([texts[i] for i in part])
        if weight(part):
            found[torch.as_tensor(list(part), device=found.device)] = values
    return runtime.sum(found)


def positions(config: Any) -> int | None:
    """Tokens that a classifier reads at most, by its config; None if it names no limit. RoBERTa and
    its kin number positions from behind the pad id."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    shifted = config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet")
    return limit - config.pad_token_id - 1 if limit is not None and shifted else limit


def label_number(label: str, names: dict[int, str]) -> int:
    """The number of a label that is given by name or number; `UserError` with the model's labels
    if it does not have this one.

    >>> label_number("toxic", {0: "fine", 1: "toxic"}), label_number("0", {0: "fine", 1: "toxic"})
    (1, 0)
    """
    for number, name in names.items():
        if label == name or (label.isdecimal() and int(label) == int(number)):
            return int(number)
    if len(names) == 1 and label == "1":  # one output: the probability of yes
        return 0
    raise UserError(
        f"classifier.label: the model has no label '{label}'. "
        f"{nearest(label, [*names.values(), *map(str, names)])}"
    )
