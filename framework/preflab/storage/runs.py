"""Runs on this disk: where they are, how one is called by its name, and what has become of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from preflab.errors import UserError, nearest
from preflab.signals import process_name
from preflab.storage.run_folder import (
    ARTIFACTS,
    LEDGER,
    MANIFEST,
    RUNNING,
    SUMMARY,
    Manifest,
    config_file,
    is_running,
    jobs_process,
    noted_jobs,
    read_ledger,
    read_manifest,
    seconds_of,
)

ROOT = Path("runs")
"""Where runs are unless Hydra's settings say otherwise."""
DEPTH = 3
"""How far below a given folder run folders are looked for: runs/ itself may be given."""
KILLED, UNKNOWN = "killed", "unknown"
"""States of a run that did not note its end: nobody makes it; or it was begun on another machine,
whose processes cannot be seen from here."""


def choices(folder: Path) -> dict[str, Any]:
    """Which option each config group of a run was composed from, as Hydra noted it; {} if that
    cannot be read."""
    try:
        noted = OmegaConf.load(config_file(folder).with_name("hydra.yaml"))
        found = OmegaConf.select(noted, "hydra.runtime.choices")
    except (OSError, OmegaConfBaseException, ValueError, YAMLError):
        return {}
    return dict(found) if isinstance(found, DictConfig) else {}


def composed(folder: Path) -> dict[Any, Any]:
    """The config that a run was composed to, references unresolved; {} if it cannot be read."""
    try:
        config = OmegaConf.load(config_file(folder))
        container = OmegaConf.to_container(config, resolve=False)
    except (OSError, OmegaConfBaseException, ValueError, YAMLError):
        return {}
    return container if isinstance(container, dict) else {}


def dotted(config: Mapping[Any, Any]) -> dict[str, Any]:
    """A config as dotted keys, without the study.

    >>> dotted({"a": {"b": 1, "c": {}}, "study": {"title": "t"}})
    {'a.b': 1, 'a.c': {}}
    """
    return dict(_dotted({key: value for key, value in config.items() if key != "study"}))


def _dotted(node: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


_ENDED = ("Z", "X")
"""States of a process that has ended, and that nobody has asked about yet."""


def process_mark(process: int) -> str:
    """What identifies a process of this machine for good, since ids are given again: host, space
    of process ids, id, and when it began, in the clock ticks of the system; "" for one that has
    ended, and where the system does not say."""
    host_and_space = process_name().rpartition(" ")[0]
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
        state, *rest = fields.rpartition(")")[2].split()  # the name in () may have blanks
        return "" if state in _ENDED else f"{host_and_space} {process} {rest[18]}"  # field 22
    return ""


def state_of(folder: Path, manifest: Mapping[str, Any]) -> str:
    """What has become of a run: its status, and in the place of "running" the truth: "running"
    only while its process lasts (it holds a lock of the folder; on a disk without locks its mark is
    compared with the processes that there are), else `KILLED`, or `UNKNOWN`."""
    status = str(manifest.get("status") or UNKNOWN)
    if status != RUNNING or is_running(folder):
        return status
    if str(manifest.get("host") or "") != platform.node():
        return UNKNOWN
    return RUNNING if lasting(str(manifest.get("process") or "")) else KILLED


def lasting(mark: str) -> int:
    """The id of the process of a mark (`process_mark`), if it lasts on this machine; 0 if not."""
    number = mark.split(" ")[-2] if mark.count(" ") >= 2 else ""
    return int(number) if number.isdecimal() and process_mark(int(number)) == mark else 0


def running_process(folder: Path) -> int:
    """The id of the process to stop so that nothing goes on in the folder of a run: that of its
    multirun, if it is a job. 0: it is not known."""
    whole, manifest = multirun_of(folder), read_manifest(folder)
    own = str(manifest.get("process") or "") if manifest else ""
    marks = [jobs_process(whole) if whole else "", own]
    return next(filter(None, map(lasting, marks)), 0)


@dataclass(frozen=True)
class FoundRun:
    """A run folder and what its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def state(self) -> str:
        """What has become of it: see `state_of`."""
        return state_of(self.folder, self.manifest)

    @property
    def measures(self) -> dict[str, dict[str, float | None]]:
        """What its evaluation measured, by name: value, low and high of each; {} if nothing."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            summary = json.loads((self.folder / SUMMARY).read_bytes())
            return dict((summary.get("evaluation") or {}).get("measures") or {})
        return {}

    @property
    def hours(self) -> float:
        """What its stages took in all its attempts; stages that it reused take nothing."""
        return seconds_of(self.manifest) / 3600


def named_below(folder: Path, name: str, levels: int | None = DEPTH) -> list[Path]:
    """Files of a name in a folder and at most so many levels below it (None: at any), in the order
    of the numbers in their paths, without those among artifacts."""
    near = (
        folder.glob("/".join(["*"] * d + [name]))
        for d in range(1 + (DEPTH if levels is None else levels))
    )
    found = dict.fromkeys(itertools.chain(*near, folder.rglob(name) if levels is None else ()))
    own = (path for path in found if ARTIFACTS not in path.relative_to(folder).parts)
    return sorted(own, key=natural)


def runs_below(folder: Path, levels: int | None = DEPTH) -> list[FoundRun]:
    """All runs in a folder and at most so many levels below it (None: at any), in the order of
    their paths, jobs of a multirun by number."""
    found = dict[Path, FoundRun]()
    paths = named_below(folder, MANIFEST, levels)
    paths += [
        ledger.parent / str(row["folder"]) / MANIFEST
        for ledger in named_below(folder, LEDGER, levels)
        for row in read_ledger(ledger.parent)
        if row.get("folder")  # Hydra may have put it at any depth
    ]
    for path in sorted(paths, key=natural):
        if path.parent.resolve() in found:
            continue
        manifest = read_manifest(path.parent)
        if manifest is not None and isinstance(manifest.get("stages"), list):
            found[path.parent.resolve()] = FoundRun(path.parent, manifest)
    return list(found.values())


def natural(path: Path) -> list[tuple[int, str]]:
    """The order of paths by the numbers in them: 2 before 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, or of a multirun."""
    return (folder / MANIFEST).is_file() or is_multirun(folder)


def is_multirun(folder: Path) -> bool:
    """Whether a folder is that of a multirun, also before its first job has ended."""
    return (folder / LEDGER).is_file() or noted_jobs(folder) is not None


def multirun_of(folder: Path) -> Path | None:
    """The folder of the multirun that a run is a job of; None if it is none."""
    return next(filter(is_multirun, folder.absolute().parents[:DEPTH]), None)


def manifest_of(folder: Path) -> Manifest:
    """The manifest of the run in a folder; `UserError`, with the cure, if it is not that of one
    run."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(no_run(folder))
    return manifest


def no_run(folder: Path) -> str:
    """Why a folder is not that of one run, and which to give in its place."""
    if not folder.is_dir():
        return f"There is no folder {folder}: give the folder of a run, or its name."
    below = [str(run.folder) for run in runs_below(folder)]
    example = f"give one run, for example {below[0]}" if below else "none of its jobs has started"
    if is_multirun(folder):
        return f"{folder} is a multirun, not one run: {example}."
    without = f"{folder} is not the folder of a run: it has no {MANIFEST} that can be read."
    return f"{without} It holds runs: {example}." if below else without


def folder_of(word: str, root: Path = ROOT) -> Path:
    """The folder of a run or multirun, given as a path, or by its name or the name of its folder
    below ``runs``. `UserError` for a name that none has, or several."""
    if is_run(Path(word)):
        return Path(word)
    below = [folder for config in _folders(root) for folder in (config, *_folders(config))]
    known = [folder for folder in dict.fromkeys(below) if is_run(folder)]
    called = [folder for folder in known if word in (folder.name, _name(folder))]
    if len(called) == 1:
        return called[0]
    if called:
        listed = ", ".join(map(str, called))
        raise UserError(f"{word}: {len(called)} runs are called so: {listed}. Give one of them.")
    if Path(word).is_dir():
        raise UserError(no_run(Path(word)))
    if (job := _job(word, known, root)) is not None:
        return job
    names = [folder.name for folder in sorted(known, key=natural)[-20:]]
    raise UserError(
        f"There is no run '{word}': neither a folder nor a name below {root}/. "
        + (nearest(word, names) if names else f"No run is below {root}/.")
    )


def _job(word: str, known: Sequence[Path], root: Path) -> Path | None:
    """The job that is called by the name of its multirun, as in study/0, or the run that is called
    by its config and name; None if a word is of neither form. `UserError` for a multirun that has
    no such job, or several."""
    if is_run(root / word):
        return root / word
    name, _, job = word.partition("/")
    whole = [folder for folder in known if folder.name == name and is_multirun(folder)]
    found = [folder / job for folder in whole if job and is_run(folder / job)]
    if len(found) > 1:
        raise UserError(f"{word}: {len(found)} runs are called so: {', '.join(map(str, found))}.")
    if found or not whole or not job:
        return next(iter(found), None)
    jobs = [str(run.folder.relative_to(whole[0])) for run in runs_below(whole[0])]
    begun = nearest(job, jobs) if jobs else "None of its jobs has started."
    raise UserError(f"The multirun {whole[0]} has no job '{job}' that has started. {begun}")


def _name(folder: Path) -> str:
    manifest = read_manifest(folder)
    return str(manifest.get("name") or "") if manifest else ""


def _folders(folder: Path) -> Iterator[Path]:
    yield from (p for p in sorted(folder.glob("*")) if p.is_dir())
