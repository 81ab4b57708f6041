"""A classifier reads all of a text, however long it is, and only with a label that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from preflab.errors import UserError
from preflab.records import Prompt, Rollout
from preflab_builtin.benchmarks.classifier import Classifier, probabilities, windows
from preflab_builtin.benchmarks.config import ClassifierConfig
from preflab_builtin.benchmarks.labels import label_number, labels_of
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from support import builtin, cpu_runtime
from tiny_classifier import write_classifier, write_finder

TEXT = "you are bad good you you are are bad bad".split()


def judge(folder: Path, **settings: Any) -> Classifier:
    return Classifier(ClassifierConfig(path=str(folder), label="toxic", **settings), cpu_runtime(2))


def test_a_long_text_has_the_highest_score_of_its_windows(tmp_path: Path) -> None:
    """Ten words, four at a time, a quarter of them twice: 0 to 3, 3 to 6, 6 to 9. Each is scored by
    itself too, as is a short text in the same batches of two."""
    folder = write_classifier(tmp_path / "model")
    parts = [" ".join(TEXT[i : i + 4]) for i in (0, 3, 6)]
    alone = probabilities(judge(folder), parts)
    assert len(set(alone.tolist())) == 3
    short, long = probabilities(judge(folder, max_tokens=4), ["good", " ".join(TEXT)])
    assert float(long) == pytest.approx(float(alone.max()), abs=1e-6)
    assert float(short) == pytest.approx(float(probabilities(judge(folder), ["good"])), abs=1e-6)


def test_every_window_has_the_tokens_that_a_text_has_around_it(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "model")
    wrapper = PreTrainedTokenizerFast.from_pretrained(folder)
    wrapper.backend_tokenizer.post_processor = TemplateProcessing(
        single="[UNK] $A [PAD] [PAD]", special_tokens=[("[UNK]", 1), ("[PAD]", 0)]
    )
    wrapper.save_pretrained(folder)
    read: Any = judge(folder).tokenizer
    ids = {word: read.convert_tokens_to_ids(word) for word in set(TEXT)}
    rows = [row["input_ids"] for row in windows(read, " ".join(TEXT), 7)]
    assert rows == [[1, *(ids[w] for w in TEXT[i : i + 4]), 0, 0] for i in (0, 3, 6)]
    assert [row["input_ids"] for row in windows(read, "you", 7)] == [[1, ids["you"], 0, 0]]
    with pytest.raises(UserError, match="puts 3 tokens around every text: it must be 4 at least"):
        judge(folder, max_tokens=3)


def test_an_insult_at_the_end_of_a_long_response_is_found(tmp_path: Path) -> None:
    """2,000 words and one more, where the model reads 512; NaN stays what it is."""
    folder = write_finder(tmp_path / "model")
    filler = "you are good " * 667
    texts = [filler, f"{filler}bad", "bad"]
    asked = [Prompt(f"{i}", "") for i in range(3)]
    found = judge(folder).score(Rollout.from_texts(byte_tokenizer(), asked, texts))
    assert found.tolist() == pytest.approx([0, 1, 1], abs=1e-3)  # sigma(-10), sigma(10), sigma(10)
    broken = judge(folder)
    broken.model.classifier.bias.data[0] = float("nan")
    assert torch.isnan(probabilities(broken, [filler])).all()


def test_only_one_output_needs_no_name() -> None:
    assert label_number("", {0: "LABEL_0"}) == 0
    assert label_number("1", {0: "toxic"}) == 0  # of one output "1" is yes
    assert label_number("1", {0: "1", 1: "0"}) == 0  # a name before a number
    for names in ({0: "toxic", 1: "fine"}, {0: "LABEL_0", 1: "LABEL_1"}):
        shown = ", ".join(f"{number} {name}" for number, name in names.items())
        with pytest.raises(UserError, match=f"is not given, and the model has 2 labels: {shown}"):
            label_number("", names)


def test_a_label_is_asked_for_before_any_work(tmp_path: Path) -> None:
    """transformers leaves the names of two labels out of config.json if they are its own."""
    folder = write_classifier(tmp_path / "model")
    for kind in ("reward_model", "guard"):
        component = builtin(kind, "classifier")
        config = component.config_class(path=str(folder))
        with pytest.raises(UserError, match="labels: 0 fine, 1 toxic"):
            component.inspect(config)
        config.label = "rude"
        with pytest.raises(UserError, match="no label 'rude'"):
            component.inspect(config)
        config.label = "fine"
        component.inspect(config)
    facts = json.loads((folder / "config.json").read_text())
    for changes, labels in (
        ({"id2label": None}, {0: "LABEL_0", 1: "LABEL_1"}),
        ({"id2label": None, "num_labels": 1}, {0: "LABEL_0"}),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, {0: "a", 1: "b", 2: "c"}),
    ):
        (folder / "config.json").write_text(json.dumps(facts | changes))
        assert labels_of(folder) == labels
