"""Test sets and classifiers that are refused before the first stage of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, RobertaConfig

from preflab.errors import UserError
from preflab.records import Prompt, Rollout
from preflab_builtin.benchmarks.classifier import Classifier, positions
from preflab_builtin.benchmarks.config import (
    ClassifierConfig,
    GenerationConfig,
    MultipleChoiceConfig,
    SentencePairsConfig,
    TextMetric,
)
from preflab_builtin.benchmarks.preflight import (
    classifier,
    generation,
    multiple_choice,
    sentence_pairs,
)
from support import FakeContext, cpu_runtime
from tiny_classifier import write_classifier

WEIGHTS = "model.safetensors"


def context(folder: Path) -> FakeContext:
    """A policy of 16 positions."""
    return FakeContext(folder, policy_config={"max_positions": 16})


def rows(folder: Path, **values: object) -> str:
    file = folder / "rows.jsonl"
    file.write_text(json.dumps(values) + "\n")
    return str(file)


def test_a_whole_classifier_is_taken_and_a_broken_one_is_not(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "model")
    config = ClassifierConfig(path=str(folder), label="toxic")
    assert list(classifier(config, context(tmp_path))) == []
    with pytest.raises(UserError, match="no label 'rude'"):
        list(classifier(ClassifierConfig(path=str(folder), label="rude"), context(tmp_path)))
    tensors = load_file(folder / WEIGHTS)
    tensors["classifier.bias"][0] = float("nan")
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(UserError, match=r"classifier\.bias of \d+ hold NaN"):
        list(classifier(config, context(tmp_path)))


def test_a_classifier_reads_as_much_as_it_can_and_says_so(tmp_path: Path) -> None:
    """Its 512 positions are fewer than the 600 tokens asked for; a text of 700 equal words is read
    in windows of 512 of them, with one and the same score."""
    folder = write_classifier(tmp_path / "model")
    config = ClassifierConfig(path=str(folder), label="toxic", max_tokens=600)
    (said,) = classifier(config, context(tmp_path))
    assert "512 positions: longer texts are read in windows of so many tokens" in said
    long, whole = " ".join(["bad"] * 700), " ".join(["bad"] * 512)
    judge, tokenizer = Classifier(config, cpu_runtime()), context(tmp_path).tokenizer
    asked = [Prompt("p", "add")] * 2
    scores = judge.score(Rollout.from_texts(tokenizer, asked, [long, whole]))
    assert torch.equal(scores[0], scores[1])


def test_positions_of_the_kin_of_roberta_begin_behind_the_pad() -> None:
    """As in roberta-base, whose 514 positions are 512 tokens."""
    assert positions(RobertaConfig(max_position_embeddings=514, pad_token_id=1)) == 512
    assert positions(BertConfig(max_position_embeddings=512)) == 512


def test_questions_leave_room_for_an_answer(tmp_path: Path) -> None:
    """16 positions less 8 leave 8: 3 words fit, with a prefix of 6 they do not."""
    path, metrics = rows(tmp_path, prompt="red red red", answer="red"), [TextMetric.token_f1]
    settings: dict[str, Any] = {
        "path": path,
        "references": ["answer"],
        "metrics": metrics,
        "max_tokens": 8,
    }
    assert list(generation(GenerationConfig(**settings), context(tmp_path))) == []
    prefixes = {"plain": "", "long": "red red red red red red "}
    with pytest.raises(UserError, match=r"1 of 2 questions .*rows\.jsonl:1 \(9 tokens\)"):
        list(generation(GenerationConfig(**settings, prefixes=prefixes), context(tmp_path)))


def test_answers_and_sentences_fit_into_the_policy(tmp_path: Path) -> None:
    """10 tokens and 6 are 16, 10 and 7 are 17: no end is read. A sentence of 16 tokens is read
    behind one more."""
    question, five, six, seven, long = (" ".join(["red"] * n) for n in (10, 5, 6, 7, 16))
    texts = {"right": five, "six": six, "seven": seven, "long": long}
    path = rows(tmp_path, question=question, **texts)
    good = MultipleChoiceConfig(path=path, right=["right"], wrong=["six"])
    assert list(multiple_choice(good, context(tmp_path))) == []
    bad = MultipleChoiceConfig(path=path, right=["right"], wrong=["seven"])
    with pytest.raises(UserError, match=r"1 of 2 answers .*\(17 tokens\)"):
        list(multiple_choice(bad, context(tmp_path)))
    pairs = SentencePairsConfig(path=path, sentences=["right", "long"])
    with pytest.raises(UserError, match=r"1 of 2 sentences .*\(17 tokens\)"):
        list(sentence_pairs(pairs, context(tmp_path)))


def test_prefixes_are_read_whole_and_with_what_is_behind_them(tmp_path: Path) -> None:
    """The policy reads "red" and "good", and neither "goodred" nor "nurse"."""
    path = rows(tmp_path, prompt="red red", one="red", other="good")
    metrics = [TextMetric.token_f1]
    settings: dict[str, Any] = {"references": ["one"], "metrics": metrics, "max_tokens": 8}
    made: dict[str, Callable[[dict[str, str]], Iterator[str]]] = {
        "generation": lambda prefixes: generation(
            GenerationConfig(path=path, prefixes=prefixes, **settings), context(tmp_path)
        ),
        "multiple_choice": lambda prefixes: multiple_choice(
            MultipleChoiceConfig(
                path=path, prefixes=prefixes, template="{prompt}", right=["one"], wrong=["other"]
            ),
            context(tmp_path),
        ),
        "mine": lambda prefixes: sentence_pairs(
            SentencePairsConfig(
                path=path, prefixes=prefixes, sentences=["one", "other"], label="mine"
            ),
            context(tmp_path),
        ),
    }
    for name, look in made.items():
        assert list(look({"plain": "", "good": "good "})) == []
        (said,) = look({"plain": "", "nurse": "good nurse "})
        key = f"evaluators: {name}.prefixes"
        assert said == f"{key}.nurse is 'good nurse ', of which the policy reads 'good'."
        with pytest.raises(UserError, match=f"{key}.good: 'good' makes one word"):
            list(look({"plain": "", "good": "good"}))
