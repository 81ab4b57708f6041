"""What a run notes in its folder while it is made. One that is begun again in its folder, as after
a kill, stays the same run: what its earlier attempts took and made is its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflab.engine.stages import FinishedStage, Stages
from preflab.errors import Waiting
from preflab.launched import is_main
from preflab.planning.run import Run
from preflab.settings import LABELS
from preflab.signals import Stopped
from preflab.storage.run_folder import (
    ARTIFACTS,
    RUNNING,
    WAITING,
    Manifest,
    StageRow,
    artifact_of,
    read_manifest,
    seconds_of,
    write_manifest,
)


@dataclass(frozen=True)
class Before:
    """What earlier attempts of a run left: seconds that they took in all, and the stages that they
    finished."""

    seconds: float = 0.0
    rows: tuple[StageRow, ...] = ()

    def row(self, stage: str, recipe: str) -> StageRow | None:
        """That of a stage, if it was finished with the same recipe."""
        found = (r for r in self.rows if (r["stage"], r["recipe"]) == (stage, recipe))
        return next(found, None)


class Noting:
    """Keeps the manifest of a run. Of several processes that make it, only process 0 writes."""

    def __init__(self, folder: Path, manifest: Manifest, stages: Stages) -> None:
        """manifest: of this attempt. It gets the start of the first one."""
        self.folder, self.manifest, self.stages = folder, manifest, stages
        self.before = Before()
        earlier = read_manifest(folder) if is_main() else None
        if earlier is not None and _is_same(earlier, manifest):
            manifest["started"] = earlier.get("started") or manifest["started"]
            self.before = Before(seconds_of(earlier), _still_there(folder, earlier, stages.run))
        stages.observe = self._noted_at_checkpoints(stages.observe)

    def note(self, status: str) -> None:
        """Write the manifest, with the stages that are finished so far."""
        if not is_main():
            return
        took = sum(f.seconds for f in self.stages.finished) + self.stages.unfinished
        self.manifest["status"], self.manifest["stages"] = status, self.rows()
        self.manifest["seconds"] = round(self.before.seconds + took, 2)
        write_manifest(self.folder, self.manifest)

    def note_stage(self) -> None:
        """Note a finished stage at once, so that nobody removes its artifact as that of no run."""
        if is_main():
            _link_artifacts(self.folder, self.stages.finished)
        self.note(RUNNING)

    def note_end(self, error: BaseException) -> None:
        """Note how a run ended that is not complete."""
        if isinstance(error, Waiting):
            self.manifest["waiting"] = str(error).splitlines()[-1]
            self.note(WAITING)
            return
        stopped = isinstance(error, (Stopped, KeyboardInterrupt))
        self.note("stopped" if stopped else "failed")

    def rows(self) -> list[StageRow]:
        """The stages that this attempt or an earlier one has finished, upstream first. One that an
        earlier attempt computed is not reused: it is this run's."""
        made = {f.stage.name: self._row(f) for f in self.stages.finished}
        known = [
            made.get(stage.name) or self.before.row(stage.name, stage.recipe_id)
            for stage in self.stages.run.stages
        ]
        return [row for row in known if row is not None]

    def _row(self, finished: FinishedStage) -> StageRow:
        stage = finished.stage
        row = StageRow(
            stage=stage.name,
            group=stage.choice.key,
            name=stage.choice.name,
            makes=stage.makes,
            recipe=stage.recipe_id,
            seed=stage.seed,
            artifact=str(finished.artifact.folder.resolve()),
            reused=finished.reused,
            seconds=round(finished.seconds, 2),
            cost=finished.artifact.manifest.get("cost", {}),
        )
        then = self.before.row(stage.name, stage.recipe_id) if finished.reused else None
        if then is not None:
            row["reused"], row["seconds"] = bool(then["reused"]), then["seconds"]
        return row

    def _noted_at_checkpoints(self, observe: Any) -> Any:
        """Observers' calls, noting at each checkpoint what the stage took so far: a kill leaves no
        time for it."""

        def observed(hook: str, **shown: Any) -> None:
            observe(hook, **shown)
            if hook == "preflab_checkpoint_saved":
                self.note(RUNNING)

        return observed


def _is_same(earlier: Manifest, now: Manifest) -> bool:
    """Whether a manifest is of an earlier attempt of the same run."""

    def typed(manifest: Manifest) -> tuple[object, list[str]]:
        words = map(str, manifest.get("overrides") or ())
        return manifest.get("config_name"), without_labels(list(words))

    return typed(earlier) == typed(now)


def without_labels(overrides: Sequence[str]) -> list[str]:
    """Overrides without those that say what the run is called: they change nothing else.

    >>> without_labels(["name=mine", "seed=2", "note=tried again"])
    ['seed=2']
    """
    return [word for word in overrides if word.lstrip("+").partition("=")[0] not in LABELS]


def _still_there(folder: Path, earlier: Manifest, run: Run) -> tuple[StageRow, ...]:
    """The rows of finished stages whose artifacts are there, as far as the run has them still."""
    wanted = {(stage.name, stage.recipe_id) for stage in run.stages}
    rows = earlier.get("stages") or ()
    known = (row for row in rows if StageRow.__required_keys__.issubset(row))
    return tuple(
        row
        for row in known
        if (row["stage"], row["recipe"]) in wanted and artifact_of(folder, row) is not None
    )


def _link_artifacts(folder: Path, finished: Sequence[FinishedStage]) -> None:
    links = folder / ARTIFACTS
    links.mkdir(exist_ok=True)
    for item in finished:
        link = links / item.stage.name
        target = os.path.relpath(item.artifact.folder.resolve(), links.resolve())
        if link.is_symlink() and os.readlink(link) == target:
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)
