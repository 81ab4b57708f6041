"""The end of a round, and copies of it: close, backup."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from preflab.errors import UserError
from preflab_people.agreeing import agreement_of
from preflab_people.commands.parsing import Parser
from preflab_people.frozen import FrozenRound, freeze
from preflab_people.opening import open_store
from preflab_people.rounds import Round, open_round, set_frozen
from preflab_people.store import Progress
from preflab_people.waiting import counted, go_on, how_far


def close(words: list[str]) -> int:
    """Close a round: its people can add nothing any more, and what they said is frozen for the run.
    Refused while judgments are missing, unless --early says that they shall be."""
    parser = Parser("label close", close.__doc__)
    parser.name()
    parser.add_argument("--early", action="store_true", help="although judgments are missing")
    options = parser.parse(words)
    folder, made = open_round(options.name)
    with open_store(folder, made) as store:
        progress = store.progress()
        far = how_far(progress, made.kind).capitalize()
        missing = f"{far}; {counted(progress.open, 'judgment')} missing."
        if not progress.done:
            raise UserError(f"{missing} {_nothing_to_close(options.name, progress)}")
        if progress.open and not options.early and not progress.closed:
            raise UserError(
                f"{missing} Wait for them, or close it as it is: preflab label close "
                f"{shlex.quote(options.name)} --early. What nobody judged then trains nothing."
            )
        store.close(time.time())
        snapshot = store.snapshot()
    frozen = freeze(folder, snapshot, agreement_of(snapshot), made.equal)
    set_frozen(folder, made, frozen)
    _say(options.name, made, frozen, progress)
    return 0


def _nothing_to_close(name: str, progress: Progress) -> str:
    """Why a round without a judgment that counts cannot be closed, with the cure."""
    invite = f"preflab label invite {shlex.quote(name)} --people 2"
    held_out = sum(member.submitted for member in progress.people if member.person.held_out)
    if held_out:
        return (
            f"Only held-out people have judged in round {name!r} ({counted(held_out, 'answer')}), "
            "and what they say trains nothing: a run that waits for this round could not go on. "
            f"Ask other people too: {invite}"
        )
    if progress.skipped:
        return (
            f"Everything that was answered in round {name!r} was skipped "
            f"({counted(progress.skipped, 'skip')}): there is nothing to close. preflab label "
            f"status {shlex.quote(name)} says why they skipped. Ask other people: {invite}"
        )
    return (
        f"Nobody has judged anything in round {name!r}: there is nothing to close. Ask people: "
        f"{invite}"
    )


def _say(name: str, made: Round, frozen: FrozenRound, progress: Progress) -> None:
    counts, facts = frozen.manifest["counts"], frozen.manifest
    print(f"Closed: {frozen.folder}")
    print(
        f"{counts['asked']} asked = {counts['submitted']} judgments + {counts['skipped']} skips + "
        f"{counts['open']} open."
    )
    if made.kind == "rank":
        without = facts["rankings without a preference"]
        print(
            f"{counted(facts['rankings'], 'ranking')} for training, {without} without a "
            f"preference, {counted(facts['demonstrations'], 'text')} that people wrote."
        )
    if made.kind == "demonstrate":
        print(f"{counted(facts['demonstrations'], 'demonstration')}.")
    if counts["held_out"] and made.kind != "compare":
        print(f"{counts['held_out']} of the judgments are of held-out people and train nothing.")
    if counts["removed"]:
        print(f"{counts['removed']} judgments of removed people are kept and not used.")
    if not progress.connected:
        print(
            f"People are in {progress.parts} parts that share no task: their judgments cannot be "
            "compared. A larger --overlap joins them."
        )
    print(f"Go on: {go_on(name, made)}")


def backup(words: list[str]) -> int:
    """Copy the store of a round into a file, while people work if need be. The copy is a store like
    the one it was made from."""
    parser = Parser("label backup", backup.__doc__)
    parser.name()
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file")
    options = parser.parse(words)
    if options.out.exists():
        raise UserError(f"{options.out} exists: a backup is never written over.")
    folder, made = open_round(options.name)
    with open_store(folder, made) as store:
        store.backup(options.out)
    print(f"Copied to {options.out}. It holds what people said, and no names or addresses.")
    return 0
