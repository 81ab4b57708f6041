"""What preflab's own engine and those of transformers hold."""

from __future__ import annotations

from preflab.interfaces import Sampling
from preflab.runtime import Runtime
from preflab_builtin.rollouts.config import ContinuousConfig, NativeConfig, TransformersConfig


class Engine:
    """The run's own sampling, the rows that are decoded at a time, and where."""

    def __init__(
        self, config: NativeConfig | TransformersConfig | ContinuousConfig, runtime: Runtime
    ) -> None:
        self.sampling = Sampling(config.max_tokens, config.temperature)
        self.batch, self.runtime = config.batch, runtime
