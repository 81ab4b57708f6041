"""The frozen round: what people said, as files that never change and that name their own digest.

A round is frozen from a snapshot of its store, in one rename. What reads it later verifies every
file. `preflab_people.labeler` and `preflab_people.evaluator` look answers up in it;
``rankings=files`` and ``demonstrations=files`` read two of its files as they are.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from preflab.errors import StorageError
from preflab.records import RANKINGS_FILE, to_json
from preflab.storage.durable import (
    cached_digest,
    fsync,
    make_folder,
    publish,
    read_sealed,
    sync_below,
    write_sealed,
)
from preflab_people.judgments import (
    GONE,
    Judgment,
    Person,
    Task,
    TaskKind,
    canonical_digest,
    judgment_from_json,
    judgment_to_json,
    takes_place,
    task_from_json,
    task_to_json,
)
from preflab_people.store import Snapshot, event_to_json, settings_to_json
from preflab_people.store.settings import RoundSettings, settings_from_json
from preflab_people.training import Judged, canonical, demonstration_row, demonstrations, rankings

FORMAT = 1
"""Number of this form of the folder. A folder with a higher one is refused."""
MANIFEST = "manifest.json"
TASKS, LABELS, LABELERS = "tasks.jsonl", "labels.jsonl", "labelers.json"
DEMONSTRATIONS, AGREEMENT = "demonstrations.jsonl", "agreement.json"
EVENTS, INSTRUCTIONS = "events.jsonl", "instructions.json"


# --- counts ---


def count(tasks: Sequence[Task], judged: Sequence[Judged]) -> dict[str, int]:
    """Requests for judgments of normal tasks: asked = submitted + skipped + open, where a request
    that was skipped is made again, and so is one to a person who was removed. held_out: submitted
    ones of held-out people, which come on top where something is trained. removed: judgments of
    removed people, which are in no other number."""
    normal = [row for row in judged if row[0].origin == "normal"]
    valid = [row for row in normal if row[2].state not in GONE]
    given = [(task, person) for task, judgment, person in valid if not judgment.answer.skipped]
    number = Counter(
        task.id for task, p in given if takes_place(task.origin, task.kind, p.held_out)
    )
    wanted = [task for task in tasks if task.origin == "normal"]
    left = sum(max(0, task.want - number[task.id]) for task in wanted)
    skipped = len(valid) - len(given)
    return {
        "tasks": len(wanted),
        "asked": len(given) + skipped + left,
        "submitted": len(given),
        "skipped": skipped,
        "open": left,
        "held_out": sum(person.held_out for _, person in given),
        "removed": len(normal) - len(valid),
    }


# --- writing ---


def freeze(
    folder: Path,
    snapshot: Snapshot,
    agreement: Mapping[str, Any],
    equal: Mapping[str, str] = MappingProxyType({}),
) -> FrozenRound:
    """Write ``folder/frozen-DIGEST`` from a snapshot: complete or not at all, and durable. The same
    snapshot gives the same folder, which is then only verified. agreement: what agreement.json
    holds. equal: see `FrozenRound.equal`."""
    make_folder(folder)
    partial = folder / f".frozen-{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        facts = _write_files(partial, snapshot, agreement, equal)
        final = folder / f"frozen-{facts['digest'][:12]}"
        if final.exists():
            return read_frozen(final)
        write_sealed(partial / MANIFEST, facts)
        sync_below(partial)
        publish(partial, final, final.with_suffix(".replaced"))
        fsync(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_frozen(final)


def _write_files(
    folder: Path, snapshot: Snapshot, agreement: Mapping[str, Any], equal: Mapping[str, str]
) -> dict[str, Any]:
    """All files but the manifest; its content."""
    tasks, settings = snapshot.tasks, snapshot.settings
    judged = canonical(tasks, snapshot.judgments, snapshot.people)
    ranked = rankings(judged)
    preferring = [to_json(one) for one in ranked if one.preferences]
    written = list(map(demonstration_row, demonstrations(judged)))
    people = [person_row(p) for p in sorted(snapshot.people, key=lambda p: p.id)]
    rows = {
        TASKS: map(task_to_json, tasks),
        LABELS: (label_row(row, snapshot.agreed.get(row[1].event, 0)) for row in judged),
        RANKINGS_FILE: preferring,
        DEMONSTRATIONS: written,
        EVENTS: map(event_to_json, snapshot.events),
    }
    for name, lines in rows.items():
        _write_lines(folder / name, lines)
    versions = [
        {"version": i.version, "markdown": i.markdown, "at": i.at} for i in snapshot.instructions
    ]
    consents = [
        {"version": c.version, "digest": c.digest, "markdown": c.markdown}
        for c in snapshot.consents
    ]
    about = {"settings": settings_to_json(settings), "versions": versions, "consents": consents}
    for name, value in ((LABELERS, people), (AGREEMENT, agreement), (INSTRUCTIONS, about)):
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / name).write_text(f"{text}\n", encoding="utf8", errors="surrogatepass")
    files = {path.name: cached_digest(path) for path in sorted(folder.iterdir())}
    facts: dict[str, Any] = {
        "format": FORMAT,
        "kind": settings.kind,
        "pool": settings.pool,
        "files": files,
        "equal": dict(equal),
    }
    return {
        **facts,
        "digest": canonical_digest(facts),
        "round": settings.name,
        "counts": count(tasks, judged),
        "rankings": len(preferring),
        "rankings without a preference": len(ranked) - len(preferring),
        "demonstrations": len(written),
        "removed": [row["id"] for row in people if row["state"] in GONE],
    }


def person_row(person: Person) -> dict[str, Any]:
    """A person as an entry of labelers.json."""
    return asdict(person)


NOT_SAID = ("group", "held_out", "origin", "consent")
"""Keys of a line of labels.jsonl that are not of the judgment itself."""


def label_row(judged: Judged, consent: int = 0) -> dict[str, Any]:
    """A judgment as a line of labels.jsonl. consent: version of the text that its person had agreed
    to, as instructions.json has them; 0 for none."""
    task, judgment, person = judged
    about = {"group": person.group, "held_out": person.held_out, "origin": task.origin}
    return {**judgment_to_json(judgment), **about, "consent": consent}


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf8", errors="surrogatepass") as stream:
        stream.writelines(json.dumps(row, sort_keys=True) + "\n" for row in rows)


# --- reading ---


@dataclass(frozen=True)
class FrozenRound:
    """A verified frozen round. manifest: its manifest.json."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the round."""
        return str(self.manifest["round"])

    @property
    def kind(self) -> TaskKind:
        """What its people were asked."""
        kind: TaskKind = self.manifest["kind"]
        return kind

    @property
    def digest(self) -> str:
        """sha256 (hex) of everything that it holds."""
        return str(self.manifest["digest"])

    @property
    def pool(self) -> str:
        """sha256 (hex) of the samples that its people were asked about."""
        return str(self.manifest["pool"])

    @property
    def equal(self) -> Mapping[str, str]:
        """Prompts of the pool that nobody was asked about, because all responses to them are the
        same: by the text of the prompt, `canonical_digest` of that one response."""
        equal: Mapping[str, str] = self.manifest["equal"]
        return equal

    @cached_property
    def settings(self) -> RoundSettings:
        """What the round asked for."""
        return settings_from_json(self._asked["settings"])

    @property
    def instructions(self) -> str:
        """The newest instructions of its people (Markdown); "" if there are none."""
        versions = self._asked["versions"]
        return str(versions[-1]["markdown"]) if versions else ""

    @cached_property
    def _asked(self) -> Mapping[str, Any]:
        value: Mapping[str, Any] = json.loads(
            (self.folder / INSTRUCTIONS).read_text(encoding="utf8", errors="surrogatepass")
        )
        return value

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, in the order of the pool."""
        return tuple(map(task_from_json, self._rows(TASKS)))

    @cached_property
    def people(self) -> tuple[Person, ...]:
        """Everybody who was invited, by id."""
        rows = json.loads((self.folder / LABELERS).read_bytes())
        return tuple(Person(**row) for row in rows)

    @cached_property
    def judgments(self) -> tuple[Judgment, ...]:
        """All valid judgments, skips and gold included, in canonical order."""
        rows = ({k: v for k, v in row.items() if k not in NOT_SAID} for row in self._rows(LABELS))
        return tuple(map(judgment_from_json, rows))

    @cached_property
    def judged(self) -> list[Judged]:
        """Judgments with task and person, in canonical order."""
        return canonical(self.tasks, self.judgments, self.people)

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        with (self.folder / name).open(encoding="utf8", errors="surrogatepass") as stream:
            for line in stream:
                yield json.loads(line)


def read_frozen(folder: Path) -> FrozenRound:
    """The round of a folder that `freeze` wrote, every file verified; `StorageError` naming the
    first one that is missing or changed."""
    cure = (
        "Nothing was computed from it. Restore it from a copy, or move the folder away and give "
        "'preflab label close' again, which writes it from the store."
    )
    try:
        manifest = read_sealed(folder / MANIFEST)
    except OSError as error:
        raise StorageError(
            f"{folder / MANIFEST} cannot be read: {error.strerror}. {cure}"
        ) from None
    except StorageError as error:
        raise StorageError(f"{error}. {cure}") from None
    if manifest["format"] > FORMAT:
        raise StorageError(
            f"{folder} has the form {manifest['format']}, and this preflab reads up to {FORMAT}: "
            "install the version that wrote it, or a newer one."
        )
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or cached_digest(path) != digest:
            what = "was changed after the round was closed" if path.is_file() else "is missing"
            raise StorageError(f"{path} {what}. {cure}")
    assert manifest["kind"] in get_args(TaskKind)
    return FrozenRound(folder, manifest)
