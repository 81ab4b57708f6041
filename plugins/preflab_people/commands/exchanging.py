"""What people said, to other tools and from them: export, import."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from preflab.errors import UserError
from preflab.storage.durable import make_folder
from preflab_people.commands.beginning import SECRET
from preflab_people.commands.parsing import Parser
from preflab_people.exchange.formats import BLIND, FORMATS, read
from preflab_people.exchange.formats import export as write
from preflab_people.exchange.labels import Asks, Imported, Labels
from preflab_people.frozen import MANIFEST, read_frozen
from preflab_people.judgments import Judgment, Task, canonical_digest
from preflab_people.opening import create_store, open_store
from preflab_people.rounds import Round, folder_of, open_round, read_round, write_round
from preflab_people.server.sessions import stored_secret
from preflab_people.store import Added, RoundSettings, Store
from preflab_people.store.settings import SKIP_REASONS
from preflab_people.waiting import go_on


def export(words: list[str]) -> int:
    """Write what the people of a round said into files of another tool, under their pseudonyms:
    groups of fewer than three people are merged, addresses in notes are left out. Refused where
    the format cannot hold all of it, unless --lossy."""
    parser = Parser("label export", export.__doc__)
    parser.name()
    one = parser.add_argument
    writes = [name for name, found in FORMATS.items() if found.write is not None]
    one("--format", required=True, metavar="FORMAT", help=", ".join(writes))
    one("--out", type=Path, required=True, metavar="FOLDER", help="nothing in it is overwritten")
    one("--lossy", action="store_true", help="leave out what the format cannot hold")
    options = parser.parse(words)
    labels, state = _labels(options.name)
    files = write(options.format, labels, options.out, lossy=options.lossy)
    if not files:
        raise UserError(f"{options.name}: nobody has said anything that {options.format} can hold.")
    print(
        f"{options.name} ({state}): {len(labels.judgments)} judgments of {len(labels.tasks)} tasks"
    )
    for path in files:
        print(f"  {path}")
    if FORMATS[options.format].without:
        print(f"Not in it, on purpose: {FORMATS[options.format].without}.")
    return 0


def _labels(name: str) -> tuple[Labels, str]:
    """What was said in a round, without people who were forgotten since; or in a frozen folder."""
    folder = folder_of(name)
    if (folder / MANIFEST).is_file():
        frozen = read_frozen(folder)
        asks = _asks(frozen.settings, frozen.instructions)
        return Labels(frozen.tasks, frozen.judgments, frozen.people, asks), "frozen"
    folder, made = open_round(name)
    with open_store(folder, made) as store:
        seen = store.snapshot()
    state = "closed" if seen.closed else "open: people may say more"
    newest = seen.instructions[-1].markdown if seen.instructions else ""
    asks = _asks(seen.settings, newest)
    return Labels(seen.tasks, seen.judgments, seen.people, asks), state


def _asks(settings: RoundSettings, instructions: str) -> Asks:
    return Asks(settings.flags, settings.likert, settings.skip_reasons, instructions)


def take_in(words: list[str]) -> int:
    """Put what people said in another tool into a round: into one whose tasks were exported, or
    into a new one, which is then made of the file's tasks. Names and addresses become pseudonyms.
    The same file again changes nothing."""
    parser = Parser("label import", take_in.__doc__)
    parser.name()
    one = parser.add_argument
    reads = [name for name, found in FORMATS.items() if found.read is not None]
    one("file", type=Path, metavar="FILE", help="of the other tool; for preflab: a folder too")
    one("--format", required=True, metavar="FORMAT", help=", ".join(reads))
    options = parser.parse(words)
    folder = folder_of(options.name)
    made = read_round(folder)
    if made is not None and made.frozen:
        raise UserError(
            f"The round {options.name!r} is closed. Give another name, and a round is made of the "
            f"file: preflab label import OTHER {options.file} --format {options.format}"
        )
    with _undone_if_it_fails(folder):
        secret = f"names {stored_secret(folder / SECRET)}".encode()
        imported = read(options.format, options.file, secret)
        if made is None:
            made = _new_round(options.name, folder, imported.labels, options.file)
            print(f"Round {options.name}: {len(imported.labels.tasks)} tasks to {made.kind}.")
        with open_store(folder, made) as store:
            added = _add(store, imported, options.name, options.file)
    _say(added, imported)
    print(f"How far it is: preflab label status {options.name}")
    print(f"At the end:    preflab label close {options.name}")
    if made.runs or made.kind != "compare":
        print(f"And then:      {go_on(options.name, made)}")
    else:
        print(
            "These comparisons belong to no run here: status shows their numbers, and export "
            "gives them to others."
        )
        if FORMATS[options.format].without.startswith(BLIND):
            print(
                f"Files of {options.format} do not say which run gave a response, so that no win "
                "rates can follow from them in a new round. Import them into the round that was "
                "exported, and they count as comparisons of its runs."
            )
    return 0


@contextlib.contextmanager
def _undone_if_it_fails(folder: Path) -> Iterator[None]:
    """A folder that was not there before is not there after a failure."""
    is_new = not folder.exists()
    make_folder(folder)
    try:
        yield
    except BaseException:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _new_round(name: str, folder: Path, labels: Labels, file: Path) -> Round:
    """A round of the tasks of a file. Each wants as many judgments as it has, or said it wants."""
    kinds = sorted({task.kind for task in labels.tasks})
    if len(kinds) != 1:
        what = f"tasks to {' and to '.join(kinds)}" if kinds else "no tasks"
        raise UserError(f"{file} holds {what}, and a round is about one kind of task.")
    said = [judgment.answer for judgment in labels.judgments]
    given = Counter(one.task for one in labels.judgments if not one.answer.skipped)
    wants = [
        replace(task, want=max(task.want, given[task.id])) if task.origin == "normal" else task
        for task in labels.tasks
    ]
    digest = canonical_digest([task.digest for task in wants])
    reasons = sorted({answer.skipped for answer in said if answer.skipped} - {*SKIP_REASONS})
    settings = RoundSettings(
        name=name,
        kind=kinds[0],
        pool=digest,
        flags=tuple(sorted({f for answer in said for names in answer.flags for f in names})),
        likert=any(answer.likert for answer in said),
        gold_share=0.0,
        retest_share=0.0,
        skip_reasons=(*SKIP_REASONS, *reasons),
    )
    made = Round(name, kinds[0], digest)
    create_store(folder, made, settings, wants, time.time()).dispose()
    write_round(folder, made)
    return made


def _add(store: Store, imported: Imported, name: str, file: Path) -> Added:
    judgments = list(_placed(imported.labels, store.snapshot().tasks, name, file))
    people = {person.id: person for person in imported.labels.people}
    added = store.add(people, judgments, time.time())
    if store.names is not None:
        present = {person.id for person in store.people() if person.state != "forgotten"}
        called = {who: {"from": name} for who, name in imported.names.items() if who in present}
        store.names.add(called)
    return added


def _say(added: Added, imported: Imported) -> None:
    print(
        f"{added.new} judgments are new, {added.changed} take the place of another one of the same "
        f"person, {added.known} were there already."
    )
    if added.left_out:
        print(f"{added.left_out} are left out: the people who gave them were forgotten here.")
    for remark in imported.remarks:
        print(remark)


def _placed(labels: Labels, tasks: Sequence[Task], name: str, file: Path) -> Iterator[Judgment]:
    """The judgments under the ids that their tasks have in the round; `UserError` if one of the
    tasks is none of the round's."""
    by_id = {task.id: task for task in tasks}
    by_digest = {task.digest: task for task in tasks if task.origin == "normal"}
    judged = {judgment.task for judgment in labels.judgments}
    place: dict[str, str] = {}
    other: list[Task] = []
    for task in (task for task in labels.tasks if task.id in judged):
        found = by_id.get(task.id)
        if found is None or found.digest != task.digest:
            found = by_digest.get(task.digest)
        if found is None:
            other.append(task)
        else:
            place[task.id] = found.id
    if other:
        raise UserError(
            f"{file}: {len(other)} of {len(judged)} tasks are none of the round {name!r}, or their "
            f"texts were changed, for example {other[0].prompt.text!r:.80}. Nothing was imported. "
            "Give another name, and a round is made of the file: preflab label import OTHER "
            f"{file} --format FORMAT"
        )
    for judgment in labels.judgments:
        yield replace(judgment, task=place[judgment.task])
