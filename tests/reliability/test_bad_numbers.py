"""A number that is not finite stops the run before the optimizer step: no weight and no moment
has changed, and the batch is kept."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab import NumericError
from preflab.engine.loop import FAILED, CheckpointConfig, Loop
from preflab.functional import gae
from preflab.interfaces import Procedure
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Demonstration, Document, Prompt, Ranking, Record
from preflab.storage import checkpoints
from preflab.storage.artifacts import STATE, Store
from preflab_builtin.baselines.best_of_n import BestOfN
from preflab_builtin.on_policy.config import KLPenaltyConfig
from preflab_builtin.on_policy.procedure import OnPolicy
from preflab_builtin.ppo import loss as ppo_loss
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import PPOClipConfig, PPOConfig
from preflab_builtin.pretrain.config import PretrainConfig
from preflab_builtin.pretrain.training import Pretraining
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.reward_model.config import KwiseConfig
from preflab_builtin.reward_model.training import KwiseTraining
from preflab_builtin.rewards.functions import noise_reward
from preflab_builtin.sft.config import SFTConfig
from preflab_builtin.sft.training import SupervisedFineTuning
from support import WORDS, FakeContext, UncheckedReward

PROMPTS = [Prompt(f"p{i}", " ".join(WORDS[: 1 + i % 4]), split="train") for i in range(8)]
RECORDS: list[Record] = [
    *PROMPTS,
    *(Demonstration(prompt, WORDS[i]) for i, prompt in enumerate(PROMPTS)),
    *(
        Document(f"d{i}", " ".join(WORDS[(i + j) % 20] for j in range(9)), split="train")
        for i in range(8)
    ),
    *(Ranking(prompt, ("please thanks", "bad red"), ((0, 1),)) for prompt in PROMPTS),
]
NAN, INFINITE = float("nan"), float("inf")


def optimizer(lr: float = 1e-3) -> OptimizerConfig:
    return OptimizerConfig(lr=lr, schedule=Schedule.constant)


def pretraining(folder: Path, lr: float = 1e-3, steps: int = 3) -> Pretraining:
    return Pretraining(
        PretrainConfig(steps=steps, batch=2, window=8, optimizer=optimizer(lr)),
        FakeContext(folder, RECORDS),
    )


def sft(folder: Path, lr: float = 1e-3, steps: int = 3, **options: Any) -> SupervisedFineTuning:
    config = SFTConfig(
        steps=steps, batch=4, optimizer=optimizer(lr), mix_windows=2, mix_window=8, **options
    )
    return SupervisedFineTuning(config, FakeContext(folder, RECORDS))


def reward_model(folder: Path, lr: float = 1e-3) -> KwiseTraining:
    return KwiseTraining(
        KwiseConfig(epochs=2, batch=4, optimizer=optimizer(lr)), FakeContext(folder, RECORDS)
    )


def ppo(
    folder: Path,
    lr: float = 1e-3,
    reward: Callable[[Prompt, str], float] | None = None,
    **options: Any,
) -> OnPolicy:
    values = {
        "episodes": 24,
        "batch": 8,
        "minibatch": 4,
        "kl": KLPenaltyConfig(coef=0.1),
        **options,
    }
    config = PPOConfig(policy=optimizer(lr), value=optimizer(lr), **values)
    return training.ppo(
        config,
        FakeContext(
            folder, RECORDS, micro_batch=3, reward=UncheckedReward(reward or noise_reward(0))
        ),
    )


def digest(procedure: Procedure) -> str:
    """sha256 of all tensors that the procedure would save: weights and moments."""
    tensors: dict[str, torch.Tensor] = {}
    checkpoints.flatten(procedure.state_dict(), tensors)
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(
            name.encode() + tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return whole.hexdigest()


def module_of(procedure: Any) -> torch.nn.Module:
    module: torch.nn.Module = (
        procedure.model if isinstance(procedure, KwiseTraining) else procedure.policy
    ).module
    return module


def spoilt(network: Any) -> None:
    """From now on every hidden state of it is nan."""
    for name in ("hidden", "hidden_at"):
        plain = getattr(network, name)
        setattr(
            network, name, lambda *batch, plain=plain, **options: plain(*batch, **options) * NAN
        )


def poisoned_output(procedure: Any) -> None:
    """The network's outputs are nan, and so is the loss."""
    spoilt(procedure.model if isinstance(procedure, KwiseTraining) else procedure.policy)


def poisoned_gradient(procedure: Any) -> None:
    """The loss is finite, one element of one gradient is not."""
    parameter = next(p for p in module_of(procedure).parameters() if p.requires_grad)

    def hook(gradient: torch.Tensor) -> torch.Tensor:
        changed = gradient.clone()
        changed.view(-1)[0] = INFINITE
        return changed

    parameter.register_hook(hook)  # type: ignore[no-untyped-call]


def poisoned_reference(procedure: OnPolicy) -> None:
    """The reference's log-probs, and so the KL."""
    assert procedure.networks.reference is not None
    with torch.no_grad():
        next(iter(procedure.networks.reference.module.parameters())).fill_(NAN)


def poisoned_value_gradient(procedure: OnPolicy) -> None:
    assert procedure.networks.value is not None
    parameter: Any = next(iter(procedure.networks.value.module.parameters()))
    parameter.register_hook(lambda gradient: gradient * NAN)


def poisoned_mix(procedure: Any) -> None:
    """The windows of the mix alone: a gradient that is added to a good one."""
    stream: Any = (
        procedure.mix
        if isinstance(procedure, SupervisedFineTuning)
        else procedure.terms["ptx"].stream
    )
    plain = stream.pick

    def pick(numbers: Any) -> torch.Tensor:
        spoilt(procedure.policy)
        found: torch.Tensor = plain(numbers)
        return found

    stream.pick = pick


MADE: dict[str, Callable[[Path], Any]] = {
    "pretrain": pretraining,
    "sft": sft,
    "sft with a mix": lambda folder: sft(folder, mix_coef=1.0),
    "reward model": reward_model,
    "ppo": ppo,
    "ppo-ptx": lambda folder: ppo(folder, terms={"ptx": PtxConfig(coef=1.0, ratio=1.0, window=8)}),
    "ppo with an infinite reward": lambda folder: ppo(folder, reward=lambda prompt, text: INFINITE),
    "ppo with a clipped infinite reward": lambda folder: ppo(
        folder, reward=lambda prompt, text: -INFINITE, clip=PPOClipConfig(score=5.0)
    ),
    "ppo with a reward of nan": lambda folder: ppo(folder, reward=lambda prompt, text: NAN),
}
CASES: dict[str, tuple[str, Callable[[Any], None] | None, str]] = {
    "pretrain, loss": ("pretrain", poisoned_output, "loss/pretrain nan"),
    "pretrain, gradient": ("pretrain", poisoned_gradient, "gradient of pretrain is not finite"),
    "sft, loss": ("sft", poisoned_output, "loss/sft nan"),
    "sft, gradient": ("sft", poisoned_gradient, "gradient of sft is not finite"),
    "sft, mix": ("sft with a mix", poisoned_mix, "loss/sft_mix nan"),
    "reward model, loss": ("reward model", poisoned_output, "the loss nan is not finite"),
    "reward model, gradient": (
        "reward model",
        poisoned_gradient,
        "gradient of reward_model is not finite",
    ),
    "ppo, log-probs": ("ppo", poisoned_output, "log-probs of prompt"),
    "ppo, gradient": ("ppo", poisoned_gradient, "gradient of policy is not finite"),
    "ppo, gradient of the value network": (
        "ppo",
        poisoned_value_gradient,
        "gradient of value is not finite",
    ),
    "ppo, KL": ("ppo", poisoned_reference, "log-ratio of prompt"),
    "ppo, ptx": ("ppo-ptx", poisoned_mix, "loss/ptx nan"),
    "ppo, infinite reward": (
        "ppo with an infinite reward",
        None,
        r"scores of prompt 'p\d' are not finite \(inf\)",
    ),
    "ppo, clipped reward": (
        "ppo with a clipped infinite reward",
        None,
        r"scores of prompt 'p\d' are not finite \(-inf\)",
    ),
    "ppo, reward of nan": (
        "ppo with a reward of nan",
        None,
        r"scores of prompt 'p\d' are not finite \(nan\)",
    ),
}


def looped(procedure: Any, folder: Path) -> Loop:
    loop = Loop(
        "stage",
        procedure,
        procedure.context.streams,
        folder,
        CheckpointConfig(every_seconds=1e9),
        lambda *a, **b: None,
    )
    loop.procedure.total_steps = min(loop.procedure.total_steps, 3)
    return loop


@pytest.mark.parametrize("case", CASES)
def test_it_stops_before_the_step_and_keeps_the_batch(case: str, tmp_path: Path) -> None:
    made, poison, said = CASES[case]
    procedure = MADE[made](tmp_path)
    if poison is not None:
        poison(procedure)
    before = digest(procedure)
    with pytest.raises(NumericError, match=said) as stopped:
        looped(procedure, tmp_path).run()
    assert stopped.value.exit_code == 5
    assert digest(procedure) == before
    folder = tmp_path / STATE / FAILED / "step-000000000"
    assert f"see {folder / 'state.json'}" in str(stopped.value)
    step, batch = checkpoints.load(folder)
    assert step == 0
    (key,) = [name for name in ("windows", "demonstrations", "rankings", "rows") if name in batch]
    # The step's batch, whole.
    assert len(batch[key]) == {"windows": 2, "demonstrations": 4, "rankings": 4, "rows": 8}[key]


def test_what_is_kept_of_ppo_is_what_went_wrong(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, reward=lambda prompt, text: NAN if prompt.id == "p3" else 1.0)
    with pytest.raises(NumericError, match="'p3'"):
        looped(procedure, tmp_path).run()
    batch = checkpoints.load(tmp_path / STATE / FAILED / "step-000000000")[1]
    for row, score in zip(batch["rows"], batch["raw_scores"].tolist(), strict=True):
        assert math.isnan(score) == (row["prompt_id"] == "p3")
        assert row["prompt"] in {p.text for p in PROMPTS}


def test_a_batch_that_cannot_be_kept_hides_no_error(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, reward=lambda prompt, text: NAN)

    def batch(index: int) -> Any:
        raise KeyError("lost")

    setattr(procedure, "batch", batch)  # noqa: B010
    with pytest.raises(
        NumericError, match=r"are not finite.*The batch could not be kept: KeyError: 'lost'"
    ):
        looped(procedure, tmp_path).run()


def test_a_kept_batch_survives_the_next_start(tmp_path: Path) -> None:
    """Without a checkpoint the stage starts over and all it wrote is removed, except the kept
    batch."""
    store = Store(tmp_path)
    for _ in range(2):
        with store.making("stage", "a" * 64) as folder:
            folder.mkdir(exist_ok=True)
            assert not (folder / "written").exists()
            (folder / "written").touch()
            (folder / STATE / "tmp-000000001-1").mkdir(parents=True)
            with pytest.raises(NumericError):
                looped(ppo(tmp_path / "context", reward=lambda prompt, text: NAN), folder).run()
        with store.making("stage", "a" * 64) as folder:
            assert checkpoints.load(folder / STATE / FAILED / "step-000000000")[0] == 0
            assert sorted(p.name for p in (folder / STATE).iterdir()) == [FAILED]


def _shifted(procedure: Any, by: float) -> Any:
    """The procedure with a reference whose log-probabilities are higher by some nats."""
    reference = procedure.networks.reference
    plain = reference.log_probs

    def log_probs(*arguments: Any, **options: Any) -> Any:
        found, *more = plain(*arguments, **options)
        return (found + by, *more)

    reference.log_probs = log_probs
    return procedure


@pytest.mark.parametrize("by,said", [(-2.0, "above kl.limit=1"), (0.5, "so far below 0")])
def test_a_kl_out_of_bounds_is_counted_and_may_end_the_run(
    by: float, said: str, tmp_path: Path
) -> None:
    limited, free = KLPenaltyConfig(coef=0.1, limit=1.0, patience=2), KLPenaltyConfig(coef=0.1)
    procedure = _shifted(ppo(tmp_path, kl=limited), by)
    assert procedure.step(0)["kl/out_of_bounds"] == 1
    again = ppo(tmp_path, kl=limited)
    again.load_state_dict(procedure.state_dict())  # the count continues after a resume
    _shifted(again, by)
    before = digest(again)
    with pytest.raises(NumericError, match=f"for 2 iterations.*{said}"):
        again.step(1)
    assert digest(again) == before
    procedure = _shifted(ppo(tmp_path, kl=free), by)
    # Without a limit nothing is above it.
    assert [procedure.step(i)["kl/out_of_bounds"] for i in range(2)] == (
        [1, 2] if by > 0 else [0, 0]
    )
    assert ppo(tmp_path, kl=limited).step(0)["kl/out_of_bounds"] == 0


def test_advantages_are_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    procedure, plain = ppo(tmp_path), gae
    before = digest(procedure)
    monkeypatch.setattr(ppo_loss, "gae", lambda *a: (plain(*a)[0] * NAN, plain(*a)[1]))
    with pytest.raises(NumericError, match="advantages of prompt"):
        looped(procedure, tmp_path).run()
    assert digest(procedure) == before


def test_the_third_minibatch_stops_as_the_first_does(tmp_path: Path) -> None:
    """Earlier steps of the iteration are kept, the bad one is not added."""
    procedure = ppo(tmp_path)
    step, digests = procedure._optimizer_step, list[str]()

    def poisoned(*arguments: Any, **named: Any) -> dict[str, float]:
        digests.append(digest(procedure))
        if len(digests) == 4:  # the second iteration's second minibatch
            poisoned_gradient(procedure)
        return step(*arguments, **named)

    setattr(procedure, "_optimizer_step", poisoned)  # noqa: B010
    with pytest.raises(NumericError):
        looped(procedure, tmp_path).run()
    assert digest(procedure) == digests[3] != digests[2]
    _, batch = checkpoints.load(tmp_path / STATE / FAILED / "step-000000001")
    assert batch["advantages"].shape == batch["mask"].shape == (8, batch["mask"].shape[1])


def test_best_of_n_refuses_nan(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, RECORDS, reward=UncheckedReward(lambda prompt, text: NAN))
    best = BestOfN(2, context.policy("sft"), context.rollout(), context.reward_model())
    with pytest.raises(
        NumericError, match="best-of-2: the reward model gave 16 scores that are not finite"
    ):
        best.respond(PROMPTS, (1, "test"))
