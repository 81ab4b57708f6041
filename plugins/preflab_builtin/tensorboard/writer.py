"""TensorBoard's event files of one run: scalars and samples of every stage, a dashboard layout, and
one row of hyper-parameters."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from preflab.tracking import Sample, TrackedRun, measures_of
from preflab_builtin.tensorboard.config import TensorBoardConfig

LAYOUT: dict[str, dict[str, list[Any]]] = {
    "Alignment": {
        "reward": ["Multiline", ["objective/scores", "objective/rlhf_reward"]],
        "KL to the reference": ["Multiline", ["objective/kl"]],
        "losses": ["Multiline", ["loss/policy_avg", "loss/value_avg", "loss/ptx"]],
        "health of the update": ["Multiline", ["policy/approxkl_avg", "policy/clipfrac_avg"]],
        "seconds per iteration": ["Multiline", ["time/(?!peak_fraction)"]],
    },
    "Upstream": {
        "pretraining": ["Multiline", ["loss/pretrain", "pretrain/validation_loss"]],
        "fine-tuning": ["Multiline", ["loss/sft", "sft/validation_loss"]],
    },
}
"""The CUSTOM SCALARS tab: charts with the metrics that they show, as regular expressions that
match the beginning of a name (so loss/sft shows loss/sft_mix too). What a run does not write is
left out."""


class TensorBoardLog:
    """One run's event files. A tag is a metric's name; the step of a scalar is the stage's own
    step, 0-based. The responses of a stage are texts with the tag samples/STAGE."""

    def __init__(self, config: TensorBoardConfig, run: TrackedRun) -> None:
        self._config = run.flat_config()
        # The steps of a killed process are shown again: its own points no longer count.
        self._writer: Any = SummaryWriter(str(place(config.folder, run)), purge_step=0)
        self._writer.add_custom_scalars(LAYOUT)

    def log(self, stage: str, step: int, metrics: Mapping[str, float], time: float | None) -> None:
        """One point per metric, also for values that are not finite: a gap would hide them."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step, walltime=time)

    def show(self, stage: str, step: int, samples: Sequence[Sample]) -> None:
        """The responses as one text."""
        self._writer.add_text(f"samples/{stage}", "\n\n---\n\n".join(map(as_text, samples)), step)

    def flush(self) -> None:
        """Write what is queued, so that the stage's points can be seen."""
        self._writer.flush()

    def close(self, summary: Mapping[str, Any] | None) -> None:
        """Of a complete run also one row of the HPARAMS tab: the flattened config against what the
        evaluation measured, whose tags are those of its scalars (``eval/MEASURE``). Then write what
        is queued and stop the writer's thread."""
        measures = measures_of(summary).items()
        values = {f"eval/{name}": measure.get("value") for name, measure in measures}
        results = {n: v for n, v in values.items() if v is not None and math.isfinite(v)}
        if summary is not None:
            parts = hparams(plain(self._config), results)  # type: ignore[no-untyped-call]
            for part in parts:
                self._writer.file_writer.add_summary(part)
        self._writer.close()


def place(folder: str, run: TrackedRun) -> Path:
    """Where the event files of a run are.

    >>> run = TrackedRun(Path("/runs/config/a"), {}, ())
    >>> str(place("tensorboard", run)), str(place("/logs", run))
    ('/runs/config/a/tensorboard', '/logs/config-a')
    """
    outside = Path(folder).is_absolute()
    return Path(folder) / "-".join(run.title) if outside else run.folder / folder


def as_text(sample: Sample) -> str:
    """A sample as Markdown, which shows the texts as they are: indented, every line a line."""
    ended = "" if sample.terminated else ", cut at the cap"
    values = "".join(f", {name} {value:.3g}" for name, value in sample.values.items())
    texts = "\n".join(f"{sample.prompt}\n>>> {sample.response}".splitlines())
    quoted = textwrap.indent(texts, "    ", lambda line: True)
    return f"{sample.prompt_id}: {sample.tokens} tokens{ended}{values}\n\n{quoted}"


def plain(config: Mapping[str, Any]) -> dict[str, str | float]:
    """Values as the HPARAMS tab takes them: what is neither a number nor a text is written as text,
    and null as "none".

    >>> plain({"a.b": 1, "a.c": [1, 2], "d": None})
    {'a.b': 1, 'a.c': '[1, 2]', 'd': 'none'}
    """
    return {
        name: value
        if isinstance(value, (bool, int, float, str))
        else ("none" if value is None else str(value))
        for name, value in config.items()
    }
