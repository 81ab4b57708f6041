"""Runs are taken along and removed: a copy that needs nothing from elsewhere, and what a removal
takes with it and what it leaves."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflab.errors import UserError
from preflab.storage.artifacts import Store, files_below, opened
from preflab.storage.run_folder import ARTIFACTS, RUNNING, artifact_of, running
from preflab.storage.runs import UNKNOWN, FoundRun, composed, runs_below

ARCHIVE = ".tar.gz"
"""A target that ends so is one file."""


def export(folder: Path, target: Path) -> int:
    """Copy a run, or a multirun, with its artifacts in the place of the links to them: nothing in
    the copy leads out of it. An artifact that several jobs share is copied once, and each job has
    it under its own name as well as its stage's. The number of artifacts; `UserError` if the target
    exists or a run is going on, `StorageError` if an artifact was changed since it was made."""
    runs = runs_below(folder)
    busy = [run.folder for run in runs if run.state == RUNNING]
    if busy:
        raise UserError(f"{busy[0]} is running: export it when it has ended.")
    if target.exists():
        raise UserError(f"{target} exists, and nothing is overwritten: give another target.")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{target} lies in {folder}: give a target outside of it.")
    whole = Path(str(target).removesuffix(ARCHIVE))
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    copy = partial / whole.name
    try:
        number = _copy(folder, copy, runs)
        if whole == target:
            os.rename(copy, target)
        else:
            made = shutil.make_archive(str(partial / "whole"), "gztar", partial, whole.name)
            os.rename(made, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return number


def _copy(folder: Path, copy: Path, runs: Sequence[FoundRun]) -> int:
    """The files of all runs, then each artifact where the first of them has its link."""
    links = {run.folder.resolve() / ARTIFACTS for run in runs}

    def left_out(place: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(place).resolve() / name in links]

    try:
        shutil.copytree(folder, copy, ignore=left_out)
    except shutil.Error as error:  # of each file that it could not copy: from, to, why
        place, _, why = error.args[0][0]
        cure = "Remove it, or bring back what it leads to." if Path(place).is_symlink() else ""
        raise UserError(f"{place} cannot be copied: {why}. {cure}".strip()) from error
    copied: dict[Path, Path] = {}
    for run in runs:
        for row in run.manifest["stages"]:
            place = copy / run.folder.relative_to(folder) / ARTIFACTS / row["stage"]
            artifact = artifact_of(run.folder, row)
            if artifact is None:
                raise UserError(
                    f"{run.folder}: the artifact of its stage '{row['stage']}' is gone, so that "
                    "the copy would not be whole. preflab rerun makes it again."
                )
            place.parent.mkdir(exist_ok=True)
            own = place.with_name(Path(row["artifact"]).name)
            if own != place:  # what another artifact says of this one, as an adapter of its base
                own.symlink_to(place.name)
            if artifact in copied:
                place.symlink_to(os.path.relpath(copied[artifact], place.parent))
                continue
            opened(artifact).verify()
            shutil.copytree(artifact, place)
            copied[artifact] = place
    return len(copied)


@dataclass(frozen=True)
class Removal:
    """What the removal of a run is about. runs: those in the folder; users: other runs whose config
    names something in the folder, or whose artifacts lie in it, as in a copy; unfinished: other
    runs that are going on, or may be on another machine; own: artifacts that no other run has or
    names; shared: those that another does; outside: whether the folder lies where no other runs
    are looked for."""

    folder: Path
    runs: tuple[FoundRun, ...]
    users: tuple[Path, ...]
    unfinished: tuple[Path, ...]
    own: tuple[Path, ...]
    shared: tuple[Path, ...]
    outside: bool

    def refuse(self, artifacts: bool = False, held: bool = False) -> None:
        """`UserError` if a run is going on, another one uses it, or it is a link. artifacts:
        whether they are to be removed, too, which is refused while it is not known what other runs
        need. held: whether this process holds the runs, so that none of them goes on."""
        if self.folder.is_symlink():
            raise UserError(
                f"{self.folder} is a link to {os.readlink(self.folder)}: give that folder, or "
                "remove the link."
            )
        busy = [run.folder for run in self.runs if not held and run.state == RUNNING]
        if busy:
            raise UserError(f"{busy[0]} is running: stop it first (kill -TERM, or Ctrl-C).")
        if self.users:
            raise UserError(
                f"{self.folder} is used by {', '.join(map(str, self.users))}, whose config or "
                "links lead into it: remove these first."
            )
        if artifacts and self.unfinished:
            raise UserError(
                f"{self.unfinished[0]} is running, perhaps on another machine, and may need these "
                "artifacts: give the command without --artifacts, or when it has ended."
            )
        if artifacts and self.outside:
            raise UserError(
                f"{self.folder} does not lie where other runs are looked for, so that it is not "
                "known which artifacts they have too: give the command in the folder that holds "
                "its runs/, or without --artifacts."
            )

    def megabytes(self) -> float:
        """The size of the artifacts that no other run has."""
        return sum(f.stat().st_size for place in self.own for f in files_below(place)) / 1e6


def removal(folder: Path, root: Path) -> Removal:
    """What the removal of a run, or multirun, is about. root: where other runs are looked for, at
    any depth."""
    inside = folder.resolve()
    runs = tuple(runs_below(folder, levels=None))
    mine = dict.fromkeys(place for run in runs for place in _artifacts(run))
    # What lies in the folder itself, as in a copy, goes with it.
    apart = [place for place in mine if not place.is_relative_to(inside)]
    others = [r for r in runs_below(root, levels=None) if inside not in _around(r.folder.resolve())]
    places = {place.name: place for place in (inside, *apart)}
    ways = functools.cache(_ways)
    needs = {
        run.folder: {way for p in (*_artifacts(run), *_named(run, places)) for way in ways(p)}
        for run in others
    }
    needed = set[Path]().union(*needs.values())
    return Removal(
        folder=folder,
        runs=runs,
        users=tuple(run for run, wanted in needs.items() if inside in wanted),
        unfinished=tuple(run.folder for run in others if run.state in (RUNNING, UNKNOWN)),
        own=tuple(place for place in apart if place not in needed),
        shared=tuple(place for place in apart if place in needed),
        outside=not inside.is_relative_to(root.resolve()),
    )


def remove(about: Removal, root: Path, artifacts: bool) -> list[Path]:
    """Remove what was said, with the artifacts that no other run has if they are asked for. All is
    looked at again, since a person may have thought about it for long: `UserError` if it is in use
    by now. The artifacts that are kept, because they have got a user or a job is making them."""
    with contextlib.ExitStack() as held:
        for run in about.runs:
            held.enter_context(running(run.folder))  # so that nobody begins it now
        now = removal(about.folder, root)
        now.refuse(artifacts, held=True)
        if [run.folder for run in now.runs] != [run.folder for run in about.runs]:
            raise UserError(f"{about.folder} has other runs by now: give the command again.")
        shutil.rmtree(about.folder)
        return [
            place
            for place in (about.own if artifacts else ())
            if place not in now.own or not Store(place.parent).remove(place)
        ]


def _artifacts(run: FoundRun) -> Iterator[Path]:
    """The artifacts of a run's finished stages, and those that it links to: a run that was begun
    again and then killed lists no stage yet, and still has its links."""
    listed = (artifact_of(run.folder, row) for row in run.manifest["stages"])
    linked = (link.resolve() for link in (run.folder / ARTIFACTS).glob("*") if link.is_dir())
    yield from (place for place in (*listed, *linked) if place is not None)


def _named(run: FoundRun, places: Mapping[str, Path]) -> Iterator[Path]:
    """What a run's config may name, as a path from where its command was given. places: what a word
    with a reference that cannot be resolved here counts as naming if it has the name in it."""
    where = (run.manifest.get("where") or {}).get("cwd") or ""
    config = composed(run.folder)
    for word in filter(None, _words(config)):
        if "${" in word:
            try:
                word = str(OmegaConf.create({**config, "word": word})["word"])
            except (OmegaConfBaseException, ValueError):
                yield from (places[part] for part in word.split("/") if part in places)
                continue
        if "\0" not in word and len(word) < 1000:
            yield Path(os.path.abspath(os.path.join(where, os.path.expanduser(word))))


def _words(node: object) -> Iterator[str]:
    """All texts in a config, at any depth."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _words(item)


def _ways(path: Path) -> frozenset[Path]:
    """All that must stay in its place so that a path leads somewhere: the folders around it, and
    those around what each of them links to."""
    real = {Path(os.path.realpath(place)) for place in _around(path)}
    return frozenset(way for place in real for way in _around(place))


def _around(path: Path) -> tuple[Path, ...]:
    return (path, *path.parents)
