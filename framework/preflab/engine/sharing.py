"""One engine for all processes of a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from preflab.errors import UserError
from preflab.interfaces import Policy, Refreshes, RolloutEngine, Sampling
from preflab.records import Prompt, Rollout
from preflab.sharding import is_sharded, whole

if TYPE_CHECKING:
    from preflab.runtime import Runtime

CANNOT_READ = (
    "runtime.sharding=full does not work with {0}, which samples from the policy while it is "
    "trained: this engine computes in its own way and cannot read a policy of which each process "
    "has a part. Give rollout=native or rollout=transformers, or leave runtime.sharding out."
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

    def generate(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seed: Sequence[int | str],
    ) -> Rollout:
        if self.weights is not None and is_sharded(policy.module):
            raise UserError(CANNOT_READ.format("this rollout engine"))
        self._refresh(policy)
        mine = self.runtime.share(range(len(prompts)))
        rows: list[tuple[list[int], list[int], list[float] | None, str]] = []
        # Divided weights are gathered once; a process without prompts takes part in that.
        with whole(policy.module):
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

    def _refresh(self, policy: Policy) -> None:
        """Give an engine that has a copy of the weights those of the policy: once, and before any
        process samples from it."""
        if isinstance(self.engine, Refreshes):
            if self.runtime.rank == 0:
                self.engine.refresh(policy)
            self.runtime.gather([0])  # nobody goes on before it is done
