"""Which formats there are, and the two ways through them: `export` and `read`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preflab.errors import UserError, nearest
from preflab_people.exchange import argilla, fastchat, label_studio, preflab_files, trl
from preflab_people.exchange.labels import Gathering, Imported, Labels
from preflab_people.exchange.losses import ASPECTS, losses
from preflab_people.exchange.privacy import Pseudonyms, public


@dataclass(frozen=True)
class Format:
    """A format. about: for help. write, read: None if there is no such way. instead: what to do
    then. holds: what it holds of what people say (`preflab_people.exchange.losses`). without: what
    an export leaves out on purpose. labels: the file of an export that is read back, where one of
    several is."""

    about: str
    write: Callable[[Labels, Path], list[Path]] | None = None
    read: Callable[[Path, Gathering], None] | None = None
    instead: str = ""
    holds: tuple[str, ...] = ASPECTS
    without: str = ""
    labels: str = ""


BLIND = (
    "gold and repeated tasks, judgments of held-out and removed people, groups of people, users of "
    "prompts, names of compared runs, and the order on the page"
)
FORMATS = {
    "preflab": Format("preflab's own files: everything", preflab_files.write, preflab_files.read),
    "trl": Format(
        "TRL: preference and prompt-completion, training data alone",
        write=trl.write,
        instead="rankings=files and demonstrations=files read them as training data",
        holds=(),
        without="gold and repeated tasks, and judgments of held-out and removed people",
    ),
    "argilla": Format(
        "Argilla 2: records and settings",
        argilla.write,
        argilla.read,
        without=f"{BLIND}, and times",
        labels=argilla.RECORDS,
    ),
    "label-studio": Format(
        "Label Studio: tasks and layout",
        label_studio.write,
        label_studio.read,
        without=BLIND,
        labels=label_studio.TASKS,
    ),
    "fastchat": Format(
        "votes of Chatbot Arena and MT-bench",
        read=fastchat.read,
        instead="trl and preflab hold comparisons too",
    ),
}


def export(
    name: str, labels: Labels, folder: Path, secret: bytes | None = None, lossy: bool = False
) -> list[Path]:
    """Write what people said into a folder; the files. Nothing is overwritten. secret: keeps users
    of prompts under the same pseudonyms in another export; None: nobody can join two exports.
    lossy: leave out what the format cannot hold. `UserError` for a format that is not written, one
    that cannot hold something unless lossy, or a labeler without a pseudonym."""
    found = _format(name, "write")
    assert found.write is not None
    shown = public(labels, secret)
    lost = losses(shown, found.holds)
    if lost and not lossy:
        what = ", ".join(f"{aspect} (in {number} judgments)" for aspect, number in lost.items())
        raise UserError(
            f"{name} cannot hold all that people said: {what}. Give --lossy to leave that out, or "
            "--format preflab, which holds everything."
        )
    return found.write(shown, folder)


def read(name: str, path: Path, secret: bytes | None = None) -> Imported:
    """Read what people said in another tool. Names and addresses become pseudonyms: secret keeps
    them the same in another import. `UserError` naming file and line for a row that cannot be
    read."""
    found = _format(name, "read")
    assert found.read is not None
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder.")
    if found.labels and (path / found.labels).is_file():  # the folder of an export
        path /= found.labels
    gathering = Gathering(Pseudonyms(secret) if secret else Pseudonyms())
    found.read(path, gathering)
    if not gathering.judgments:
        gathering.remark("Nobody has judged anything in it.")
    return gathering.imported()


def _format(name: str, way: str) -> Format:
    ways = [key for key, value in FORMATS.items() if getattr(value, way) is not None]
    if name not in FORMATS:
        raise UserError(f"There is no format '{name}'. {nearest(name, ways)}")
    if name not in ways:
        done = "exported" if way == "write" else "imported"
        raise UserError(f"{name} is not {done}: {FORMATS[name].instead}. {nearest(name, ways)}")
    return FORMATS[name]
