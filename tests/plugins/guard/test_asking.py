"""How long a guard is waited for."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from preflab.errors import NumericError, PluginError, UserError
from preflab.records import Prompt
from preflab.testing import FakeContext
from preflab_builtin.guard import config as c
from preflab_builtin.guard.asking import InTime
from preflab_builtin.guard.responder import guarded
from preflab_builtin.guard.verdicts import Verdict
from preflab_builtin.guard.words import words

PROMPTS = [Prompt("0", "hello"), Prompt("1", "you fool"), Prompt("2", "bye")]


def test_a_guard_that_hangs_ends_the_run_with_words(tmp_path: Path) -> None:
    """0.2 s for 32 texts: 33 texts have 0.4 s."""
    hung = threading.Event()

    class Stuck:
        def check(self, prompts: Any, responses: Any) -> list[Verdict]:
            hung.wait(60)
            return [Verdict() for _ in prompts]

    class Context(FakeContext):
        def component(self, kind: str, config: Any) -> Any:
            return Stuck()

    config = c.GuardedConfig(guard=object(), refusal="good", seconds=0.2)
    answers = guarded(config, Context(tmp_path, stage="algorithm"))
    began = time.monotonic()
    with pytest.raises(
        PluginError, match=r"more than 0.2 s for each 32 of 33 .*algorithm.seconds=2"
    ):
        answers.guard.check([Prompt("", "one")] * 33, None)
    assert 0.35 < time.monotonic() - began < 10
    hung.set()


def test_a_guard_in_time_says_what_it_says() -> None:
    class Broken:
        def check(self, prompts: Any, responses: Any) -> list[Verdict]:
            raise OSError("gone")

    plain = words(c.WordsConfig(words=["fool"]), cast(Any, None))
    assert InTime(plain, 30.0, "x").check(PROMPTS, None) == plain.check(PROMPTS, None)
    with pytest.raises(OSError, match="gone"):
        InTime(Broken(), 30.0, "x").check(PROMPTS, None)


@pytest.mark.parametrize("error", [UserError("too long"), NumericError("not finite")])
def test_a_guard_that_cannot_check_a_text_ends_a_run_as_one_that_raises(error: Exception) -> None:
    """With exit code 3, although these errors have 2 and 5 by themselves."""

    class Refusing:
        def check(self, prompts: Any, responses: Any) -> list[Verdict]:
            raise error

    with pytest.raises(PluginError, match=f"x: nothing is shown .*{error}"):
        InTime(Refusing(), 30.0, "x").check(PROMPTS, None)
