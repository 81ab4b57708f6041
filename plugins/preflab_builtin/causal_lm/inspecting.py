"""What is known of a pretrained model before any work, without torch."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from preflab import Inspection
from preflab.storage.run_folder import read_from
from preflab_builtin.causal_lm.config import PretrainedConfig
from preflab_builtin.causal_lm.folders import (
    content_digest,
    locate,
    tokenizer_digest,
    writes_the_date,
)
from preflab_builtin.causal_lm.shape import shape_of
from preflab_builtin.causal_lm.weights import parameters


def inspect_pretrained(config: PretrainedConfig) -> Inspection:
    """Digests of the weights and the tokenizer; `UserError` if there is no such model folder."""
    folder = locate(config.path, config.revision, whole=False)
    said = read_from(Path(config.path).expanduser())
    content = content_digest(folder)
    if "date_string" not in config.template_arguments and writes_the_date(folder):
        content += f" on {date.today()}"
    return Inspection(
        content=content,
        tokenizer=tokenizer_digest(folder),
        pretrained=True,
        # Usual learning rates are known for all weights, not for adapters.
        parameters=parameters(folder) if config.lora.rank is None else 0,
        shape=shape_of(folder, config.lora),
        notices=[f"policy.path: {said}."] if said else [],
    )
