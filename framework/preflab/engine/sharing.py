"""One engine for all processes of a job."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from preflab.errors import NumericError, UserError
from preflab.interfaces import Policy, Refreshes, RolloutEngine, Sampling
from preflab.records import Prompt, Rollout
from preflab.sampling import gives_log_probs, reads_parts
from preflab.sharding import is_sharded, whole

if TYPE_CHECKING:
    import torch

    from preflab.runtime import Runtime

CANNOT_READ = (
    "runtime.sharding=full does not work with {0}, which samples from the policy while it is "
    "trained: this engine computes in its own way and cannot read a policy of which each process "
    "has a part. Give rollout=native, rollout=transformers or a server of rollout=vllm, or leave "
    "runtime.sharding out."
)
REPLACED = (
    "The rollout engine's copy had the policy's weights, and then it had others before every "
    "process had sampled: somebody else gave it weights, or it was started again. No weight was "
    "changed. Give each run an engine of its own, and the same command goes on from the last "
    "checkpoint."
)


@dataclass(frozen=True)
class SharedEngine:
    """Samples with the engine of every process of the job: each answers its share, all get all.
    Rows keep their numbers, so the responses are those of one process."""

    engine: RolloutEngine
    runtime: Runtime

    @property
    def sampling(self) -> Sampling:
        return self.engine.sampling

    @property
    def weights(self) -> str | None:
        """Of an engine that is `Foreign`; None of another."""
        return getattr(self.engine, "weights", None)

    @property
    def gives_log_probs(self) -> bool:
        return gives_log_probs(self.engine)

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        if is_sharded(policy.module) and not reads_parts(self.engine):
            raise UserError(CANNOT_READ.format("this rollout engine"))
        mine = self.runtime.share(range(len(prompts)))
        rows: list[tuple[list[int], list[int], list[float] | None, str]] = []
        # A process without prompts takes part in this.
        with self._readable(policy) as policy:
            if mine:
                own = replace(sampling, first_row=sampling.first_row + mine[0] * sampling.samples)
                rollout = self.engine.generate(policy, [prompts[i] for i in mine], own, seed)
                drawn_by = rollout.drawn_by()
                rows = [
                    (q, r, None if drawn_by is None else drawn_by[i], rollout.weights)
                    for i, (q, r) in enumerate(rollout.tokens())
                ]
        rows = self.runtime.gather(rows)
        each = [prompt for prompt in prompts for _ in range(sampling.samples)]
        said = [d for _, _, d, _ in rows if d is not None]
        return Rollout.from_tokens(
            policy.tokenizer,
            each,
            [q for q, *_ in rows],
            [r for _, r, *_ in rows],
            self.runtime.device,
            log_probs=said if rows and len(said) == len(rows) else None,
            weights=" and ".join(sorted({w for *_, w in rows})),
        )

    @contextlib.contextmanager
    def _readable(self, policy: Policy) -> Iterator[Policy]:
        """The policy as the engine of each process reads it: with whole weights, gathered once, or
        with weights that the engine's copy has already."""
        if self.weights is None:
            with whole(policy.module):
                yield policy
        else:
            version = policy.version
            self._refresh(cast(Policy, _Known(policy, version, every=True)))
            yield cast(Policy, _Known(policy, version, every=False))

    def _refresh(self, policy: Policy) -> None:
        """Give an engine that has a copy of the weights those of the policy: once, and before any
        process samples from it."""
        engine, first = self.engine, self.runtime.rank == 0
        if not isinstance(engine, Refreshes):
            return
        if self.runtime.agreed(first and engine.is_stale(policy.version)):
            if first:
                engine.refresh(policy)
            elif is_sharded(policy.module):
                for _ in policy.weights():  # this process's parts of what process 0 reads
                    pass
            self.runtime.gather([])  # nobody goes on before it is done


class _Known:
    """A policy whose version is known: every process takes part in finding out that of divided
    weights, and a process without prompts does not ask its engine for a response. every: all
    processes ask for the weights now; one that asked alone would wait for the others without
    end."""

    def __init__(self, policy: Policy, version: str, every: bool) -> None:
        self._policy, self.version, self._every = policy, version, every

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Those of the policy; `NumericError` if they are divided and this process asks alone."""
        if is_sharded(self._policy.module) and not self._every:
            raise NumericError(REPLACED)
        return self._policy.weights()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)
