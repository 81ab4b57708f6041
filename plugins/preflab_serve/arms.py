"""What a server serves: the models of finished runs by the names under which clients ask for
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.storage.run_folder import read_manifest
from preflab_serve.metering import metered
from preflab_serve.opening import AnsweringRun, open_run

if TYPE_CHECKING:
    from preflab.interfaces import Policy, Responder, RolloutEngine
    from preflab.records import Tokenizer
    from preflab.runtime import Runtime
    from preflab_serve.guarding import Checking

NEWEST = "result"
"""The role that answers under the run's own name."""


@dataclass(frozen=True)
class Arm:
    """A run in a role. name: of the model, for clients; created: seconds since 1970; main: whether
    it has the name of the run. What it answers with is loaded when it is first asked for.

    checkings: of the run's own guard, by role; shared by the arms of a run."""

    name: str
    run: AnsweringRun
    role: str
    created: int
    main: bool
    checkings: dict[str, Checking | None] = field(default_factory=dict, compare=False)

    @property
    def responder(self) -> Responder:
        """What answers: a policy, or what the run's algorithm makes of one (best-of-n), in front of
        a guard. What its policy computes is metered, and what steers it."""
        from preflab_builtin.baselines.steered import Steered
        from preflab_builtin.guard.responder import Guarded

        responder = self.run.opened.responder(self.role)
        if isinstance(responder, Guarded):
            responder = responder.responder
        metered(responder.policy)
        if isinstance(responder, Steered):
            metered(responder.steering.classes)
        return responder

    @property
    def checking(self) -> Checking | None:
        """The guard behind which the run's algorithm answers, asked as the server's."""
        from preflab_builtin.guard.responder import Guarded
        from preflab_serve.guarding import behind

        if self.role not in self.checkings:
            answers = self.run.opened.responder(self.role)
            self.checkings[self.role] = behind(answers) if isinstance(answers, Guarded) else None
        return self.checkings[self.role]

    @property
    def stuck(self) -> bool:
        """Whether its guard hangs. Nothing is loaded for it."""
        checking = self.checkings.get(self.role)
        return checking is not None and checking.asker.stuck

    @property
    def own_way(self) -> bool:
        """Whether the run's algorithm answers, and not a policy alone, be it behind a guard."""
        algorithm = self.run.opened.environment.run.choices["algorithm"]
        return self.role == NEWEST and algorithm.component.build is not None and not self.guarded

    @property
    def guarded(self) -> bool:
        """Whether the run's algorithm answers behind a guard."""
        return self.role == NEWEST and has_guard(self.run)

    @property
    def draws(self) -> int:
        """Responses that are sampled or read for each one that is shown, at most, as far as what
        answers says so. Steered ones are read three times."""
        from preflab.interfaces import BestOf
        from preflab_builtin.baselines.steered import Steered

        responder = self.responder
        if isinstance(responder, Steered):
            return 3
        return responder.n if isinstance(responder, BestOf) else 1

    @cached_property
    def policy(self) -> Policy:
        """The policy that is sampled from."""
        policy = self.responder.policy
        policy.module.requires_grad_(False)
        return policy

    @cached_property
    def engine(self) -> RolloutEngine:
        """The run's own."""
        return self.run.opened.context.rollout()

    @property
    def tokenizer(self) -> Tokenizer:
        """The run's own; no weights are loaded for it."""
        return self.run.opened.context.tokenizer

    @property
    def positions(self) -> int | None:
        """Tokens of a prompt and its response together; None: no limit."""
        return self.run.opened.context.max_positions

    @property
    def runtime(self) -> Runtime:
        """The devices that it is on."""
        return self.run.opened.environment.runtime


def has_guard(run: AnsweringRun) -> bool:
    """Whether the algorithm of a run is a guard."""
    return run.opened.environment.run.choices["algorithm"].name == "guarded"


def open_arms(words: Sequence[str], unguarded: bool = False) -> dict[str, Arm]:
    """The arms of runs, by name, in the order given: each run under its own name, and each of its
    earlier models under NAME:ROLE. Those of a run behind a guard would be a way around it, and are
    left out unless ``unguarded``. words: folders or names of runs, or NAME=RUN. `UserError` for
    what is no finished run, and for two of one name."""
    arms: dict[str, Arm] = {}
    for word in words:
        given, folder = _named(word)
        run = open_run(folder)
        manifest = read_manifest(run.folder)
        name = given or (manifest.get("name") if manifest else "") or run.title
        created = int((run.folder / "manifest.json").stat().st_mtime)
        roles = run.roles()
        newest = [role for role in roles if "/" not in role][-1]
        if has_guard(run) and not unguarded:
            roles = [newest]
        own = {name: newest} | {f"{name}:{role}": role for role in roles}
        if taken := [other for other in own if other in arms]:
            raise UserError(
                f"Two models would answer to the name '{taken[0]}', of {run.folder} and of "
                f"{arms[taken[0]].run.folder}: give this run another, "
                f"{name.replace(':', '-')}-2={folder}."
            )
        checkings = dict[str, "Checking | None"]()
        arms |= {
            other: Arm(other, run, role, created, other == name, checkings)
            for other, role in own.items()
        }
    return arms


def _named(word: str) -> tuple[str, Path]:
    """Name and folder of NAME=RUN or RUN; a folder whose own name holds = is a folder."""
    name, equal, rest = word.partition("=")
    if equal and name and "/" not in name and not Path(word).exists():
        return name, Path(rest)
    return "", Path(word)


def facts(arm: Arm, guarded: bool) -> Mapping[str, object]:
    """An arm as /v1/models shows it."""
    return {
        "id": arm.name,
        "object": "model",
        "created": arm.created,
        "owned_by": "preflab",
        "preflab": {
            "run": arm.run.title,
            "role": arm.role,
            "guarded": guarded,
            "max_positions": arm.positions,
            "max_tokens": arm.engine.sampling.max_tokens,
            "temperature": arm.engine.sampling.temperature,
        },
    }
