"""Memory of stages by the config alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.components import Inspection
from preflab.composing.compose import parse
from preflab.memory import Load, ModelShape, Placement, memory, operations
from preflab.planning.asking import inspect
from preflab.planning.reading import check_jobs
from preflab.planning.run import Run
from preflab.planning.sizing import Sized, placement, shared, size, sized
from preflab.runtime import Device, RuntimeConfig
from preflab.settings import CheckpointConfig
from preflab.storage import checkpoints


def run_of(*words: str) -> Run:
    """The run of a command line."""
    (job,) = check_jobs(parse(list(words)))
    return job.run


def test_a_stage_is_what_its_config_says() -> None:
    run = run_of("policy=tiny", "policy.family=gpt2", "algorithm=ppo", "rollout.max_tokens=16")
    stage = run.stage("algorithm")
    assert stage is not None
    found = sized(run, stage)
    assert found is not None
    config = stage.choice.config
    # A prompt and a response of 16 tokens each; 4 x 128 of GPT-2 has an MLP of 512.
    load = Load(
        *(2, config.minibatch, 32),
        passes=5 + 6 * config.epochs,
        frozen=2,
        scored=0.5,
        batch=config.batch,
        sampled=config.batch,
        leaves=True,
    )
    shape = ModelShape(4, 128, 4, 4, 512, 512, positions=512, gated=False)
    divided = Placement(piece=checkpoints.PIECE, decoded=128)  # rollout.batch
    assert found.memory == memory(shape, load, divided)
    assert found.checkpoint == 2 * 3 * 4 * shape.weights
    assert found.tokens == 32
    assert "frozen weights" in found.words()


@pytest.mark.parametrize(
    ("saves", "number"),
    [
        ({}, 5),  # 1e13 operations at 1e11 a second are 100 s, five times 20
        ({"every_seconds": 1e9}, 0),
        ({"every_seconds": 1e9, "every_steps": 4}, 2),  # after 4 and 8 of 10 steps
        ({"every_seconds": 0.0}, 9),  # after the last step there is the result
    ],
)
def test_checkpoints_are_counted(saves: dict[str, Any], number: int) -> None:
    sizes = memory(ModelShape(1, 8, 1, 1, 8, 8), Load(1, 1, 1, passes=3), Placement())
    found = Sized(sizes, 1e13, 64, 1e6, 10, CheckpointConfig(**saves))
    assert found.checkpoints(1e11) == number
    # 2 GB take 10 s at 200 MB/s, and 40 s pass between two: 100 s have room for two.
    large = replace(found, checkpoint=2e9)
    assert large.checkpoints(1e11) == (2 if number == 5 else number)


def test_several_processes_write_their_parts_at_a_time() -> None:
    words = ("policy=tiny", "algorithm=ppo", "runtime.sharding=full", "runtime.processes=4")
    alone, parts = (run_of(*words, f"checkpoint.sharded={k}") for k in ("false", "true"))
    (one, four) = (sized(run, stage) for run in (alone, parts) for stage in run.stages[-2:-1])
    assert one is not None
    assert four is not None
    assert one.checkpoint == four.checkpoint > 0
    assert one.saving == 4 * four.saving


@pytest.mark.parametrize(("at_a_time", "decoded"), [(100, 100), (1000, 128)])
def test_each_process_decodes_its_share_so_many_rows_at_a_time(
    at_a_time: int, decoded: int
) -> None:
    """4 processes have 128 of 512 rows each, and decode at most rollout.batch of them together.
    Keys and values of 4 layers of 128 numbers, for 32 tokens of each row."""
    sizes = ("policy=tiny", "algorithm=ppo", "algorithm.batch=512", "algorithm.episodes=512")
    divided = ("rollout.max_tokens=16", "runtime.processes=4", f"rollout.batch={at_a_time}")
    run = run_of(*sizes, *divided)
    stage = run.stage("algorithm")
    assert stage is not None
    found = sized(run, stage)
    assert found is not None
    assert found.memory.cache == 2 * 4 * 4 * 128 * decoded * 32


def test_samples_and_evaluation_divide_their_models_too() -> None:
    """SFT's policy in the samples stage; the subject, the baseline and a reward model in the
    evaluation: a quarter of each on each of 4 processes."""
    run = run_of("policy=tiny", "runtime.sharding=full", "runtime.processes=4")
    weights = {}
    for name in ("samples", "evaluation"):
        stage = run.stage(name)
        assert stage is not None
        found = sized(run, stage)
        assert found is not None
        assert (found.memory.trained, found.checkpoint) == (0, 0)
        weights[name] = found.memory.frozen
    shape = inspect(run.choices["policy"]).shape
    assert shape is not None
    assert weights == {"samples": shape.weights, "evaluation": 3 * shape.weights}


def test_an_evaluator_needs_the_reward_model_whatever_its_config_says() -> None:
    """The subject and the baseline, and one network more for best-of-n, whose component alone says
    what it needs; its pool of samples is not reckoned, and the plan's line says so."""
    curve = "+schema/evaluator@evaluation.evaluators.curve=best_of_n_curve"
    frozen, lines = [], []
    for words in ((), (curve,)):
        run = run_of("policy=tiny", "evaluation=without_reward", *words)
        stage = run.stage("evaluation")
        shape = inspect(run.choices["policy"]).shape
        assert stage is not None
        assert shape is not None
        found = sized(run, stage)
        assert found is not None
        frozen.append(found.memory.frozen / shape.stored)
        lines.append(found.words())
    assert frozen == [2, 3]
    assert "not counted" not in lines[0]
    assert lines[1].endswith("; not counted: rows that evaluators sample)")


def test_an_engine_that_decodes_by_itself_is_not_counted() -> None:
    """Its config has no number of rows that this process decodes at a time."""
    run = run_of("policy=tiny", "algorithm=ppo")
    stage, rollout = run.stage("algorithm"), run.choices["rollout"]
    assert stage is not None
    server = replace(rollout, config=SimpleNamespace(max_tokens=16))
    other = replace(run, choices={**run.choices, "rollout": server})
    own, foreign = sized(run, stage), sized(other, stage)
    assert own is not None
    assert foreign is not None
    assert "not counted" not in own.words()
    assert foreign.memory.cache == 0
    assert foreign.words().endswith("; not counted: the engine's own memory)")


def test_the_prompt_of_a_ranking_is_read_once() -> None:
    """Rows of 16 and 16 tokens: four of a ranking are 16 + 4 x 16 = 80, 20 a row. With 3 rankings a
    batch of 16 has 12 rows."""
    stage = run_of("policy=tiny", "reward_model=kwise").stage("reward_model")
    assert stage is not None
    assert stage.choice.config.batch == 16
    for records, rows in (({}, 64), ({"rankings": 3}, 12)):
        load = stage.choice.config.load(32, records)
        assert (load.rows, load.tokens) == (rows, 20)


def test_without_a_kl_penalty_no_reference_is_loaded() -> None:
    """Beside the reward model, which the plan adds; one pass fewer is made of what was sampled."""
    stages = (run_of("policy=tiny", f"algorithm.kl.coef={k}").stage("algorithm") for k in (0, 0.1))
    without, with_one = (stage.choice.config.load(32, {}) for stage in stages if stage)
    assert (without.frozen, with_one.frozen) == (0, 1)
    assert without.passes == with_one.passes - 1


def test_adapters_have_few_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    run, shape = run_of("policy=tiny", "algorithm=ppo"), ModelShape(4, 128, 4, 4, 512, 512)
    stage = run.stage("algorithm")
    assert stage is not None
    parts = []
    for rank in (0, 4):
        seen = Inspection(shape=replace(shape, adapters=rank))
        monkeypatch.setattr("preflab.planning.sizing.inspect", lambda choice, seen=seen: seen)
        found = sized(run, stage)
        assert found is not None
        parts.append(found.memory)
    assert parts[1].moments < parts[0].moments / 10
    # The reference is the policy without them, and the value network is the reward model with them.
    assert (parts[0].frozen, parts[1].frozen) == (2 * shape.stored, 0)


@pytest.mark.parametrize(
    ("words", "first"), [("", "pretrain"), ("pretrain=none", "sft"), ("pretrain=none sft=none", "")]
)
def test_the_first_stage_of_a_model_from_scratch_trains_all_of_it(words: str, first: str) -> None:
    """There is nothing yet that adapters could be beside; the stages after it train adapters. Of
    4 x 128 with a gated MLP of 344, r = 2 and all projections: 2 * 4 * (4 * 256 + 3 * 472) numbers
    beside 4 * (4 * 128^2 + 3 * 128 * 344) + 512 * 128, which is 2.28 %."""
    run = run_of("policy=tiny", "policy.lora.rank=2", *words.split(), "algorithm=rloo")
    shares = {}
    for stage in run.stages:
        found = sized(run, stage)
        if found is not None and found.memory.trained:
            shares[stage.name] = found.memory.moments / found.memory.trained / 2
    assert "algorithm" in shares
    whole = {name for name, share in shares.items() if share == 1}
    # Where no stage before it makes a policy, a reward model is made of one as it was drawn.
    assert whole == ({first} if first else {"reward_model", "algorithm"})
    adapted = [share for name, share in shares.items() if name not in whole]
    assert adapted == pytest.approx([0.0228] * len(adapted), abs=1e-4)


@pytest.mark.parametrize(
    ("words", "full", "adapted"),
    [
        # Policy and value network in training; frozen are the reference and the reward models.
        ("algorithm=ppo reward_model=kwise", (2, 2), (2, 0)),
        ("algorithm=ppo reward_model=length", (2, 1), (1, 0)),  # the value network is on the policy
        ("algorithm=ppo reward_model=ensemble", (2, 4), (2, 2)),  # three, the first one begins it
        ("algorithm=ppo reward_model=sum +reward_model@MEMBER=length", (2, 2), (2, 0)),
        ("algorithm=ppo reward_model=sum +reward_model@MEMBER=kwise", (2, 3), (2, 1)),
        # Its value network begins as a weighted sum of the heads, which is a network of its own.
        ("algorithm=ppo reward_model=kwise_groups", (2, 2), (2, 1)),
        ("algorithm=ppo reward_model=kwise_mean_variance", (2, 2), (2, 1)),
        ("algorithm=ppo reward_model=ensemble algorithm.kl.coef=0", (2, 3), (2, 2)),
        ("algorithm=rloo reward_model=ensemble", (1, 4), (1, 3)),  # no value network
        ("algorithm=rloo reward_model=length", (1, 1), (1, 0)),
    ],
)
def test_each_network_is_counted_once(
    words: str,
    full: tuple[int, int],
    adapted: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights in training and frozen ones, in networks of the policy's size, without adapters and
    with them: then some have no weights of their own."""
    words = words.replace("MEMBER", "reward_model.members.other")
    run = run_of("policy=tiny", "algorithm.ema=null", *words.split())
    shape, stage = ModelShape(4, 128, 4, 4, 512, 512), run.stage("algorithm")
    assert stage is not None
    found = []
    for rank in (0, 4):
        seen = Inspection(shape=replace(shape, adapters=rank))
        monkeypatch.setattr("preflab.planning.sizing.inspect", lambda choice, seen=seen: seen)
        sizes = sized(run, stage)
        assert sizes is not None
        parts = sizes.memory.trained, sizes.memory.frozen
        found.append(tuple(part / shape.stored for part in parts))
    assert found == [full, adapted]


def test_every_member_of_a_reward_model_reads_what_was_sampled() -> None:
    """Of a PPO iteration with one epoch: sampling, two judging passes, the value network's, six of
    training, and one of each of three reward models in the place of one."""
    flops = []
    for reward in ("kwise", "ensemble", "length"):
        run = run_of("policy=tiny", "algorithm=ppo", "algorithm.epochs=1", f"reward_model={reward}")
        stage = run.stage("algorithm")
        assert stage is not None
        found = sized(run, stage)
        assert found is not None
        flops.append(found.flops)
    assert [f / flops[0] for f in flops] == pytest.approx([1, 13 / 11, 10 / 11])


@pytest.mark.parametrize(
    ("words", "trained", "frozen"),
    [
        ("algorithm=rloo", 1, 3),  # the reference, the reward model, and where training began
        ("algorithm=rloo KEEP", 2, 3),
        ("algorithm=dpo", 1, 2),
        ("algorithm=dpo KEEP", 2, 2),
        ("algorithm=dpo KEEP reward_model=length", 2, 1),
    ],
)
def test_judgements_while_it_trains_are_counted(words: str, trained: int, frozen: int) -> None:
    """The policy that training began from, the best so far, the reward model that an evaluator
    asks, and keys and values of the prompts. Only the best one is in a checkpoint."""
    words = words.replace("KEEP", "algorithm.keep=best:reward/proxy")
    watched = ("+watch=proxy", "algorithm.watch.every=1", "algorithm.watch.prompts=128")
    run = run_of("policy=tiny", "algorithm.batch=64", *watched, *words.split())
    stage, shape = run.stage("algorithm"), inspect(run.choices["policy"]).shape
    assert stage is not None
    assert shape is not None
    found = sized(run, stage)
    assert found is not None
    assert found.memory.trained == trained * shape.stored
    assert found.memory.frozen == frozen * shape.stored
    assert found.memory.cache == 2 * 4 * 4 * shape.key_width * 128 * found.tokens
    # Weights and two moments, and the weights of the best.
    assert found.checkpoint == (3 + trained - 1) * 4 * shape.weights


def test_the_pass_of_a_gradient_term_and_its_gradient_count() -> None:
    """Minibatches of 16 episodes of 2 x 16 tokens, half of them scored, and for each episode 2
    windows of 48, all scored. 4 x 128 of GPT-2 keeps 4 x (11 x 128 + 512) = 7,680 numbers a token,
    of 32 x 48 tokens, where PPO has 16 x 32. The policy has two gradients then, and the value
    network one."""
    sizes = ("policy=tiny", "policy.family=gpt2", "rollout.max_tokens=16", "runtime.device=cpu")
    own = ("algorithm.batch=32", "algorithm.episodes=32", "algorithm.minibatch=16")
    mixed = ("algorithm.terms.ptx.window=48", "algorithm.terms.ptx.ratio=2")
    found = []
    for words in (("algorithm=ppo",), ("algorithm=ppo_ptx", *mixed)):
        run = run_of(*sizes, *words, *own)
        stage = run.stage("algorithm")
        assert stage is not None
        reckoned = sized(run, stage)
        assert reckoned is not None
        found.append(reckoned)
    without, with_term = found
    shape = ModelShape(4, 128, 4, 4, 512, 512, positions=512, gated=False)
    assert without.memory.gradients == 2 * 4 * shape.weights
    assert with_term.memory.gradients == 3 * 4 * shape.weights
    assert without.memory.activations == 4 * 16 * 32 * (7680 + 2 * 512 / 2)
    assert with_term.memory.activations == 4 * 32 * 48 * (7680 + 2 * 512)
    # One pass that is trained, over 64 windows in an iteration.
    term = Load(1, 32, 48, passes=3, batch=64)
    assert with_term.flops - without.flops == pytest.approx(operations(shape, term))


def test_an_evaluation_holds_every_member_of_the_reward_model() -> None:
    """Beside the subject and the baseline."""
    run = run_of("policy=tiny", "reward_model=ensemble")
    stage, shape = run.stage("evaluation"), inspect(run.choices["policy"]).shape
    assert stage is not None
    assert shape is not None
    found = sized(run, stage)
    assert found is not None
    assert found.memory.frozen == 5 * shape.stored


@pytest.mark.parametrize(
    ("words", "on_trained"),
    [
        ("algorithm=ppo", {"reference": 1, "reward_model": 1}),
        ("algorithm=ppo algorithm.kl.coef=0", {"reward_model": 1}),
        ("algorithm=ppo algorithm.kl.reference=sft", {"reward_model": 1}),
        ("algorithm=ppo reward_model=length", {"reference": 1, "value": 1}),
        ("algorithm=rloo", {"reference": 1}),  # no value network
        ("algorithm=dpo", {}),
    ],
)
def test_which_networks_are_on_trained_weights(
    words: str, on_trained: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With adapters alone; without them every network has weights of its own."""
    run = run_of("policy=tiny", *words.split())
    stage = run.stage("algorithm")
    assert stage is not None
    assert shared(run, stage) == {}
    shape = ModelShape(4, 128, 4, 4, 512, 512, adapters=4)
    monkeypatch.setattr("preflab.planning.sizing.inspect", lambda choice: Inspection(shape=shape))
    assert shared(run, stage) == on_trained


def test_a_stage_without_models_of_its_own_is_not_reckoned() -> None:
    run = run_of("policy=tiny", "algorithm=none")
    comparisons = run.stage("comparisons")
    assert comparisons is not None
    assert sized(run, comparisons) is None


@pytest.mark.parametrize(
    ("device", "here", "cpu"),
    [
        (Device.auto, False, True),
        (Device.auto, True, False),
        (Device.cuda, False, False),  # planned for another machine
        (Device.cpu, True, True),
    ],
)
def test_the_runtime_divides(
    device: Device, here: bool, cpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preflab.precision.has_gpu", lambda: here)
    settings = RuntimeConfig(device=device, processes=2, micro_batch=8, offload=True, reshard=False)
    expected = Placement(micro_batch=8, processes=2, cpu=cpu, offload=True, reshard=False)
    assert placement(settings) == expected


def test_sizes_have_a_unit_that_fits() -> None:
    assert size(3 * 2**20) == "3 MB"
    assert size(70 * 2**30) == "70.0 GB"
