"""How responses are sampled, and what answers say of how they do it: authors import these from
`preflab.interfaces`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from preflab.evaluating import Responder
from preflab.models import Policy
from preflab.records import Prompt, Rollout

if TYPE_CHECKING:
    import torch

    from preflab.runtime import Runtime

LIMIT = 0.1
"""How far an engine's log-probabilities may be from the policy's, mean over tokens in nats. float32
engines are at 1e-6 and bfloat16 at 0.004. Wrong weights are at 0.001 to 1: those before a small
update at the low end, those of another model at the high end."""
EXACT, EXACT_LIMIT = 1e-5, 1e-3
"""An engine that was once within the first of the policy computes in float32 as the policy does.
From then on the second is too much, which a KL of 5e-7 nats per token between old and new weights
reaches."""
UNSURE, ENOUGH = 0.1, 16
"""That an engine was near shows on tokens alone of which the policy was not sure: those with a
log-probability below -UNSURE (p < 0.9), and at least so many. Of a sure token the log-probability
is near 0 in every number format. Means of 16 other tokens of a bfloat16 engine were 7e-5 to 6e-3
apart (a tiny model at three scales of its weights); TF32 was not measured."""


@dataclass(frozen=True)
class Sampling:
    """How to sample: no top-k or top-p, because PPO needs the density of what was sampled.

    max_tokens: response cap in tokens, end token included. temperature: 1 samples the model itself,
    0 is greedy.
    samples: responses per prompt, in consecutive rows. first_row: number of the first row; rows
    that are sampled in several calls, or by several processes, are the same rows if they keep their
    numbers. compared: whoever asks compares what a `Foreign` engine says of its draws with the
    policy; False: preflab compares some rows wherever the policy is another one than before.
    log_probs: the rollout is to say by which log-probabilities its tokens were drawn
    (`Rollout.log_probs`), which of the engines that are not `Foreign` those do that are
    `GivesLogProbs`."""

    max_tokens: int
    temperature: float = 1.0
    samples: int = 1
    first_row: int = 0
    compared: bool = False
    log_probs: bool = False


class RolloutEngine(Protocol):
    """Samples responses. A row's tokens depend on the weights, its prompt, the seed and its row
    number alone, not on which rows share its batch. One that does not compute with preflab's own
    forward passes is `Foreign` too."""

    @property
    def sampling(self) -> Sampling:
        """The run's own setting, from the config: the response cap and temperature of training."""

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        """Responses [B * samples, R]; ``seed`` names the draw, for example (run seed, "ppo",
        step). They are drawn from the weights that ``policy`` has now, or it raises."""


@runtime_checkable
class Foreign(Protocol):
    """A `RolloutEngine` that computes probabilities in its own way, or from a copy of the weights.
    Its rollouts say by which log-probabilities they were drawn (`Rollout.log_probs`, unless the
    temperature is 0) and from which weights (`Rollout.weights`); both are compared with the
    policy. It compares `Policy.version` with that of its copy and takes
    `Policy.weights` where they differ."""

    @property
    def weights(self) -> str:
        """`Policy.version` of the weights that it has now; "" before it has any."""


@runtime_checkable
class GivesLogProbs(Protocol):
    """A `RolloutEngine` that reads the policy itself, and whose rollouts say by which
    log-probabilities they were drawn where `Sampling.log_probs` asks for it."""

    @property
    def gives_log_probs(self) -> bool:
        """Whether it does."""


@runtime_checkable
class Refreshes(Protocol):
    """A `Foreign` engine whose copy of the weights serves all processes of a job, as that of a
    server: of several processes the first one refreshes it, before any of them samples. The others
    then give their parts of weights that are divided."""

    def is_stale(self, version: str) -> bool:
        """Whether the copy has other weights than those of this `Policy.version`."""

    def refresh(self, policy: Policy) -> None:
        """Have the copy take the policy's weights, all that `Policy.weights` gives."""


def is_foreign(engine: RolloutEngine) -> bool:
    """Whether an engine, also one that several processes share, is `Foreign`."""
    return getattr(engine, "weights", None) is not None


def gives_log_probs(engine: RolloutEngine) -> bool:
    """Whether the rollouts of an engine, also of one that several processes share, say by which
    log-probabilities they were drawn."""
    return is_foreign(engine) or (isinstance(engine, GivesLogProbs) and engine.gives_log_probs)


def reads_parts(engine: RolloutEngine) -> bool:
    """Whether an engine, also one that several processes share, samples from a policy of which each
    process has a part: it reads the policy itself, or its copy takes the parts."""
    shared: RolloutEngine | None = getattr(engine, "engine", None)
    if shared is not None:
        return reads_parts(shared)
    return not is_foreign(engine) or isinstance(engine, Refreshes)


def limit_of(limit: float | None, smallest: float) -> float | None:
    """How far an engine's log-probabilities may be from the policy's, mean over tokens in nats:
    ``limit`` (None: any), and less for an engine that was ``smallest`` from them before.

    >>> limit_of(0.1, 0.004), limit_of(0.1, 1e-6), limit_of(None, 1e-6)
    (0.1, 0.001, None)
    """
    return min(limit, EXACT_LIMIT) if limit is not None and smallest <= EXACT else limit


@dataclass
class Agreement:
    """What a run has seen of its engine. It is one for all policies and temperatures of the run:
    how near an engine comes depends on the number format that it computes in, which is one for the
    run. (At temperature T the rounding of float32 is 1e-6 / T, below `EXACT_LIMIT` wherever
    T > 0.001.) version: of the weights that were compared last; smallest: the smallest mean
    difference so far on tokens of which the policy was not sure, nats."""

    version: str = ""
    smallest: float = math.inf


def agreement_of(engine: RolloutEngine) -> Agreement:
    """What the run has seen of an engine; a new one of an engine that is not compared."""
    seen = getattr(engine, "seen", None)
    return seen if isinstance(seen, Agreement) else Agreement()


def false_of(rollout: Rollout, version: str) -> str:
    """What is wrong with what a `Foreign` engine says of its draws, in sentences; "" if nothing
    is. version: of the policy that they are to be drawn from."""
    if rollout.weights and rollout.weights != version:
        return (
            f"the rollout engine says that it sampled from the weights {rollout.weights}, and the "
            f"policy has {version}: its copy was not refreshed. The engine must take "
            "Policy.weights() when Policy.version is another than that of its copy, and raise if "
            "it cannot."
        )
    if rollout.log_probs is None:
        return (
            "the rollout engine does not compute with preflab's own forward pass, and gave no "
            "log-probabilities (Rollout.log_probs), so that nothing shows whether it samples from "
            "the policy."
        )
    if not bool(rollout.log_probs[rollout.response_mask].isfinite().all()):
        return (
            "the rollout engine gave log-probabilities that are not finite, so that it says that "
            "it drew what cannot be drawn. Is its model broken, or its number format too narrow?"
        )
    return ""


def differences(own: torch.Tensor, said: torch.Tensor, mask: torch.Tensor) -> tuple[float, float]:
    """Mean |difference| in nats between the policy's log-probabilities and an engine's, all [B, R]:
    over all tokens of the mask (0 if there are none), and over those of which the policy was not
    sure (infinity if they are fewer than `ENOUGH`)."""
    gaps = (own - said)[mask].double().abs()
    unsure = gaps[~(own[mask] >= -UNSURE)]  # one that is not a number too
    near = float(unsure.mean()) if len(unsure) >= ENOUGH else math.inf
    return float(gaps.mean()) if len(gaps) else 0.0, near


def is_beyond(mean: float, limit: float | None) -> bool:
    """Whether a mean difference is above a limit (None: never), or is not a number."""
    return limit is not None and not mean <= limit


def to_be_sampled(load: Callable[[], Policy], engine: RolloutEngine, runtime: Runtime) -> Policy:
    """The policy that ``load`` gives, frozen, as ``Context.sampled_policy`` gives it: divided among
    the processes where the run divides weights, but whole for an engine that cannot read parts.
    Every process takes part."""
    divides = reads_parts(engine)
    with runtime.dividing() if divides else contextlib.nullcontext():
        policy = load()
    if divides:
        runtime.shard(policy.module)
    policy.module.requires_grad_(False)
    return policy


@runtime_checkable
class StreamsTokens(Protocol):
    """A `RolloutEngine` that gives the tokens of a response as they are sampled."""

    def stream(
        self, policy: Policy, prompt: Prompt, sampling: Sampling, seed: Sequence[int | str]
    ) -> Iterator[int]:
        """The tokens of the response that ``generate`` gives to this prompt alone, one by one, its
        end token included. ``sampling.samples`` is 1."""


@dataclass(frozen=True)
class AskedRow:
    """One response that is decoded beside others: the one that ``generate`` samples with this seed
    in the row of this number. prompt: token ids [Q]; max_tokens: the end token included."""

    prompt: tuple[int, ...]
    max_tokens: int
    seed: tuple[int | str, ...]
    number: int = 0


class RowStream(Protocol):
    """Responses to several prompts that grow together, a token at a step."""

    def step(self) -> Sequence[tuple[int, int]]:
        """The next token of every row that has not ended: (its place among the rows, the token). A
        row ends with an end token, or with its last token. Empty: all have ended."""

    def drop(self, rows: Collection[int]) -> None:
        """Nobody waits for these any more: they get no further tokens."""


@runtime_checkable
class StreamsRows(Protocol):
    """A `RolloutEngine` that decodes rows of several requests together and gives their tokens as
    they are sampled."""

    def stream_rows(
        self, policy: Policy, rows: Sequence[AskedRow], temperature: float
    ) -> RowStream:
        """Read the prompts, and sample nothing yet. `UserError` for a prompt that is empty or
        leaves no room for its response."""


@runtime_checkable
class BestOf(Protocol):
    """A `Responder` that draws several responses per prompt and keeps one: its responses are not
    draws from its policy, so that their log-probabilities give no estimate of the KL."""

    @property
    def n(self) -> int:
        """Responses drawn per prompt."""


@runtime_checkable
class Steers(Protocol):
    """A `Responder` that samples another distribution than its policy's: its responses give no
    estimate of the policy's KL."""

    @property
    def steered_by(self) -> float:
        """How strongly; 0: it samples the policy's own distribution."""


@runtime_checkable
class AtTemperature(Protocol):
    """A `Responder` that samples at another temperature than the run's rollout engine."""

    @property
    def temperature(self) -> float:
        """Sampling temperature; 0 is greedy."""


@runtime_checkable
class AnyTemperature(Protocol):
    """A `Responder` of an algorithm that can answer at another temperature than the run's."""

    def at_temperature(self, temperature: float) -> Responder:
        """The same at this sampling temperature (0 is greedy), as an `AtTemperature` too."""


@runtime_checkable
class AnyPrefix(Protocol):
    """A `Responder` of an algorithm whose policy can read a text in front of each prompt, which
    nobody else reads: not who chooses among its responses, nor a guard."""

    def with_prefix(self, prefix: str) -> Responder:
        """The same with the text between what its policy reads already and the prompt. Its
        responses come back after the prompts as they were given."""


@runtime_checkable
class AnyLength(Protocol):
    """A `Responder` of an algorithm that can answer up to another length than the run's."""

    def up_to(self, max_tokens: int) -> Responder:
        """The same with this cap in tokens, end token included."""


@runtime_checkable
class AnswersGroups(Responder, Protocol):
    """A `Responder` that answers a prompt for a group of people."""

    @property
    def groups(self) -> Sequence[str]:
        """Names of the groups."""

    def groups_for(self, prompts: Sequence[Prompt], seed: Sequence[int | str]) -> Sequence[str]:
        """The group for which ``respond`` answers each prompt with this seed."""

    def respond_for(
        self, groups: Sequence[str], prompts: Sequence[Prompt], seed: Sequence[int | str]
    ) -> Rollout:
        """One response per prompt, each for the group of its row."""

    def as_typed(self) -> Responder:
        """The same for prompts that people type: one that begins with the text that names a group
        is answered for that group. Otherwise a prompt is a text, however it begins."""


@runtime_checkable
class ReadsForms(Protocol):
    """A `Responder` whose models read a prompt in other forms than as it is."""

    def forms(self, prompt: Prompt) -> Sequence[Prompt]:
        """Each form in which one of them may read it."""
