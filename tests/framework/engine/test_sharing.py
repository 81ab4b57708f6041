"""One engine for several processes: who samples which rows, and who refreshes a copy of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.engine.counting import Counting
from preflab.engine.sharing import SharedEngine
from preflab.interfaces import Sampling
from preflab.records import Prompt, Rollout
from support import FakeContext

PROMPTS = [Prompt(f"p{i}", "red blue") for i in range(3)]


def test_a_process_samples_its_share_under_the_rows_numbers(tmp_path: Path) -> None:
    class Second:
        """Process 1 of two, which answers the last two of three prompts."""

        device = "cpu"

        def share(self, items: Any) -> Any:
            return items[1:]

        def gather(self, rows: Any) -> Any:
            return [*rows[:2], *rows]  # as if process 0 had given the first prompt's rows

    engine, policy = Counting(), FakeContext(tmp_path).policy("base")
    shared: Any = SharedEngine(engine, Second())  # type: ignore[arg-type]
    rollout = shared.generate(policy, PROMPTS, Sampling(4, 1.0, samples=2), (1,))
    assert engine.asked == [(["p1", "p2"], 2, 2)]  # rows 0 and 1 are those of the first prompt
    assert [prompt.id for prompt in rollout.prompts] == ["p0", "p0", "p1", "p1", "p2", "p2"]


@pytest.mark.parametrize(("rank", "done"), [(0, ["refresh", "meet", "sample"]), (1, ["meet"])])
def test_one_process_refreshes_a_copy_before_any_samples(
    tmp_path: Path, rank: int, done: list[str]
) -> None:
    """Process 1 has no prompt, and nobody samples before both have met."""
    seen: list[str] = []

    class Copying(Counting):
        weights = ""

        def refresh(self, policy: Any) -> None:
            seen.append("refresh")

        def generate(self, *given: Any) -> Rollout:
            seen.append("sample")
            return super().generate(*given)

    class OfTwo:
        device = "cpu"

        def __init__(self) -> None:
            self.rank = rank

        def share(self, items: Any) -> Any:
            return items if self.rank == 0 else items[:0]

        def gather(self, rows: Any) -> Any:
            if rows == [0]:
                seen.append("meet")
            return rows or [([3], [policy.tokenizer.eos_id], None, "")]  # of process 0

    policy = FakeContext(tmp_path).policy("base")
    shared: Any = SharedEngine(Copying(), OfTwo())  # type: ignore[arg-type]
    shared.generate(policy, PROMPTS[:1], Sampling(4, 1.0), (1,))
    assert seen == done
