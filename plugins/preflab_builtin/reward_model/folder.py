"""What a given reward-model folder is, read before any work and without torch."""

from __future__ import annotations

from pathlib import Path

from preflab import Inspection, UserError
from preflab.storage.artifacts import file_digest
from preflab.storage.run_folder import ARTIFACTS, stage_folder
from preflab_builtin.causal_lm.checking import Use, check_folder, neighbours
from preflab_builtin.causal_lm.folders import content_digest, tokenizer_digest
from preflab_builtin.reward_model.config import PretrainedRewardConfig


def located(config: PretrainedRewardConfig) -> Path:
    """The model folder: the path itself, or the reward model that a run has trained."""
    made = stage_folder(Path(config.path), "reward_model")
    return Path(config.path) if made is None else made / "model"


def inspect(config: PretrainedRewardConfig, use: Use = Use.reward_model) -> Inspection:
    """Digests of the weights, the stored offset and the tokenizer; `UserError` if it is not a model
    folder."""
    folder = located(config)
    if not folder.is_dir():
        given = f"The pretrained reward model's path={config.path}"
        members = _members(config)
        if members:
            raise UserError(
                f"{given} is a run whose reward model is made of several. Choose one of them: "
                f"{', '.join(f'path={member}' for member in members)}."
            )
        raise UserError(f"{given} is not a folder (looked from {Path.cwd()}). {neighbours(folder)}")
    check_folder(folder, use)
    facts = folder / "preflab.json"  # holds the offset, which decides scores as weights do
    content = content_digest(folder) + (file_digest(facts) if facts.is_file() else "")
    return Inspection(content=content, tokenizer=tokenizer_digest(folder))


def _members(config: PretrainedRewardConfig) -> list[Path]:
    """The model folders of the members of a run's reward model that is made of several."""
    run = Path(config.path)
    made = stage_folder(run, "reward_model")
    link = run / ARTIFACTS / "reward_model"  # shorter, but a moved run may have lost it
    places = [] if made is None else sorted((link if link.is_dir() else made).glob("*/model"))
    return [place for place in places if place.is_dir()]
