"""What holds for gradient terms: they add a gradient, do nothing else, and can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from preflab.records import Prompt
from preflab.testing.components import ComponentContract
from preflab.testing.protocols import unknown_methods
from preflab.testing.runs import global_seed
from preflab.testing.world import WORDS

if TYPE_CHECKING:
    import torch

    from preflab.interfaces import GradientTerm, Policy
    from preflab.records import Rollout
    from preflab.testing.case import Case
    from preflab.testing.context import FakeContext

EPISODES = 4


def moved_policy(context: FakeContext) -> Policy:
    """A policy some way from the one that the algorithm started from."""
    import torch

    policy = context.policy("initial")
    with torch.no_grad():
        for number, parameter in enumerate(policy.module.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(0.05 * noise)
    return policy


def term(case: Case, context: FakeContext, coef: float = 1.0) -> GradientTerm:
    """The term with a coefficient."""
    build = case.component.build
    assert build is not None, (
        f"gradient_term '{case.name}' builds nothing: give the component a 'build'"
    )
    config = case.choice.config
    assert hasattr(config, "coef"), (
        "the config has no field 'coef': an algorithm does not build a term whose coefficient is 0"
    )
    return cast("GradientTerm", build(replace(config, coef=coef), context))


def gradient(built: GradientTerm, policy: Policy, step: int = 0) -> dict[str, torch.Tensor]:
    """The gradient that one call adds, by parameter."""
    from preflab.interfaces import SeesBatch

    policy.module.zero_grad(set_to_none=True)
    if isinstance(built, SeesBatch):
        built.see(sampled(policy, step), 1.0)
    metrics = built.accumulate(policy, step, EPISODES)
    assert all(isinstance(value, float) for value in metrics.values()), (
        f"metrics must be numbers: {dict(metrics)}"
    )
    return {
        name: p.grad.clone() for name, p in policy.module.named_parameters() if p.grad is not None
    }


def sampled(policy: Policy, step: int) -> Rollout:
    """Responses of different lengths for a term that sees what was sampled."""
    from preflab.records import Rollout

    prompts = [Prompt(f"p{i}", " ".join(WORDS[: 1 + i])) for i in range(EPISODES)]
    texts = [" ".join(WORDS[step + i : step + 1 + 2 * i]) for i in range(EPISODES)]
    return Rollout.from_texts(policy.tokenizer, prompts, texts)


def _furthest(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> float:
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


class GradientTermContract(ComponentContract):
    """``class TestMine(GradientTermContract): name = "mine"``."""

    kind = "gradient_term"

    def test_its_public_methods_are_those_of_protocols(self, preflab_case: Case) -> None:
        wrong = unknown_methods(term(preflab_case, preflab_case.context()))
        assert not wrong, "\n".join(wrong)

    def test_it_adds_a_finite_gradient_and_moves_no_weight(self, preflab_case: Case) -> None:
        import torch

        context = preflab_case.context()
        policy = moved_policy(context)
        before = {name: value.clone() for name, value in policy.module.state_dict().items()}
        gradients = gradient(term(preflab_case, context), policy)
        assert gradients, "no parameter has a gradient"
        assert all(bool(torch.isfinite(value).all()) for value in gradients.values()), (
            "the gradient is not finite"
        )
        assert any(bool(value.abs().sum() > 0) for value in gradients.values()), (
            "the gradient is zero"
        )
        moved = [
            name
            for name, value in policy.module.state_dict().items()
            if not torch.equal(value, before[name])
        ]
        assert not moved, f"weights were changed: {moved[:3]}. The algorithm takes the step"

    def test_the_coefficient_scales_it(self, preflab_case: Case) -> None:
        gradients = []
        for coef in (1.0, 3.0):
            context = preflab_case.context()
            gradients.append(gradient(term(preflab_case, context, coef), moved_policy(context)))
        size = max(float(value.abs().max()) for value in gradients[1].values())
        furthest = _furthest(
            {name: 3 * value for name, value in gradients[0].items()}, gradients[1]
        )
        assert furthest <= 1e-4 * size, (
            "three times the coefficient is not three times the gradient"
        )

    def test_micro_batches_change_no_gradient(self, preflab_case: Case) -> None:
        gradients = []
        for size in (64, 1):
            context = preflab_case.context(micro_batch=size)
            gradients.append(gradient(term(preflab_case, context), moved_policy(context)))
        largest = max(float(value.abs().max()) for value in gradients[0].values())
        assert _furthest(*gradients) <= 1e-4 * largest, (
            "with other micro-batches the gradient differs: divide sums by one count"
        )

    def test_resumed_it_gives_the_same_gradients(self, preflab_case: Case) -> None:
        from preflab.storage import checkpoints

        context = preflab_case.context()
        policy = moved_policy(context)
        whole = term(preflab_case, context)
        gradient(whole, policy, 0)
        saved = {"term": whole.state_dict(), "streams": context.streams.state_dict()}
        folder = checkpoints.save(preflab_case.fresh_folder(), 1, saved)
        expected = gradient(whole, policy, 1)
        again = preflab_case.context()
        resumed = term(preflab_case, again)
        state = checkpoints.load(folder)[1]
        resumed.load_state_dict(state["term"])
        again.streams.load_state_dict(state["streams"])
        assert _furthest(expected, gradient(resumed, moved_policy(again), 1)) == 0, (
            "after resuming, the next gradient differs"
        )

    def test_it_follows_the_seed_alone(self, preflab_case: Case) -> None:
        gradients = []
        for seed in (11, 12):
            context = preflab_case.context()
            policy = moved_policy(context)
            with global_seed(seed):
                gradients.append(gradient(term(preflab_case, context), policy))
        assert _furthest(*gradients) == 0, "the same seed gives different gradients"

    def test_it_asks_only_for_what_it_declares(self, preflab_case: Case) -> None:
        context = preflab_case.context()
        gradient(term(preflab_case, context), context.policy("initial"))
        declared = preflab_case.component.needs(replace(preflab_case.choice.config, coef=1.0))
        undeclared = context.asked - {need.partition(":")[0] for need in declared}
        assert not undeclared, (
            f"it uses {', '.join(sorted(undeclared))} without declaring so in 'needs'"
        )
