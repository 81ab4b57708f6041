"""What holds for reward models, trained or not: a score for each response, the same whichever
other responses are in the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from preflab.records import Prompt, Rollout
from preflab.testing.components import ComponentContract
from preflab.testing.protocols import unknown_methods
from preflab.testing.runs import global_seed
from preflab.testing.world import WORDS, tiny_records

if TYPE_CHECKING:
    from preflab.interfaces import RewardModel
    from preflab.testing.case import Case
    from preflab.testing.context import FakeContext

TOLERANCE = 1e-5
"""Padding may change the rounding of a network's sums."""


def given_answers(context: FakeContext) -> Rollout:
    """Ragged answers, an empty one among them."""
    prompts = [r for r in tiny_records() if isinstance(r, Prompt)][:6]
    texts = ["good", "", " ".join(WORDS[:9]), "bad bad", "please thanks good", "."]
    return Rollout.from_texts(context.tokenizer, prompts, texts)


class RewardModelContract(ComponentContract):
    """Scores of responses. A reward model that is trained is trained first; test the training
    with `ProcedureContract`."""

    kind = "reward_model"

    def test_it_scores_every_response(self, preflab_case: Case) -> None:
        import torch

        context, model = _built(preflab_case)
        wrong = unknown_methods(model)
        assert not wrong, "\n".join(wrong)
        scores = model.score(given_answers(context))
        assert scores.shape == (6,), (
            f"scores have the shape {tuple(scores.shape)}, not one number per response"
        )
        assert scores.dtype == torch.float32, f"scores are {scores.dtype}, not float32"
        assert not scores.requires_grad, "scores carry a gradient: a reward model is frozen"
        assert bool(torch.isfinite(scores).all()), f"scores are not finite: {scores.tolist()}"

    def test_a_score_depends_on_nothing_else_in_the_batch(self, preflab_case: Case) -> None:
        context, model = _built(preflab_case)
        rollout = given_answers(context)
        scores = model.score(rollout).tolist()
        for i, score in enumerate(scores):
            (alone,) = model.score(rollout.rows([i])).tolist()
            assert abs(alone - score) <= TOLERANCE, (
                f"response {i} scores {score} among others and {alone} alone"
            )
        backwards = model.score(rollout.rows(range(5, -1, -1))).tolist()
        assert (
            max(abs(a - b) for a, b in zip(scores, reversed(backwards), strict=True)) <= TOLERANCE
        ), "the order of rows matters"

    def test_scoring_is_repeatable_and_draws_nothing(self, preflab_case: Case) -> None:
        scores = []
        for seed in (11, 12):
            with global_seed(seed):
                context, model = _built(preflab_case)
                scores.append(model.score(given_answers(context)).tolist())
        assert scores[0] == scores[1], f"the same responses score {scores[0]} and {scores[1]}"

    def test_no_responses_have_no_scores(self, preflab_case: Case) -> None:
        context, model = _built(preflab_case)
        scores = model.score(Rollout.from_tokens(context.tokenizer, [], [], []))
        assert scores.shape == (0,), (
            f"the scores of no responses have the shape {tuple(scores.shape)}"
        )


def _built(case: Case) -> tuple[FakeContext, RewardModel]:
    """A context, and the reward model in it, trained if it makes a stage."""
    context = case.context(case.finished_folder if case.component.procedure else None)
    return context, cast("RewardModel", case.build(context))
