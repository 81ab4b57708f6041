"""Config of the entropy bonus."""

from __future__ import annotations

from dataclasses import dataclass

from preflab import option


@dataclass
class EntropyConfig:
    """A bonus for the entropy of the policy at the tokens that were sampled (Williams and Peng
    1991; Mnih et al. 2016). It keeps a policy from collapsing early."""

    name: str = option("entropy", "component")
    coef: float = option(0.01, "weight per nat of mean entropy; 0: the term is not built", ge=0)
