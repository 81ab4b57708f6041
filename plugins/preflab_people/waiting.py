"""What the people of an open round have yet to do, in one sentence. The store is opened only here,
so that a closed round needs no extra."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from preflab_people.judgments import TaskKind
from preflab_people.rounds import Round, folder_of, read_round

if TYPE_CHECKING:
    from preflab_people.frozen import FrozenRound
    from preflab_people.store.records import Progress

DONE = {
    "rank": "prompts are ranked",
    "demonstrate": "demonstrations are written",
    "compare": "prompts are compared",
}
_TASK = {"rank": "", "demonstrate": " --task demonstrate", "compare": " --task compare"}


def waiting(name: str, kind: TaskKind, base: Path = Path()) -> str:
    """How far a round is, and the command with which people go on; ``{run}`` stands for the
    folder of the run."""
    command = f"preflab label {{run}}{_TASK[kind]}"  # the run's config names the round
    folder = folder_of(name, base)
    found = read_round(folder)
    if found is None:
        return f"nobody was asked yet: {command}"
    if importlib.util.find_spec("sqlalchemy") is None:
        return f"the round {name} is open: {command}"
    from preflab_people.opening import open_store

    with open_store(folder, found) as store:
        progress = store.progress()
    close = f"; when they are done: preflab label close {name}"
    return f"{how_far(progress, kind)}: {command}{close}"


def counted(number: int, one: str, more: str = "") -> str:
    """A number of things.

    >>> counted(1, "person", "people"), counted(2, "text")
    ('1 person', '2 texts')
    """
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def made_by(frozen: FrozenRound, labelers: Sequence[str], what: str) -> str:
    """What real people made in a round that is closed. labelers: the person of each piece."""
    return (
        f"real people gave {counted(len(labelers), what)} in the round {frozen.name} (digest "
        f"{frozen.digest[:12]}): {counted(len(set(labelers)), 'person', 'people')}."
    )


def how_far(progress: Progress, kind: TaskKind) -> str:
    """For example "212 of 900 prompts are ranked (38 of 180 twice), 3 people active"."""
    single = progress.tasks - progress.double_tasks
    twice = (
        f" ({progress.double_done} of {progress.double_tasks} twice)"
        if progress.double_tasks and single
        else ""
    )
    people = f"{counted(progress.active, 'person', 'people')} active"
    return f"{progress.begun} of {progress.tasks} {DONE[kind]}{twice}, {people}"


def go_on(name: str, made: Round) -> str:
    """What comes after a round is closed: the command with which its run goes on."""
    if not made.runs:
        return _without_run(name, made.kind)
    words = {
        "rank": f"labeler=people labeler.round={name}",
        "demonstrate": f"demonstrations=people demonstrations.round={name}",
        "compare": "+evaluator@evaluation.evaluators.people=people "
        f"evaluation.evaluators.people.round={name}",
    }[made.kind]
    if made.kind == "compare" and made.versus:
        quoted = made.versus.replace("\\", "\\\\").replace('"', '\\"')
        words += " " + shlex.quote(f'evaluation.evaluators.people.versus="{quoted}"')
    return f"preflab rerun {shlex.quote(made.runs[0])} {words}"


def _without_run(name: str, kind: TaskKind) -> str:
    """The same for a round that was imported."""
    if kind == "compare":
        return f"preflab label status {name}"
    made = "rankings" if kind == "rank" else "demonstrations"
    return (
        f"preflab label export {name} --format preflab --out FOLDER; then any run with "
        f"{made}=files {made}.path=FOLDER/{made}.jsonl"
    )
