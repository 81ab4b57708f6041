"""What holds for labelers: rankings of exactly what was shown, from the seed alone, and
consistent preferences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from preflab.records import Prompt
from preflab.testing.components import ComponentContract
from preflab.testing.runs import global_seed
from preflab.testing.world import tiny_records

if TYPE_CHECKING:
    from preflab.interfaces import Labeler
    from preflab.testing.case import Case

ANSWERS = ("good", "", "please thanks good .", "bad bad", "good")
"""Ragged, one empty, two equal."""


def _prompts() -> Sequence[Prompt]:
    return [r for r in tiny_records() if isinstance(r, Prompt)][:6]


class LabelerContract(ComponentContract):
    """``class TestMine(LabelerContract): name = "mine"``."""

    kind = "labeler"

    def test_it_ranks_what_it_was_shown(self, preflab_case: Case) -> None:
        labeler = cast("Labeler", preflab_case.build())
        for prompt in _prompts():
            for shown in (ANSWERS, ANSWERS[:2], ANSWERS[:1]):
                rankings = labeler.rank(prompt, shown, (1, "contract", prompt.id))
                assert rankings, "nobody ranked anything"
                for ranking in rankings:
                    assert (ranking.prompt, ranking.responses) == (prompt, tuple(shown)), (
                        "the ranking is of another prompt or of other responses"
                    )
                    pairs = set(ranking.preferences)
                    assert all(
                        0 <= i < len(shown) and 0 <= j < len(shown) and i != j for i, j in pairs
                    ), f"pairs {sorted(pairs)}"
                    both = [(i, j) for i, j in pairs if (j, i) in pairs]
                    assert not both, f"one person prefers both of {both[0]}"

    def test_the_seed_alone_decides(self, preflab_case: Case) -> None:
        rankings_by_seed = []
        for seed in (11, 12):
            with global_seed(seed):
                labeler = cast("Labeler", preflab_case.build())
                rankings_by_seed.append(
                    [
                        labeler.rank(prompt, ANSWERS, (1, "contract", prompt.id))
                        for prompt in _prompts()
                    ]
                )
        assert rankings_by_seed[0] == rankings_by_seed[1], "the same seed gives different rankings"

    def test_preferences_are_shares_of_people(self, preflab_case: Case) -> None:
        labeler = cast("Labeler", preflab_case.build())
        prompt = _prompts()[0]
        for first in ANSWERS:
            for second in ANSWERS:
                share, other = (
                    labeler.preference(prompt, first, second),
                    labeler.preference(prompt, second, first),
                )
                assert 0 <= share <= 1, f"{share} is not between 0 and 1"
                assert abs(share + other - 1) < 1e-9, (
                    f"{first!r} against {second!r}: {share} and {other} do not add up to 1"
                )
            assert labeler.preference(prompt, first, first) == 0.5, (
                "a response is preferred to itself"
            )
