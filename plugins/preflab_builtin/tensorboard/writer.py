"""TensorBoard's event file of one run: scalars of every stage, a dashboard layout, and one row of hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
LAYOUT: dict[str, dict[str, list[Any]]] = {
    "Alignment": {
        "reward": ["Multiline", ["objective/scores", "objective/rlhf_reward"]],
        "KL to the reference": ["Multiline", ["objective/kl"]],
        "losses": ["Multiline", ["loss/policy_avg", "loss/value_avg", "loss/ptx"]],
        "health of the update": ["Multiline", ["policy/approxkl_avg", "policy/clipfrac_avg"]],
        "seconds an iteration": [
            "Multiline",
            ["time/rollout", "time/scoring", "time/old_log_probs", "time/update", "time/other"],
        ],
    },
    "Upstream": {
        "pretraining": ["Multiline", ["pretrain/loss/pretrain"]],
        "fine-tuning": ["Multiline", ["sft/loss/sft", "sft/loss/pretrain", "sft/val/loss"]],
    },
}
"""The CUSTOM SCALARS tab. A tag that a run does not write leaves its line out."""


def tag(stage: str, metric: str) -> str:
    """The name of a metric in TensorBoard: ``stage/metric``, but the algorithm's metrics keep their names (dashboards know
    ``objective/kl``), and a name that begins with its stage, or with ``eval/``, is not prefixed.

    >>> tag("sft", "lr"), tag("sft", "sft/tokens"), tag("algorithm", "objective/kl"), tag("evaluation", "eval/gold/gold")
    ('sft/lr', 'sft/tokens', 'objective/kl', 'eval/gold/gold')
    """
    if stage == "algorithm" or metric.startswith((f"{stage}/", "eval/")):
        return metric
    return f"{stage}/{metric}"


class TensorBoardLog:
    """One run's event file. The step of a scalar is the stage's own step, 0-based."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._config = config
        self._writer: Any = SummaryWriter(str(folder / FOLDER))
        self._writer.add_custom_scalars(LAYOUT)

    def replay(self, stage: str, history: Sequence[Mapping[str, Any]]) -> None:
        """Rows of steps that this run did not do itself."""
        for row in history:
            self.step(stage, int(row["step"]), {k: v for k, v in row.items() if k != "step"})

    def step(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """One point a metric, those that are not finite too: a gap would hide them."""
        for name, value in metrics.items():
            self._writer.add_scalar(tag(stage, name), float(value), step)

    def flush(self) -> None:
        """Write what is queued."""
        self._writer.flush()

    def hparams(self, summary: Mapping[str, Any]) -> None:
        """One row of the HPARAMS tab: the flattened config against what the evaluation found, as ``result/MEASURE``."""
        measures = (summary.get("evaluation") or {}).get("measures") or {}
        found = {f"result/{name}": m.get("value") for name, m in measures.items()}
        known = {
            name: float(value)
            for name, value in found.items()
            if value is not None and math.isfinite(value)
        }
        # run_name keeps it in this folder: by default it would start a second, numbered run.
        self._writer.add_hparams(dict(flat(self._config)), known, run_name=".")

    def close(self) -> None:
        """Write what is queued and stop the writer's thread."""
        self._writer.close()


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | float]]:
    """("group.key", value) pairs; what is neither number nor text is written as text, nothing as "none".

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
