"""Estimates of memory against the peaks that the benchmark measured, and against hand counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preflab.memory import Held, Load, ModelShape, Placement, checkpoint_size, memory, operations

TINY = ModelShape(4, 128, 4, 4, 512, 2048, positions=512, gated=False)
SMALL = ModelShape(6, 384, 6, 6, 1536, 2048, positions=512, gated=False)
SMOL = ModelShape(30, 576, 9, 3, 1536, 49152)

PPO = Load(trained=2, frozen=2, rows=16, tokens=96, passes=11, sampled=64)
SHORT = replace(PPO, rows=4, tokens=64, sampled=8)
SAMPLING = Load(trained=0, frozen=1, rows=64, tokens=96, passes=1, sampled=64)
# The largest batch of 32 lognormal lengths has about 97 tokens a row.
SFT = Load(trained=1, rows=32, tokens=97, passes=3)
# Four prompts of 64 tokens with nine completions of 32, no logits; one prompt at smol.
RANKING = Load(trained=1, rows=4, tokens=64 + 9 * 32, passes=3, scored=0)
MEASURED = [
    *((TINY, PPO, 570), (SMALL, PPO, 1302), (SMOL, SHORT, 6047)),
    *((TINY, SAMPLING, 476), (SMALL, SAMPLING, 729)),
    (SMOL, replace(SAMPLING, rows=16, tokens=64, sampled=16), 1723),
    *((TINY, SFT, 602), (SMALL, SFT, 1217), (SMOL, SFT, 6395)),
    *((TINY, RANKING, 504), (SMALL, RANKING, 874), (SMOL, replace(RANKING, rows=1), 2830)),
]
"""Peaks in MB of tests/benchmarks/README.md: one process, two threads, float32."""


@pytest.mark.parametrize(("shape", "load", "megabytes"), MEASURED)
def test_within_15_percent_of_the_measured_peaks(
    shape: ModelShape, load: Load, megabytes: float
) -> None:
    assert memory(shape, load, Placement()).total / 2**20 == pytest.approx(megabytes, rel=0.15)


def test_weights_are_counted() -> None:
    # One block of Llama: 4 x 4 queries and output, 4 x 2 keys and values, 3 x 4 x 8 of the MLP.
    shape = ModelShape(1, 4, 2, 1, 8, 10)
    assert shape.block == 2 * 16 + 2 * 8 + 96
    assert shape.weights == shape.block + 40
    assert replace(shape, tied=False).weights == shape.block + 80
    assert SMOL.weights == pytest.approx(134_515_008, rel=0.001)  # what the model's card says


def test_sharding_divides_all_but_activations() -> None:
    whole = memory(SMOL, PPO, Placement(processes=4))
    shared = memory(SMOL, PPO, Placement(processes=4, sharded=True))
    for part in ("trained", "gradients", "moments", "frozen"):
        assert getattr(shared, part) == getattr(whole, part) / 4
    assert shared.activations == whole.activations
    # A block's weights and gradients, and the embedding's, which is whole while the block computes.
    assert shared.block == 2 * 4 * (SMOL.block + 49152 * 576)
    assert shared.sampler == whole.sampler + 4 * SMOL.weights  # the policy, whole while sampling


def test_weights_that_stay_between_the_passes_are_whole() -> None:
    """runtime.reshard=false: one network's weights, and the gradients of its largest part, the
    embedding here."""
    kept = memory(SMOL, PPO, Placement(processes=4, sharded=True, reshard=False)).block
    assert kept == 4 * SMOL.weights + 4 * 49152 * 576


def test_one_process_divides_nothing() -> None:
    alone = Placement(sharded=True, piece=1 << 20)
    assert memory(SMOL, PPO, alone) == memory(SMOL, PPO, replace(alone, sharded=False))


def test_frozen_networks_that_leave_are_not_there_beside_the_gradients() -> None:
    """At 135M two networks of 538 MB leave: what stays is the larger of the update without them and
    of judging with them, which has the moments, but no gradients."""
    load = replace(PPO, leaves=True)
    stays, leaves = (memory(SMOL, load, Placement(offload=offload)) for offload in (False, True))
    assert leaves.leaving == leaves.frozen == stays.frozen
    judged = leaves.trained + leaves.cache + leaves.frozen + leaves.moments + leaves.judging
    assert leaves.total == leaves.process + max(judged, stays.total - stays.process - stays.frozen)
    assert memory(SMOL, PPO, Placement(offload=True)).total == stays.total  # nothing can leave


def test_adapters_need_few_moments_and_not_the_networks_that_share_their_weights() -> None:
    full = memory(SMOL, PPO, Placement())
    adapted = memory(SMOL, replace(PPO, held=Held(shared=1)), Placement(trained_share=0.01))
    assert adapted.trained == full.trained
    assert adapted.frozen == full.frozen / 2
    assert adapted.moments == full.moments / 100


@pytest.mark.parametrize("cpu", [True, False])
def test_sampling_copies_the_matrices_with_adapters(cpu: bool) -> None:
    """All matrices of the blocks, or queries and values alone (576 to 576 and to 192), beside the
    copy that a CPU lays out anew. Policies that no stage trains have no adapters."""
    rank = replace(SMOL, adapters=16)
    some = replace(rank, adapted=((576, 576), (576, 192)))
    without, whole, two = (memory(s, PPO, Placement(cpu=cpu)).sampler for s in (SMOL, rank, some))
    assert whole == without + 4 * 30 * SMOL.block
    assert two == without + 4 * 30 * 576 * (576 + 192)
    sampled = replace(PPO, trained=0)
    assert memory(rank, sampled, Placement(cpu=cpu)).sampler == without


def test_averages_are_whole_copies_of_the_weights() -> None:
    """Beside weights, gradient and moments of two networks: in memory and in a checkpoint."""
    load = replace(PPO, held=Held(averages=1))
    assert memory(SMOL, load, Placement()).trained == 3 * 4 * SMOL.weights
    assert checkpoint_size(SMOL, load) == (2 * 3 + 1) * 4 * SMOL.weights


def test_what_judgements_hold_stays_during_updates() -> None:
    """Of the policy that training began from, and of the best one, each process has its part; on a
    GPU a whole best one is in the memory of the host, and so is that of averages."""
    load = replace(PPO, held=Held(compared=1, best=1), leaves=True)
    cpu, gpu = (memory(SMOL, load, Placement(cpu=cpu, offload=True)) for cpu in (True, False))
    assert cpu.leaving == gpu.leaving == 2 * 4 * SMOL.weights
    assert cpu.frozen == gpu.frozen == 3 * 4 * SMOL.weights
    assert cpu.trained == gpu.trained + 4 * SMOL.weights == 3 * 4 * SMOL.weights
    parts = Placement(processes=4, sharded=True, cpu=False)
    assert memory(SMOL, load, parts).trained == 3 * SMOL.weights
    averaged = replace(load, held=Held(compared=1, best=1, averages=1))
    assert memory(SMOL, averaged, parts).trained == 3 * SMOL.weights
    whole = memory(SMOL, averaged, replace(parts, cpu=True)).trained
    assert whole == 7 * SMOL.weights


def test_a_ranking_is_not_divided() -> None:
    """Four completions are one pass, also with micro-batches of one row and where processes have
    one row each."""
    load = Load(1, 16, 20, passes=3, scored=0, together=4)
    for placement in (Placement(micro_batch=1), Placement(processes=16)):
        four = memory(SMOL, load, placement).activations
        assert four == 4 * memory(SMOL, replace(load, together=1), placement).activations


def test_adapters_are_a_share_of_the_weights() -> None:
    # Rank 2 beside q [4, 4], k and v [2, 4], o [4, 4] and three matrices of 4 and 8:
    # 2 x (8 + 6 + 6 + 8 + 36) = 128 of 4 x 12 + 96 + 40 = 184 numbers.
    shape = ModelShape(1, 4, 2, 1, 8, 10)
    assert shape.trained_share == 1
    assert replace(shape, adapters=2).trained_share == 128 / 184
    # q alone: 2 x (4 + 4).
    assert replace(shape, adapters=2, adapted=((4, 4),)).trained_share == 16 / 184


def test_checkpointing_keeps_one_block_and_the_borders() -> None:
    load = replace(SFT, scored=0)
    tokens, kept = 32 * 97, 11 * 576 + 2 * 1536
    assert memory(SMOL, load, Placement()).activations == 4 * tokens * 30 * kept
    checkpointed = memory(SMOL, load, Placement(checkpointing=True)).activations
    assert checkpointed == 4 * tokens * (30 * 576 + kept)


def test_an_adapter_of_the_last_matrix_keeps_what_that_reads() -> None:
    """Of a Llama of width 576 with adapters on all matrices a pass of torch was seen to keep 10,907
    numbers of a token and layer, and 9,164 without adapters."""
    load = replace(SFT, scored=0)
    without, rank = Placement(), Placement(trained_share=0.03)
    adapted = replace(SMOL, adapters=16)
    kept = {s: memory(s, load, p).activations for s, p in ((SMOL, without), (adapted, rank))}
    assert kept[SMOL] / (4 * 32 * 97 * 30) == pytest.approx(9164, rel=0.03)
    assert kept[adapted] / (4 * 32 * 97 * 30) == pytest.approx(10907, rel=0.03)
    attention = replace(adapted, adapted=((576, 576),))
    assert memory(attention, load, rank).activations == kept[SMOL]


def test_adapters_and_a_gradient_term_at_135m() -> None:
    """An iteration of PPO-ptx with adapters of rank 16 on SmolLM2's shape and a reward model with a
    network (32 responses, 40 tokens a row, minibatches of 16 and as many windows of 48, no
    checkpoint) held 2,845 MB, where it had held 4,359 before freed memory was given back."""
    ptx = Load(1, 16, 48, passes=3, batch=32)
    load = Load(
        2, 16, 40, passes=11, frozen=2, held=Held(shared=2), sampled=32, scored=0.5, terms=(ptx,)
    )
    shape = replace(SMOL, adapters=16)
    found = memory(shape, load, Placement(trained_share=shape.trained_share))
    assert found.total / 2**20 == pytest.approx(2845, rel=0.15)


def test_where_freed_memory_goes_back_nothing_of_sampling_stays() -> None:
    """With adapters, and where weights are divided: keys and values and the copies of the policy
    are gone when gradients are made."""
    shape, rank = replace(SMOL, adapters=16), Placement(trained_share=0.03)
    adapted = memory(shape, PPO, rank)
    stays = adapted.process + adapted.trained + adapted.frozen
    sampling = adapted.sampler + adapted.cache + adapted.moments
    update = adapted.gradients + adapted.moments + adapted.activations
    assert adapted.total == stays + max(sampling, update)
    divided = memory(SMOL, PPO, Placement(processes=2, sharded=True))
    stays = divided.process + divided.trained + divided.frozen
    sampling = divided.sampler + divided.cache + divided.moments
    update = divided.gradients + divided.moments + divided.block + divided.activations
    assert divided.total == stays + max(sampling, update)


def test_a_checkpoint_counts_while_it_is_written() -> None:
    """GPT-2 8 x 512 in SFT held 1,589 MB with one in pieces of 256 MB, and 1,181 without. Gradients
    and activations are gone by then: 430 MB of the program, 105 of weights, 210 of moments and
    three times a piece of 256."""
    shape = ModelShape(8, 512, 8, 8, 2048, 512, positions=512, gated=False)
    load = Load(trained=1, rows=32, tokens=64, passes=3)
    without, found = (memory(shape, load, Placement(piece=piece)) for piece in (0, 1 << 28))
    assert without.checkpoint == 0
    assert found.checkpoint == 3 * 2**28
    assert found.total / 2**20 == pytest.approx(1589, rel=0.15)
    # As many copies of a tensor that is larger than a piece, and of all there is if that is less.
    assert memory(SMOL, load, Placement(piece=1 << 20)).checkpoint == 3 * 4 * 49152 * 576
    assert memory(TINY, load, Placement(piece=1 << 28)).checkpoint == 3 * 3 * 4 * TINY.weights


def test_process_0_gathers_what_it_writes() -> None:
    """Weights and two moments of both networks, whole, unless each process writes its part; on a
    GPU that is the host's memory."""
    shared = Placement(processes=2, sharded=True, piece=1 << 20)
    written = 3 * 4 * 49152 * 576
    gathered = memory(SMOL, PPO, shared).checkpoint
    assert gathered == written + 2 * 3 * 4 * SMOL.weights == written + checkpoint_size(SMOL, PPO)
    assert memory(SMOL, PPO, replace(shared, gathers=False)).checkpoint == written
    assert memory(SMOL, PPO, replace(shared, cpu=False)).checkpoint == 0


def test_operations_of_a_step() -> None:
    # 2 rows of 3 tokens, 3 passes: 6 tokens x 3 x (2 x 144 + 2 x 4 x 3 + 2 x 4 x 10).
    shape, load = ModelShape(1, 4, 2, 1, 8, 10), Load(trained=1, rows=2, tokens=3, passes=3)
    assert operations(shape, load) == 18 * (288 + 24 + 80)


def test_matrices_in_4_bits_and_what_is_trained_beside_them() -> None:
    """A block of GPT-2's form of width 64 has 4 x 64 x 64 + 2 x 64 x 256 = 49,152 numbers, half a
    byte each and a byte for every 64; 10 tokens are 640 numbers in float32. Adapters of rank 4 have
    4 x (8 x 64 + 2 x 320) = 4,608 numbers, in float32 with gradient and moments."""
    shape = ModelShape(1, 64, 1, 1, 256, 10, gated=False, adapters=4, bits=4)
    assert shape.stored == 49152 // 2 + 49152 // 64 + 640 * 4
    placement = Placement(trained_share=shape.trained_share)
    found = memory(shape, Load(trained=1, rows=1, tokens=8, passes=3), placement)
    assert found.trained == shape.stored
    assert found.gradients == pytest.approx(4 * 4608)
    assert found.moments == pytest.approx(2 * 4 * 4608)
