"""What must not matter does not, through the real engine: terms that are off, micro-batches, a
reference nobody needs, logging, evaluation, checkpoints, decoding batches. Equal means equal bits
wherever no sum is taken in another order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from conformance.engine import Seen, composed, engine, forget, tensors
from end_to_end.runs import digests
from preflab.engine.context import StageContext
from preflab.interfaces import Policy
from preflab.jobs.execution import execute
from preflab.optimization import Optimization
from preflab.planning.reading import job_of
from support import largest_difference

pytestmark = pytest.mark.slow

LADDER = (
    *(
        "data.documents=300",
        "data.prompts=150",
        "data.demonstrations=60",
        "policy.family=gpt2",
        "policy.layers=1",
    ),
    *(
        "policy.width=32",
        "policy.heads=2",
        "pretrain.steps=2",
        "pretrain.batch=16",
        "sft.steps=2",
        "sft.batch=16",
    ),
    *(
        "samples.prompts=24",
        "samples.k=3",
        "samples.validation_prompts=4",
        "reward_model.batch=16",
    ),
    *("rollout.max_tokens=8", "evaluation=none", "checkpoint.every_steps=1"),
)
"""The default experiment in small: gpt2, because learned positions show what rotary ones hide."""
ITERATIONS = (
    "algorithm.episodes=64",
    "algorithm.batch=16",
    "algorithm.minibatch=8",
    "algorithm.kl.coef=0.1",
)
RATIO = "algorithm.terms.ptx.ratio=2"
TERM = "+gradient_term@algorithm.terms.ptx=ptx algorithm.terms.ptx.window=24"
PTX, PTX_ONLY = ("algorithm=ppo_ptx", RATIO), ("algorithm=ptx_only", RATIO)
Gradients = dict[str, dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the algorithm starts from: pretrained and fine-tuned policy,
    rankings, reward model."""
    folder = tmp_path_factory.mktemp("ladder")
    engine(folder, *LADDER, until="select")
    return folder


def algorithm(folder: Path, *overrides: str) -> Seen:
    """The algorithm alone, made anew."""
    forget(folder, "algorithm")
    return engine(folder, *LADDER, *overrides)


@pytest.fixture
def first_gradients(monkeypatch: pytest.MonkeyPatch) -> Gradients:
    """From now on: the gradients at the first step of each optimizer, by its name."""
    found: Gradients = {}
    step = Optimization.step

    def noting(self: Optimization, position: int) -> dict[str, float]:
        taken = {
            str(i): p.grad.clone() for i, p in enumerate(self.parameters) if p.grad is not None
        }
        found.setdefault(self.name, taken)
        return step(self, position)

    monkeypatch.setattr(Optimization, "step", noting)
    return found


def scale(gradients: Mapping[str, torch.Tensor]) -> float:
    """The largest entry."""
    return max(float(g.abs().max()) for g in gradients.values())


# --- ptx ---


def test_ptx_with_coefficient_0_is_ppo_bit_for_bit(ladder: Path) -> None:
    plain, off = (
        algorithm(ladder, "algorithm=ppo", *ITERATIONS),
        algorithm(ladder, *PTX, *ITERATIONS, "algorithm.terms.ptx.coef=0"),
    )
    assert len(plain.states) == 3
    for ours, theirs in zip(plain.states, off.states, strict=True):
        # Weights, moments, coefficient, terms; random streams.
        assert set(ours) == {"procedure", "streams"}
        first, second = dict(tensors(ours)), dict(tensors(theirs))
        assert len(first) > 50
        assert largest_difference(first, second) == 0
        assert [ours["procedure"][k] for k in ("kl_coef", "updates", "terms")] == [
            0.1,
            theirs["procedure"]["updates"],
            {},
        ]
    assert plain.rollouts == off.rollouts  # the same prompts in the same order, the same responses
    assert plain.metrics == off.metrics
    assert set(plain.models) == {"model/model.safetensors", "value/model.safetensors"}
    assert plain.models == off.models
    on = algorithm(ladder, *PTX, *ITERATIONS, "algorithm.terms.ptx.coef=1")
    # Ptx draws nothing that PPO draws.
    assert [ids for ids, _ in on.rollouts] == [ids for ids, _ in plain.rollouts]
    assert on.rollouts[0] == plain.rollouts[0]
    assert on.models != plain.models


@pytest.mark.parametrize(
    ("plain", "both"),
    [
        ("algorithm=ppo", "algorithm=ppo_ptx"),
        ("algorithm=rloo", f"algorithm=rloo {TERM}"),
        ("algorithm=grpo", "algorithm=grpo_ptx"),
    ],
)
def test_the_gradient_is_its_own_plus_coef_times_that_of_ptx_alone(
    plain: str, both: str, ladder: Path, first_gradients: Gradients
) -> None:
    found: dict[str, Gradients] = {}
    settings = ("algorithm.episodes=16", "algorithm.batch=16", "algorithm.minibatch=16")
    runs = {
        "own": (*plain.split(), *settings),
        "ptx": (*PTX_ONLY, "algorithm.terms.ptx.coef=1", *settings),
        "both": (*both.split(), RATIO, "algorithm.terms.ptx.coef=27.8", *settings),
    }
    for name, words in runs.items():
        first_gradients.clear()
        algorithm(ladder, *words)
        found[name] = dict(first_gradients)
    own, ptx, sum_of_both = (found[name]["policy"] for name in runs)
    wanted = {name: own[name] + 27.8 * ptx[name] for name in own}
    assert largest_difference(sum_of_both, wanted) < 1e-6 * scale(wanted)
    assert min(scale(own), 27.8 * scale(ptx)) > 1e-4 * scale(wanted)
    if "value" in found["own"]:  # the value network hears nothing of it
        assert largest_difference(found["own"]["value"], found["both"]["value"]) == 0


# --- micro-batches ---


@pytest.mark.parametrize("stage", ["pretrain", "sft", "reward_model", "algorithm"])
def test_accumulation_1x16_4x4_16x1_give_one_gradient(
    stage: str, ladder: Path, first_gradients: Gradients
) -> None:
    words = (
        *PTX,
        "algorithm.episodes=16",
        "algorithm.batch=16",
        "algorithm.minibatch=16",
        "sft.mix_coef=0.5",
        "sft.mix_windows=16",
    )
    found: list[Gradients] = []
    for micro_batch in (16, 4, 1):
        forget(ladder, stage)
        first_gradients.clear()
        given = words if stage in ("sft", "algorithm") else ()
        engine(ladder, *LADDER, *given, f"runtime.micro_batch={micro_batch}", until=stage)
        found.append(dict(first_gradients))
    names = {"algorithm": {"policy", "value"}}.get(stage, {stage})
    for name in names:
        whole = found[0][name]
        for pieces in found[1:]:
            assert largest_difference(whole, pieces[name]) < 2e-6 * max(1.0, scale(whole)), name


# --- what nobody needs ---


def test_kl_coefficient_0_loads_no_reference_and_a_loaded_one_would_change_no_bit(
    ladder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    policy = StageContext.policy

    def noting(self: StageContext, role: str) -> Policy:
        loaded.append(role)
        return policy(self, role)

    monkeypatch.setattr(StageContext, "policy", noting)
    runs: list[Seen] = []
    # 1e-30 nats beside values and scores around 1: a reference is there, and float32 does not see
    # its penalty.
    for coefficient in ("0", "1e-30"):
        loaded.clear()
        runs.append(
            algorithm(ladder, "algorithm=ppo", *ITERATIONS, f"algorithm.kl.coef={coefficient}")
        )
        assert loaded == ["initial"] * (1 if coefficient == "0" else 2)
    without, with_one = runs
    assert "objective/kl" not in without.metrics[-1]
    assert with_one.metrics[-1]["objective/kl"] != 0
    assert without.rollouts == with_one.rollouts
    for ours, theirs in zip(without.states, with_one.states, strict=True):
        assert (
            largest_difference(dict(tensors(ours["procedure"])), dict(tensors(theirs["procedure"])))
            == 0
        )
    assert without.models == with_one.models


@pytest.mark.parametrize(
    "others",
    [
        pytest.param(("checkpoint.every_steps=null",), marks=pytest.mark.reliability),
        ("checkpoint.every_steps=3", "checkpoint.every_seconds=0"),
        pytest.param(("rollout.batch=3",), marks=pytest.mark.reliability),
        pytest.param(("evaluation=samples", "evaluation.prompts=4"), marks=pytest.mark.reliability),
    ],
)
def test_checkpoints_decoding_batches_and_evaluation_change_nothing(
    others: tuple[str, ...], ladder: Path
) -> None:
    plain = algorithm(ladder, *PTX, *ITERATIONS)
    other = algorithm(ladder, *PTX, *ITERATIONS, *others)
    # The same recipe: one would be taken for the other.
    assert other.artifacts["algorithm"] == plain.artifacts["algorithm"]
    assert plain.rollouts == other.rollouts
    assert plain.metrics == other.metrics
    assert plain.models == other.models


def test_logging_changes_nothing(ladder: Path, tmp_path: Path) -> None:
    algorithm(ladder, *PTX, *ITERATIONS)
    before = {name: digest for name, digest in digests(ladder).items() if "algorithm-" in name}
    assert len(before) > 4
    forget(ladder, "algorithm")
    # With TensorBoard, metric files, samples, progress.
    execute(job_of(composed(ladder, *LADDER, *PTX, *ITERATIONS)), tmp_path)
    assert (tmp_path / "metrics.jsonl").is_file()
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert {
        name: digest for name, digest in digests(ladder).items() if "algorithm-" in name
    } == before
