"""Configs of the reward models that are networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from preflab import option
from preflab.memory import Load
from preflab.optimization import OptimizerConfig

NO_PREFERENCE = "There is no ranking with a preference to train the reward model on."

COMPLETIONS = 4
"""Answers in a ranking, which only the data knows: InstructGPT's labelers saw 4 to 9."""


class Start(StrEnum):
    """The policy whose backbone a reward model starts from."""

    sft = "sft"
    base = "base"


class Element(StrEnum):
    """What one element of a batch is."""

    ranking = "ranking"
    pair = "pair"


class RankingLoss(StrEnum):
    """The loss of a ranking."""

    pairs = "pairs"
    plackett_luce = "plackett_luce"
    regression = "regression"


@dataclass
class KwiseConfig:
    """A reward model trained on K-wise rankings, one forward pass per completion (InstructGPT 3.5,
    C.2)."""

    name: str = option("kwise", "component")
    start: Start = option(
        Start.sft, "whose backbone it starts from: that of the SFT policy or of the base policy"
    )
    loss: RankingLoss = option(
        RankingLoss.pairs,
        "pairs (logistic, the mean over a ranking's pairs: InstructGPT), plackett_luce (each "
        "response against all that it is better than), or regression (squared distance to the "
        "rating of each response, less the mean and in standard deviations of all that are "
        "trained on; rankings without a preference are left out there too)",
    )
    margin: float = option(
        0.0, "pairs: the lead in reward that is asked of the better response", ge=0
    )
    label_smoothing: float = option(
        0.0, "pairs: share of pairs that are taken to be the wrong way round", ge=0, lt=0.5
    )
    epochs: int = option(1, "passes over the rankings (InstructGPT: 1; more overfit)", ge=1, fast=1)
    steps: int | None = option(
        None, "stop after this many optimizer steps instead; null: epochs decide", ge=1, fast=3
    )
    element: Element = option(
        Element.ranking,
        "ranking: a prompt's pairs together; pair: each pair shuffled alone (overfits, C.2)",
    )
    batch: int = option(
        64, "elements per optimizer step (InstructGPT: 64 prompts), whatever their K", ge=1, fast=4
    )
    optimizer: OptimizerConfig = option(
        factory=OptimizerConfig, doc="AdamW and its schedule (InstructGPT: 9e-6, cosine to 10 %)"
    )
    max_tokens: int | None = option(
        None,
        "responses are cut to this many tokens, end token included, and counted; null: never",
        ge=2,
    )
    trainable_layers: int | None = option(
        None, "train only the last N transformer blocks and the head; null: everything", ge=0
    )
    centre: bool = option(
        True,
        "store the offset that gives demonstrations mean score 0; without demonstrations, the "
        "ranked responses",
    )
    centre_on: int | None = option(
        None,
        "demonstrations, or rankings, whose mean is 0: the first ones; null: all",
        ge=1,
        fast=2,
    )
    seed: int | None = option(None, "pins this stage's seed; null follows the run's")

    def needs(self) -> tuple[str, ...]:
        """Rankings, with ratings if these are learned, and a policy that can score."""
        rated = ("ratings",) if self.loss is RankingLoss.regression else ()
        return ("rankings", "scalar_model", *rated)

    def check(self) -> Iterator[tuple[str, str]]:
        """Options of pairs are not given to another loss."""
        if self.loss is not RankingLoss.pairs:
            yield from of_pairs(self, "only loss=pairs has it")

    def load(self, tokens: int, records: Mapping[str, int]) -> Load:
        """One network that is trained on rankings of four (`preflab.memory.Load`). Their prompt,
        half of a row's tokens, is read once for all four."""
        rankings = records.get("rankings", 0)
        rows = COMPLETIONS * min(self.batch, rankings or self.batch)
        read = -(-tokens * (1 + COMPLETIONS) // (2 * COMPLETIONS))
        steps = self.steps or -(-self.epochs * rankings // self.batch)
        return Load(1, rows, read, passes=3, steps=steps, scored=0, together=COMPLETIONS)

    def fine_tunes(self) -> bool:
        """Without a trainable block, only the head learns, which is new."""
        return self.trainable_layers != 0


def of_pairs(config: KwiseConfig, why: str) -> Iterator[tuple[str, str]]:
    """Options of the loss of pairs that are given where it is not used. why: the end of what is
    said of each."""
    for name in ("margin", "label_smoothing"):
        if getattr(config, name):
            yield name, f"is {getattr(config, name)} but {why}"


def no_path(path: str, what: str) -> Iterator[tuple[str, str]]:
    """A reward model that is to be read from nowhere."""
    if not path:
        yield "path", f"is empty but must name the folder of {what}"


@dataclass
class PretrainedRewardConfig:
    """A reward-model folder, as this project or transformers writes it."""

    name: str = option("pretrained", "component")
    path: str = option(
        "",
        "folder of the reward model, or of a run that trained one; its tokenizer must be the "
        "policy's",
        affects_result=False,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A path must be given."""
        yield from no_path(self.path, "a reward model")
