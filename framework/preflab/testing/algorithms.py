"""What holds for algorithms: what comes out answers prompts, and what was trained is another
policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from preflab.records import Prompt
from preflab.testing.components import ComponentContract
from preflab.testing.procedures import ProcedureContract
from preflab.testing.runs import global_seed
from preflab.testing.world import WORDS

if TYPE_CHECKING:
    from preflab.interfaces import Responder
    from preflab.testing.case import Case

RAGGED = [Prompt(f"ragged-{n}", " ".join(WORDS[:n])) for n in (3, 1, 7, 2)]
"""Prompts of different lengths, not in their order."""


def responder(case: Case) -> Responder:
    """What answers prompts after the algorithm: what it builds, or the policy that it saved."""
    trained = case.component.procedure is not None
    context = case.context(case.finished_folder if trained else None)
    if case.component.build is not None:
        return cast("Responder", case.build(context))
    if trained:
        context.policies["result"] = context.source.load(context.folder / "model")
    return context.responder("result")


class ResponderContract(ComponentContract):
    """An algorithm that trains nothing: it stops, or chooses among answers. `AlgorithmContract`
    is for those that train."""

    kind = "algorithm"

    def test_it_answers_every_prompt_once_and_in_order(self, preflab_case: Case) -> None:
        answering = responder(preflab_case)
        for prompts in (RAGGED, RAGGED[:1]):
            rollout = answering.respond(prompts, (1, "contract"))
            assert [p.id for p in rollout.prompts] == [p.id for p in prompts], (
                "the rows are not one per prompt, in order"
            )
            widths = rollout.response_ids.shape, rollout.prompt_ids.shape
            assert all(shape[0] == len(prompts) for shape in widths), (
                f"tensors have other numbers of rows: {widths}"
            )
            lengths = rollout.response_lengths.tolist()
            assert min(lengths) >= 1, "a response has no token, not even the end token"
            assert max(lengths) == widths[0][1], "response_ids are wider than the longest response"
            for text, (_, tokens) in zip(rollout.texts, rollout.tokens(), strict=True):
                ended = tokens[-1] == answering.policy.tokenizer.eos_id
                assert (
                    answering.policy.tokenizer.decode(tokens[:-1] if ended else tokens) == text
                ), "texts are not the text of the tokens"

    def test_answers_follow_the_seed_alone(self, preflab_case: Case) -> None:
        answering = responder(preflab_case)
        with global_seed(11):
            first = answering.respond(RAGGED, (1, "contract"))
        with global_seed(12):
            again = answering.respond(RAGGED, (1, "contract"))
        assert first.tokens() == again.tokens(), "the same seed gives other answers"
        many = [Prompt(f"p{i}", "one plus") for i in range(16)]
        answers = [answering.respond(many, (seed, "contract")).tokens() for seed in (1, 2)]
        assert answers[0] != answers[1], "another seed gives the same answers"


class AlgorithmContract(ProcedureContract, ResponderContract):
    """An algorithm that trains: ``class TestMine(AlgorithmContract): name = "mine"``."""

    def test_it_changes_the_policy(self, preflab_case: Case) -> None:
        import torch

        before = preflab_case.context().policy("initial").module.state_dict()
        after = responder(preflab_case).policy.module.state_dict()
        assert before.keys() == after.keys(), (
            "the result is another kind of model than the policy it started from"
        )
        assert any(not torch.equal(before[name], after[name]) for name in before), (
            "no weight has changed: does it train?"
        )
        assert all(bool(torch.isfinite(value).all()) for value in after.values()), (
            "a weight is not finite"
        )
