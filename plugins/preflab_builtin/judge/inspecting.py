"""Where a judge is, found without torch."""

from __future__ import annotations

from preflab.components import Inspection
from preflab_builtin.causal_lm.folders import content_digest, locate
from preflab_builtin.judge.config import AskedModel


def inspect(config: AskedModel) -> Inspection:
    """The digest of the judge's folder; `UserError` if it is not one of a causal language model."""
    folder = locate(config.path, config.revision, "path of the judge")
    return Inspection(content=content_digest(folder))
