"""The engine against a server that speaks vLLM's HTTP: an honest one passes, each fault ends the
run by name."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from preflab.engine.comparing import prepared
from preflab.errors import Absent, NumericError, PreflabError, UserError
from preflab.interfaces import Sampling
from preflab.records import Prompt
from preflab.runtime import Runtime, RuntimeConfig
from preflab.sampling import Agreement
from preflab.testing import RolloutEngineContract
from preflab_builtin.evaluation.config import SuiteConfig
from preflab_builtin.evaluation.suite import EvaluationSuite
from preflab_builtin.on_policy.config import KLPenaltyConfig, SamplerConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_vllm.config import VLLMConfig
from preflab_vllm.preflight import preflight
from support import FakeContext, cpu_runtime
from tiny_ppo import PROMPTS
from tiny_vllm import plugin, served, tiny_policy, tiny_run
from vllm_standin import StandIn, serving


@pytest.fixture(autouse=True, scope="module")
def _plugin() -> Iterator[None]:
    with plugin():
        yield


class TestVLLM(RolloutEngineContract):
    name = "vllm"
    address: ClassVar[str] = ""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _served(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        context = FakeContext(tmp_path_factory.mktemp("served"), [], initialisation=1)
        with serving(StandIn(context.policy("initial"))) as address:
            cls.address = address
            yield

    @classmethod
    def files(cls, folder: Path) -> Sequence[str]:
        return [f"rollout.server={cls.address}"]

    # 8,000 requests over HTTP.
    test_tokens_are_drawn_from_the_policys_own_density = pytest.mark.reliability(
        RolloutEngineContract.test_tokens_are_drawn_from_the_policys_own_density
    )


def _steps(procedure: OnPolicy, first: int, last: int) -> None:
    for i in range(first, last):
        procedure.step(i)


def test_an_honest_server_agrees_after_every_update(tmp_path: Path) -> None:
    standin = StandIn(tiny_policy(tmp_path))
    with serving(standin) as address:
        procedure = tiny_run(tmp_path, served(address, temperature=0.8))
        rows = [procedure.step(i) for i in range(3)]
    assert standin.loads == 3  # once an iteration: the weights moved in between
    assert max(row["sampler/max_difference"] for row in rows) < 1e-5
    assert max(row["sampler/kl"] for row in rows) < 1e-9
    assert min(row["sampler/ess"] for row in rows) > 1 - 1e-9


@pytest.mark.parametrize(
    "fault, named",
    [
        ("stale", "above 0.001, .* weights that were not refreshed since training began"),
        ("noise", "look for noise in the engine's numbers"),
        ("temperature", "They fit a temperature of 0.48, and the run's is 0.8"),
        ("raw", "They fit a temperature of 1, and the run's is 0.8"),
        ("swapped", "rows are swapped"),
    ],
)
def test_a_fault_ends_the_run_by_name(tmp_path: Path, fault: str, named: str) -> None:
    with serving(StandIn(tiny_policy(tmp_path), fault)) as address:
        procedure = tiny_run(tmp_path, served(address, temperature=0.8))
        before = {k: v.clone() for k, v in procedure.policy.module.state_dict().items()}
        if fault == "stale":  # it was right at first
            procedure.step(0)
        with pytest.raises(NumericError, match=named) as caught:
            _steps(procedure, 1, 4 if fault == "stale" else 2)
    if fault != "stale":
        assert "above algorithm.sampler.limit=0.1" in str(caught.value)
        after = procedure.policy.module.state_dict()
        assert all(torch.equal(before[k], after[k]) for k in before)


def test_the_run_ends_at_the_limit_that_is_given(tmp_path: Path) -> None:
    with serving(StandIn(tiny_policy(tmp_path), "noise")) as address:
        procedure = tiny_run(
            tmp_path, served(address, temperature=0.8), sampler=SamplerConfig(limit=None)
        )
        row = procedure.step(0)
    # Noise of N(0, 1) on each log-prob: the mean of |difference| is 0.8, KL(engine || policy) by
    # k3 is E[exp(z) - 1 - z] = 0.65, and the effective share is E[w]^2 / E[w^2] = 1 / e.
    assert row["sampler/difference"] == pytest.approx(0.8, abs=0.2)
    assert 0.2 < row["sampler/ess"] < 0.8


def test_stale_weights_are_told_without_a_reference(tmp_path: Path) -> None:
    with serving(StandIn(tiny_policy(tmp_path), "stale")) as address:
        procedure = tiny_run(
            tmp_path, served(address, temperature=0.8), kl=KLPenaltyConfig(coef=0.0)
        )
        with pytest.raises(NumericError, match=r"Earlier in this run they were .* not refreshed"):
            _steps(procedure, 0, 4)


@pytest.mark.parametrize("temperature", [None, 0.0])
def test_an_evaluation_from_stale_weights_ends(tmp_path: Path, temperature: float | None) -> None:
    """The baseline is little different from the subject, whose weights are taken first."""
    subject = tiny_policy(tmp_path)
    baseline = subject.copy()
    with torch.no_grad():
        for weight in baseline.module.parameters():
            weight.mul_(1.01)
    policies = {"result": subject, "sft": baseline}
    prompts = [replace(prompt, split="test") for prompt in PROMPTS[:4]]
    config = SuiteConfig(prompts=4, temperature=temperature)
    for fault in ("", "stale"):
        with serving(StandIn(subject, fault)) as address:
            engine = prepared(served(address), cpu_runtime(), Agreement())
            context = FakeContext(tmp_path, prompts, policies=policies, engine=engine)
            suite = EvaluationSuite(config, context)
            if not fault:
                suite.step(0)
                continue
            with pytest.raises(NumericError, match=r"nats per token .* more than 0\.001: .* copy"):
                suite.step(0)


def test_each_row_has_a_seed_of_its_own(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path)
    same = [Prompt(f"p{i}", "one two", split="train") for i in range(8)]
    with serving(StandIn(policy)) as address:
        rollout = served(address, requests=4).generate(policy, same, Sampling(6), (1, "x"))
    assert len(set(rollout.texts)) > 1


FAILURES = [
    ("500", {}, "answered 500 to /weight_info: .*CUDA out of memory.*goes on from the last"),
    ("hangs", {"timeout": 0.3}, "no answer to /weight_info within 0.3 s. It hangs, or is slower"),
    ("reload", {}, "KeyError: model.layers.9.* serve a model of the policy's architecture"),
    ("short", {}, "tokens with .* log-probabilities"),
    ("forgets", {}, "somebody else gave it weights"),
    ("cut", {}, "answered 503 to /v1/completions"),
]


@pytest.mark.parametrize("fault, options, message", FAILURES)
def test_a_server_that_fails_ends_the_run_with_the_cure(
    tmp_path: Path, fault: str, options: dict[str, Any], message: str
) -> None:
    policy = tiny_policy(tmp_path)
    with serving(StandIn(policy, fault)) as address:
        engine = served(address, **options)
        with pytest.raises(PreflabError, match=f"(?s){message}") as caught:
            engine.generate(policy, PROMPTS, Sampling(6, samples=3), (1, "x"))
    assert caught.value.exit_code in (1, NumericError.exit_code)


def test_weights_that_were_replaced_in_part_have_no_version(tmp_path: Path) -> None:
    """A run that goes on from its last checkpoint has the weights that the server had before it
    failed to read others: it must not be taken to have them still."""
    policy, other = tiny_policy(tmp_path), tiny_policy(tmp_path)
    with torch.no_grad():
        next(other.module.parameters()).mul_(2)
    standin = StandIn(policy)
    with serving(standin) as address:
        engine = served(address)
        engine.generate(policy, PROMPTS, Sampling(2), (1, "x"))
        standin.fault = "reload"
        with pytest.raises(PreflabError, match="KeyError"):
            engine.generate(other, PROMPTS, Sampling(2), (1, "x"))
        standin.fault = ""
        assert engine.is_stale(policy.version)
        engine.generate(policy, PROMPTS, Sampling(2), (1, "x"))
    assert standin.loads == 3


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with serving(StandIn(tiny_policy(tmp_path))) as address:
        pass
    with pytest.raises(PreflabError, match=r"no connection .*vllm serve FOLDER"):
        served(address).generate(tiny_policy(tmp_path), PROMPTS, Sampling(6), (1, "x"))


@pytest.mark.parametrize(
    "fault, limit, message",
    [
        ("", 512, ""),
        ("500", 512, "answered 500"),
        ("tokens", 512, "another tokenizer than the policy"),
        ("", 11, "reads at most 11 tokens.* needs 13. Start it with --max-model-len 13"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    tmp_path: Path, fault: str, limit: int, message: str
) -> None:
    # The longest prompt has seven words, and a response at most six.
    context = FakeContext(tmp_path, PROMPTS)
    with serving(StandIn(tiny_policy(tmp_path), fault, limit)) as address:
        config = VLLMConfig(server=address, max_tokens=6)
        if message:
            with pytest.raises(UserError, match=message):
                list(preflight(config, context))
        else:
            (said,) = preflight(config, context)
            assert said.startswith(f"rollout.server={address}: vLLM samples")


def test_a_folder_for_weights_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with serving(StandIn(tiny_policy(tmp_path))) as address:
        config = VLLMConfig(server=address, max_tokens=6, folder=str(tmp_path / "missing"))
        with pytest.raises(UserError, match=r"rollout\.folder=.*missing is no folder"):
            list(preflight(config, FakeContext(tmp_path, PROMPTS)))


def test_a_server_that_is_down_is_refused_before_any_work(tmp_path: Path) -> None:
    with serving(StandIn(tiny_policy(tmp_path))) as address:
        pass
    with pytest.raises(Absent, match="no connection"):  # a plan goes on
        list(preflight(VLLMConfig(server=address), FakeContext(tmp_path, PROMPTS)))


def test_without_vllm_and_without_a_server_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"give rollout\.server=http://HOST:PORT"):
        list(preflight(VLLMConfig(), FakeContext(tmp_path, PROMPTS)))


def test_in_several_processes_it_wants_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preflab_vllm.preflight.check_installed", lambda: None)
    context = FakeContext(tmp_path, PROMPTS)
    assert not list(preflight(VLLMConfig(), context))
    context.runtime = Runtime(RuntimeConfig(processes=2))
    with pytest.raises(UserError, match=r"give rollout\.server=http://HOST:PORT"):
        list(preflight(VLLMConfig(), context))


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://a", "http://", "http://a:port"])
def test_an_address_is_http(address: str) -> None:
    assert [key for key, _ in VLLMConfig(server=address).check()] == ["server"]


def test_an_address_is_that_of_the_server_and_not_of_its_api() -> None:
    ((key, problem),) = VLLMConfig(server="http://a:8000/v1/").check()
    assert (key, "leave /v1 out" in problem) == ("server", True)
    assert not list(VLLMConfig(server="https://a/behind/a/proxy").check())


def test_a_lost_connection_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, ask = [ConnectionResetError(), ConnectionRefusedError()], urllib.request.urlopen

    def flaky(*arguments: Any, **options: Any) -> Any:
        if lost:
            raise lost.pop()
        return ask(*arguments, **options)

    monkeypatch.setattr("preflab_vllm.client.WAITS", (0.0, 0.0))
    monkeypatch.setattr("urllib.request.urlopen", flaky)
    with serving(StandIn(tiny_policy(tmp_path))) as address:
        rollout = served(address).generate(tiny_policy(tmp_path), PROMPTS, Sampling(2), (1, "x"))
    assert len(rollout) == len(PROMPTS)
    assert not lost
