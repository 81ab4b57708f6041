"""How long a guard of a server is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from preflab.records import Prompt
from preflab_builtin.guard.verdicts import Verdict
from preflab_serve.guarding import Checking


def test_each_call_about_a_response_that_goes_on_has_its_time() -> None:
    """A response, with the end of its prompt, and with the last word: three calls of 0.2 s, where
    one may take 0.5 s. No call takes longer, so that nobody else is locked out."""
    stuck: list[bool] = []

    class Slow:
        def check(self, prompts: Sequence[Prompt], texts: Sequence[str] | None) -> list[Verdict]:
            time.sleep(0.2)
            stuck.append(checking.asker.stuck)
            return [Verdict() for _ in prompts]

    checking = Checking(Slow(), "No.", 2, seconds=0.5)
    (verdict,) = asyncio.run(checking.check_continued([Prompt("", "one two")], ["three"]))
    assert verdict.shown
    assert stuck == [False] * 3
