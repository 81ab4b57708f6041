"""One reward model for all processes of a job: who scores which rows, and whose numbers count."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from preflab.door.blame import blamed
from preflab.errors import NumericError, PluginError, PreflabError, StorageError, UserError
from preflab.interfaces import Context, HasNetwork, HasNetworks, OfMembers, RewardModel
from preflab.runtime import Runtime
from preflab.sharding import noticing

if TYPE_CHECKING:
    import torch

    from preflab.door.choice import Choice
    from preflab.records import Rollout

RUNTIME = "runtime"
TOGETHER = frozenset(
    {
        *(RUNTIME, "within", "component", "procedure", "labeler", "rollout", "responder"),
        *("policy", "sampled_policy", "reward_model", "reward_network"),
    }
)
"""What a context has that every process uses at the same time."""
ERRORS = {e.exit_code: e for e in (UserError, PluginError, StorageError, NumericError)}


def shared(
    build: Callable[[Context], RewardModel | None],
    context: Context,
    runtime: Runtime,
    choice: Choice,
) -> RewardModel | None:
    """A reward model as stages use it: of several processes all have the same numbers. One with
    networks divides its rows itself. One that is built without `TOGETHER`, and without a model
    that is divided, cannot know of other processes: each has its share of the rows scored. Of any
    other, every process has all rows scored, and the numbers of process 0 count."""
    if runtime.world == 1:
        return build(context)
    asked = _Asked(context, runtime, choice)
    with noticing() as divided:
        model = build(cast(Context, asked))
    if model is None or isinstance(model, HasNetwork | HasNetworks):
        return model
    asked.divides = not (asked.names & TOGETHER or divided)
    kind = SharedMembers if isinstance(model, OfMembers) else SharedReward
    return kind(model, choice, runtime, asked.divides)


class SharedReward:
    """`preflab.interfaces.RewardModel`: another one, of which every process knows all scores.

    divides: each process has its share of the rows scored, responses to one prompt together; else
    every process has all of them scored, and those of process 0 count.
    """

    def __init__(self, model: Any, choice: Choice, runtime: Runtime, divides: bool) -> None:
        self.model, self.choice, self.runtime, self.divides = model, choice, runtime, divides

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)  # such as the least and the most that it gives

    def score(self, rollout: Rollout) -> torch.Tensor:
        """Rewards [B] float32."""
        (scores,) = self._known(rollout, lambda rows: {"": self.model.score(rows)}).values()
        return scores

    def _known(
        self, rollout: Rollout, scored: Callable[[Rollout], Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Scores [B] float32 by name, the same on every process."""
        import torch

        if not len(rollout):
            return dict(scored(rollout))
        if self.divides:
            shares = self._of_shares(rollout, scored)
        else:
            shares = [self.runtime.agreed(self._numbers(scored(rollout), len(rollout)))]
        names = next(filter(None, shares))
        device = rollout.prompt_ids.device
        return {
            name: torch.tensor(
                [number for share in shares if share for number in share[name]],
                dtype=torch.float32,
                device=device,
            )
            for name in names
        }

    def _of_shares(
        self, rollout: Rollout, scored: Callable[[Rollout], Mapping[str, torch.Tensor]]
    ) -> list[dict[str, list[float]]]:
        """What each process says of its rows; {} of one that has none. What one of them raises is
        raised on all: the others would wait for it without end."""
        mine, found, failed = self._mine(rollout), dict[str, list[float]](), None
        try:
            with blamed(self.choice):
                if mine:
                    found = self._numbers(scored(rollout.rows(mine)), len(mine))
        except Exception as error:
            failed = error
        code = failed.exit_code if isinstance(failed, PreflabError) else 1
        said = "" if failed is None else f"{failed}" or type(failed).__name__
        told = self.runtime.gather([(found, code, said)])
        if failed is not None:
            raise failed
        for _, code, said in told:
            if said:
                raise ERRORS.get(code, RuntimeError)(said)
        return [share for share, _, _ in told]

    def _mine(self, rollout: Rollout) -> list[int]:
        """The rows of this process: whole prompts, one after the other."""
        prompts = rollout.prompts
        groups = [
            list(rows) for _, rows in itertools.groupby(range(len(rollout)), prompts.__getitem__)
        ]
        return [row for group in self.runtime.share(groups) for row in group]

    def _numbers(self, scores: Mapping[str, torch.Tensor], rows: int) -> dict[str, list[float]]:
        """As lists. `PluginError` unless there is one for each row."""
        for found in scores.values():
            if tuple(found.shape) != (rows,):
                raise PluginError(
                    f"reward_model '{self.choice.name}' of {self.choice.plugin.label} gave scores "
                    f"of the shape {tuple(found.shape)} for {rows} responses: one number for each "
                    "is needed."
                )
        return {name: found.tolist() for name, found in scores.items()}


class SharedMembers(SharedReward):
    """`OfMembers` in the same way."""

    def members(self, rollout: Rollout) -> dict[str, torch.Tensor]:
        """The scores of each, [B] float32."""
        return self._known(rollout, self.model.members)

    def together(self, members: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The rewards [B] float32 that follow from them."""
        scores: torch.Tensor = self.model.together(members)
        return scores


class _Asked:
    """A `preflab.interfaces.Context` that notes what a component asks it for while it is built.
    divides: it is built, and scores a share of the rows, so that it must not wait for others."""

    divides = False

    def __init__(self, context: Context, runtime: Runtime, choice: Choice) -> None:
        self._context, self._runtime, self._choice = context, runtime, choice
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_context":
            raise AttributeError(name)
        self.names.add(name)
        if self.divides and name == RUNTIME:
            return _Alone(self._runtime)
        if self.divides and name in TOGETHER:
            raise PluginError(
                f"reward_model '{self._choice.name}' of {self._choice.plugin.label} asks its "
                f"context for {name} while it scores, and each process scores other rows then. It "
                "must ask when it is built."
            )
        return getattr(self._context, name)


class _Alone(Runtime):
    """The runtime of a process that waits for no other."""

    def __init__(self, runtime: Runtime) -> None:
        self.__dict__.update(runtime.__dict__)

    @property
    def rank(self) -> int:
        """The first."""
        return 0

    @property
    def world(self) -> int:
        """And only one."""
        return 1
