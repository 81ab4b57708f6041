"""Guards in a run are asked as in a server: one that takes too long is not waited for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preflab.errors import NumericError, PluginError, UserError
from preflab.interfaces import Context
from preflab.records import Prompt
from preflab_builtin.guard.config import PIECE
from preflab_builtin.guard.verdicts import Guard, Verdict


@dataclass(frozen=True)
class InTime:
    """`preflab_builtin.guard.verdicts.Guard`: what another one says, as long as it says something.
    `PluginError` once it has taken longer than ``seconds`` for each `PIECE` texts: no verdict means
    that nothing is shown, and a rate with such texts in it would be none of the guard's.

    key: of the options that hold ``seconds``, for the message."""

    guard: Guard
    seconds: float
    key: str

    def check(self, prompts: Sequence[Prompt], responses: Sequence[str] | None) -> list[Verdict]:
        """A verdict each."""
        said = queue.SimpleQueue[list[Verdict] | BaseException]()

        def ask() -> None:
            try:
                said.put(self.guard.check(prompts, responses))
            except BaseException as error:
                said.put(error)

        # A daemon: one that is stuck keeps no process alive.
        threading.Thread(target=ask, name="guard", daemon=True).start()
        pieces = -(-len(prompts) // PIECE)
        try:
            found = said.get(timeout=self.seconds * max(1, pieces))
        except queue.Empty:
            raise PluginError(
                f"{self.key}: the guard took more than {self.seconds:g} s for each {PIECE} of "
                f"{len(prompts)} texts, so that nothing is shown and nothing measured. What was "
                f"computed before is kept. If it is slow and not stuck: {self.key}.seconds="
                f"{self.seconds * 10:g}."
            ) from None
        if isinstance(found, UserError | NumericError):
            # Whatever the reason, a guard that cannot say anything ends a run in one way.
            raise PluginError(
                f"{self.key}: nothing is shown and nothing measured. {found}"
            ) from found
        if isinstance(found, BaseException):
            raise found
        return found


def guard_of(config: Any, seconds: float, owner: Any, context: Context) -> InTime:
    """The guard of a config, asked in time. owner: the config that holds ``seconds``."""
    return InTime(context.component("guard", config), seconds, context.key_of(owner))
