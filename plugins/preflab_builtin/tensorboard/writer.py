"""TensorBoard's event file of one run: scalars of every stage, a dashboard layout, and one row of
hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from preflab import hookimpl

FOLDER = "tensorboard"
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
    """One run's event file. A tag is a metric's name; the step of a scalar is the stage's own step,
    0-based."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._config = config
        self._writer: Any = SummaryWriter(str(folder / FOLDER))
        self._writer.add_custom_scalars(LAYOUT)

    @hookimpl
    def preflab_stage_started(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Rows of steps that this run did not do itself."""
        for row in history:
            metrics = {name: value for name, value in row.items() if name != "step"}
            self.preflab_step_finished(int(row["step"]), metrics)

    preflab_stage_reused = preflab_stage_started

    @hookimpl
    def preflab_step_finished(self, step: int, metrics: Mapping[str, float]) -> None:
        """One point per metric, also for values that are not finite: a gap would hide them."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, float(value), step)

    @hookimpl
    def preflab_stage_finished(self) -> None:
        """Write what is queued, so that the stage's points can be seen."""
        self._writer.flush()

    @hookimpl
    def preflab_run_finished(self, summary: Mapping[str, Any]) -> None:
        """One row of the HPARAMS tab: the flattened config against what the evaluation measured, as
        ``result/MEASURE``. Then write what is queued and stop the writer's thread."""
        measures = (summary.get("evaluation") or {}).get("measures") or {}
        values = {f"result/{name}": measure.get("value") for name, measure in measures.items()}
        results = {
            name: float(value)
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        }
        # run_name keeps it in this folder: by default it would start a second, numbered run.
        self._writer.add_hparams(dict(flat(self._config)), results, run_name=".")
        self._writer.close()

    @hookimpl
    def preflab_run_failed(self) -> None:
        """Write what is queued and stop the writer's thread."""
        self._writer.close()


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | float]]:
    """("group.key", value) pairs. What is neither a number nor a text is written as text, and
    null as "none".

    >>> dict(flat({"a": {"b": 1, "c": [1, 2]}, "d": None}))
    {'a.b': 1, 'a.c': '[1, 2]', 'd': 'none'}
    """
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}.")
        elif isinstance(value, (bool, int, float, str)):
            yield name, value
        else:
            yield name, "none" if value is None else str(value)
