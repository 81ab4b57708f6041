"""The benchmark's own logic: what it counts, compares and composes. Nothing here measures time."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModel

import preflab
from benchmarks import bench, flops, measuring, ours, results
from benchmarks.given import GivenConfig, GivenEngine
from benchmarks.growth import AXES
from benchmarks.judging import judged, together
from benchmarks.ours import Job
from benchmarks.prepare import configuration, hazard, move_end_token, pieces
from benchmarks.reading import FORMS, write
from benchmarks.results import Different, Measured, Unit
from benchmarks.shapes import (
    BOUNDS,
    NAMES,
    REPEATS,
    SIZES,
    STEPS,
    TARGETS,
    PPOShape,
    RankingShape,
    RolloutShape,
    Size,
    ppo_shape,
    ranking_shape,
    sft_shape,
)
from preflab.records import Prompt
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_builtin.files.config import FilesConfig
from preflab_builtin.files.source import parse_file

WORDS = SimpleNamespace(pad_token_id=0, eos_token_id=1, bos_token_id=1)
ONE = Size("one", "gpt2", 1, 2, 1, 1, 8, 5, 16)
"""One block of width 2: 16 weights in attention (2 x 6 and 2 x 2), 32 in the MLP (2 x 8 twice); 5
words."""


# --- counting


@pytest.mark.parametrize("size", SIZES.values(), ids=lambda size: size.name)
def test_a_token_costs_two_flop_a_weight_of_the_blocks(size: Size) -> None:
    """The weights are counted in the real architecture, without allocating it."""
    with torch.device("meta"):
        module = AutoModel.from_config(configuration(size, WORDS))  # type: ignore[no-untyped-call]
    matrices = [
        p.numel()
        for name, p in module.named_parameters()
        if p.dim() == 2 and ("h." in name or "layers." in name)
    ]
    assert flops.dense(size) == 2 * sum(matrices)


def test_a_token_attends_to_itself_and_to_what_stands_before_it() -> None:
    # Positions 2, 3, 4 see 3 + 4 + 5 = 12 tokens; scores and weighted sum are 2 products of 2 D
    # FLOP each, D = 2.
    assert flops.attended(ONE, 2, 5) == 12 * 2 * (2 * 2)
    assert flops.dense(ONE) == 2 * 48
    assert flops.unembedding(ONE, 3) == 3 * 2 * 2 * 5


def test_work_is_what_the_task_needs() -> None:
    shape = RolloutShape(2, 3, 4)
    # Responses of 1 and 4 tokens after 3: 3 and 6 tokens are read, 1 and 4 have logits.
    expected = (3 * 96 + 8 * 6) + 20 + (6 * 96 + 8 * 21) + 4 * 20
    assert flops.rollout(ONE, shape, [1, 4]) == expected
    # A row of 3 trains on 2 predictions: two tokens read and unembedded, forward and twice that
    # backward.
    assert flops.sft_step(ONE, [3]) == 3 * (2 * 96 + 8 * 3 + 2 * 20)


def test_a_ranking_reads_its_prompt_once() -> None:
    """Without attention, K = 9 and 64 + 32 tokens are 64 + 9 x 32 = 352 tokens, each 3 passes."""
    shape = RankingShape(1, 9, 64, 32)
    attention = flops.attended(ONE, 0, 64) + 9 * flops.attended(ONE, 64, 96)
    assert flops.ranking_step(ONE, shape) == pytest.approx(3 * (352 * flops.dense(ONE) + attention))
    assert shape.pairs == 36


def test_an_iteration_is_eleven_forward_passes_less_the_last_token() -> None:
    """Sampling 1, judging 4, training 3 of policy and 3 of value network; sampling does not read
    the last token. Logits: sampling, old, reference 1 each, training of the policy 3."""
    shape = PPOShape(1, 3, 2, 1)
    whole = 5 * 96 + 8 * 15
    assert flops.ppo_iteration(ONE, shape) == 11 * whole - (96 + 8 * 5) + 6 * 2 * 20


# --- comparing


def _measured(*pairs: tuple[float, float]) -> Measured:
    return Measured(tuple(Unit(seconds, amount, 1e9) for seconds, amount in pairs), 100.0)


def test_a_ratio_above_one_is_faster_for_times_and_for_rates() -> None:
    # Medians: ours 2 s and the peer 6 s a unit of 1; one slow outlier moves neither.
    fast, slow = _measured((2, 1), (2, 1), (90, 1)), _measured((6, 1), (6, 1), (1, 1))
    time = results.row("ppo_iteration", "tiny", "s/iteration", fast, slow, 10.0, {})
    assert (time.ours, time.peer, time.ratio) == (2, 6, 3)
    rate = results.row("sft", "tiny", "tokens/s", fast, slow, 10.0, {})
    assert [rate.ours, rate.peer] == pytest.approx([1 / 2, 1 / 6])
    assert rate.ratio == 3
    # 1 GFLOP in 2 s is 0.5 GFLOP/s, a twentieth of a peak of 10.
    assert rate.ours_fraction == 0.05
    assert json.loads(json.dumps(rate.line()))["target"] == 4.0


def test_memory_is_a_line_of_its_own() -> None:
    row = results.row(
        "ppo_iteration", "tiny", "s/iteration", _measured((1, 1)), _measured((1, 1)), 1.0, {}
    )
    memory = results.memory_row(replace(row, peer_peak_mb=150.0))
    assert (memory.name, memory.ratio, memory.unit) == ("ppo_peak_memory", 1.5, "MB")


def test_the_table_shows_ratios_beside_their_targets() -> None:
    row = results.row("sft", "small", "tokens/s", _measured((1, 20)), _measured((1, 8)), 10.0, {})
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(bench.table([row, results.memory_row(row)]))
    sft, memory = console.export_text().splitlines()[4:6]
    assert sft.replace("│", " ").split() == "sft small 20 8 tokens/s 2.50 3 10% 10% 100 100".split()
    assert (
        memory.replace("│", " ").split()
        == "ppo_peak_memory small 100 100 MB 1.00 1.4 100 100".split()
    )


def test_what_is_below_its_target_is_said_with_what_bounds_it() -> None:
    # 20 and 8 tokens a second, 2.5 times, where 3 is the target; 20 and 4 are 5 times.
    slow = results.row("sft", "small", "tokens/s", _measured((1, 20)), _measured((1, 8)), 10.0, {})
    fast = results.row("sft", "small", "tokens/s", _measured((1, 20)), _measured((1, 4)), 10.0, {})
    (said,) = bench.below([slow, fast])
    assert said == f"sft, small: 2.50 of 3 at 10% of the peak; bounded by {BOUNDS['sft']}"


def test_what_differs_is_not_compared() -> None:
    assert results.same("x", 1.0, 1.00005) == pytest.approx(5e-5)
    for other in (1.0002, float("nan")):
        with pytest.raises(Different, match="x: ours 1"):
            results.same("x", 1.0, other)
    with pytest.raises(Different):
        results.same_all("x", [0.0, 1.0, 2.0], [0.0, 1.5, 2.0])
    with pytest.raises(Different):
        results.same_all("x", [0.0, 1.0], [float("nan"), 1.0])
    with pytest.raises(Different):
        results.same_all("x", [0.0], [0.0, 1.0])


def test_the_exponent_of_a_power_is_the_power() -> None:
    assert results.exponent([1, 2, 4, 8], [3 * x**1.5 for x in (1, 2, 4, 8)]) == pytest.approx(1.5)


def test_tokens_fill_the_bins_evenly_if_drawn_from_the_model() -> None:
    """Every token of the vocabulary once, weighted by its probability: each tenth then holds
    exactly 0.1."""
    logits = torch.tensor([2.0, 0.5, 0.5, -1.0, 0.0, 1.0])
    share = [0.0] * 10
    for token, probability in enumerate(logits.double().softmax(-1).tolist()):
        found = judged(logits[None, None], torch.tensor([[token]]), torch.tensor([[True]]))
        assert found["log_probs"] == [
            pytest.approx(torch.tensor(probability).log().item(), abs=1e-6)
        ]
        assert sum(found["bins"]) == pytest.approx(1)
        share = [a + probability * b for a, b in zip(share, found["bins"], strict=True)]
    assert share == pytest.approx([0.1] * 10)


def test_a_sample_cut_to_the_likeliest_tokens_is_noticed() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 400, 50, generator=generator)
    mask = torch.ones(1, 400, dtype=torch.bool)
    plain = torch.multinomial(logits[0].softmax(-1), 1, generator=generator).T
    assert results.fits("plain", judged(logits, plain, mask)["bins"]) > 0.01
    kept = logits.masked_fill(logits < logits.topk(25).values[..., -1:], -torch.inf)
    cut = torch.multinomial(kept[0].softmax(-1), 1, generator=generator).T
    with pytest.raises(Different, match="do not follow"):
        results.fits("cut", judged(logits, cut, mask)["bins"])


def test_judgements_of_groups_add_up_and_pads_do_not_count() -> None:
    logits = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(1))
    ids, mask = (
        torch.tensor([[1, 2, 3], [4, 0, 0]]),
        torch.tensor([[True, True, True], [True, False, False]]),
    )
    whole = judged(logits, ids, mask)
    parts = together([judged(logits[i : i + 1], ids[i : i + 1], mask[i : i + 1]) for i in (0, 1)])
    assert len(whole["log_probs"]) == 4
    assert parts["log_probs"] == pytest.approx(whole["log_probs"])
    assert parts["bins"] == pytest.approx(whole["bins"])


class _Side:
    """A worker that has one answer."""

    size = "tiny"

    def __init__(self, **answer: Any) -> None:
        self.answer = answer

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        return self.answer


def _checked(
    name: str, ours: dict[str, Any], peer: dict[str, Any], judged_by_both: dict[str, Any]
) -> dict[str, float]:
    sides: Any = (_Side(**judged_by_both), _Side(**judged_by_both))
    return measuring.check_first(name, sides, [ours, peer])


def test_nothing_is_measured_before_the_losses_agree() -> None:
    ours, peer = {"metrics": {"loss/sft": 7.8223}}, {"metrics": {"loss": 7.82234}}
    assert _checked("sft", ours, peer, {}) == {"loss_difference": pytest.approx(4e-5)}
    with pytest.raises(Different, match="the loss"):
        _checked("sft", ours, {"metrics": {"loss": 7.7171}}, {})
    with pytest.raises(
        Different, match="no metric loss/sft to compare; a step reports loss/renamed"
    ):
        _checked("sft", {"metrics": {"loss/renamed": 7.8}}, peer, {})


def test_an_iteration_whose_responses_end_is_less_work() -> None:
    ours, peer = {"metrics": {"objective/eos_rate": 0.0}}, {"metrics": {"val/num_eos_tokens": 0.0}}
    assert _checked("ppo_iteration", ours, peer, {}) == {}
    # A rate of 1/8 of 64 episodes is 8 responses.
    with pytest.raises(Different, match="8 of our responses"):
        _checked("ppo_iteration", {"metrics": {"objective/eos_rate": 0.125}}, peer, {})


def test_samples_of_both_are_judged_by_both() -> None:
    answer = {"rows": [[[5], [6, 1]], [[5], [6, 7, 8, 9]]], "lengths": [2, 4]}
    found = _checked("rollout", answer, answer, {"log_probs": [-1.0, -2.0], "bins": [3.0] * 10})
    assert found["mean_length_ours"] == 3
    assert found["p_value_peer"] == 1
    with pytest.raises(Different, match="ours: the sampled tokens do not follow"):
        _checked("rollout", answer, answer, {"log_probs": [-1.0], "bins": [100.0] + [1.0] * 9})


# --- weights and data


def test_the_hazard_gives_the_mean_length() -> None:
    """Of a cap of 64 a third: the mean length is summed from the distribution itself."""
    p = hazard(64, 64 / 3)
    lengths = [(1 - p) ** (n - 1) * p for n in range(1, 64)]
    mean = sum(n * share for n, share in enumerate(lengths, 1)) + 64 * (1 - p) ** 63
    assert mean == pytest.approx(64 / 3)


def test_the_end_token_gets_its_probability_and_no_other_token_moves() -> None:
    torch.manual_seed(0)
    from transformers import AutoModelForCausalLM

    size = Size("t", "gpt2", 1, 16, 2, 2, 64, 11, 16)
    module: Any = AutoModelForCausalLM.from_config(configuration(size, WORDS)).eval()  # type: ignore[no-untyped-call]
    before = module.get_output_embeddings().weight.detach().clone()
    contexts = torch.randint(2, 11, (4, 8))
    move_end_token(module, contexts, 1, 0.25)
    with torch.no_grad():
        found = module(input_ids=contexts).logits[:, 4:].softmax(-1)[..., 1].mean()
    assert float(found) == pytest.approx(0.25, abs=1e-4)
    assert torch.equal(module.get_output_embeddings().weight[2:], before[2:])


def test_pieces_of_text_encode_to_the_tokens_they_were_cut_from() -> None:
    """Pairs of characters as tokens: a piece that begins in the middle of a pair would read
    otherwise."""
    piece = pieces(
        lambda text: list(text.encode()), lambda ids: bytes(ids).decode(errors="replace")
    )
    text, ids = piece(20)
    assert (len(ids), list(text.encode())) == (20, ids)
    assert piece(20)[0] != text


def test_given_responses_come_back_by_their_prompt(tmp_path: Path) -> None:
    table = [
        {"text": "ab", "prompt": [97, 98], "response": [99, 100]},
        {"text": "c", "prompt": [99], "response": [101, 102]},
    ]
    (tmp_path / "given.json").write_text(json.dumps(table), encoding="utf8")
    engine = GivenEngine(GivenConfig(path=str(tmp_path / "given.json"), max_tokens=2), "cpu")
    policy: Any = SimpleNamespace(tokenizer=byte_tokenizer())
    rollout = engine.generate(policy, [Prompt("1", "c"), Prompt("2", "ab")], engine.sampling, (1,))
    assert rollout.tokens() == [([99], [101, 102]), ([97, 98], [99, 100])]


# --- composing


def _composed(name: str, size: str, **more: Any) -> Any:
    return preflab.compose(ours.overrides(Job(name, size, "data", "scratch", 2, **more)))


def test_our_side_takes_further_overrides() -> None:
    assert _composed("sft", "tiny", more="runtime.compile=true").runtime.compile
    sampled = "algorithm.old_log_probs=sampled"
    assert _composed("ppo_iteration", "tiny", more=sampled).algorithm.old_log_probs == "sampled"
    job = Job("ppo_iteration", "tiny", "data", "scratch", 2, more=sampled, given=True)
    assert ours.overrides(job)[-1] == "algorithm.old_log_probs=recomputed"


@pytest.mark.parametrize("size", SIZES)
def test_our_side_is_a_config_of_preflab(size: str) -> None:
    """Every option it names exists, and the shapes arrive."""
    shape = ppo_shape(size)
    algorithm = _composed("ppo_iteration", size).algorithm
    assert (algorithm.batch, algorithm.minibatch) == (shape.batch, shape.batch // shape.minibatches)
    assert _composed("ppo_iteration", size, batch=128, response=256).rollout.max_tokens == 256
    reward = _composed("reward_model", size, k=4)
    assert (reward.reward_model.batch, reward.data.rankings) == (
        ranking_shape(size).prompts,
        "data/rankings_k4.jsonl",
    )
    assert _composed("sft", size).sft.batch == sft_shape(size).batch
    assert _composed("rollout_ragged", size).policy.path == "data/ragged"
    assert _composed("rollout", size).policy.path == "data/policy"


def test_the_command_line_names_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    asked = bench.wanted(
        ["--sizes", "small", "tiny", "--names", "ppo_peak_memory", "sft", "--threads", "1"]
    )
    assert (asked.sizes, asked.names, asked.threads) == (
        ("tiny", "small"),
        ("ppo_iteration", "sft"),
        1,
    )
    assert bench.wanted([]).names == bench.ALL
    with pytest.raises(SystemExit):
        bench.wanted(["--names", "dpo"])
    assert "dpo" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench.wanted(["--repeats", str(STEPS - 1)])
    assert "must be 1 to 13" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "code"), [(0.9, 0), (1.1, 1)])
def test_a_slow_start_fails_the_command(
    seconds: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "machine", lambda *given: SimpleNamespace())
    line = {"name": "startup", "command": "preflab plugins", "cpu_seconds": seconds, "target": 1.0}
    monkeypatch.setattr(bench, "startup", lambda: iter([line]))
    assert bench.main(["--names", "startup", "--peers", sys.executable]) == code
    said = capsys.readouterr()
    assert json.loads(said.out) == line
    assert ("FAILED: preflab plugins takes 1.10 s of CPU time; 1 at most" in said.err) == bool(code)


@pytest.mark.parametrize(("ratio", "code"), [(11.9, 0), (12.1, 1)])
def test_slow_reading_fails_the_command(
    ratio: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "machine", lambda *given: SimpleNamespace())
    line = {"name": "reading", "form": "pair", "ratio": ratio, "target": 12.0}
    monkeypatch.setattr(bench, "reading", lambda folder: iter([line]))
    assert bench.main(["--names", "reading", "--peers", sys.executable]) == code
    said = capsys.readouterr()
    assert json.loads(said.out) == line
    told = "rows of the form pair takes 12.1 times the CPU time of json.loads; 12 at most"
    assert (told in said.err) == bool(code)


@pytest.mark.parametrize("form", FORMS)
def test_rows_to_read_are_rankings_of_two_kilobytes(form: str, tmp_path: Path) -> None:
    """Each is a record; 200 + 2 x 875 characters on average, and what JSON adds: 2.1 kB."""
    path = tmp_path / "rows.jsonl"
    write(path, form, 200)
    settings = FilesConfig(rankings=str(path)).row_settings("rankings")
    assert len(parse_file(path, settings).records) == 200
    assert 2000 < path.stat().st_size / 200 < 2600


def test_there_is_data_for_all_steps_and_a_target_for_all_ratios() -> None:
    """The last step of an epoch also saves, which is not measured: no measurement reaches it."""
    assert all(1 + repeats < STEPS for repeats in REPEATS.values())
    assert set(TARGETS) == set(BOUNDS) == {*NAMES, "ppo_peak_memory"}
    assert all(set(targets) == set(SIZES) for targets in TARGETS.values())
    assert {axis.option for axis in AXES} <= set(Job.__dataclass_fields__)
