"""Prompts whose responses all have the same score are counted, and replaced by other prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from preflab.interfaces import Policy
from preflab.records import Prompt, Rollout
from preflab.rewards import FunctionReward
from preflab.storage import checkpoints
from preflab_builtin.on_policy.resampling import replaced, without_signal
from support import FakeContext, largest_difference
from tiny_on_policy import tiny
from tiny_ppo import PROMPTS, capture_experience, steps, weights

RARE = FunctionReward(lambda prompt, text: float(text.startswith("please")))
"""Most groups of four have no response that begins with the word, which is one of 20."""


def test_groups_in_which_all_scores_are_equal() -> None:
    assert without_signal(torch.tensor([1.0, 3.0, 2.0, 2.0, 0.0, 0.0]), 2) == [1, 2]
    assert without_signal(torch.tensor([1.0, 3.0]), 2) == []


def test_other_rows_take_the_place_of_some(tmp_path: Path) -> None:
    tokenizer = FakeContext(tmp_path).policy("base").tokenizer
    first = Rollout.from_texts(tokenizer, PROMPTS[:3], ["red", "blue red", ""])
    other = Rollout.from_texts(tokenizer, PROMPTS[5:6], ["one two three four"], max_tokens=4)
    found = replaced(first, [1], other, tokenizer)
    assert found.texts == ("red", "one two three four", "")
    assert [p.id for p in found.prompts] == ["p0", "p5", "p2"]
    assert found.terminated.tolist() == [True, False, True]  # cut, as it was sampled
    assert found.tokens()[0] == first.tokens()[0]
    assert found.tokens()[1] == other.tokens()[0]


def test_silent_prompts_are_counted_and_replaced_as_often_as_allowed(tmp_path: Path) -> None:
    plain = tiny("group", tmp_path, reward=RARE)
    kept = capture_experience(plain)
    row = plain.step(0)
    silent = without_signal(kept[0].scores, 4)
    assert len(silent) >= 2
    assert row["objective/groups_without_signal"] == len(silent) / 4
    assert "objective/resampled" not in row
    found = {}
    for attempts in (1, 30):
        procedure = tiny("group", tmp_path, reward=RARE, resample=attempts)
        others = capture_experience(procedure)
        found[attempts] = procedure.step(0)
        # Prompts with a signal stay where they are.
        before, after = (e.rollout.tokens() for e in (kept[0], others[0]))
        stay = [i for i in range(16) if i // 4 not in silent]
        assert [before[i] for i in stay] == [after[i] for i in stay]
    assert found[1]["objective/resampled"] == 4 * len(silent)  # once, 4 responses each
    assert found[30]["objective/resampled"] > found[1]["objective/resampled"]
    assert found[30]["objective/groups_without_signal"] == 0
    assert len(Counter(p.id for p in others[0].rollout.prompts).values()) >= 2


def test_where_every_prompt_has_a_signal_nothing_is_different(tmp_path: Path) -> None:
    # Noise is never equal, so the option does nothing, to the bit.
    plain, other = tiny("group", tmp_path), tiny("group", tmp_path, resample=3)
    rows = [steps(p, 0, 3) for p in (plain, other)]
    dropped = ("objective/resampled",)
    assert [{k: v for k, v in row.items() if k not in dropped} for row in rows[1]] == rows[0]
    assert all(row["objective/resampled"] == 0 for row in rows[1])
    assert largest_difference(weights(plain), weights(other)) == 0


@pytest.mark.parametrize("name", ["group", "online_dpo"])
def test_resuming_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    straight = tiny(name, tmp_path, reward=RARE, resample=2)
    rows = steps(straight, 0, 4)
    assert all(row["objective/resampled"] > 0 for row in rows)
    first = tiny(name, tmp_path, reward=RARE, resample=2)
    before = steps(first, 0, 2)
    folder = checkpoints.save(tmp_path / "state", 2, {"procedure": first.state_dict()})
    second = tiny(name, tmp_path, reward=RARE, resample=2)
    second.load_state_dict(checkpoints.load(folder)[1]["procedure"])
    assert before + steps(second, 2, 4) == rows
    assert largest_difference(weights(straight), weights(second)) == 0
    counted = straight.accounting(rows)["responses sampled in the place of others"]
    assert counted == sum(row["objective/resampled"] for row in rows)


def test_every_iteration_and_attempt_asks_other_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    procedure = tiny("group", tmp_path, reward=FunctionReward(lambda p, t: 1.0), resample=2)
    asked: list[list[str]] = []
    generate = procedure.engine.generate

    def noting(policy: Policy, prompts: Sequence[Prompt], *rest: Any) -> Rollout:
        asked.append([prompt.id for prompt in prompts])
        return generate(policy, prompts, *rest)

    monkeypatch.setattr(procedure.engine, "generate", noting)
    steps(procedure, 0, 3)
    # Four prompts each time: an iteration's own, and two attempts. Three draws are all 12 prompts.
    assert [len(prompts) for prompts in asked] == [4] * 9
    known = sorted(p.id for p in PROMPTS)
    assert sorted(name for i in (0, 3, 6) for name in asked[i]) == known
    assert sorted(name for i in (1, 2, 4) for name in asked[i]) == known
    assert len({tuple(asked[i]) for i in (1, 2, 4, 5, 7, 8)}) == 6
