"""What holds for sampling engines: whole rows of the policy's own density, from the seed alone,
and nothing else touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from preflab.interfaces import AskedRow, Foreign, Sampling, StreamsRows, StreamsTokens
from preflab.records import Prompt
from preflab.sampling import gives_log_probs
from preflab.testing.algorithms import RAGGED
from preflab.testing.components import ComponentContract
from preflab.testing.runs import global_seed

if TYPE_CHECKING:
    from preflab.interfaces import Policy, RolloutEngine
    from preflab.records import Rollout
    from preflab.testing.case import Case

SEED = (1, "contract")
DRAWS = 4000
"""Responses of one token whose frequencies are compared with the policy's probabilities."""
UNLIKELY = 1e-6
"""Chance of frequencies so far off, were the engine right; the seed is fixed, so that an engine
passes always or never."""


class RolloutEngineContract(ComponentContract):
    """``class TestMine(RolloutEngineContract): name = "mine"``.

    independent: False says that a row's tokens depend on the other rows (their distribution
    does not), and that is tested. agrees: how far, in nats, what the engine says of its draws may
    be from the policy's own log-probabilities (bfloat16: 0.1).
    """

    kind = "rollout"
    independent: ClassVar[bool] = True
    agrees: ClassVar[float] = 1e-4

    def test_its_own_setting_is_that_of_the_config(self, preflab_case: Case) -> None:
        setting = _built(preflab_case)[0].sampling
        config = preflab_case.choice.config
        for name in ("max_tokens", "temperature"):
            assert getattr(setting, name) == getattr(config, name, getattr(setting, name)), (
                f"{name} is not the config's"
            )
        assert setting.samples == 1, (
            "its own setting samples several responses per prompt: a caller that needs more asks "
            "for them"
        )
        assert setting.first_row == 0, "its own setting begins at another row than 0"

    def test_what_it_streams_is_what_it_generates(self, preflab_case: Case) -> None:
        engine, policy = _built(preflab_case)
        if not isinstance(engine, StreamsTokens):
            return
        for temperature, prompt in ((t, p) for t in (0.0, 1.0) for p in RAGGED):
            sampling = Sampling(max_tokens=5, temperature=temperature)
            ((_, whole),) = engine.generate(policy, [prompt], sampling, SEED).tokens()
            assert list(engine.stream(policy, prompt, sampling, SEED)) == whole, (
                f"at temperature {temperature} it streams other tokens than it generates"
            )

    def test_rows_that_grow_together_are_those_that_it_generates(self, preflab_case: Case) -> None:
        engine, policy = _built(preflab_case)
        if not isinstance(engine, StreamsRows):
            return
        seeds: list[tuple[int | str, ...]] = [(*SEED, i) for i in range(len(RAGGED))]
        rows = [
            AskedRow(tuple(policy.tokenizer.encode_prompt(prompt)), 3 + i, seed, number=i)
            for i, (prompt, seed) in enumerate(zip(RAGGED, seeds, strict=True))
        ]
        for temperature in (0.0, 1.0):
            stream = engine.stream_rows(policy, rows, temperature)
            grown: list[list[int]] = [[] for _ in rows]
            while found := stream.step():
                for row, token in found:
                    grown[row].append(token)
            for i, prompt in enumerate(RAGGED):
                sampling = Sampling(3 + i, temperature, first_row=i)
                ((_, whole),) = engine.generate(policy, [prompt], sampling, seeds[i]).tokens()
                assert grown[i] == whole, (
                    f"at temperature {temperature} row {i} has other tokens beside others"
                )
            stream = engine.stream_rows(policy, rows, temperature)
            stream.drop(range(1, len(rows)))
            alone = []
            while found := stream.step():
                alone += [token for row, token in found if row == 0]
                assert {row for row, _ in found} == {0}, "a row that was dropped goes on"
            assert alone == grown[0], "dropping rows changes another one"

    def test_rows_are_whole(self, preflab_case: Case) -> None:
        engine, policy = _built(preflab_case)
        eos = policy.tokenizer.eos_id
        for prompts, samples in ((RAGGED, 1), (RAGGED, 3), (RAGGED[:1], 2)):
            rollout = engine.generate(
                policy, prompts, Sampling(max_tokens=5, samples=samples), SEED
            )
            expected_ids = [p.id for p in prompts for _ in range(samples)]
            assert [p.id for p in rollout.prompts] == expected_ids, (
                "rows are not the samples of each prompt, one prompt after the other"
            )
            for prompt, text, (prompt_tokens, answer) in zip(
                rollout.prompts, rollout.texts, rollout.tokens(), strict=True
            ):
                assert prompt_tokens == policy.tokenizer.encode(prompt.text), (
                    f"the prompt's tokens are not those of {prompt.text!r}"
                )
                assert 1 <= len(answer) <= 5, (
                    f"a response has {len(answer)} tokens; the cap is 5, the end token included"
                )
                assert eos not in answer[:-1], "a response has tokens after its end token"
                ended = answer[-1] == eos
                assert ended or len(answer) == 5, "a response was cut before the cap"
                assert policy.tokenizer.decode(answer[:-1] if ended else answer) == text, (
                    "the text is not that of the tokens"
                )
            ended_rows = [answer[-1] == eos for _, answer in rollout.tokens()]
            assert rollout.terminated.tolist() == ended_rows, (
                "terminated does not say which responses have their end token"
            )

    def test_no_prompts_have_no_responses(self, preflab_case: Case) -> None:
        engine, policy = _built(preflab_case)
        assert len(engine.generate(policy, [], Sampling(max_tokens=5), SEED)) == 0

    def test_the_seed_alone_decides(self, preflab_case: Case) -> None:
        probabilities = []
        for number in (11, 12):
            with global_seed(number):
                engine, policy = _built(preflab_case)
                probabilities.append(
                    _tokens(
                        engine.generate(policy, RAGGED, Sampling(max_tokens=5, samples=4), SEED)
                    )
                )
        assert probabilities[0] == probabilities[1], "the same seed gives other responses"
        other = engine.generate(policy, RAGGED, Sampling(max_tokens=5, samples=4), (2, "contract"))
        assert _tokens(other) != probabilities[0], "another seed gives the same responses"
        rows = [probabilities[0][i : i + 4] for i in range(0, len(probabilities[0]), 4)]
        assert any(len(set(map(tuple, row))) > 1 for row in rows), (
            "all samples of every prompt are the same"
        )

    def test_a_row_depends_on_no_other(self, preflab_case: Case) -> None:
        engine, policy = _built(preflab_case)
        prompts = [Prompt(f"p{i}", RAGGED[i % 4].text) for i in range(8)]
        sampling = Sampling(max_tokens=6, samples=2)
        together = _tokens(engine.generate(policy, prompts, sampling, SEED))
        alone: list[list[int]] = []
        for i, prompt in enumerate(prompts):
            alone += _tokens(
                engine.generate(policy, [prompt], replace(sampling, first_row=2 * i), SEED)
            )
        assert (together == alone) == self.independent, (
            "a row is another one when it is sampled alone: several processes, and other batch "
            "sizes, then give other results"
            if self.independent
            else "independent = False, but rows sampled alone are the same: leave it out"
        )

    def test_greedy_answers_are_the_likeliest_tokens(self, preflab_case: Case) -> None:
        engine, policy = _built(preflab_case)
        probabilities = [
            engine.generate(policy, RAGGED, Sampling(max_tokens=1, temperature=0.0), (seed,))
            for seed in (1, 2)
        ]
        assert _tokens(probabilities[0]) == _tokens(probabilities[1]), (
            "at temperature 0 the seed matters"
        )
        likeliest = [
            [max(range(len(row)), key=row.__getitem__)]
            for row in _probabilities(policy, RAGGED, 1.0)
        ]
        assert _tokens(probabilities[0]) == likeliest, (
            "at temperature 0 a token is not the likeliest"
        )

    def test_tokens_are_drawn_from_the_policys_own_density(self, preflab_case: Case) -> None:
        from scipy.stats import chisquare

        engine, policy = _built(preflab_case)
        for temperature in (1.0, 0.5):
            sampling = Sampling(max_tokens=1, temperature=temperature, samples=DRAWS)
            drawn = [
                answer[0] for answer in _tokens(engine.generate(policy, RAGGED[:1], sampling, SEED))
            ]
            (probabilities,) = _probabilities(policy, RAGGED[:1], temperature)
            frequent = [
                i for i, p in enumerate(probabilities) if p * DRAWS >= 5
            ]  # the rest, too few to count, is one class
            observed, expected = (
                [drawn.count(i) for i in frequent],
                [DRAWS * probabilities[i] for i in frequent],
            )
            observed, expected = (
                [*observed, DRAWS - sum(observed)],
                [*expected, DRAWS - sum(expected)],
            )
            if expected[-1] < 5:
                observed, expected = (
                    [*observed[:-2], sum(observed[-2:])],
                    [*expected[:-2], sum(expected[-2:])],
                )
            chance = float(chisquare(observed, expected, sum_check=False).pvalue)
            assert chance > UNLIKELY, (
                f"at temperature {temperature} tokens are not drawn from softmax(logits / "
                f"temperature): chance {chance:.1e}. Top-k, top-p, a repetition penalty? An "
                "algorithm needs the density of what was sampled"
            )

    def test_what_it_says_of_its_draws_is_true(self, preflab_case: Case) -> None:
        from preflab.likelihood import response_log_probs

        engine, policy = _built(preflab_case)
        for temperature in (1.0, 0.5):
            sampling = Sampling(5, temperature, samples=2, log_probs=True)
            rollout = engine.generate(policy, RAGGED, sampling, SEED)
            if rollout.log_probs is None:
                assert not gives_log_probs(engine), "gives_log_probs is true, and it gave none"
                assert not isinstance(engine, Foreign), (
                    "it has 'weights', so that it does not compute with preflab's own forward "
                    "pass, but its rollouts have no log_probs: nothing would show other weights"
                )
                return
            own = response_log_probs(policy, rollout, temperature).detach()
            mask = rollout.response_mask
            apart = float((own - rollout.log_probs).abs()[mask].max())
            assert apart <= self.agrees, (
                f"at temperature {temperature} its log_probs are up to {apart:.1e} nats from the "
                "policy's: are they those after the temperature, of these rows, from these weights?"
            )
            assert not bool(rollout.log_probs[~mask].any()), "log_probs on pads are not 0"

    def test_it_samples_from_the_weights_that_the_policy_has_now(self, preflab_case: Case) -> None:
        import torch

        engine, policy = _built(preflab_case)
        other = policy.copy()
        with torch.no_grad():
            for number, weight in enumerate(other.module.parameters()):
                noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
                weight.add_(0.2 * noise)
        greedy = Sampling(max_tokens=1, temperature=0.0)
        for which in (policy, other, policy):  # a policy that moves, and one that comes back
            rollout = engine.generate(which, RAGGED, greedy, SEED)
            assert rollout.weights in ("", which.version), (
                "Rollout.weights is not the version of the policy that it was given"
            )
            likeliest = [
                [max(range(len(row)), key=row.__getitem__)]
                for row in _probabilities(which, RAGGED, 1.0)
            ]
            assert _tokens(rollout) == likeliest, (
                "it samples from earlier weights: an engine that has a copy takes "
                "Policy.weights() when Policy.version is another than that of its copy"
            )
            if isinstance(engine, Foreign):
                assert rollout.weights, "it does not say which weights it sampled from"
                assert engine.weights == which.version, "its 'weights' are not those that it has"

    def test_the_policy_stays_as_it_is(self, preflab_case: Case) -> None:
        import torch

        engine, policy = _built(preflab_case)
        before = {name: value.clone() for name, value in policy.module.state_dict().items()}
        training = policy.module.training
        engine.generate(policy, RAGGED, Sampling(max_tokens=5), SEED)
        moved = [
            name
            for name, value in policy.module.state_dict().items()
            if not torch.equal(value, before[name])
        ]
        assert not moved, f"weights were changed: {moved[:3]}"
        assert policy.module.training == training, (
            "the policy is left in another mode (train or eval)"
        )
        assert all(p.grad is None for p in policy.module.parameters()), "gradients were left behind"


def _built(case: Case) -> tuple[RolloutEngine, Policy]:
    """The engine, and a policy some way from where it was drawn, so that its tokens are not all
    alike."""
    from preflab.testing.gradient_terms import moved_policy

    context = case.context()
    return cast("RolloutEngine", case.build(context)), moved_policy(context)


def _tokens(rollout: Rollout) -> list[list[int]]:
    return [answer for _, answer in rollout.tokens()]


def _probabilities(
    policy: Policy, prompts: Sequence[Prompt], temperature: float
) -> list[list[float]]:
    """Of the next token after each prompt, read one by one."""
    import torch

    probabilities = []
    for prompt in prompts:
        ids = torch.tensor([policy.tokenizer.encode(prompt.text)])
        with torch.no_grad():
            logits = policy.logits(
                policy.hidden(ids, torch.ones_like(ids, dtype=torch.bool))[:, -1]
            )
        probabilities.append((logits[0].double() / temperature).softmax(-1).tolist())
    return probabilities
