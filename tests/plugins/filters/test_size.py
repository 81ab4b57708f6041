"""The filter for long rows, in tokens of the policy: the words of a refusal leave out what it
refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab.lengths import check_prompts, check_rows
from preflab.records import Demonstration, Prompt, Ranking, Record
from preflab_builtin.filters.config import LengthConfig
from preflab_builtin.filters.size import Length
from support import FakeContext


def words(number: int) -> str:
    """A text of so many tokens."""
    return " ".join(["red"] * number)


def rows(*sizes: tuple[int, int]) -> list[Any]:
    """Demonstrations with so many tokens of prompt and of response (its end token not counted)."""
    return [
        Demonstration(Prompt(f"p{i}", words(asked), split="train"), words(answered))
        for i, (asked, answered) in enumerate(sizes)
    ]


def kept(context: FakeContext, records: list[Any], **limits: Any) -> list[Record]:
    return Length(LengthConfig(**limits), context)(records)[0]


def test_a_row_is_its_prompt_and_its_longest_response_with_the_end_token(tmp_path: Path) -> None:
    """4 + 3 + 1 are 8; 4 + 4 + 1 are 9, and so is the ranking with its longer response."""
    context = FakeContext(tmp_path)
    fits, long = rows((4, 3), (4, 4))
    ranking = Ranking(Prompt("r", words(4)), (words(1), words(4)), ((0, 1),))
    prompt = Prompt("p", words(20))
    assert kept(context, [fits, long, ranking, prompt], max_row_tokens=8) == [fits, prompt]
    _, dropped = Length(LengthConfig(max_row_tokens=8), context)([fits, long, ranking])
    assert dropped == {"prompt and response over 8 tokens": 2}


def test_one_limit_is_enough_and_none_is_refused() -> None:
    assert not list(LengthConfig(max_row_tokens=8).check())
    assert [key for key, _ in LengthConfig().check()] == ["max_tokens"]


@pytest.mark.parametrize("prompts", [True, False])
def test_the_words_of_the_refusal_leave_out_what_is_refused(prompts: bool, tmp_path: Path) -> None:
    context = FakeContext(tmp_path, policy_config={"max_positions": 16})
    records: list[Any] = rows((8, 7), (9, 6), (2, 14))
    if prompts:
        records = [row.prompt for row in records]

    def check(these: list[Any]) -> None:
        if prompts:
            check_prompts(context, these)
        else:
            check_rows(context, "demonstrations", these)

    with pytest.raises(UserError) as refusal:
        check(records)
    found = re.search(r"filters\.fits\.(\w+)=(\d+)", str(refusal.value))
    assert found is not None
    rest = kept(context, records, **{found[1]: int(found[2])})
    assert len(rest) == 2
    check(rest)
