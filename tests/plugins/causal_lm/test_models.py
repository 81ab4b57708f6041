"""Models: nothing but a row's own tokens changes its numbers, whatever the padding; what is saved
is what is loaded.

Models with learned positions (gpt2) are in every test: with rotary positions a wrong position id
would not show.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from preflab.errors import UserError
from preflab_builtin.causal_lm.attention import causal_mask, positions_of, starts_at_left
from preflab_builtin.causal_lm.config import Family, TinyConfig
from preflab_builtin.causal_lm.models import CausalPolicy, CausalScalarModel
from preflab_builtin.causal_lm.saving import read_facts
from preflab_builtin.causal_lm.sources import FolderSource, TinySource
from support import WORDS

FAMILIES = [Family.llama, Family.gpt2]


def source(family: Family, positions: int = 64) -> TinySource:
    return TinySource(
        TinyConfig(family=family, layers=2, width=32, heads=2, max_positions=positions), WORDS
    )


def policy(family: Family, positions: int = 64) -> CausalPolicy:
    model = source(family, positions).create(torch.Generator().manual_seed(3))
    # The weights of a new model are so small that errors in attention would hardly show.
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.mul_(3.0)
    return model


def row_batch(row: list[int], left: int, right: int, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[pad] * left + row + [pad] * right])
    mask = torch.tensor([[False] * left + [True] * len(row) + [False] * right])
    return ids, mask


def test_positions_count_real_tokens() -> None:
    mask = torch.tensor([[False, False, True, True, True, False]])
    assert positions_of(mask).tolist() == [[0, 0, 0, 1, 2, 2]]


def test_masks() -> None:
    mask = torch.tensor([[False, True, True]])
    # The pad sees itself only (else its softmax is empty: nan); real tokens see themselves and
    # real ones before.
    assert causal_mask(mask)[0, 0].tolist() == [
        [True, False, False],
        [False, True, False],
        [False, True, True],
    ]
    assert not starts_at_left(mask)
    assert starts_at_left(torch.tensor([[True, True, False]]))
    assert not starts_at_left(torch.tensor([[True, False, True]]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 0), (17, 0), (0, 5), (4, 6)])
def test_padding_changes_nothing(family: Family, left: int, right: int) -> None:
    model, row = policy(family), [1, 5, 9, 2, 22, 7]
    with torch.no_grad():
        plain = model.module(torch.tensor([row])).logits  # transformers' own, without pads
        ids, mask = row_batch(row, left, right, model.tokenizer.pad_id)
        logits = model.logits(model.hidden(ids, mask))[:, left : left + len(row)]
        noise = torch.randint(
            0, model.tokenizer.size, ids.shape, generator=torch.Generator().manual_seed(1)
        )
        scrambled = torch.where(mask, ids, noise)
        again = model.logits(model.hidden(scrambled, mask))[:, left : left + len(row)]
    assert torch.allclose(logits, plain, atol=1e-5)
    assert torch.equal(logits, again)
    assert float(plain.std()) > 0.1  # else the comparison says nothing


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_mates_change_nothing(family: Family) -> None:
    model = policy(family)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 20, (4, 12), generator=generator)
    lengths = torch.tensor([12, 5, 1, 9])
    mask = torch.arange(12)[None, :] >= 12 - lengths[:, None]
    with torch.no_grad():
        together = model.hidden(ids, mask)
        for i, length in enumerate(lengths.tolist()):
            alone = model.hidden(
                ids[i : i + 1, 12 - length :], torch.ones(1, length, dtype=torch.bool)
            )
            assert torch.allclose(together[i, 12 - length :], alone[0], atol=1e-5)


def test_position_ids_matter_for_learned_positions() -> None:
    """The tests above can fail: without position ids a left-padded gpt2 row has other logits."""
    model, row = policy(Family.gpt2), [1, 5, 9, 2]
    ids, mask = row_batch(row, 3, 0, model.tokenizer.pad_id)
    with torch.no_grad():
        wrong = model.module(ids, attention_mask=mask.long()).logits[:, 3:]
        right = model.logits(model.hidden(ids, mask))[:, 3:]
    assert float((wrong - right).abs().max()) > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_decoding_equals_a_full_forward(family: Family) -> None:
    model = policy(family)
    ids = torch.randint(0, 20, (3, 10), generator=torch.Generator().manual_seed(5))
    mask = torch.tensor([[True] * 10, [False] * 4 + [True] * 6, [False] * 9 + [True]])
    more = torch.tensor([[3, 4, 5], [6, 7, 8], [9, 10, 11]])
    with torch.no_grad():
        logits, cache = model.prefill(ids, mask)
        for step in range(3):
            assert torch.allclose(logits, model.logits(model.hidden(ids, mask))[:, -1], atol=1e-5)
            logits, cache = model.extend(more[:, step], cache)
            ids = torch.cat([ids, more[:, step : step + 1]], dim=1)
            mask = torch.cat([mask, torch.ones(3, 1, dtype=torch.bool)], dim=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_selected_caches_are_independent(family: Family) -> None:
    model = policy(family)
    ids, mask = (
        torch.tensor([[1, 2, 3], [20, 4, 5]]),
        torch.tensor([[True, True, True], [False, True, True]]),
    )
    with torch.no_grad():
        _, cache = model.prefill(ids, mask)
        chosen = cache.select(torch.tensor([1, 1, 0]))
        first, _ = model.extend(torch.tensor([7, 8, 9]), chosen)
        # The copy did not lengthen the original.
        second, _ = model.extend(torch.tensor([9, 7]), cache)
    for row, prompt, token in ((0, [4, 5], 7), (1, [4, 5], 8), (2, [1, 2, 3], 9)):
        expected = model.module(torch.tensor([[*prompt, token]])).logits[0, -1]
        assert torch.allclose(first[row], expected, atol=1e-5)
    assert torch.allclose(second[0], first[2], atol=1e-5)
    assert torch.allclose(second[1], first[0], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_creation_draws_from_the_generator_only(family: Family) -> None:
    before = torch.get_rng_state()
    first, second = (source(family).create(torch.Generator().manual_seed(1)) for _ in range(2))
    other = source(family).create(torch.Generator().manual_seed(2))
    assert torch.equal(before, torch.get_rng_state())
    weights = [dict(m.module.named_parameters()) for m in (first, second, other)]
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])
    assert any(not torch.equal(weights[0][n], weights[2][n]) for n in weights[0])


def test_default_size_is_about_0_8_million_parameters() -> None:
    model = TinySource(TinyConfig(), [f"w{i}" for i in range(297)]).create(torch.Generator())
    # 300 * 128 tied embedding + 4 * (4 * 128^2 + 3 * 128 * 344 + 2 * 128) + 128 = 830,080 + 384
    assert (
        sum(p.numel() for p in model.module.parameters())
        == 300 * 128 + 4 * (4 * 128**2 + 3 * 128 * 344 + 2 * 128) + 128
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_policy_round_trip(family: Family, tmp_path: Path) -> None:
    model, ids = policy(family), torch.tensor([[1, 2, 3, 4]])
    model.save(tmp_path / "model")
    model.save(tmp_path / "model")  # a folder of that name is replaced
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        expected = model.logits(model.hidden(ids, mask))
        for again in (
            source(family).load(tmp_path / "model"),
            FolderSource(tmp_path / "model").create(torch.Generator()),
        ):
            assert torch.equal(again.logits(again.hidden(ids, mask)), expected)
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
        assert torch.allclose(loaded(ids).logits, expected, atol=1e-6)
    assert loaded.generation_config.top_k == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "model")("red blue")[
        "input_ids"
    ] == model.tokenizer.encode("red blue")


@pytest.mark.parametrize("family", FAMILIES)
def test_scalar_round_trip_gives_the_raw_score_in_transformers(
    family: Family, tmp_path: Path
) -> None:
    model = policy(family).scalar_model(torch.Generator().manual_seed(4))
    model.offset = 0.75
    model.save(tmp_path / "model")
    again = source(family).load_scalar(tmp_path / "model")
    assert again.offset == 0.75
    assert read_facts(tmp_path / "model") == {"kind": "scalar model", "offset": 0.75}
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=1)
    eos, pad = (
        model.tokenizer.eos_id,
        AutoTokenizer.from_pretrained(tmp_path / "model").pad_token_id,
    )
    rows = [[1, 2, 3, eos], [4, eos], [5, 6, 7, 8, 9, eos]]
    ids = torch.tensor([row + [pad] * (6 - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (6 - len(row)) for row in rows])
    with torch.no_grad():
        values = again.values(again.hidden(ids, mask))[torch.arange(3), torch.tensor([3, 1, 5])]
        assert torch.allclose(
            loaded(input_ids=ids, attention_mask=mask.long()).logits[:, 0], values, atol=1e-5
        )
        assert torch.equal(
            values, model.values(model.hidden(ids, mask))[torch.arange(3), torch.tensor([3, 1, 5])]
        )


def test_a_scalar_head_is_drawn_as_stated_and_shares_nothing() -> None:
    model = TinySource(TinyConfig(layers=1, width=1024, heads=1), WORDS).create(
        torch.Generator().manual_seed(0)
    )
    scalar = model.scalar_model(torch.Generator().manual_seed(1))
    weight = scalar.module.score.weight
    # std 1/sqrt(1025) = 0.03123; with 1024 draws its estimate has a standard error of 2.2 %, so 10
    # % is 4.5 errors.
    assert weight.shape == (1, 1024)
    assert abs(float(weight.detach().std()) * 1025**0.5 - 1) < 0.1
    assert scalar.module.score.bias is None
    assert not {p.data_ptr() for p in model.module.parameters()} & {
        p.data_ptr() for p in scalar.module.parameters()
    }
    assert torch.equal(
        weight, model.scalar_model(torch.Generator().manual_seed(1)).module.score.weight
    )


def test_copies_are_independent() -> None:
    model = policy(Family.llama)
    twin = model.copy()
    with torch.no_grad():
        next(iter(twin.module.parameters())).add_(1.0)
    ids, mask = torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool)
    assert not torch.allclose(model.hidden(ids, mask), twin.hidden(ids, mask))
    scalar = model.scalar_model(torch.Generator())
    scalar.offset = 2.0
    assert isinstance(scalar.copy(), CausalScalarModel)
    assert scalar.copy().offset == 2.0


def test_logits_are_float32_under_autocast() -> None:
    model = policy(Family.llama)
    hidden = torch.randn(1, 3, 32).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model.logits(hidden)
    assert logits.dtype == torch.float32
    exact = hidden.double() @ model.module.lm_head.weight.double().T
    assert torch.allclose(logits.double(), exact, atol=1e-5)  # bfloat16 would be off by 1e-2


def test_the_pad_id_is_an_ordinary_token_for_gradients() -> None:
    model = policy(Family.llama)
    pad = model.tokenizer.pad_id
    hidden = model.hidden(torch.tensor([[1, pad, 2]]), torch.ones(1, 3, dtype=torch.bool))
    torch.autograd.backward(hidden.square().sum())
    assert float(model.module.get_input_embeddings().weight.grad[pad].abs().sum()) > 0


def test_wrong_folders_are_refused_with_reasons(tmp_path: Path) -> None:
    model = policy(Family.llama)
    model.save(tmp_path / "policy")
    other = TinySource(TinyConfig(layers=2, width=32, heads=2), ["other", "words"])
    with pytest.raises(UserError, match="another tokenizer"):
        other.load(tmp_path / "policy")
    with pytest.raises(UserError, match=r"lacks weights.*score"):
        source(Family.llama).load_scalar(tmp_path / "policy")
    with pytest.raises(UserError, match="not a complete model folder"):
        source(Family.llama).load(tmp_path / "nothing")
    with pytest.raises(UserError, match="8 positions"):
        policy(Family.gpt2, positions=8).hidden(
            torch.zeros(1, 9, dtype=torch.long), torch.ones(1, 9, dtype=torch.bool)
        )
    with pytest.raises(UserError, match=r"policy\.tokenizer=bytes"):
        TinySource(TinyConfig(), None)
