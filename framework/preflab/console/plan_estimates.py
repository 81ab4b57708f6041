"""How long the stages of a plan may take, and how much memory: by earlier runs that did the same
work, and by the sizes in the config."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from omegaconf import DictConfig

from preflab.engine.preflight import REFUSED
from preflab.errors import UserError
from preflab.jobs import gpus
from preflab.planning.asking import inspect, missing
from preflab.planning.estimates import estimate
from preflab.planning.reading import Job
from preflab.planning.run import Run, Stage
from preflab.planning.sizing import DISK, Sized, size, sized
from preflab.precision import on_gpu
from preflab.storage.artifacts import Store
from preflab.terminal import duration

GFLOPS = "--gflops"
YARDSTICK = 1e11
"""Operations per second of a processor at which a time is named: what two cores do in float32, more
or less."""
NARROW = 128
"""Below this width a model's time is that of calls between its products, not of its arithmetic: at
128 it still has two fifths of a processor's speed (tests/benchmarks/README.md)."""
Ahead = Sequence[tuple[Run, Stage]]
"""Stages that are to be computed, each with a run that does."""


def taken_speed(arguments: Sequence[str]) -> tuple[list[str], float]:
    """The words without ``--gflops N``, and operations per second; 0 if they are not given."""
    if GFLOPS not in arguments:
        return list(arguments), 0.0
    place = list(arguments).index(GFLOPS)
    given = "".join(arguments[place + 1 : place + 2])
    try:
        speed = float(given) * 1e9
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise UserError(
            f"{GFLOPS} is {given or 'given without a number'}, but must be a number > 0: billions "
            f"of operations per second of all processes together, for example {GFLOPS} 200."
        )
    return [*arguments[:place], *arguments[place + 2 :]], speed


def refusals(jobs: Sequence[Job], launcher: DictConfig | None = None) -> list[str]:
    """Why a run of the same command would be refused, though it can be planned. launcher: Hydra's,
    of a multirun."""
    why = [*gpus.lacking(launcher, jobs)]
    choices = [choice for job in jobs for choice in job.run.all_choices()]
    why += [f"{choice.key}: {lacks}" for choice in choices if (lacks := missing(choice))]
    return [REFUSED.format(sentence) for sentence in dict.fromkeys(why)]


def sentences(ahead: Ahead, speed: float = 0.0) -> list[str]:
    """What the stages may take, and by what that is known. speed: operations per second, 0: not
    given."""
    roots = {run.store_root for run, _ in ahead}
    artifacts = [artifact for root in sorted(roots) for artifact in Store(root).complete()]
    found = [(stage.name, estimate(run, stage, artifacts)) for run, stage in ahead]
    known = [(name, guess) for name, guess in found if guess is not None]
    unknown = Counter(name for name, guess in found if guess is None)
    if not known:
        nothing = "No earlier run of the same work says how long they take."
        return [*([nothing] if found else []), *_by_sizes(ahead, speed)]
    seconds = duration(sum(guess.seconds for _, guess in known))
    most = max(guess.megabytes for _, guess in known)
    names = ", ".join(_times(name, number) for name, number in unknown.items())
    without = f" Without {names}, of which there is no earlier run." if unknown else ""
    lines = [f"About {seconds}, one stage after the other, and {most:.0f} MB at most.{without}"]
    for (name, guess), number in Counter(known).items():
        took = f"{duration(guess.seconds)}{' each' if number > 1 else ''}"
        lines.append(
            f"- {_times(name, number)}: {took}, {guess.megabytes:.0f} MB, as {guess.words()}"
        )
    return [*lines, *_by_sizes(ahead, speed)]


def _times(name: str, number: int) -> str:
    return f"{number} {name}" if number > 1 else name


def _by_sizes(ahead: Ahead, speed: float) -> list[str]:
    """What stages take by the sizes in the config: memory of a process, and time of arithmetic."""
    reckoned = [(run, stage, sized(run, stage)) for run, stage in ahead]
    found = [(run, stage, guess) for run, stage, guess in reckoned if guess is not None]
    if not found:
        return []
    lines = Counter(
        (stage.name, guess.words() + _work(guess, speed or _usual(run)))
        for run, stage, guess in found
    )
    tokens = max(guess.tokens for _, _, guess in found)
    shapes = (inspect(run.choices["policy"]).shape for run, _, _ in found)
    narrow = any(shape is not None and shape.width < NARROW for shape in shapes)
    longer = " A model as small as this takes several times as long." if narrow else ""
    return [
        f"Reckoned from the sizes in the config, with rows of at most {tokens} tokens. Times are "
        f"rough: arithmetic divided by a speed, not measured; {GFLOPS} N gives another speed."
        f"{longer}",
        *(f"- {_times(name, number)}: {words}" for (name, words), number in lines.items()),
    ]


def _usual(run: Run) -> float:
    """Operations per second that a time is named at; 0 for GPUs, of which there are too many
    kinds."""
    return 0.0 if on_gpu(run.settings.runtime) else YARDSTICK


def _work(guess: Sized, speed: float) -> str:
    """Phrases on the arithmetic and on the checkpoints, with times if a speed is known."""
    if not guess.flops:
        return ""
    work = f"; {guess.flops:.1e} floating-point operations"
    number = guess.checkpoints(speed) if speed else 0
    if speed:
        work += f", {duration(guess.flops / speed)} at {speed / 1e9:,.0f} GFLOP/s"
    if not guess.checkpoint or (speed and not number):
        return work
    count = "1 checkpoint" if number == 1 else f"{number or ''} checkpoints".strip()
    each = f"{duration(guess.saving)}{'' if number == 1 else ' each'}"
    return f"{work}, and {count} of {size(guess.checkpoint)}, {each} at {DISK / 1e6:.0f} MB/s"
