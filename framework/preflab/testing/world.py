"""A tiny world in memory: records of every type and split, a true utility, a labeler, a reward.

Texts are ragged on purpose: prompts of one to six words, responses of none to five, two to four
answers in a ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from preflab.pool import Answered
from preflab.records import (
    Demonstration,
    Document,
    Prompt,
    Ranking,
    Record,
    Rollout,
    preferences_from_ranks,
)

if TYPE_CHECKING:
    import torch

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS: tuple[str, ...] = (
    *_DIGITS,
    "plus",
    "equals",
    "is",
    "red",
    "blue",
    "please",
    "thanks",
    "bad",
    "good",
    ".",
)
"""A closed vocabulary of 20 words (with the three special tokens: 23 ids)."""
_SIZES = {"train": 12, "validation": 6, "test": 6}
MOST_WORDS = 20


def _text(number: int, words: int) -> str:
    return " ".join(WORDS[(number * 7 + j * j + j) % len(WORDS)] for j in range(words))


def tiny_records() -> list[Record]:
    """24 records of each type: 12 for training, 6 for validation, 6 for testing."""
    records: list[Record] = []
    for split, size in _SIZES.items():
        for i in range(size):
            prompt = Prompt(
                f"{split}-{i}",
                _text(i, 1 + i % 6),
                user=f"user-{i % 4}",
                group=f"group-{i % 3}",
                split=split,
            )
            records.append(prompt)
            records.append(Demonstration(prompt, _text(i + 3, i % 6)))
            responses = tuple(_text(i + 5 * k, (i + 2 * k) % 6) for k in range(2 + i % 3))
            ranks = [1, 2, 2, 3][: len(responses)]
            records.append(
                Ranking(
                    prompt,
                    responses,
                    preferences_from_ranks(ranks),
                    f"labeler-{i % 2}",
                    prompt.group,
                )
            )
            sum_of = f"{WORDS[i % 5]} plus {WORDS[i % 4]} equals {WORDS[i % 5 + i % 4]}"
            question = i % 2 == 0
            text = sum_of if question else _text(i, 4 + i % 9)
            answer = text.index("equals") + len("equals ") if question else None
            records.append(
                Document(f"{split}-{i}", text, "sums" if question else "talk", split, answer)
            )
    return records


def tiny_pool() -> list[Answered]:
    """Three responses to each training and validation prompt of `tiny_records`, two of them equal
    for every sixth."""
    prompts = [r for r in tiny_records() if isinstance(r, Prompt) and r.split != "test"]
    return [
        Answered(prompt, tuple(_text(i + 4 * k, (i + k * (1 + i % 6)) % 6) for k in range(3)))
        for i, prompt in enumerate(prompts)
    ]


class TinyGold:
    """`preflab.interfaces.Gold`: a good word is worth 1, a bad one -1, every word 0.1 up to
    `MOST_WORDS`."""

    def parts(self, prompt: Prompt, response: str) -> Mapping[str, float]:
        """The total and its parts."""
        words = response.split()
        parts = {"helpful": float(words.count("good")), "harmless": -float(words.count("bad"))}
        parts["truthful"] = 0.1 * min(len(words), MOST_WORDS)
        return {"gold": sum(parts.values()), **parts}


class TinyLabeler:
    """`preflab.interfaces.Labeler`: one person who always sees the true utility."""

    def __init__(self) -> None:
        self.gold = TinyGold()

    def rank(
        self, prompt: Prompt, responses: Sequence[str], seed: Sequence[int | str]
    ) -> Sequence[Ranking]:
        """One ranking; equal utilities are ties."""
        ranks = [-self.gold.parts(prompt, text)["gold"] for text in responses]
        return [
            Ranking(prompt, tuple(responses), preferences_from_ranks(ranks), "labeler", "group")
        ]

    def preference(
        self, prompt: Prompt, first: str, second: str, group: str | None = None
    ) -> float:
        """1, 0, or 0.5 for a tie; "held_out" people are of the same opinion."""
        a, b = (self.gold.parts(prompt, text)["gold"] for text in (first, second))
        return 0.5 if a == b else float(a > b)


class TinyReward:
    """`preflab.interfaces.RewardModel`: the true utility, as a function of the text."""

    def __init__(self) -> None:
        self.gold = TinyGold()

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        import torch

        rows = zip(rollout.prompts, rollout.texts, strict=True)
        values = [self.gold.parts(prompt, text)["gold"] for prompt, text in rows]
        return torch.tensor(values, dtype=torch.float32, device=rollout.prompt_ids.device)
