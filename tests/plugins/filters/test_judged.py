"""Training texts that are dropped, or marked, by a score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.records import Demonstration, Document, Message, Prompt, Record
from preflab.testing import FakeContext
from preflab_builtin.filters.judged import (
    ControlTokens,
    Judged,
    chance,
    checked,
    limit_of,
    score,
)
from preflab_builtin.filters.judged_config import (
    ChanceConfig,
    ControlTokensConfig,
    Scored,
    ScoreFilterConfig,
    Side,
)
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.rewards.config import ContainsConfig

BAD = ContainsConfig(words=["bad", "red"])
TEXTS = ("bad red one", "bad one", "one two", "red bad two", "good .")
"""Share of {bad, red} that each holds: 1, 1/2, 0, 1, 0."""
DOCUMENTS = [Document(str(i), text, split="train") for i, text in enumerate(TEXTS)]
HELD_OUT = Document("test", "bad red bad", split="test")


def ids(records: Sequence[Record]) -> str:
    return "".join(r.id for r in records if isinstance(r, (Document, Prompt)))


def dropped_by(tmp_path: Path, config: ScoreFilterConfig) -> tuple[str, dict[str, int]]:
    kept, dropped = score(config, FakeContext(tmp_path))([*DOCUMENTS, HELD_OUT])
    return ids(kept), dict(dropped)


def test_texts_beyond_a_threshold_are_dropped_and_held_out_ones_stay(tmp_path: Path) -> None:
    config = ScoreFilterConfig(scorer=BAD, threshold=0.5)
    assert dropped_by(tmp_path, config) == ("124test", {"a high score": 2})  # 1/2 is not above 1/2
    low = ScoreFilterConfig(scorer=BAD, threshold=0.5, drop=Side.low)
    assert dropped_by(tmp_path, low) == ("013test", {"a low score": 2})


def test_a_share_is_never_exceeded_by_equal_scores(tmp_path: Path) -> None:
    """Of five rows 0.4 are two: those with the score 1. 0.2 is one, and two rows are equally bad:
    none is dropped."""
    two = ScoreFilterConfig(scorer=BAD, share=0.4)
    assert dropped_by(tmp_path, two) == ("124test", {"a high score": 2})
    one = ScoreFilterConfig(scorer=BAD, share=0.2)
    assert dropped_by(tmp_path, one) == ("01234test", {"a high score": 0})


def test_by_chance_an_exact_share_of_the_documents_is_dropped_whatever_they_say(
    tmp_path: Path,
) -> None:
    """0.3 of 50 are 15. Another text in the place of a dropped one is dropped too."""
    rows = [Document(str(i), "bad" if i % 2 else "good", split="train") for i in range(50)]
    control = chance(ChanceConfig(share=0.3), FakeContext(tmp_path))
    kept, dropped = control([*rows, HELD_OUT])
    assert (len(kept), dropped) == (36, {"chance": 15})
    others = [Document(row.id, "red", split="train") for row in rows]
    assert ids(control([*others, HELD_OUT])[0]) == ids(kept)
    other_seed = chance(ChanceConfig(share=0.3, seed=1), FakeContext(tmp_path))
    assert ids(other_seed([*rows, HELD_OUT])[0]) != ids(kept)


def test_only_the_types_that_are_named_are_judged(tmp_path: Path) -> None:
    row = Demonstration(Prompt("0", "one", split="train"), "bad red")
    both = ScoreFilterConfig(scorer=BAD, threshold=0.5, types=[Scored.demonstrations])
    keeps_documents = score(both, FakeContext(tmp_path))
    assert list(keeps_documents(DOCUMENTS)[0]) == DOCUMENTS
    assert keeps_documents([row])[1] == {"a high score": 1}
    assert score(ScoreFilterConfig(scorer=BAD, threshold=0.5), FakeContext(tmp_path))([row]) == (
        [row],
        {},
    )


def test_a_score_that_is_no_number_names_its_text() -> None:
    with pytest.raises(UserError, match=r"The score of 0 'bad red one' is nan"):
        checked(DOCUMENTS[:1], [float("nan")])
    judge = Judged(lambda rows: [float("inf")] * len(rows), list(Scored), limit_of(0.0, None), "")
    with pytest.raises(UserError, match="is inf, not a finite number"):
        judge(DOCUMENTS)


def test_what_may_be_held_out_later_is_not_judged(tmp_path: Path) -> None:
    early = score(ScoreFilterConfig(scorer=BAD, threshold=0.5), FakeContext(tmp_path))
    with pytest.raises(UserError, match=r"1 'bad one' has no split yet.*assigns splits before"):
        early([DOCUMENTS[0], Document("1", "bad one")])


def test_exactly_one_limit_and_a_scorer_are_given() -> None:
    for config, field in (
        (ScoreFilterConfig(scorer=BAD), "threshold"),
        (ScoreFilterConfig(scorer=BAD, threshold=0.0, share=0.1), "threshold"),
        (ScoreFilterConfig(threshold=0.0), "scorer"),
    ):
        assert [name for name, _ in config.check()] == [field]


def marking(tmp_path: Path, **changes: object) -> ControlTokens:
    config = ControlTokensConfig(scorer=BAD, above="bad ", below="good ", without=0.0)
    for name, value in changes.items():
        setattr(config, name, value)
    return ControlTokens(config, FakeContext(tmp_path))


def test_texts_get_the_prefix_of_their_side(tmp_path: Path) -> None:
    """Threshold 0: what holds one of the words is above. The place of an answer moves along."""
    question = Document("q", "one plus one equals two", "sums", "train", 16)
    first, second, third = marking(tmp_path)([DOCUMENTS[1], DOCUMENTS[2], question])
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert isinstance(third, Document)
    assert (first.text, second.text) == ("bad bad one", "good one two")
    assert third.answer_start is not None
    assert third.text[third.answer_start :] == question.text[16:]


def test_of_a_demonstration_the_response_decides_and_the_prompt_is_marked(tmp_path: Path) -> None:
    plain = Demonstration(Prompt("a", "red one", split="train"), "two")
    talk = (Message("system", "one"), Message("user", "two"))
    chat = Demonstration(Prompt("b", "x", split="train", messages=talk), "bad")
    first, second = marking(tmp_path)([plain, chat])
    assert isinstance(first, Demonstration)
    assert isinstance(second, Demonstration)
    assert (first.prompt.text, first.response) == ("good red one", "two")
    assert [turn.content for turn in second.prompt.messages] == ["bad one", "two"]


def test_a_share_of_the_texts_gets_no_prefix_by_their_ids(tmp_path: Path) -> None:
    """300 texts, 0.2 without: 60 expected, standard deviation 6.9."""
    many = [Document(f"d{i}", "one two", split="train") for i in range(300)]
    transform = marking(tmp_path, without=0.2)
    marked = {r.id for r in transform(many) if isinstance(r, Document) and r.text[0] == "g"}
    assert 215 <= len(marked) <= 265
    again = {r.id for r in transform(many[::-1]) if isinstance(r, Document) and r.text[0] == "g"}
    assert marked == again


def test_it_says_which_share_has_which_prefix_and_where_all_are_marked_alike(
    tmp_path: Path,
) -> None:
    """The scores are 1, 1/2, 0, 1, 0."""
    transform = marking(tmp_path)
    transform(DOCUMENTS)
    told = "marks of 5 texts 3 (60%) as above the threshold 0 ('bad '), 2 (40%) as not above it "
    assert transform.remarks() == [f"{told}('good '), and 0 (0%) not at all."]
    transform([Prompt("0", "one", split="train")])
    assert transform.remarks() == []
    for threshold in (-0.5, 1.0):
        alike = marking(tmp_path, threshold=threshold)
        alike(DOCUMENTS)
        _, said = alike.remarks()
        assert "Scores go from 0 to 1: set its threshold" in said


def test_prompts_are_not_changed_and_unknown_words_are_refused(tmp_path: Path) -> None:
    prompts = [Prompt("0", "one", split="train")]
    assert marking(tmp_path)(prompts) is prompts
    with pytest.raises(UserError, match="no tokens for all of 'rude: '"):
        marking(tmp_path, above="rude: ")


def test_a_scorer_that_would_have_to_be_trained_is_refused_with_the_cure(tmp_path: Path) -> None:
    config = ScoreFilterConfig(scorer=KwiseConfig(), threshold=0.0)
    with pytest.raises(UserError, match=r"^test\.scorer: .*A scorer is not trained in this run"):
        score(config, FakeContext(tmp_path))
