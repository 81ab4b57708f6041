"""What components are to each other: one protocol per kind, and the context they are built with.

A component is built by ``Component.build(config, context)`` (the object that others use) and, if it
is a stage, has ``Component.procedure(config, context)`` (what makes the stage's artifact). See
hookspecs.py for how to register one. Shapes: B batch, K ranked answers, Q prompt tokens, R response
tokens, T = Q + R, V vocabulary, D model width.

What a component may have in addition is a protocol of its own: `Accountable`, `ShowsBatch`,
`TrainsOn`, `HasNetwork`, `HasNetworks`, `OfMembers`, `LeavesOut`, `World`, `BestOf`, `Steers`,
`AtTemperature`, `AnyTemperature`, `AnyPrefix`, `AnyLength`, `AnswersGroups`, `ReadsForms`,
`SeesBatch`, `StreamsTokens`, `StreamsRows`, `Foreign`, `Refreshes`, `HasHeads`, `LoadsHeads`.
A component has it if it has the members; it need not inherit anything. The contract suites of
`preflab.testing` fail for a public method that no protocol knows, so that a misspelt one is
noticed: begin the names of your own methods with an underscore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from preflab.evaluating import Evaluation as Evaluation
from preflab.evaluating import Evaluator as Evaluator
from preflab.evaluating import Measure as Measure
from preflab.evaluating import Opinion as Opinion
from preflab.evaluating import Responder as Responder
from preflab.evaluating import Subject as Subject
from preflab.models import Adaptable as Adaptable
from preflab.models import Backbone as Backbone
from preflab.models import Cache as Cache
from preflab.models import ChecksScalar as ChecksScalar
from preflab.models import Compiles as Compiles
from preflab.models import HasHeads as HasHeads
from preflab.models import HeadsModel as HeadsModel
from preflab.models import LoadsHeads as LoadsHeads
from preflab.models import Policy as Policy
from preflab.models import PolicySource as PolicySource
from preflab.models import ScalarModel as ScalarModel
from preflab.models import Tokenizer as Tokenizer
from preflab.records import Ranking, RecordType, Rollout, Split
from preflab.sampling import AnswersGroups as AnswersGroups
from preflab.sampling import AnyLength as AnyLength
from preflab.sampling import AnyPrefix as AnyPrefix
from preflab.sampling import AnyTemperature as AnyTemperature
from preflab.sampling import AskedRow as AskedRow
from preflab.sampling import AtTemperature as AtTemperature
from preflab.sampling import BestOf as BestOf
from preflab.sampling import Foreign as Foreign
from preflab.sampling import GivesLogProbs as GivesLogProbs
from preflab.sampling import ReadsForms as ReadsForms
from preflab.sampling import Refreshes as Refreshes
from preflab.sampling import RolloutEngine as RolloutEngine
from preflab.sampling import RowStream as RowStream
from preflab.sampling import Sampling as Sampling
from preflab.sampling import Steers as Steers
from preflab.sampling import StreamsRows as StreamsRows
from preflab.sampling import StreamsTokens as StreamsTokens
from preflab.sources import DataSource as DataSource
from preflab.sources import Filter as Filter
from preflab.sources import Gold as Gold
from preflab.sources import Labeler as Labeler
from preflab.sources import LeavesOut as LeavesOut
from preflab.sources import Transform as Transform
from preflab.sources import World as World

if TYPE_CHECKING:
    import torch

    from preflab.randomness import Streams
    from preflab.runtime import Runtime

State = dict[str, Any]
"""Nested dicts and lists of tensors and JSON values: what a checkpoint holds. Nothing in it is ever
executed."""


class Procedure(Protocol):
    """A stage as a sequence of steps. The loop calls ``step`` for 0 .. total_steps-1, checkpoints
    between steps, and after a kill continues from the last checkpoint in a new process: everything
    that a later step depends on must be in the state, in the config, or a pure function of the step
    (as the sample order is). It may also be `Accountable` and a `ShowsBatch`."""

    total_steps: int

    def step(self, index: int) -> Mapping[str, float]:
        """Do one step; return its metrics. Files it writes are written again if the step is done
        again; once a checkpoint has come after them they may only grow, for they belong to it:
        changed, they make it unusable."""

    def state_dict(self) -> State:
        """Everything that changes from step to step (random streams of the context are saved by the
        loop)."""

    def load_state_dict(self, state: State) -> None:
        """Restore the state that an equal procedure returned. Large tensors of it may be in the map
        of a file that goes away: copy what is kept."""

    def save(self, folder: Path) -> None:
        """Write the result into the stage's artifact (a policy or a scalar model goes to ``folder /
        "model"``). Every process calls this, since each may hold a part of the weights; on others
        than process 0 the folder is an empty one that is thrown away."""


@runtime_checkable
class Accountable(Protocol):
    """A `Procedure` or `GradientTerm` that reports what became of the rows and tokens that it was
    given. Every run states it."""

    def accounting(self, history: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """How many were read, left out, cut, lost. history: the stage's metrics, one row per
        step."""


@runtime_checkable
class ShowsBatch(Protocol):
    """A `Procedure` that shows what a step read. The loop keeps it when the step ends in a
    `NumericError`."""

    def batch(self, index: int) -> State:
        """The texts, tokens and numbers of a step."""


@runtime_checkable
class TrainsOn(Protocol):
    """A `Procedure` that can begin where an earlier one of its kind ended. The loop keeps its last
    state in its artifact, and takes over the state and the log of ``begins_from``, so that the
    first step is the one after them."""

    @property
    def begins_from(self) -> Path | None:
        """The artifact of the earlier stage; None: it begins at step 0."""


# --- rewards ---


class RewardModel(Protocol):
    """Anything that scores responses: a trained network, a function, a person. It may also be a
    `HasNetwork`. Of several processes each gives it other rows, and all have the numbers of all;
    one that has networks, or was built with ``context.runtime``, is given all rows by every
    process."""

    def score(self, rollout: Rollout) -> torch.Tensor:
        """[B] float32 rewards, higher is better. The offset is already subtracted."""


@runtime_checkable
class HasNetwork(Protocol):
    """A `RewardModel` that scores with a network, from a copy of which value functions can
    start."""

    @property
    def network(self) -> ScalarModel:
        """The network."""


@runtime_checkable
class HasNetworks(Protocol):
    """A `RewardModel` that scores with other networks than the one of `HasNetwork`, or with
    several: all of them leave memory while they are not needed (`runtime.offload`)."""

    @property
    def networks(self) -> Sequence[Backbone]:
        """Each of them."""


@runtime_checkable
class OfMembers(Protocol):
    """A `RewardModel` that is made of several: runs report what each of them says."""

    def members(self, rollout: Rollout) -> Mapping[str, torch.Tensor]:
        """The scores of each, [B] float32."""

    def together(self, members: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The rewards [B] float32 that follow from them: what ``score`` gives."""


# --- rewards and gradients of algorithms ---


class RewardShaping(Protocol):
    """A change to the scores that an algorithm is about to learn from: a pure function, without
    state and without chance."""

    def __call__(self, scores: torch.Tensor, rollout: Rollout) -> torch.Tensor:
        """scores [B] float32, as the reward model or the shaping before gave them -> [B] float32;
        the tensor given stays as it is. A row's new score depends on that row alone, or is the same
        whatever the order of the rows."""


class GradientTerm(Protocol):
    """A loss that is added to an algorithm's: its gradient is added to the policy's before the one
    optimizer step. Its config has a number ``coef``; a term whose coefficient is 0 is not built. It
    may also be `Accountable` and `SeesBatch`."""

    def accumulate(self, policy: Policy, step: int, episodes: int) -> Mapping[str, float]:
        """Add coefficient times the term's gradient into ``.grad`` of the policy's parameters
        (empty when it is called; this process's share, if there are several), with its own
        micro-batches and denominator. step: optimizer steps so far; episodes: rollouts in this
        minibatch. `Optimization.add` calls it, and reports its norm."""

    def state_dict(self) -> State:
        """What changes from step to step; {} if everything is a function of the step."""

    def load_state_dict(self, state: State) -> None:
        """Restore a state."""


@runtime_checkable
class SeesBatch(Protocol):
    """A `GradientTerm` of the responses that are trained on (an entropy bonus, for example). Only
    on-policy algorithms have some; others refuse it."""

    def see(self, rollout: Rollout, temperature: float) -> None:
        """The responses of this optimizer step, of all processes, and the temperature that they
        were sampled with: called before each `accumulate`, which takes its share of them."""


# --- the context ---


class Context(Protocol):
    """All that a component is given with its own config: never the whole config of the run."""

    @property
    def stage(self) -> str:
        """Name of the stage."""

    @property
    def folder(self) -> Path:
        """Where the stage's artifact is made (during steps), or is (for build)."""

    @property
    def runtime(self) -> Runtime:
        """Devices and processes."""

    @property
    def streams(self) -> Streams:
        """Named random streams of this stage, from its seed; saved and restored by the loop."""

    @property
    def seed(self) -> int:
        """The stage's seed."""

    def records(self, record_type: RecordType, split: Split) -> Sequence[Any]:
        """The records of a type and split, filtered; raises `UserError` if the run has none."""

    def has(self, record_type: RecordType) -> bool:
        """Whether the run has records of a type."""

    def rankings(self, split: Split) -> Sequence[Ranking]:
        """The rankings: given by the data, or made by the comparisons stage."""

    def artifact(self, stage: str) -> Path | None:
        """The folder of a finished earlier stage; None if this run has no such stage."""

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """The words of a closed world, else None."""

    @property
    def gold(self) -> Gold | None:
        """The true utility, in a simulated world; for judges and simulated people only."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The policy's tokenizer."""

    @property
    def max_positions(self) -> int | None:
        """Tokens that a row of the policy may have at most, prompt and response together; None: no
        limit."""

    def in_front(self, role: str = "") -> Sequence[str]:
        """Texts of which one stands in front of each prompt when this stage asks its policy or,
        with a role, when that role answers; ("",) for none. It is for looking at lengths before the
        work: a config says so by a method ``in_front(context)``, as far as it is known then."""

    def members(self) -> Sequence[str]:
        """Names of the members of the run's reward model (`OfMembers`) as far as they are known
        before it is made; () if they are not. A config says so by a method
        ``member_names(context)``."""

    def policy(self, role: str) -> Policy:
        """A fresh copy of the policy in a role: "base" (pretrained), "sft", "initial" (what the
        algorithm starts from and the KL reference), "result" (what the algorithm made), or
        "sft/NAME" for a checkpoint that SFT kept."""

    def sampled_policy(self, of: str | Path) -> Policy:
        """The policy in a role, or one that its family saved in a folder, to sample from: frozen,
        without new adapters, and divided among the processes where the run divides weights (whole
        for an engine that is `Foreign`). Every process calls this."""

    def checkpoints(self, role: str) -> Sequence[str]:
        """Names of the checkpoints that a stage kept, in training order ("sft": one per epoch)."""

    def responder(self, role: str) -> Responder:
        """What answers prompts in a role; for "result" the algorithm decides (a policy, or
        best-of-n)."""

    def reward_model(self) -> RewardModel:
        """The run's reward model, frozen."""

    def reward_network(self) -> ScalarModel | None:
        """A trainable copy of the reward model's network (to start a value function from); None if
        it shows none."""

    def load_policy(self, folder: Path) -> Policy:
        """A policy that was saved by the policy's family."""

    def load_scalar(self, folder: Path) -> ScalarModel:
        """A scalar model that was saved by the policy's family."""

    def load_heads(self, folder: Path) -> HeadsModel:
        """A model with several heads that was saved by the policy's family. `UserError` if that
        family has none."""

    def rollout(self) -> RolloutEngine:
        """The run's sampling engine."""

    def labeler(self) -> Labeler:
        """The run's labelers."""

    def component(self, kind: str, config: Any) -> Any:
        """Build a nested component from its typed config."""

    def key_of(self, config: Any) -> str:
        """The key of the options of a component of this run, by its very config, for messages:
        reward_model, or reward_model.members.NAME. One that the run did not choose has the name of
        the stage."""

    def within(self, name: str, seed: int | None = None) -> Context:
        """The context of a component that is made as a part of this stage: the folder ``name`` in
        this one, streams under that name, and a seed of its own (None: from this one and the
        name); the same records and models."""

    def procedure(self, kind: str, config: Any) -> Procedure | None:
        """What makes the artifact of a nested component; None if it makes none."""

    def rollout_finished(
        self, step: int, rollout: Rollout, values: Mapping[str, Sequence[float]]
    ) -> None:
        """Show a batch of samples, and numbers per row, to the observers."""
