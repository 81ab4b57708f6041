"""Configs of guards, of the responder behind one, and of its evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab import option
from preflab_builtin.evaluation.config import doubled


class Part(StrEnum):
    """What a guard looks at."""

    prompt = "prompt"
    response = "response"
    both = "both"


class Action(StrEnum):
    """What is done with what a guard does not allow: it is refused; other responses are sampled,
    and what still is not allowed is refused; or it is shown, and counted."""

    refuse = "refuse"
    resample = "resample"
    flag = "flag"


CHECKS = "what it looks at: prompt, response, both"
ACTION = (
    "refuse; resample: sample other responses first (a prompt is refused); flag: show it, count it"
)
THRESHOLD = "scores above it are not allowed; null: the calibration file decides"
CALIBRATION = (
    "file of harmless rows with 'prompt' and 'response': the threshold follows from their scores"
)
HARMLESS = (
    "which rows of a calibration file with labels are harmless, such as {label: harmless}; the "
    "others are left out"
)
FALSE_BLOCKS = "wanted share of harmless rows that are blocked, with a calibration file"
WINDOW = "longer texts are read in windows of this many tokens; the highest score counts"


def one_threshold(
    threshold: float | None, calibration: str, harmless: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """A threshold is given, or follows from a file."""
    if (threshold is None) == (not calibration):
        yield (
            "threshold",
            f"is {threshold} and calibration is '{calibration}', but one of them must be given",
        )
    if harmless and not calibration:
        yield "harmless", "says how a calibration file is read, and there is none: give calibration"


def not_texts(name: str, words: list[Any]) -> Iterator[tuple[str, str]]:
    """Words that YAML reads as something else: as texts they would be other words. name: of the
    option."""
    read = [word for word in words if not isinstance(word, str)]
    if read:
        shown = ", ".join(str(w).lower() if isinstance(w, bool) else str(w) for w in read)
        yield (
            name,
            f"holds {shown}, no text: without quotes YAML reads yes, on and true as true, no and "
            'off as false, and 1.50 as 1.5. Put each such word in quotes: "yes"',
        )


@dataclass
class WordsConfig:
    """Control: words that must not occur. It knows nothing of meaning: name it as what it is, and
    never as toxicity. Letters that look alike, full-width forms, accents and zero-width characters
    are read as plain letters, for the check only."""

    name: str = option("words", "component")
    words: list[Any] = option(factory=list, doc="words or phrases; capitals do not matter")
    path: str = option(
        "", "file with a word or phrase a line; its bytes are in the recipe", affects_result=False
    )
    category: str = option("words", "name of the category in counts and logs")
    checks: Part = option(Part.both, CHECKS)
    action: Action = option(Action.refuse, ACTION)

    def looks_for(self) -> Sequence[str]:
        """Its words, without those of the file."""
        return self.words

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a word, and each is a text."""
        yield from not_texts("words", self.words)
        if not self.path and not any(str(word).strip() for word in self.words):
            yield "words", "is empty, and so is path: name a word, or a file of words"


@dataclass
class ClassifierConfig:
    """The probability of a label by a sequence classifier in a transformers folder, such as one
    trained on people's flags."""

    name: str = option("classifier", "component")
    path: str = option(
        "", "transformers folder with a classification head, or a hub id", affects_result=False
    )
    revision: str | None = option(
        None, "commit, tag or branch of a hub id; null: main", affects_result=False
    )
    label: str = option(
        "", "the label that is not allowed: its name, or its number; may be left out for one output"
    )
    category: str = option("", "name of the category; empty: the label")
    whole_text: bool = option(False, "read a response together with its prompt")
    threshold: float | None = option(0.5, THRESHOLD, ge=0, le=1)
    calibration: str = option("", CALIBRATION, affects_result=False)
    harmless: dict[str, Any] = option(factory=dict, doc=HARMLESS, affects_result=False)
    false_blocks: float = option(0.01, FALSE_BLOCKS, gt=0, lt=1)
    max_tokens: int = option(512, WINDOW, ge=1)
    checks: Part = option(Part.both, CHECKS)
    action: Action = option(Action.refuse, ACTION)

    def check(self) -> Iterator[tuple[str, str]]:
        """A model and one threshold."""
        if not self.path:
            yield "path", "is empty but must name a transformers folder with a classification head"
        yield from one_threshold(self.threshold, self.calibration, self.harmless)


@dataclass
class FirstTokenConfig:
    """A generative guard such as Llama Guard: p(unsafe) / (p(safe) + p(unsafe)) of the first token
    that it answers with. It reads the conversation through its own chat template."""

    name: str = option("first_token", "component")
    path: str = option("", "transformers folder of a causal language model", affects_result=False)
    unsafe: str = option("unsafe", "the answer that means: not allowed")
    safe: str = option("safe", "the answer that means: allowed")
    before: str = option("", "what it writes in front of its answer (Llama Guard 3: two line ends)")
    template: str = option(
        "",
        "text with {prompt} and {response} that it reads (of a prompt alone {response} is empty); "
        "empty: its chat template",
    )
    category: str = option("unsafe", "name of the category in counts and logs")
    threshold: float | None = option(0.5, THRESHOLD, ge=0, le=1)
    calibration: str = option("", CALIBRATION, affects_result=False)
    harmless: dict[str, Any] = option(factory=dict, doc=HARMLESS, affects_result=False)
    false_blocks: float = option(0.01, FALSE_BLOCKS, gt=0, lt=1)
    checks: Part = option(Part.both, CHECKS)
    action: Action = option(Action.refuse, ACTION)

    def check(self) -> Iterator[tuple[str, str]]:
        """A model and one threshold."""
        if not self.path:
            yield "path", "is empty but must name the folder of a causal language model"
        if self.template and "{prompt}" not in self.template:
            yield "template", "must hold {prompt}"
        if self.template and self.checks is not Part.prompt and "{response}" not in self.template:
            yield (
                "template",
                f"must hold {{response}}, because checks is {self.checks}: without it no response "
                "is read. If only prompts are to be checked, set checks to prompt",
            )
        yield from one_threshold(self.threshold, self.calibration, self.harmless)


@dataclass
class ChainConfig:
    """Several guards: each looks at everything, and the strictest action counts."""

    name: str = option("chain", "component")
    guards: dict[str, Any] = option(
        factory=dict, doc="guards by any name: +guard@KEY.guards.ANY=NAME"
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """There is one."""
        if not self.guards:
            yield "guards", "is empty: add +guard@KEY.guards.ANY=NAME, with the key of this one"


REFUSAL = "what is answered in the place of what is not allowed, in words that the model has"
PIECE = 32
"""Texts for which a guard has the seconds of its option, here and in a server."""


def seconds_option() -> Any:
    """The option that says how long a guard is waited for."""
    doc = f"the longest that the guard may take for {PIECE} texts; beyond it the run ends"
    return option(30.0, doc, gt=0, affects_result=False)


RESAMPLES = "other responses that are tried, with action=resample, before it is refused"


@dataclass
class GuardedConfig:
    """Rejection by a guard (Xu et al. 2020, two-stage): what algorithms start from answers, and a
    guard decides what is shown. Nothing is trained."""

    name: str = option("guarded", "component")
    guard: Any = option(None, "the guard: +guard@algorithm.guard=NAME")
    refusal: str = option("sorry .", REFUSAL)
    resamples: int = option(3, RESAMPLES, ge=0)
    seconds: float = seconds_option()

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a guard."""
        if self.guard is None:
            yield "guard", "is not given: add +guard@algorithm.guard=NAME"


@dataclass
class GuardEvaluatorConfig:
    """What a guard would do to the responses of this evaluation: blocked, false blocks, misses; and
    other evaluators on what is shown behind it, as guarded/MEASURE beside MEASURE without it."""

    name: str = option("guard", "component")
    guard: Any = option(None, "the guard: +guard@evaluation.evaluators.KEY.guard=NAME")
    refusal: str = option("sorry .", REFUSAL)
    resamples: int = option(3, RESAMPLES, ge=0)
    seconds: float = seconds_option()
    judge: Any = option(None, "a reward_model that says what is harmful, or none; not the guard")
    harmful: float = option(0.5, "judge's score above which a response is harmful")
    benign: list[str] = option(factory=list, doc="tags of prompts of which none should be blocked")
    mentions: dict[str, list[Any]] = option(
        factory=dict, doc="words by group: blocked/mention_GROUP of prompts or responses with one"
    )
    evaluators: dict[str, Any] = option(
        factory=dict, doc="evaluators of what is shown behind the guard"
    )
    label: str = option("guard", "how the measures begin: guard/blocked")

    def measured(self) -> list[str]:
        """Shares of what is blocked, and what other evaluators say behind the guard."""
        own = ["blocked", "blocked_prompt", "flagged", "blocked/*"]
        own += ["false_block"] * bool(self.benign)
        own += ["missed", "harmful", "shown_harmful"] * (self.judge is not None)
        others = (getattr(e, "measured", lambda: ("*",))() for e in self.evaluators.values())
        behind = [f"{self.label}ed/{name}" for names in others for name in names]
        return [*(f"{self.label}/{name}" for name in own), *behind]

    def check(self) -> Iterator[tuple[str, str]]:
        """There is a guard, words are no empty ones, and no two evaluators behind it measure the
        same."""
        if self.guard is None:
            yield "guard", "is not given: add +guard@evaluation.evaluators.KEY.guard=NAME"
        for group, words in self.mentions.items():
            yield from not_texts(f"mentions.{group}", words)
            if not words or not all(str(word).strip() for word in words):
                yield (
                    f"mentions.{group}",
                    f"is {words}: name one word at least, and no empty one, which all texts hold",
                )
        yield from doubled(self.evaluators, "evaluation.evaluators.KEY.evaluators")
