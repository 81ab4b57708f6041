"""One engine for several processes: who samples which rows, and who refreshes a copy of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.engine.counting import Counting
from preflab.engine.comparing import prepared
from preflab.engine.sharing import SharedEngine
from preflab.errors import NumericError
from preflab.interfaces import Sampling
from preflab.records import Prompt, Rollout
from preflab.sampling import Agreement, reads_parts
from support import FakeContext, cpu_runtime

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


class OfTwo:
    """A process of two that knows what process 0 decides."""

    device = "cpu"

    def __init__(self, rank: int, stale: bool, seen: list[str], row: Any = None) -> None:
        self.rank, self.stale, self.seen, self.row = rank, stale, seen, row

    def share(self, items: Any) -> Any:
        return items if self.rank == 0 else items[:0]

    def agreed(self, value: bool) -> bool:
        return value if self.rank == 0 else self.stale

    def gather(self, rows: Any) -> Any:
        if not rows and self.row and "meet" not in self.seen and self.stale:
            self.seen.append("meet")
            return []
        return rows or [self.row]


@pytest.mark.parametrize(
    ("rank", "stale", "done"),
    [
        (0, True, ["refresh", "meet", "sample"]),
        (1, True, ["meet"]),
        (0, False, ["sample"]),
        (1, False, []),
    ],
)
def test_one_process_refreshes_a_copy_before_any_samples(
    tmp_path: Path, rank: int, stale: bool, done: list[str]
) -> None:
    """Process 1 has no prompt, and nobody samples before both have met."""
    seen: list[str] = []

    class Copying(Counting):
        weights = ""

        def is_stale(self, version: str) -> bool:
            assert (rank, version) == (0, policy.version), "process 0 alone asks the copy"
            return stale

        def refresh(self, policy: Any) -> None:
            seen.append("refresh")

        def generate(self, *given: Any) -> Rollout:
            seen.append("sample")
            return super().generate(*given)

    policy = FakeContext(tmp_path).policy("base")
    row = ([3], [policy.tokenizer.eos_id], None, "")  # of process 0
    shared: Any = SharedEngine(Copying(), OfTwo(rank, stale, seen, row))  # type: ignore[arg-type]
    shared.generate(policy, PROMPTS[:1], Sampling(4, 1.0), (1,))
    assert seen == done


def test_a_process_does_not_ask_for_divided_weights_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody else gives a server weights once process 0 has refreshed it: the process
    that sees it would wait for the others' parts without end."""
    monkeypatch.setattr("preflab.engine.sharing.is_sharded", lambda module: True)

    class Copying(Counting):
        weights = ""

        def is_stale(self, version: str) -> bool:
            return False

        def refresh(self, policy: Any) -> None:
            list(policy.weights())

        def generate(self, policy: Any, *given: Any) -> Rollout:
            self.refresh(policy)
            return super().generate(policy, *given)

    policy = FakeContext(tmp_path).policy("base")
    shared: Any = SharedEngine(Copying(), OfTwo(0, False, []))  # type: ignore[arg-type]
    with pytest.raises(NumericError, match="somebody else gave it weights"):
        shared.generate(policy, PROMPTS[:1], Sampling(4, 1.0), (1,))


def test_who_reads_parts_of_a_policy() -> None:
    """What reads the policy itself, and a copy that takes parts; not another copy."""

    class Copying(Counting):
        weights = ""

    class Server(Copying):
        def is_stale(self, version: str) -> bool:
            return True

        def refresh(self, policy: Any) -> None:
            pass

    runtime: Any = None
    for engine, reads in ((Counting(), True), (Copying(), False), (Server(), True)):
        assert reads_parts(engine) is reads
        assert reads_parts(prepared(engine, cpu_runtime(), Agreement())) is reads
        assert reads_parts(SharedEngine(engine, runtime)) is reads
