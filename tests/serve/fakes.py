"""An arm without a model: it answers with given texts, a byte at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, cast

from preflab.interfaces import AskedRow, Sampling
from preflab.records import Prompt
from preflab_builtin.causal_lm.vocabularies import byte_tokenizer
from preflab_serve.arms import Arm


class Bytes:
    """`preflab.interfaces.StreamsRows`: the answer to a prompt and a seed, byte by byte."""

    sampling = Sampling(max_tokens=200)

    def __init__(self, answer: Callable[[str, tuple[int | str, ...]], str]) -> None:
        self.answer, self.tokenizer, self.steps = answer, byte_tokenizer(), 0

    def generate(self, *given: Any) -> Any:
        raise NotImplementedError

    def stream_rows(self, policy: object, rows: Sequence[AskedRow], temperature: float) -> Any:
        return Rows(self, rows)


class Rows:
    """Responses that grow by a byte at each step, whole characters or not."""

    def __init__(self, engine: Bytes, rows: Sequence[AskedRow]) -> None:
        self.engine = engine
        tokenizer = engine.tokenizer
        texts = [engine.answer(tokenizer.decode(row.prompt), row.seed) for row in rows]
        self.left = [tokenizer.encode_response(Prompt("", ""), text) for text in texts]

    def step(self) -> list[tuple[int, int]]:
        self.engine.steps += 1
        return [(i, ids.pop(0)) for i, ids in enumerate(self.left) if ids]

    def drop(self, rows: Collection[int]) -> None:
        for row in rows:
            self.left[row] = []


def fake_arm(answer: Callable[[str, tuple[int | str, ...]], str]) -> Arm:
    """An arm called "fake". answer: of a prompt and a seed."""

    class Run:
        title, folder = "fake", Path("fake")

        def unread(self, text: str) -> None:
            return None

    class Fake:
        name, role, created, run = "fake", "result", 0, Run()
        own_way, guarded, positions, policy, draws = False, False, 1000, None, 1
        engine = Bytes(answer)
        tokenizer = engine.tokenizer

    return cast(Arm, Fake())
