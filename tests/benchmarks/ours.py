"""Our side: preflab itself, composed from overrides as a command line would be, its stage stopped
between two steps until it is our turn. Run as ``python -m benchmarks.ours JOB`` in preflab's
environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.channel import Turns, job_of
from benchmarks.shapes import (
    LEARNING_RATE,
    SEED,
    STEPS,
    PPOShape,
    ppo_shape,
    ranking_shape,
    rollout_shape,
    sft_shape,
)

if TYPE_CHECKING:
    from preflab.engine.stages import Stages


@dataclass(frozen=True)
class Job:
    """What to run. folder: what `prepare` wrote; scratch: an empty folder; threads: of torch;
    precision: of the forward pass; more: further overrides. The rest departs from the size's shape
    for the growth measurements (k, batch, response) or the check (given: the responses are
    given)."""

    name: str
    size: str
    folder: str
    scratch: str
    threads: int
    device: str = "cpu"
    precision: str = "float32"
    more: str = ""
    k: int = 9
    batch: int = 0
    response: int = 0
    given: bool = False


def overrides(job: Job) -> list[str]:
    """The command line of a job, without ``preflab``."""
    data = Path(job.folder)
    weights = data / ("ragged" if job.name == "rollout_ragged" else "policy")
    words = [
        f"policy=pretrained policy.path={weights} pretrain=none sft=none comparisons=none "
        "labeler=none select=last"
    ]
    words += [
        f"evaluation=none filters=none seed={SEED} runtime.threads={job.threads} "
        "checkpoint.every_seconds=1e9"
    ]
    words += [
        f"artifacts.dir={job.scratch} data=files "
        f"data.prompts={data / ('check.jsonl' if job.given else 'prompts.jsonl')}"
    ]
    words += [
        f"runtime.device={job.device} runtime.precision={job.precision} "
        f"runtime.decode_graphs={job.device == 'cuda'}"
    ]
    stages = {"ppo_iteration": ppo_words, "reward_model": reward_words, "sft": sft_words}
    words += stages.get(job.name, rollout_words)(job, data)
    # Given responses have no log-probs of an engine.
    words += [job.more, *["algorithm.old_log_probs=recomputed"] * job.given]
    return " ".join(words).split()


def optimizer_words(key: str) -> str:
    """AdamW with a constant learning rate, as both sides use it."""
    settings = "schedule=constant warmup=0 eps=1e-8 beta2=0.95 clip=1.0"
    return " ".join(f"{key}.{word}" for word in (f"lr={LEARNING_RATE}", *settings.split()))


def ppo_words(job: Job, data: Path) -> list[str]:
    """One PPO iteration per step, with reference, value network and reward model."""
    shape = shape_of(job)
    words = [
        f"algorithm=ppo algorithm.batch={shape.batch} "
        f"algorithm.minibatch={shape.batch // shape.minibatches}"
    ]
    words += [f"algorithm.episodes={shape.batch * STEPS} algorithm.epochs=1 algorithm.kl.coef=0.02"]
    words += [f"reward_model=pretrained reward_model.path={data / 'reward'}"]
    words += [
        optimizer_words("algorithm.policy"),
        optimizer_words("algorithm.value"),
        "rollout=native",
    ]
    if job.given:
        # One minibatch, so that it does not matter how rows are dealt; the peer clips no gradient.
        words += [
            f"rollout=given rollout.path={data / 'given.json'} algorithm.minibatch={shape.batch}"
        ]
        words += [f"algorithm.{who}.clip=null" for who in ("policy", "value")]
    return [*words, f"rollout.max_tokens={shape.response}"]


def shape_of(job: Job) -> PPOShape:
    """The PPO shape, with what a growth measurement changes."""
    shape = ppo_shape(job.size)
    return replace(shape, batch=job.batch or shape.batch, response=job.response or shape.response)


def rollout_words(job: Job, data: Path) -> list[str]:
    """Only the sampling engine and the policy are used."""
    return [
        "algorithm=none reward_model=none rollout=native "
        f"rollout.max_tokens={rollout_shape(job.size).response}"
    ]


def reward_words(job: Job, data: Path) -> list[str]:
    """K-wise training from the policy's trunk."""
    batch = ranking_shape(job.size).prompts
    words = [
        f"algorithm=none reward_model=kwise reward_model.start=base reward_model.batch={batch} "
        "reward_model.epochs=1"
    ]
    return [
        *words,
        f"data.rankings={data / f'rankings_k{job.k}.jsonl'}",
        optimizer_words("reward_model.optimizer"),
    ]


def sft_words(job: Job, data: Path) -> list[str]:
    """Loss on every token, no mix."""
    words = [
        "algorithm=none reward_model=none sft=demonstrations "
        f"sft.batch={sft_shape(job.size).batch} sft.epochs=1"
    ]
    words += [
        f"sft.mix_coef=0 sft.loss_on=full data.demonstrations={data / 'demonstrations.jsonl'}"
    ]
    return [*words, optimizer_words("sft.optimizer")]


STAGES = {"ppo_iteration": "algorithm", "reward_model": "reward_model", "sft": "sft"}
"""The stage that a measurement steps through; the others sample."""


def composed(job: Job, observe: Callable[..., None]) -> Stages:
    """The stages of a job's run. observe: called by the engine with the name of a hook and what it
    shows."""
    if job.given:
        os.environ["PREFLAB_PLUGIN_FILES"] = str(Path(__file__).with_name("given.py"))
    from preflab import compose
    from preflab.composing.compose import resolved
    from preflab.composing.search_path import registry
    from preflab.engine.stages import Stages
    from preflab.jobs.execution import quiet_libraries
    from preflab.planning.reading import read

    quiet_libraries()
    return Stages(read(resolved(compose(overrides(job))), registry()), observe, {})


def step_through(job: Job, stages: Stages) -> None:
    """Make the stage that a measurement steps through."""
    stage = stages.run.stage(STAGES[job.name])
    assert stage is not None, f"the config makes no {STAGES[job.name]}"
    stages.make(stage)


def main(arguments: Sequence[str]) -> None:
    """Build what the job names, then take turns."""
    from preflab.console.startup import calm_threads

    turns, job = Turns(), Job(**job_of(arguments))
    calm_threads()  # as `preflab.console.cli.main` does

    def observe(hook: str, **shown: Any) -> None:
        """Called by the engine: before the first step, and after each."""
        if hook == "preflab_stage_started":
            turns.answer(ready=True)
            turns.wait()
        elif hook == "preflab_step_finished":
            turns.answer(metrics={name: float(value) for name, value in shown["metrics"].items()})
            turns.wait()

    stages = composed(job, observe)
    if job.name in STAGES:
        step_through(job, stages)
    else:
        from benchmarks.sampling import sample

        sample(job, stages, turns)


if __name__ == "__main__":
    main(sys.argv)
