"""Make the stages of a run in order: reuse what exists, resume what a killed run began, compute the
rest."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from preflab.cost import WORK, Spent, Work
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.engine.alike import require_artifact, require_folder, together
from preflab.engine.circumstances import circumstances, differences
from preflab.engine.context import Environment, StageContext
from preflab.engine.loop import Loop
from preflab.engine.notices import Kept, Notice, gathered
from preflab.engine.parts import Parts
from preflab.engine.preflight import preflight
from preflab.errors import UserError, Waiting
from preflab.interfaces import Accountable, Procedure, TrainsOn
from preflab.launched import is_main, world_size
from preflab.options import canonical, in_use
from preflab.planning.asking import inspect, waiting
from preflab.planning.estimates import work
from preflab.planning.going_on import made_from
from preflab.planning.recipes import digest
from preflab.planning.run import Run, Stage
from preflab.randomness import derive_seed
from preflab.records import RECORD_TYPES
from preflab.storage import checkpoints
from preflab.storage.artifacts import METRICS, STATE, Artifact, Store, opened, read_rows
from preflab.storage.durable import writing
from preflab.storage.once import forget


@dataclass(frozen=True)
class FinishedStage:
    """A finished stage of a run."""

    stage: Stage
    artifact: Artifact
    reused: bool
    seconds: float


class Stages:
    """Makes the stages of one run."""

    def __init__(
        self,
        run: Run,
        observe: Callable[..., None],
        versions: Mapping[str, str],
        owner: str = "",
        looks: bool = False,
        plans: bool = False,
    ) -> None:
        """owner: what another job that waits for a stage is told of this one. looks: no stage is
        made, what is known of them is asked for; plans: and no run begins (`Environment`)."""
        self.run, self.observe, self.versions, self.owner = run, observe, versions, owner
        self.store = Store(run.store_root)
        self.environment = Environment(run, observe, looks, plans)
        self._fresh: set[str] = set()
        self._notices: list[Notice] | None = None
        self._began: float | None = None
        self.finished: list[FinishedStage] = []
        """Stages that are finished, upstream first."""

    def preflight(self) -> list[str]:
        """What a person should read before the first stage; `UserError` for what is known to fail.
        It costs nothing if every stage is finished, or if it was asked before."""
        if self._notices is None:
            self._notices = preflight(self.environment, self.pending())
        return [notice.text for notice in self._notices]

    @property
    def unfinished(self) -> float:
        """Seconds that this process has spent on the stage that it makes now, or has failed to
        make."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def notices(self) -> list[str]:
        """What was said before the first stage, and what was said when the stages that are reused
        were made (`gathered`)."""
        return gathered(self.preflight(), map(self._kept, self.finished))

    def _kept(self, finished: FinishedStage) -> Kept:
        manifest = finished.artifact.manifest
        texts, of_own = manifest.get("notices", ()), manifest.get("said_of") == self._records
        return Kept(finished.stage.name, texts, finished.stage.recipe["data"], of_own)

    @cached_property
    def _records(self) -> str:
        """Names the records of this run: sources and preparation of all types, whatever a single
        stage reads of them."""
        groups = [group for group in ("data", *RECORD_TYPES) if group in self.run.choices]
        choices = [*(self.run.choices[group] for group in groups), *self.run.preparation]
        parts = (part for choice in choices for part in choice.all())
        return digest([[p.key, canonical(p.config), inspect(p).content] for p in parts])

    def pending(self) -> list[Stage]:
        """The stages that are not finished yet and can be made now."""
        return [stage for stage in self.run.reachable if self._existing(stage) is None]

    def make_all(self, noted: Callable[[], None] = lambda: None) -> list[FinishedStage]:
        """Every stage, upstream first; noted() is called after each. `Waiting` in the place of one
        that uses a component that cannot be used yet."""
        for stage in self.run.reachable:
            result = self.make(stage)
            self.environment.artifacts[stage.name] = result.artifact.folder
            self.finished.append(result)
            noted()
        if held := self.run.held:
            assert held.waits_for is not None
            there = f"{held.waits_for.key}={held.waits_for.name}, which is there by now"
            raise Waiting(f"{held.name} waits for {waiting(held.waits_for) or there}")
        return self.finished

    def make(self, stage: Stage) -> FinishedStage:
        """One stage: its artifact, verified if it existed. Of several processes, process 0 looks,
        locks and writes."""
        artifact = self._agreed(stage)
        if artifact is None:
            with self.store.making(
                stage.name,
                stage.recipe_id,
                lambda owner: _say_that_it_waits(stage, owner),
                is_main(),
                self.owner,
            ) as partial:
                artifact = self._agreed(stage)
                if artifact is None:
                    return self._compute(stage, partial)
        artifact = self._seen(artifact)
        if is_main():
            self.store.sweep(artifact)
            self._warn_of_differences(artifact)
        self.observe(
            "preflab_stage_reused",
            stage=stage.name,
            artifact=artifact.folder,
            history=artifact.history(),
        )
        return FinishedStage(stage, artifact, True, 0.0)

    def _agreed(self, stage: Stage) -> Artifact | None:
        """The artifact that process 0 sees; refuses processes that were started with different
        configs."""
        artifact = self._existing(stage) if is_main() else None
        if world_size() == 1:
            return artifact
        precision = self.run.settings.runtime.precision
        mine = (stage.recipe_id, precision, artifact)
        recipe_id, first, artifact = self.environment.runtime.agreed(mine)
        if recipe_id != stage.recipe_id:
            unlike = f"The processes of this job would make different results of {stage.name}: "
            if precision is not first:
                raise UserError(
                    f"{unlike}process 0 computes in {first}, and {platform.node()} in {precision}. "
                    f"runtime.precision=auto looks at one machine: give runtime.precision={first} "
                    "or another format for all."
                )
            raise UserError(
                f"{unlike}start all of them with the same command, on the same code and data."
            )
        return artifact

    def _seen(self, artifact: Artifact, verify: bool = True) -> Artifact:
        """An artifact of process 0 as this process sees it; `StorageError` if one of them sees
        another. verify: read its files."""
        if world_size() == 1:
            if verify:
                artifact.verify()
            return artifact
        own = self.store.folder(artifact.stage, artifact.recipe_id)
        return require_artifact(self.environment.runtime, artifact, own, verify)

    def _existing(self, stage: Stage) -> Artifact | None:
        if not self.run.settings.artifacts.reuse and stage.name not in self._fresh:
            return None
        return self.store.find(stage.name, stage.recipe_id)

    def _compute(self, stage: Stage, partial: Path) -> FinishedStage:
        import torch

        if is_main():
            partial.mkdir(exist_ok=True)
        runtime = self.environment.runtime
        runtime.start()
        require_folder(runtime, partial)
        torch.manual_seed(derive_seed(stage.seed, stage.name, "global"))
        context = StageContext(self.environment, stage.name, partial, stage.seed)
        self._began = started = time.monotonic()
        spent = Spent(self._work)
        graph = self.run.graph
        used = self._used_by(graph[stage.name].group, graph.used(stage.name))
        with blamed(*used, kept=lambda: _kept(partial)):
            assert stage.choice.component.procedure is not None
            procedure: Procedure = stage.choice.component.procedure(stage.choice.config, context)
            Loop(
                stage.name,
                procedure,
                context.streams,
                partial,
                self.run.settings.checkpoint,
                self.observe,
                runtime.agreed,
                is_main(),
                self._pins(stage),
                self._circumstances(),
                spent,
                Parts(runtime) if runtime.is_sharded else None,
                lambda check: together(runtime, check),
            ).run()
            accounting = self._accounting(procedure, partial)
        seconds = time.monotonic() - started
        spent.count()
        about = _groups(used)
        if in_use(stage.choice.config):  # said anew where its artifact is used, perhaps otherwise
            about.discard(stage.choice.key)
        facts = {
            "component": stage.choice.name,
            "seed": stage.seed,
            "recipe": stage.recipe,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "cost": self._cost(seconds, procedure, spent.total),
            "versions": dict(self.versions),
            "circumstances": self._circumstances(),
            "work": work(self.run, stage),
            "records": self.record_counts(),
            "accounting": accounting,
            "notices": [n.text for n in self._notices or () if n.group in about],
            "said_of": self._records,
        }
        artifact = self._seen(self._committed(stage, partial, facts), verify=False)
        self._fresh.add(stage.name)
        self._began = None
        self.observe(
            "preflab_stage_finished", stage=stage.name, artifact=artifact.folder, seconds=seconds
        )
        return FinishedStage(stage, artifact, False, seconds)

    def _committed(self, stage: Stage, partial: Path, facts: Mapping[str, Any]) -> Artifact:
        """The artifact, to which process 0 has given its name."""
        runtime, made = self.environment.runtime, list[Artifact]()

        def commit() -> None:
            with writing(f"the artifact of {stage.name}", partial):
                if is_main():
                    made.append(self.store.commit(stage.name, stage.recipe_id, facts))

        together(runtime, commit)
        artifact = runtime.agreed(made[0] if made else None)
        assert artifact is not None
        return artifact

    def _used_by(self, group: str, uses: Sequence[str]) -> list[Choice]:
        """The choice of a group first, then those of the groups that it uses, and of the data."""
        groups = dict.fromkeys([group, *uses, "data", *RECORD_TYPES])
        return [
            *(self.run.choices[g] for g in groups if g in self.run.choices),
            *self.run.preparation,
        ]

    def _work(self) -> Work:
        """What all processes have done so far."""
        return sum(self.environment.runtime.gather([WORK.reading()]), Work())

    def _cost(self, seconds: float, procedure: Procedure, work: Work) -> dict[str, float]:
        """What a stage took: seconds and memory of this process since it was last started; tokens
        and operations of all processes, kills or not. Before are those of earlier training that it
        went on from."""
        earlier = procedure.begins_from if isinstance(procedure, TrainsOn) else None
        then = {} if earlier is None else opened(earlier).manifest["cost"]
        before = {
            f"{name}_before": then.get(name, 0) + then.get(f"{name}_before", 0)
            for name in ("tokens", "flops")
        }
        return {
            "seconds": round(seconds, 3),
            "steps": procedure.total_steps,
            "peak_mb": _peak(),
            "tokens": work.tokens,
            "flops": work.flops,
            **(before if then else {}),
        }

    def _accounting(self, procedure: Procedure, partial: Path) -> dict[str, float]:
        """What became of the rows and tokens of a stage, as its procedure reports it."""
        tokenizer = self.environment.policy_source.tokenizer
        counts: dict[str, float] = {}
        if isinstance(procedure, Accountable) and is_main():
            counts |= procedure.accounting(read_rows(partial / METRICS))
        return counts | {"padding is the end token": float(tokenizer.pad_id == tokenizer.eos_id)}

    def _pins(self, stage: Stage) -> dict[str, str]:
        """Digests of what a stage is made from: its recipe, the content of each artifact that it
        uses, and what else it is made from."""
        uses = self.run.graph.used(stage.name)
        contents = {f.stage.name: f.artifact.content for f in self.finished if f.stage.name in uses}
        return {"recipe": stage.recipe_id, **contents, **made_from(stage.recipe)}

    def _circumstances(self) -> dict[str, Any]:
        return circumstances(self.environment.runtime.config, self.versions)

    def _warn_of_differences(self, artifact: Artifact) -> None:
        """Say it if a reused artifact would not come out bit for bit the same here and now."""
        then = artifact.manifest.get("circumstances", {})
        if different := differences(then, self._circumstances()):
            name = artifact.folder.name
            message = f"preflab: {name} was made with {different}; its last bits may differ"
            print(message, file=sys.stderr)

    def close(self) -> None:
        """Part from the other processes of this job, if there are any."""
        if world_size() > 1:
            self.environment.runtime.close()
            forget()

    def record_counts(self) -> dict[str, Any]:
        """What was read, dropped and kept, by record type."""
        return dict(self.environment.records.counts) if "records" in vars(self.environment) else {}


def _groups(choices: Iterable[Choice]) -> set[str]:
    return {choice.key.partition(".")[0] for choice in choices}


def _kept(partial: Path) -> str:
    """A sentence on what an error does not cost, the steps up to the last checkpoint, and what it
    does; "" if no step was done."""
    done = len(read_rows(partial / METRICS))
    steps = [int(f.name.removeprefix("step-")) for f in checkpoints.candidates(partial / STATE)]
    saved = steps[0] if steps else 0
    if not done:
        return ""
    return (
        f"The steps up to the last checkpoint are kept, {saved} of {done}: the same command "
        f"repeats {done - saved}."
    )


def _peak() -> int:
    """Most memory that this process ever had, MB: an upper bound for the stage."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _say_that_it_waits(stage: Stage, owner: str) -> None:
    name = f"{stage.name}-{stage.recipe_id[:16]}"
    whom = f"another job ({owner})" if owner else "another job"
    print(f"preflab: {whom} is making {name}; waiting for it", file=sys.stderr)
