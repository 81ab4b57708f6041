"""A sequence classifier as a judge: the probability of one label, in any batch, with a tokenizer
of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from preflab.errors import UserError
from preflab.records import Prompt, Rollout
from preflab_builtin.benchmarks import config as c
from preflab_builtin.benchmarks.classifier import Classifier
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from support import builtin, cpu_runtime
from tiny_classifier import write_classifier

TEXTS = ["you are bad", "good", "you are good you are good"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("models") / "judge")


def _rollout(texts: list[str], prompt: str = "") -> Rollout:
    return Rollout.from_texts(
        byte_tokenizer(), [Prompt(str(i), prompt) for i in range(len(texts))], texts
    )


def _changed(folder: Path, to: Path, **config: Any) -> Path:
    """A copy whose head gives every text the logits 0 and log 3."""
    model = BertForSequenceClassification.from_pretrained(folder, **config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(
            torch.tensor([0.0, math.log(3)])[: model.classifier.bias.numel()]
        )
    model.save_pretrained(to)
    PreTrainedTokenizerFast.from_pretrained(folder).save_pretrained(to)
    return to


def test_it_is_the_probability_of_the_label(folder: Path, tmp_path: Path) -> None:
    path = str(_changed(folder, tmp_path / "known"))
    for label, expected in (("toxic", 0.75), ("1", 0.75), ("fine", 0.25)):  # softmax of (0, log 3)
        scores = Classifier(c.ClassifierConfig(path=path, label=label), cpu_runtime()).score(
            _rollout(TEXTS)
        )
        assert scores.tolist() == pytest.approx([expected] * 3)
        assert scores.dtype == torch.float32


def test_labels_that_exclude_nothing_are_judged_each_by_itself(
    folder: Path, tmp_path: Path
) -> None:
    path = _changed(folder, tmp_path / "several", problem_type="multi_label_classification")
    judge = Classifier(c.ClassifierConfig(path=str(path), label="fine"), cpu_runtime())
    assert judge.score(_rollout(["you"])).tolist() == pytest.approx(
        [0.5]
    )  # sigma(0), whatever the other label has


def test_other_texts_of_the_batch_do_not_matter(folder: Path) -> None:
    config = c.ClassifierConfig(path=str(folder), label="toxic")
    together = Classifier(config, cpu_runtime(micro_batch=8)).score(_rollout(TEXTS)).tolist()
    alone = [float(Classifier(config, cpu_runtime()).score(_rollout([text]))) for text in TEXTS]
    assert together == pytest.approx(alone, abs=1e-6)
    assert len(set(together)) == 3
    assert Classifier(config, cpu_runtime()).score(_rollout([])).tolist() == []


def test_it_reads_the_response_or_the_whole_text(folder: Path) -> None:
    runtime = cpu_runtime()
    config = c.ClassifierConfig(path=str(folder), label="toxic")
    whole = Classifier(replace(config, whole_text=True), runtime).score(
        _rollout(["are bad"], "you ")
    )
    alone = Classifier(config, runtime)
    assert float(whole) == pytest.approx(float(alone.score(_rollout(["you are bad"]))), abs=1e-6)
    assert float(alone.score(_rollout(["are bad"], "you "))) != pytest.approx(
        float(whole), abs=1e-6
    )


def test_a_label_or_folder_that_there_is_not(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no label 'toxik'.*Did you mean 'toxic'"):
        Classifier(c.ClassifierConfig(path=str(folder), label="toxik"), cpu_runtime())
    inspect = builtin("reward_model", "classifier").inspect
    config = c.ClassifierConfig(path=str(folder), label="toxic")
    other = replace(config, path=str(_changed(folder, tmp_path / "other")))
    assert inspect(config).content != inspect(other).content
    with pytest.raises(UserError, match=r"classifier\.path: there is no folder"):
        inspect(c.ClassifierConfig(path=str(tmp_path / "absent")))
