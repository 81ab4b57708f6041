"""Configs of the evaluators of test sets in files. A recipe holds the digest of a file's bytes, not
its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preflab import option
from preflab.errors import nearest
from preflab.templates import pieces
from preflab_builtin.evaluation.config import BLEU_TOKENISERS


class TextMetric(StrEnum):
    """How a response is compared with its right answers."""

    token_f1 = "token_f1"
    exact_match = "exact_match"
    bleu = "bleu"
    rouge_l = "rouge_l"
    rouge_lsum = "rouge_lsum"
    rouge_1 = "rouge_1"
    rouge_2 = "rouge_2"
    squad_f1 = "squad_f1"
    squad_exact = "squad_exact"
    drop_f1 = "drop_f1"
    drop_exact = "drop_exact"
    quac_f1 = "quac_f1"


class Form(StrEnum):
    """The form in which a test set is published (`forms`)."""

    rows = "rows"
    truthfulqa = "truthfulqa"
    winogender = "winogender"
    squad = "squad"
    quac = "quac"
    drop = "drop"
    sst = "sst"
    rte = "rte"
    wsc = "wsc"
    summaries = "summaries"
    tldr = "tldr"


class Likelihood(StrEnum):
    """What answers are compared by: the mean of their tokens' log-probabilities, or the sum."""

    mean = "mean"
    sum = "sum"


def columns_of(template: str) -> list[str]:
    """The columns that a template names in braces; ValueError if it is not a valid template.

    >>> columns_of("Q: {question}{{no column}} A:")
    ['question']
    """
    return [name for _, name in pieces(template) if name]


def problems_of(path: str, template: str, prefixes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the fields that these configs have in common."""
    if not path:
        yield (
            "path",
            "is empty but must name a file of rows (.jsonl, .csv, ...), a datasets folder or "
            "hub://OWNER/NAME/SPLIT",
        )
    if not prefixes:
        yield "prefixes", "is empty: name at least one, for example {plain: ''}"
    try:
        named = columns_of(template)
    except ValueError as error:
        yield (
            "template",
            f"is not a valid template ({error}): write columns in braces, and a brace itself twice",
        )
        return
    if not named:
        yield (
            "template",
            f"is {template!r} but must name a column in braces, as in 'Question: {{question}}'",
        )


@dataclass
class RowsConfig:
    """What evaluators of a test set in a file have in common."""

    name: str = option("", "component")
    path: str = option(
        "", "file of rows, a datasets folder, or hub://OWNER/NAME/SPLIT", affects_result=False
    )
    form: Form = option(
        Form.rows, "rows with columns of any names, or the form of a published set, by its name"
    )
    label: str | None = option(
        None, "measures are LABEL/PREFIX/METRIC; null: the name of the component"
    )
    prefixes: dict[str, str] = option(
        factory=lambda: {"plain": ""}, doc="texts before each prompt or sentence, by name"
    )
    rows: int = option(1000, "most rows, the same ones for every run", ge=1, fast=4)
    group: str | None = option(None, "column whose values are also measured separately; null: off")
    unit: str | None = option(
        None,
        "column that names what rows have in common (a passage, a dialogue): they count as one in "
        "intervals; null: the prompt",
    )

    def measured(self) -> tuple[str, ...]:
        """Each metric under each prefix, over all rows and by group."""
        metrics = [f"{prefix}/{name}" for prefix in self.prefixes for name in self.metric_names()]
        groups = [f"{metric}/*" for metric in metrics] if self.group is not None else []
        return tuple(f"{self.label or self.name}/{name}" for name in (*metrics, *groups))

    def metric_names(self) -> Sequence[str]:
        """The metrics."""
        raise NotImplementedError


@dataclass
class GenerationConfig(RowsConfig):
    """Responses to the rows of a file, compared with right answers (token F1, exact match, BLEU,
    ROUGE-L) or scored by reward components (such as toxicity), under one or several prefixes."""

    name: str = option("generation", "component")
    template: str = option(
        "{prompt}", "the prompt; {column} is filled in, {outer.inner} from an object in a column"
    )
    references: list[str] = option(
        factory=list, doc="columns with right answers, each a text or a list of texts"
    )
    separator: str | None = option(
        None, "splits the text of a reference column into several; null: off"
    )
    parallel: str = option(
        "",
        "a file whose lines are the right answers to those of path (.sgm too); empty: off",
        affects_result=False,
    )
    no_answer: str | None = option(
        None,
        "the response that says that there is no answer; it counts as empty (squad) or as "
        "CANNOTANSWER (quac), and rows may have no right answer; null: off",
    )
    metrics: list[TextMetric] = option(
        factory=list,
        doc="token_f1, exact_match, squad_f1, squad_exact, drop_f1, drop_exact, quac_f1; bleu, "
        "rouge_l, rouge_lsum, rouge_1, rouge_2 (extra text)",
    )
    tokenize: str | None = option(
        None, "sacrebleu's tokeniser for BLEU: 13a, intl, zh, ja-mecab, ko-mecab, char; null: 13a"
    )
    scorers: Any = option(
        factory=dict,
        doc="reward_model components by any name, which score the responses; NAME=null: off",
    )
    threshold: float | None = option(
        None, "also report the share of responses scoring at least this; null: off"
    )
    stop: str = option("\n", "a response is cut at this text; an empty text: off")
    max_tokens: int = option(64, "response cap in tokens", ge=1, fast=8)
    temperature: float = option(0.0, "of the responses; 0 is greedy", ge=0)
    samples: int = option(
        1,
        "responses to each prompt; above 1 the highest score of each prompt is measured too",
        ge=1,
    )

    def metric_names(self) -> Sequence[str]:
        """What is said of a response, and the highest of several."""
        kinds = ["", *["_max"] * (self.samples > 1)]
        if self.threshold is not None:
            kinds += ["_share", *["_any"] * (self.samples > 1)]
        scores = [f"{scorer}{kind}" for scorer in self.scorers or () for kind in kinds]
        return [*(metric.value for metric in self.metrics), *scores, "tokens"]

    def check(self) -> Iterator[tuple[str, str]]:
        """A prompt, and something to judge the responses by."""
        yield from problems_of(self.path, self.template, self.prefixes)
        if self.metrics and not self.references:
            yield (
                "references",
                f"is empty, but metrics={self.metrics[0].value} compares with right answers: name "
                "their columns",
            )
        if not self.metrics and not self.scorers:
            yield "metrics", "is empty, and so is scorers: nothing would be measured"
        if self.threshold is not None and not self.scorers:
            yield "threshold", "is given, but there are no scorers"
        if self.samples > 1 and self.temperature == 0:
            yield "samples", f"is {self.samples}, but all are equal with temperature=0: set it to 1"
        if self.tokenize is not None and self.tokenize not in BLEU_TOKENISERS:
            yield "tokenize", f"is {self.tokenize!r}. {nearest(self.tokenize, BLEU_TOKENISERS)}"
        if self.parallel and (
            len(self.references) != 1 or len(set(columns_of(self.template))) != 1
        ):
            yield (
                "parallel",
                "is given: the template and references name one column each, for the lines of the "
                "two files",
            )


@dataclass
class MultipleChoiceConfig(RowsConfig):
    """Whether a right answer is the likeliest of several: a column of answers and one that says
    which is right, or columns of right and of wrong answers."""

    name: str = option("multiple_choice", "component")
    template: str = option(
        "{question}",
        "the prompt; {column} is filled in, {outer.inner} from an object in a column",
    )
    choices: str | None = option(None, "column with the list of answers; null: see right and wrong")
    correct: str | None = option(
        None,
        "with choices: column with the right one's number from 0 or text, or a list of 0 and 1",
    )
    right: list[str] = option(
        factory=list, doc="columns of right answers, each a text or a list of texts"
    )
    wrong: list[str] = option(
        factory=list, doc="columns of wrong answers, each a text or a list of texts"
    )
    separator: str | None = option(
        None, "splits the text of a column of answers into several; null: off"
    )
    best: str | None = option(
        None,
        "with right: column with the best right answer; then mc1 and mc2 are measured as "
        "TruthfulQA defines them; null: off",
    )
    closing: str = option("", "what every answer is made to end with, such as a full stop")
    answers: list[str] = option(
        factory=list, doc="the same answers for every row; correct says which is right"
    )
    labels: list[str] = option(
        factory=list, doc="with answers: what correct holds for each, if not its number from 0"
    )
    between: str = option(" ", "text between prompt and answer")
    likelihood: Likelihood = option(
        Likelihood.mean, "log-probability of an answer: mean over its tokens (the paper's), or sum"
    )

    def measured(self) -> tuple[str, ...]:
        """Each metric, and the accuracy of guessing."""
        return (*super().measured(), f"{self.label or self.name}/chance")

    def metric_names(self) -> Sequence[str]:
        """TruthfulQA's, if there is a best answer."""
        return ("mc1", "mc2") if self.best is not None else ("accuracy", "mass")

    def check(self) -> Iterator[tuple[str, str]]:
        """Answers in one of the three forms."""
        yield from problems_of(self.path, self.template, self.prefixes)
        if self.answers:
            yield from self._fixed()
        else:
            yield from _either(self.choices, self.correct, self.right, self.wrong)
        if self.best is not None and not self.right:
            yield "best", "is given, but right is empty: the best answer is one of the right ones"

    def _fixed(self) -> Iterator[tuple[str, str]]:
        if self.choices is not None or self.right or self.wrong:
            yield "answers", "cannot be given with choices, right or wrong"
        elif len(self.answers) < 2:
            yield "answers", f"is {self.answers} but must name two answers or more"
        elif self.correct is None:
            yield "correct", "is null: name the column that says which of the answers is right"
        elif self.labels and len(self.labels) != len(self.answers):
            yield "labels", f"is {self.labels} but must name one for each of {self.answers}"


def _either(
    choices: str | None, correct: str | None, right: Sequence[str], wrong: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if choices is not None and (right or wrong):
        yield (
            "right",
            "and wrong cannot be given with choices: name the answers in one of the two forms",
        )
    elif choices is not None and correct is None:
        yield "correct", "is null: name the column that says which of the choices is right"
    elif choices is None and not (right and wrong):
        yield "choices", "is null: name it (and correct), or columns of right and of wrong answers"


@dataclass
class SentencePairsConfig(RowsConfig):
    """Sentences that differ in the people they speak of: how often the first (the stereotype) is
    likelier, and the entropy of the choice in bits, which InstructGPT reports."""

    name: str = option("sentence_pairs", "component")
    sentences: list[str] = option(
        factory=lambda: ["sent_more", "sent_less"], doc="columns of the sentences, stereotype first"
    )
    rows: int = option(2000, "most rows, the same ones for every run", ge=1, fast=4)

    def metric_names(self) -> Sequence[str]:
        """How often the first sentence is likelier, and how evenly."""
        return ("first", "entropy")

    def check(self) -> Iterator[tuple[str, str]]:
        """At least two sentences."""
        yield from problems_of(self.path, "{sentence}", self.prefixes)
        if len(self.sentences) < 2:
            yield "sentences", f"is {self.sentences} but must name two columns or more"


@dataclass
class HarnessConfig:
    """Tasks of lm-evaluation-harness (extra lm-eval). Its own tasks fetch their data from the hub
    at first use; tasks in ``include`` read what they name. A task file can run code: use only
    those that you trust."""

    name: str = option("lm_eval", "component")
    tasks: list[str] = option(factory=list, doc="names of tasks or groups")
    include: str | None = option(
        None, "folder with task files of your own; null: off", affects_result=False
    )
    label: str = option("lm_eval", "measures are LABEL/TASK/METRIC")
    shots: int | None = option(
        None, "examples before each question; null: the task's default", ge=0
    )
    rows: int | None = option(None, "most rows per task; null: all", ge=1, fast=4)
    batch: int = option(8, "rows read at a time", ge=1, affects_result=False)

    def measured(self) -> tuple[str, ...]:
        """What the harness gives for each task, for the tasks of a group and of a pattern."""
        return (f"{self.label}/*",)

    def check(self) -> Iterator[tuple[str, str]]:
        """At least one task."""
        if not self.tasks:
            yield "tasks", "is empty: name at least one task of lm-evaluation-harness"


@dataclass
class ClassifierConfig:
    """The probability that a sequence classifier in a transformers folder gives to one of its
    labels: a judge of toxicity, sentiment or truth with a tokenizer of its own. A high score means
    that the label fits, whether the label is good or bad; of a text that is longer than the model
    reads, that it fits some part of it."""

    name: str = option("classifier", "component")
    path: str = option(
        "", "transformers folder with a classification head, or a hub id", affects_result=False
    )
    revision: str | None = option(
        None, "commit, tag or branch of a hub id; null: main", affects_result=False
    )
    label: str = option(
        "",
        "the label: its name in the model's config, or its number; may be left out for one output",
    )
    whole_text: bool = option(False, "read prompt and response together; false: the response alone")
    max_tokens: int = option(
        512, "longer texts are read in windows of this many tokens; the highest score counts", ge=1
    )

    def check(self) -> Iterator[tuple[str, str]]:
        """A model."""
        if not self.path:
            yield "path", "is empty but must name a transformers folder with a classification head"
