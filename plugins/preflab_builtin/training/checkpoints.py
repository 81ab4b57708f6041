"""Which policies of a training stay as model folders, its roles ``result/step-N``: known before
any work."""

from __future__ import annotations

from preflab_builtin.training.config import TrainedConfig, WatchConfig
from preflab_builtin.training.continuing import earlier

STEP = "step-"


def kept_steps(watch: WatchConfig, total_steps: int) -> range:
    """After which steps of a training of this length the policy is kept. With patience it may end
    before some of them."""
    if not watch.checkpoints or watch.every is None:
        return range(0)
    judged = range(watch.every, total_steps + 1, watch.every)
    return judged if watch.patience is not None else judged[-watch.checkpoints :]


def checkpoint(config: TrainedConfig, name: str) -> str:
    """Why the training will keep no policy of this name, with the cure, as the end of a sentence;
    "" if it may (`preflab.components.Component.checkpoint`)."""
    watch, total, begun = config.watch, config.total_steps(), _begun(config)
    number = name.removeprefix(STEP)
    step = int(number) if name.startswith(STEP) and number.isdecimal() else 0
    if f"{STEP}{step}" != name or step == 0:
        return "keeps its policies as step-N, with N the number of steps"
    if step <= begun:
        return f"begins after step {begun}: earlier policies are in the run that it continues"
    if total is not None and step > total:
        return f"ends after step {total}"
    kept = kept_steps(watch, step if total is None else total)
    if step in kept:  # if the data decides how long it is, this may be among the last ones
        return ""
    names = [f"{STEP}{n}" for n in kept if n > begun]
    if not names:
        which = "no policy but its result"
    elif total is None:
        which = f"policies after each {watch.every} steps alone"
    else:
        which = ", ".join(names if len(names) <= 8 else [names[0], "and so on to", names[-1]])
    return f"keeps {which}. {_cure(watch, step, total)}"


def _begun(config: TrainedConfig) -> int:
    """Steps that another run has done."""
    found = earlier(config)
    return 0 if found is None else found.steps


def _cure(watch: WatchConfig, step: int, total: int | None) -> str:
    """The overrides that keep the policy after a step."""
    every = watch.every if watch.every and step % watch.every == 0 else step
    judges = "" if watch.evaluators else "+watch=proxy "
    last = "K (the last K judgements)" if total is None else str((total - step) // every + 1)
    return f"To keep it: {judges}algorithm.watch.every={every} algorithm.watch.checkpoints={last}"
