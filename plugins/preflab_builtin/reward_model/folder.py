"""What a given reward-model folder is, read before any work and without torch."""

from __future__ import annotations

from pathlib import Path

from preflab import Inspection, UserError
from preflab.storage.artifacts import file_digest
from preflab_builtin.causal_lm.folders import check_folder, content_digest, tokenizer_digest
from preflab_builtin.reward_model.config import PretrainedRewardConfig


def inspect(config: PretrainedRewardConfig) -> Inspection:
    """Digests of the weights, the stored offset and the tokenizer; `UserError` if it is not a model
    folder."""
    folder = Path(config.path)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"reward_model.path={config.path} is not a model folder: it has no config.json (looked "
            f"from {Path.cwd()})"
        )
    check_folder(folder)
    facts = folder / "preflab.json"  # holds the offset, which decides scores as weights do
    content = content_digest(folder) + (file_digest(facts) if facts.is_file() else "")
    return Inspection(content=content, tokenizer=tokenizer_digest(folder))
