"""``preflab label``: people are asked, and what they said becomes a frozen round.

    parsing     words of a command, errors with the nearest one
    beginning   makes a round, or goes on with it, and serves it
    making      the tasks and settings of a new round
    members     invite, state, forget
    showing     status
    closing     close, backup
    exchanging  export, import
    guarding    guard

Nothing here imports SQLAlchemy, starlette or torch before a command runs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module


def label(words: list[str]) -> int:
    """label RUN [RUN ...] [--task rank|demonstrate|compare] [--people N] [--name NAME] ...: people
    label in a browser; label invite|status|close|backup|export|import|guard|state|forget NAME: the
    rest of a round's life; each has --help

    The first form makes a round of what the run has, or goes on with it, serves its pages, and
    prints a link for each person.
    """
    from preflab_people.commands.parsing import COMMANDS, WITHOUT_STORE
    from preflab_people.opening import need_extra

    if words and words[0] in COMMANDS:
        if words[0] not in WITHOUT_STORE:
            need_extra()
        module, _, name = COMMANDS[words[0]].partition(":")
        command: Callable[[list[str]], int] = getattr(
            import_module(f"preflab_people.commands.{module}"), name
        )
        return command(words[1:])
    from preflab_people.commands.beginning import begin

    return begin(words)
