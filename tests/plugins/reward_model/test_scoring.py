"""A score stands on the last response token, whatever pads and rows are around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from preflab.records import Prompt, Rollout
from preflab_builtin.reward_model.scoring import NetworkReward, raw_scores
from support import WORDS, FakeContext, cpu_runtime

PROMPTS = [Prompt(str(i), " ".join(WORDS[: 1 + (3 * i) % 7])) for i in range(6)]
ANSWERS = [" ".join(WORDS[i : i + 1 + (5 * i) % 6]) for i in range(6)]


@pytest.fixture(params=["llama", "gpt2"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path, policy_config={"family": request.param, "max_positions": 64})


def test_equals_the_last_position_of_each_row_alone(context: FakeContext) -> None:
    model = context.policy("sft").scalar_model(torch.Generator().manual_seed(1))
    rollout = Rollout.from_texts(context.tokenizer, PROMPTS, ANSWERS)
    found = raw_scores(model, rollout, cpu_runtime(micro_batch=4))
    for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        tokenizer = context.tokenizer
        ids = torch.tensor(
            [[*tokenizer.encode(prompt.text), *tokenizer.encode(answer), tokenizer.eos_id]]
        )
        with torch.no_grad():
            hidden = model.hidden(ids, torch.ones_like(ids, dtype=torch.bool))
            alone = float(model.values(hidden[0, -1]))
        assert float(found[row]) == pytest.approx(alone, abs=1e-5)


def test_an_empty_response_is_read_at_the_last_prompt_token(context: FakeContext) -> None:
    model = context.policy("sft").scalar_model(torch.Generator().manual_seed(1))
    ids = context.tokenizer.encode("red blue please")
    rollout = Rollout.from_tokens(
        context.tokenizer, [Prompt("a", ""), Prompt("b", "")], [ids, ids], [[], [5, 6]]
    )
    row = torch.tensor([ids])
    with torch.no_grad():
        alone = float(
            model.values(model.hidden(row, torch.ones_like(row, dtype=torch.bool))[0, -1])
        )
    assert float(raw_scores(model, rollout, cpu_runtime())[0]) == pytest.approx(alone, abs=1e-5)


def test_pads_and_what_stands_on_them_change_no_score(context: FakeContext) -> None:
    model = context.policy("sft").scalar_model(torch.Generator().manual_seed(1))
    tokenizer, prompt, answer = context.tokenizer, [3, 4, 5], [6, 7, 8]
    plain = float(
        raw_scores(
            model, Rollout.from_tokens(tokenizer, PROMPTS[:1], [prompt], [answer]), cpu_runtime()
        )
    )
    for pads in (3, 17):
        wide = Rollout.from_tokens(
            tokenizer, PROMPTS[:2], [prompt, [1] * (3 + pads)], [answer, [2] * (3 + pads)]
        )
        for rubbish in (tokenizer.pad_id, 9):
            ids, responses = wide.prompt_ids.clone(), wide.response_ids.clone()
            ids[0, :pads], responses[0, 3:] = rubbish, rubbish
            dirty = Rollout(**{**vars(wide), "prompt_ids": ids, "response_ids": responses})
            assert float(raw_scores(model, dirty, cpu_runtime())[0]) == pytest.approx(
                plain, abs=1e-5
            )


def test_the_offset_is_subtracted_and_the_folder_gives_the_raw_score_to_transformers(
    tmp_path: Path,
) -> None:
    context = FakeContext(tmp_path)
    model = context.policy("sft").scalar_model(torch.Generator().manual_seed(1))
    model.offset = 2.5
    model.save(tmp_path / "model")
    loaded = context.load_scalar(tmp_path / "model")
    assert loaded.offset == 2.5
    rollout = Rollout.from_texts(context.tokenizer, PROMPTS, ANSWERS)
    reward = NetworkReward(loaded, cpu_runtime()).score(rollout)
    torch.testing.assert_close(
        reward + 2.5, raw_scores(model, rollout, cpu_runtime()), atol=1e-5, rtol=0
    )
    assert not any(p.requires_grad for p in loaded.module.parameters())
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=1)
    for i in range(len(rollout)):
        row = rollout.rows([i])
        with torch.no_grad():
            raw = float(theirs(input_ids=row.input_ids, attention_mask=row.mask.long()).logits)
        assert raw == pytest.approx(float(reward[i]) + 2.5, abs=1e-5)
