"""The PPO procedure: exact accumulation, terms that can be taken away, resume, what it reports and
saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.functional import masked_mean
from preflab.optimization import OptimizerConfig, Schedule
from preflab.records import Rollout
from preflab.rewards import FunctionReward
from preflab.storage import checkpoints
from preflab_builtin.on_policy.config import Controller, KLPenaltyConfig
from preflab_builtin.on_policy.experience import Networks
from preflab_builtin.ppo import training
from preflab_builtin.ppo.config import AdvantageConfig
from preflab_builtin.ptx.config import PtxConfig
from preflab_builtin.rewards.functions import contains_reward, noise_reward
from support import FakeContext, largest_difference
from tiny_ppo import (
    PROMPTS,
    capture_experience,
    config,
    ppo,
    recorded,
    steps,
    value_network,
    weights,
)

# --- gradients ---


def test_accumulation_changes_no_gradient(tmp_path: Path) -> None:
    # Ragged responses, so that micro-batches hold unequal numbers of tokens: 4 rows at once, 3 +
    # 1, one by one.
    found = []
    for micro_batch in (64, 3, 1):
        procedure = ppo(tmp_path, micro_batch)
        taken = recorded(procedure)
        procedure.step(0)
        found.append(taken)
    assert len(found[0]) == 2
    assert max(float(g.abs().max()) for g in found[0][0].values()) > 1e-3
    for others in found[1:]:
        for whole, pieces in zip(found[0], others, strict=True):
            assert largest_difference(whole, pieces) < 1e-5


def test_before_the_first_step_the_ratio_is_exactly_one(tmp_path: Path) -> None:
    for temperature in (1.0, 0.7):
        row = steps(ppo(tmp_path, minibatch=8, micro_batch=3, temperature=temperature), 0, 1)[0]
        assert (row["val/ratio"], row["policy/approxkl_avg"], row["policy/clipfrac_avg"]) == (
            1,
            0,
            0,
        )
        assert row["objective/kl"] == 0  # the policy still is its reference
        # Whitened advantages at ratio 1.
        assert row["loss/policy_avg"] == pytest.approx(0, abs=1e-6)
    # The second minibatch is off.
    assert steps(ppo(tmp_path, minibatch=4), 0, 1)[0]["policy/approxkl_avg"] > 0


def test_the_term_adds_coef_times_its_gradient_to_the_policy_alone(tmp_path: Path) -> None:
    taken = {}
    for coef in (0.0, 1.0, 27.8):
        procedure = ppo(tmp_path, terms={"ptx": PtxConfig(coef=coef, ratio=2.0, window=8)})
        found = recorded(procedure)
        procedure.step(0)
        taken[coef] = found[0]
    difference = {n: taken[27.8][n] - taken[0.0][n] for n in taken[0.0]}
    one = {n: 27.8 * (taken[1.0][n] - taken[0.0][n]) for n in taken[0.0]}
    assert largest_difference(difference, one) < 1e-4
    assert max(float(g.abs().max()) for n, g in difference.items() if n.startswith("policy")) > 0.1
    assert all(float(g.abs().max()) == 0 for n, g in difference.items() if n.startswith("value"))


def test_a_term_with_coef_zero_is_not_there_bit_for_bit(tmp_path: Path) -> None:
    plain, zero = ppo(tmp_path), ppo(tmp_path, terms={"ptx": PtxConfig(coef=0.0, window=8)})
    with_term = ppo(tmp_path, terms={"ptx": PtxConfig(coef=1.0, ratio=1.0, window=8)})
    rows = [steps(p, 0, 2) for p in (plain, zero, with_term)]
    assert rows[0] == rows[1]
    assert zero.terms == {}
    assert largest_difference(weights(plain), weights(zero)) == 0
    assert torch.equal(
        plain.context.streams.state_dict()["global"], zero.context.streams.state_dict()["global"]
    )
    assert {"loss/ptx", "ptx/cosine", "ptx/grad_norm"} <= rows[2][0].keys()
    assert largest_difference(weights(plain), weights(with_term)) > 0


def test_without_kl_no_reference_is_loaded_and_a_loaded_one_would_change_no_bit(
    tmp_path: Path,
) -> None:
    without, measured = (
        ppo(tmp_path, kl=KLPenaltyConfig(coef=0.0)),
        ppo(tmp_path, kl=KLPenaltyConfig(coef=0.0)),
    )
    assert without.networks.reference is None
    reference = measured.context.policy("initial")
    measured.networks = Networks(measured.policy, reference, measured.networks.value)
    rows = [steps(p, 0, 3) for p in (without, measured)]
    assert "objective/kl" not in rows[0][2]
    assert rows[1][2]["objective/kl"] != 0
    assert [
        {k: v for k, v in r.items() if k not in ("objective/kl", "kl/out_of_bounds")}
        for r in rows[1]
    ] == rows[0]
    assert largest_difference(weights(without), weights(measured)) == 0


# --- iterations ---


def test_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "kl": KLPenaltyConfig(
            coef=0.1, controller=Controller.adaptive, target=0.5, horizon=40.0, stop_above=1e-3
        ),
        "terms": {"ptx": PtxConfig(coef=2.0, ratio=1.0, window=8)},
        "ema": 0.9,
        "epochs": 2,
    }
    straight = ppo(tmp_path, **options)
    rows = steps(straight, 0, 4)
    first = ppo(tmp_path, **options)
    before = steps(first, 0, 2)
    folder = checkpoints.save(tmp_path / "state", 2, {"procedure": first.state_dict()})
    second = ppo(tmp_path, **options)
    second.load_state_dict(checkpoints.load(folder)[1]["procedure"])
    assert before + steps(second, 2, 4) == rows
    assert largest_difference(weights(straight), weights(second)) == 0
    assert straight.average.weights
    assert largest_difference(straight.average.weights, second.average.weights) == 0
    assert (second.kl_coef, second.updates) == (straight.kl_coef, straight.updates)
    assert second.kl_coef != 0.1


def test_each_iteration_reports_what_dashboards_show(tmp_path: Path) -> None:
    procedure = ppo(tmp_path, reward=FunctionReward(contains_reward(["please", "red"])))
    rows = [dict(procedure.step(i)) for i in range(3)]
    assert procedure.total_steps == 4
    names = {
        *(
            "objective/kl",
            "objective/entropy",
            "objective/non_score_reward",
            "objective/rlhf_reward",
            "objective/scores",
        ),
        *(
            "objective/eos_rate",
            "objective/length",
            "policy/approxkl_avg",
            "policy/clipfrac_avg",
            "loss/policy_avg",
        ),
        *(
            "loss/value_avg",
            "val/ratio",
            "val/clipfrac_avg",
            "val/explained_variance",
            "kl/coef",
            "episode",
            "policy/grad_norm",
        ),
        *(
            "time/rollout",
            "time/scoring",
            "time/old_log_probs",
            "time/update",
            "time/other",
            "time/peak_fraction",
        ),
        *("policy/lr", "value/lr", "value/grad_norm"),
    }
    assert names <= rows[2].keys()
    assert [row["episode"] for row in rows] == [8, 16, 24]
    assert rows[2]["objective/rlhf_reward"] == pytest.approx(
        rows[2]["objective/scores"] + rows[2]["objective/non_score_reward"], abs=1e-6
    )
    assert rows[2]["objective/non_score_reward"] == pytest.approx(
        -0.1 * rows[2]["objective/kl"], rel=1e-5
    )
    seen = procedure.context.seen  # type: ignore[attr-defined]
    assert len(seen) == 3
    rollout, values = seen[2]
    assert len(rollout) == len(values["score"]) == len(values["kl"]) == 8
    assert sum(values["score"]) / 8 == pytest.approx(rows[2]["objective/scores"], abs=1e-6)
    assert sum(values["kl"]) / 8 == pytest.approx(rows[2]["objective/kl"], abs=1e-6)
    assert rows[2]["objective/length"] == pytest.approx(
        float(rollout.response_lengths.float().mean())
    )


def test_every_prompt_is_drawn_once_an_epoch_and_rows_keep_their_noise(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    steps(procedure, 0, 3)
    seen = procedure.context.seen  # type: ignore[attr-defined]
    drawn = [p.id for rollout, _ in seen for p in rollout.prompts]
    assert sorted(drawn[:12]) == sorted(p.id for p in PROMPTS)
    assert sorted(drawn[12:]) == sorted(p.id for p in PROMPTS)
    other = ppo(tmp_path, micro_batch=2)
    steps(other, 0, 1)
    assert other.context.seen[0][0].texts == seen[0][0].texts  # type: ignore[attr-defined]


def test_the_reference_and_the_initial_policy_stay_as_they_were(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    reference = procedure.networks.reference
    assert reference is not None
    before = {k: v.clone() for k, v in reference.module.state_dict().items()}
    steps(procedure, 0, 2)
    assert largest_difference(before, reference.module.state_dict()) == 0
    assert not any(p.requires_grad for p in reference.module.parameters())
    assert largest_difference(before, procedure.policy.module.state_dict()) > 0
    value = value_network(procedure).module
    assert all(p.requires_grad for p in value.parameters())


def test_the_value_network_starts_from_the_reward_model_where_there_is_one(tmp_path: Path) -> None:
    network = FakeContext(tmp_path).policy("base").scalar_model(torch.Generator().manual_seed(5))
    network.offset = 1.5
    context = FakeContext(
        tmp_path, PROMPTS, reward=FunctionReward(noise_reward(0)), network=network
    )
    procedure = training.ppo(config(), context)
    assert (
        largest_difference(
            network.module.state_dict(), value_network(procedure).module.state_dict()
        )
        == 0
    )
    assert value_network(procedure).offset == 1.5
    steps(procedure, 0, 1)
    procedure.save(tmp_path)
    assert context.load_scalar(tmp_path / "value").offset == 1.5
    assert (
        largest_difference(
            network.module.state_dict(), value_network(procedure).module.state_dict()
        )
        > 0
    )


def test_values_are_rewards_so_the_offset_is_subtracted_before_and_during_the_update(
    tmp_path: Path,
) -> None:
    found = []
    for offset in (0.0, 1.5):
        network = (
            FakeContext(tmp_path).policy("base").scalar_model(torch.Generator().manual_seed(5))
        )
        network.offset = offset
        context = FakeContext(
            tmp_path, PROMPTS, reward=FunctionReward(noise_reward(0)), network=network
        )
        procedure = training.ppo(
            config(minibatch=8, advantage=AdvantageConfig(whiten=False)), context
        )
        kept = capture_experience(procedure)
        found.append((kept, procedure.step(0)))
        (experience,) = kept
        # Nothing has moved yet: V = V_old, so the value loss is half the mean square of R -
        # V_old, the raw advantage.
        half = 0.5 * float(masked_mean(experience.advantages**2, experience.mask))
        assert found[-1][1]["loss/value_avg"] == pytest.approx(half, rel=1e-5)
        assert found[-1][1]["val/clipfrac_avg"] == 0
    (plain,), (shifted,) = (kept for kept, _ in found)
    assert plain.values is not None
    assert shifted.values is not None
    torch.testing.assert_close(shifted.values[shifted.mask], plain.values[plain.mask] - 1.5)


def test_minibatches_are_dealt_anew_each_epoch_and_iteration(tmp_path: Path) -> None:
    procedure = ppo(tmp_path)
    tokenizer = procedure.context.tokenizer
    rollout = Rollout.from_tokens(
        tokenizer, PROMPTS[:8], [[3] * (1 + i % 4) for i in range(8)], [[5]] * 8
    )
    dealt = [
        procedure._minibatches(index, epoch, rollout)
        for index, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))
    ]
    assert all(
        [len(part) for part in parts] == [4, 4]
        and sorted(i for part in parts for i in part) == list(range(8))
        for parts in dealt
    )
    assert dealt[0] == dealt[3]
    assert dealt[1] != dealt[0] != dealt[2] != dealt[1]
    lengths = rollout.prompt_lengths.tolist()
    for parts in dealt:
        for part in parts:
            # Like length beside like.
            assert [lengths[i] for i in part] == sorted(lengths[i] for i in part)


@pytest.mark.slow
def test_it_learns_what_is_rewarded(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "episodes": 960,
        "batch": 48,
        "minibatch": 12,
        "kl": KLPenaltyConfig(coef=0.01),
    }
    fast = OptimizerConfig(lr=1e-2, schedule=Schedule.linear, final_fraction=0.0)
    procedure = ppo(
        tmp_path,
        reward=FunctionReward(contains_reward(["please"])),
        policy=fast,
        value=fast,
        **options,
    )
    rows = steps(procedure, 0, procedure.total_steps)
    first, last = (sum(r["objective/scores"] for r in part) / 3 for part in (rows[:3], rows[-3:]))
    assert first < 0.45  # one of 20 words, up to six words
    assert last > 0.9
    assert rows[-1]["objective/kl"] > 0.5
