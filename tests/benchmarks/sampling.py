"""Our side of the rollout measurements: the run's own engine, asked as PPO asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.channel import Turns, forget_peak
from benchmarks.judging import ROWS, judged, together
from benchmarks.shapes import rollout_shape
from preflab.engine.context import StageContext
from preflab.engine.stages import Stages
from preflab.records import Prompt, Rollout

if TYPE_CHECKING:
    from benchmarks.ours import Job


def sample(job: Job, stages: Stages, turns: Turns) -> None:
    """Answer ``sample`` with one rollout and ``judge`` with log-probs of given tokens."""
    context = StageContext(stages.environment, "benchmark")
    policy, engine = context.policy("initial"), context.rollout()
    prompts = context.records("prompts", "train")
    batch, number = rollout_shape(job.size).batch, 0
    turns.answer(ready=True)
    while True:
        command = turns.wait()
        if command["do"] == "judge":
            rows, device = command["rows"], context.runtime.device
            turns.answer(
                **together(
                    _judge(policy, prompts, rows[i : i + ROWS], device)
                    for i in range(0, len(rows), ROWS)
                )
            )
            forget_peak()
            continue
        chosen = [prompts[(number * batch + i) % len(prompts)] for i in range(batch)]
        rollout = engine.generate(
            policy, chosen, engine.sampling, (context.seed, "benchmark", number)
        )
        number += 1
        lengths = rollout.response_lengths.tolist()
        turns.answer(lengths=lengths, rows=[[q, r] for q, r in rollout.tokens()])


def _judge(
    policy: Any, prompts: Sequence[Prompt], rows: list[list[list[int]]], device: torch.device
) -> dict[str, Any]:
    batch = Rollout.from_tokens(
        policy.tokenizer, prompts[: len(rows)], [q for q, _ in rows], [r for _, r in rows], device
    )
    with torch.inference_mode():
        width = batch.prompt_ids.shape[1]
        logits = policy.logits(policy.hidden(batch.input_ids, batch.mask)[:, width - 1 : -1])
    return judged(logits, batch.response_ids, batch.response_mask)
