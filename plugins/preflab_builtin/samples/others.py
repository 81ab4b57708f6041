"""Policies of other folders that share the pool with SFT."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from preflab import Inspection
from preflab.interfaces import Context
from preflab.records import Prompt
from preflab_builtin.causal_lm.beside import check_beside
from preflab_builtin.causal_lm.folders import content_digest, locate
from preflab_builtin.samples.config import SampledConfig


def located(config: SampledConfig) -> list[Path]:
    """Their folders. `UserError` where one holds no policy."""
    return [locate(path, None, f"samples.others[{i}]") for i, path in enumerate(config.others)]


def inspect(config: SampledConfig) -> Inspection:
    """The digest of the models' folders, in their order."""
    if not config.others:
        return Inspection()
    digests = "\n".join(map(content_digest, located(config)))
    return Inspection(content=hashlib.sha256(digests.encode()).hexdigest())


def check_others(config: SampledConfig, context: Context, prompts: Sequence[Prompt]) -> None:
    """`UserError` for a policy that reads other token ids than the run's, or has too few positions
    for a prompt and the longest response."""
    for i, folder in enumerate(located(config)):
        check_beside(context, folder, f"samples.others[{i}]", prompts)
