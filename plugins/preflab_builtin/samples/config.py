"""Config of the samples stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from preflab import option
from preflab.memory import Load


@dataclass
class SampledConfig:
    """K responses of the SFT policy to each prompt (InstructGPT: 33k prompts). The defaults are
    those of the embedded world."""

    name: str = option("sampled", "component")
    prompts: int = option(900, "training prompts (at most all of them)", ge=1, fast=12)
    validation_prompts: int = option(100, "validation prompts", ge=0, fast=4)
    k: int = option(4, "K, responses per prompt (InstructGPT: 4 to 9)", ge=2, fast=3)
    batch: int = option(100, "prompts per step", ge=1, fast=8)
    temperature: float = option(1.0, "temperature of the samples", gt=0)
    others: list[str] = option(
        factory=list,
        doc="folders of other policies with the same tokenizer, or of finished runs: SFT and they "
        "share the K responses to each prompt, in turn (InstructGPT 3.5 ranks responses of PPO "
        "policies too)",
        affects_result=False,
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """SFT's policy and the others (`preflab.memory.Load`)."""
        prompts = self.prompts + self.validation_prompts
        prompts = min(prompts, records.get("prompts", prompts))
        rows = self.k * min(self.batch, prompts)
        return Load(
            trained=0,
            frozen=1 + len(self.others),
            rows=rows,
            sampled=rows,
            tokens=tokens,
            passes=1,
            scored=0.5,
            steps=-(-prompts // self.batch),
        )

    def check(self) -> Iterator[tuple[str, str]]:
        """Every policy gives a response."""
        if len(self.others) >= self.k:
            yield (
                "others",
                f"names {len(self.others)} policies, which share k={self.k} responses to a prompt "
                f"with SFT: raise k to {len(self.others) + 1} or more, or name fewer",
            )
        for i, path in enumerate(self.others):
            if not path.strip():
                yield "others", f"is empty at place {i}: name the folder of a policy or of a run"
