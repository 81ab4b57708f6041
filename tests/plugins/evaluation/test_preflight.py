"""What an evaluation lacks is told before the first stage of a run, not at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.records import Document, Prompt, Ranking
from preflab_builtin.evaluation.config import (
    FILE,
    DocumentLossConfig,
    FamiliesConfig,
    RewardAccuracyConfig,
    SuiteConfig,
    WinRateConfig,
)
from preflab_builtin.evaluation.preflight import document_loss, families, reward_accuracy, suite
from support import FakeContext

PROMPTS = [Prompt(f"p{i}", "add one two", split="test", place=f"p.jsonl:{i}") for i in (1, 2)]


def context(folder: Path, *records: Any, **settings: Any) -> FakeContext:
    """16 positions; its engine's responses have 8 tokens at most."""
    return FakeContext(folder, records, policy_config={"max_positions": 16}, **settings)


def test_there_must_be_prompts_and_room_for_their_responses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no test prompts"):
        list(suite(SuiteConfig(), context(tmp_path, Prompt("p", "add", split="train"))))
    assert list(suite(SuiteConfig(), context(tmp_path, *PROMPTS))) == []
    long = Prompt("p3", " ".join(["red"] * 9), split="test", place="p.jsonl:3")
    with pytest.raises(UserError, match=r"1 of 3 prompts .*p\.jsonl:3 \(9 tokens\)"):
        list(suite(SuiteConfig(), context(tmp_path, *PROMPTS, long)))


def test_the_prefix_counts(tmp_path: Path) -> None:
    """3 tokens and a prefix of 6 are 9: one more than there is room for."""
    config = SuiteConfig(prefix="red red red red red red ")
    with pytest.raises(UserError, match=r"2 of 2 prompts .*p\.jsonl:1 \(9 tokens\)"):
        list(suite(config, context(tmp_path, *PROMPTS)))


def test_a_prefix_that_the_policy_cannot_read_is_told(tmp_path: Path) -> None:
    (said,) = suite(SuiteConfig(prefix="good nurse "), context(tmp_path, *PROMPTS))
    assert said == "evaluation.prefix is 'good nurse ', of which the policy reads 'good'."


def test_what_the_algorithm_puts_in_front_counts(tmp_path: Path) -> None:
    """3 tokens, a prefix of 3 and the longest of the arm's of 3 are 9; of the SFT model 6."""

    class Steering(FakeContext):
        def in_front(self, role: str = "") -> Sequence[str]:
            return ("red red red ", "red ") if role == "result" else ("",)

    given = Steering(tmp_path, PROMPTS, policy_config={"max_positions": 16})
    config = SuiteConfig(prefix="one two one ")
    with pytest.raises(
        UserError, match=r"2 of 2 prompts .*\(9 tokens\).*'red red red one two one '"
    ):
        list(suite(config, given))
    assert list(suite(SuiteConfig(prefix="one two one ", subject="sft"), given)) == []


def test_stored_responses_are_all_there_and_fit(tmp_path: Path) -> None:
    file = tmp_path / "stored.csv"
    config = SuiteConfig(baseline=FILE, baseline_path=str(file))
    file.write_text("prompt,response\nadd one,red\n")
    with pytest.raises(UserError, match="has no response to 2 of 2 prompts"):
        list(suite(config, context(tmp_path, *PROMPTS)))
    file.write_text(f"prompt,response\nadd one two,{' '.join(['red'] * 13)}\n")
    with pytest.raises(UserError, match=r"2 of 2 responses of .*p\.jsonl:1 \(17 tokens\)"):
        list(suite(config, context(tmp_path, *PROMPTS)))


def test_a_judge_is_asked_for_people_that_there_are(tmp_path: Path) -> None:
    class People:
        def rank(self, *arguments: Any) -> list[Any]:
            return []

        def preference(self, prompt: Prompt, first: str, second: str, group: str | None) -> float:
            if group == "nobody":
                raise UserError("there is no group 'nobody'")
            return 0.5

    given = context(tmp_path, *PROMPTS, labelers=People())
    for group in (None, "held_out"):
        list(suite(SuiteConfig(evaluators={"w": WinRateConfig(group=group)}), given))
    with pytest.raises(UserError, match="no group 'nobody'"):
        list(suite(SuiteConfig(evaluators={"w": WinRateConfig(group="nobody")}), given))


def test_evaluators_of_documents_and_rankings_find_some(tmp_path: Path) -> None:
    document = Document("d", "add one two", split="test")
    given = context(tmp_path, document)
    assert list(document_loss(DocumentLossConfig(), given)) == []
    # Of 16 positions a prefix of 14 leaves two: the second token of a document counts.
    assert list(document_loss(DocumentLossConfig(prefix="red " * 14), given)) == []
    for words in (15, 40):
        with pytest.raises(UserError, match=rf"prefix has {words} tokens.* 16 positions"):
            list(document_loss(DocumentLossConfig(prefix="red " * words), given))
    with pytest.raises(UserError, match="no test documents with an answer"):
        list(families(FamiliesConfig(), given))
    # The question "add one" and room for one token of the answer: 13 words more fit, 14 do not.
    asking = context(tmp_path, Document("d", "add one two", split="test", answer_start=8))
    assert list(families(FamiliesConfig(prefix="red " * 13), asking)) == []
    told = r"questions of documents .*'d' \(17 tokens\)\. Shorten evaluators: families\.prefix; or "
    with pytest.raises(UserError, match=told):
        list(families(FamiliesConfig(prefix="red " * 14), asking))
    ranking = Ranking(Prompt("r", "add", split="train"), ("red", "blue"), ((0, 1),))
    with pytest.raises(UserError, match="no test or validation rankings with a preference"):
        list(reward_accuracy(RewardAccuracyConfig(), context(tmp_path, ranking)))
    assert list(reward_accuracy(RewardAccuracyConfig(), context(tmp_path))) == []
