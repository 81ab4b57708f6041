"""Responses to the rows of a test set, compared with right answers or scored by judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab.interfaces import (
    Context,
    Evaluation,
    Measure,
    RewardModel,
    Sampling,
    Subject,
    Tokenizer,
)
from preflab.records import Prompt, Rollout
from preflab_builtin.benchmarks.cases import by_group, questions
from preflab_builtin.benchmarks.config import GenerationConfig
from preflab_builtin.evaluation.forward import range_of, scores
from preflab_builtin.evaluation.scored import RowScores, Scores
from preflab_builtin.evaluation.text_metrics import scored


class Generation:
    """LABEL/PREFIX/METRIC and LABEL/PREFIX/SCORER: means over the rows (BLEU: of the corpus, 0 to
    100). LABEL/PREFIX/SCORER_share: share of rows with a score of at least the threshold.
    LABEL/PREFIX/tokens: length of the judged responses, because short ones are seldom wrong.
    Scorers read the prompt without its prefix."""

    def __init__(self, config: GenerationConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.cases = questions(config)
        self.scorers: dict[str, RewardModel] = {
            k: context.component("reward_model", c) for k, c in config.scorers.items()
        }

    def evaluate(self, subject: Subject) -> Evaluation:
        """Answer every row once under each prefix."""
        label = self.config.label or self.config.name
        measures: dict[str, Measure] = {}
        for name, prefix in self.config.prefixes.items():
            for metric, measure in self._measures(prefix, subject).items():
                measures[f"{label}/{name}/{metric}"] = measure
        return Evaluation(measures)

    def _measures(self, prefix: str, subject: Subject) -> Mapping[str, Measure]:
        """What is measured under one prefix, by metric and group."""
        policy, config = subject.responder.policy, self.config
        asked = [Prompt(case.place, prefix + case.prompt, split="test") for case in self.cases]
        sampling = Sampling(config.max_tokens, temperature=config.temperature)
        seed = (self.context.seed, "evaluation", config.label or config.name)
        rollout = self.context.rollout().generate(policy, asked, sampling, seed)
        texts = [cut(text, config.stop) for text in rollout.texts]
        columns = self._columns(texts, policy.tokenizer)
        measures: dict[str, Measure] = {}
        for group, at in by_group(self.cases):
            units = [self.cases[i].unit for i in at]
            for metric, scores_of_rows in columns.items():
                measures[f"{metric}{group}"] = scores_of_rows.measure(at, units)
        return measures

    def _columns(self, texts: Sequence[str], tokenizer: Tokenizer) -> dict[str, Scores]:
        """What is said of the responses, by metric: right answers, scorers, and their length."""
        references = [case.references for case in self.cases]
        columns: dict[str, Scores] = {
            metric.value: scored(metric.value, texts, references, self.config.tokenize)
            for metric in self.config.metrics
        }
        plain = [Prompt(case.place, case.prompt, split="test") for case in self.cases]
        judged = Rollout.from_texts(tokenizer, plain, texts, device=self.context.runtime.device)
        for name, scorer in self.scorers.items():
            values = scores(scorer, judged, self.context.runtime)
            columns[name] = RowScores(values, *range_of(scorer))
            if self.config.threshold is not None:
                reached = [float(v >= self.config.threshold) for v in values]
                columns[f"{name}_share"] = RowScores(reached, 0.0, 1.0)
        lengths = [float(len(tokenizer.encode(text))) for text in texts]
        return {**columns, "tokens": RowScores(lengths, 0.0)}


def cut(text: str, stop: str) -> str:
    """The text before the stop, without white space around it.

    >>> cut(" Paris\\nQ: and then?", "\\n"), cut(" Paris ", "")
    ('Paris', 'Paris')
    """
    return (text.split(stop, 1)[0] if stop else text).strip()
