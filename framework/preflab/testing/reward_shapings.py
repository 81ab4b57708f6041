"""What holds for reward shapings: a finite score per response, from scores and responses alone,
whatever their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from preflab.records import Rollout
from preflab.testing.components import ComponentContract
from preflab.testing.reward_models import TOLERANCE, given_answers
from preflab.testing.runs import global_seed

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import RewardShaping
    from preflab.testing.case import Case

SCORES = (0.5, -2.0, 30.0, -0.25, 0.0, -40.0)
"""One for each of the given answers."""


class RewardShapingContract(ComponentContract):
    """``class TestMine(RewardShapingContract): name = "mine"``."""

    kind = "reward_shaping"

    def test_it_gives_a_finite_score_per_response(self, preflab_case: Case) -> None:
        import torch

        scores, rollout = _scores(), given_answers(preflab_case.context())
        shaped = _shaping(preflab_case)(scores, rollout)
        assert isinstance(shaped, torch.Tensor), f"it returned {shaped!r}, which is not a tensor"
        assert shaped.shape == (6,), (
            f"scores have the shape {tuple(shaped.shape)}, not one number per response"
        )
        assert shaped.dtype == torch.float32, f"scores are {shaped.dtype}, not float32"
        assert bool(torch.isfinite(shaped).all()), (
            f"scores are not finite: {shaped.tolist()} from {scores.tolist()}"
        )
        assert scores.tolist() == list(SCORES), (
            "the scores that it was given are changed in place: return new ones"
        )

    def test_the_order_of_rows_does_not_matter(self, preflab_case: Case) -> None:
        shaping, rollout = _shaping(preflab_case), given_answers(preflab_case.context())
        shaped = shaping(_scores(), rollout).tolist()
        backwards = shaping(_scores().flip(0), rollout.rows(range(5, -1, -1))).tolist()
        furthest = max(abs(a - b) for a, b in zip(shaped, reversed(backwards), strict=True))
        assert furthest <= TOLERANCE, (
            f"the order of rows matters: {shaped}, and from back to front {backwards}"
        )

    def test_it_keeps_nothing_and_draws_nothing(self, preflab_case: Case) -> None:
        rollout = given_answers(preflab_case.context())
        by_seed = []
        for seed in (11, 12):
            with global_seed(seed):
                shaping = _shaping(preflab_case, seed)
                first = shaping(_scores(), rollout).tolist()
                shaping(10 * _scores(), rollout)
                again = shaping(_scores(), rollout).tolist()
            assert first == again, (
                f"the same scores become {first}, and later {again}: a shaping has no state"
            )
            by_seed.append(first)
        assert by_seed[0] == by_seed[1], (
            f"built for a run of another seed, it makes {by_seed[1]} of what was {by_seed[0]}"
        )

    def test_no_responses_have_no_scores(self, preflab_case: Case) -> None:
        nothing = Rollout.from_tokens(preflab_case.context().tokenizer, [], [], [])
        shaped = _shaping(preflab_case)(_scores()[:0], nothing)
        assert shaped.shape == (0,), (
            f"the scores of no responses have the shape {tuple(shaped.shape)}"
        )


def _scores() -> torch.Tensor:
    import torch

    return torch.tensor(SCORES)


def _shaping(case: Case, seed: int = 1) -> RewardShaping:
    return cast("RewardShaping", case.build(case.context(seed=seed)))
