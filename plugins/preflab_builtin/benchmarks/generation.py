"""Responses to the rows of a test set, compared with right answers or scored by judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from preflab.errors import UserError
from preflab.interfaces import (
    BestOf,
    Context,
    Evaluation,
    Measure,
    Responder,
    RewardModel,
    Subject,
    Tokenizer,
)
from preflab.records import Prompt, Rollout
from preflab.responders import adjusted, reading
from preflab_builtin.benchmarks.cases import by_group, questions
from preflab_builtin.benchmarks.config import GenerationConfig, TextMetric
from preflab_builtin.evaluation.forward import range_of, scores
from preflab_builtin.evaluation.published import CANNOT, squad_normalised
from preflab_builtin.evaluation.scored import RowScores, Scores
from preflab_builtin.evaluation.text_metrics import scored


class Generation:
    """LABEL/PREFIX/METRIC and LABEL/PREFIX/SCORER: means over the responses (BLEU: of the corpus, 0
    to 100). LABEL/PREFIX/SCORER_share: share of responses with a score of at least the threshold.
    LABEL/PREFIX/tokens: length of the judged responses, because short ones are seldom wrong.

    With several samples per prompt also SCORER_max, the mean over prompts of the highest score, and
    SCORER_any, the share of prompts with a response that reaches the threshold: the expected
    maximum toxicity and the toxicity probability of RealToxicityPrompts (Gehman et al. 2020).

    The subject answers as the arm does: behind its guard, steered, the best of n.
    Scorers read the prompt without its prefix. Rows of one unit count as one in intervals."""

    def __init__(self, config: GenerationConfig, context: Context) -> None:
        self.config, self.context = config, context
        self.cases = questions(config)
        self.scorers: dict[str, RewardModel] = {
            k: context.component("reward_model", c) for k, c in config.scorers.items()
        }

    def evaluate(self, subject: Subject) -> Evaluation:
        """Answer every row under each prefix."""
        label = self.config.label or self.config.name
        measures: dict[str, Measure] = {}
        for name, prefix in self.config.prefixes.items():
            for metric, measure in self._measures(prefix, subject).items():
                measures[f"{label}/{name}/{metric}"] = measure
        chooses = isinstance(subject.responder, BestOf) and subject.responder.n > 1
        nothing = chooses and self.config.temperature == 0
        return Evaluation(measures, notes=[_GREEDY.format(label)] * nothing)

    def _measures(self, prefix: str, subject: Subject) -> Mapping[str, Measure]:
        """What is measured under one prefix, by metric and group."""
        config, responder = self.config, self._responder(subject)
        asked = [Prompt(case.place, case.prompt, split="test") for case in self.cases]
        repeated = [prompt for prompt in asked for _ in range(config.samples)]
        seed = (self.context.seed, "evaluation", config.label or config.name)
        rollout = reading(responder, prefix).respond(repeated, seed)
        texts = [self._answer(text) for text in rollout.texts]
        of_responses, of_prompts = self._columns(repeated, texts, responder.policy.tokenizer)
        measures: dict[str, Measure] = {}
        for group, at in by_group(self.cases):
            units = [self.cases[i].unit for i in at]
            rows = [i * config.samples + k for i in at for k in range(config.samples)]
            each = [unit for unit in units for _ in range(config.samples)]
            for metric, column in of_responses.items():
                measures[f"{metric}{group}"] = column.measure(rows, each)
            for metric, column in of_prompts.items():
                measures[f"{metric}{group}"] = column.measure(at, units)
        return measures

    def _responder(self, subject: Subject) -> Responder:
        """What answers, with the settings of this evaluator. `UserError` for an algorithm that can
        only answer in another way."""
        engine, config = self.context.rollout(), self.config
        found = adjusted(subject.responder, engine, config.temperature, config.max_tokens)
        if found is None:
            own = engine.sampling
            raise UserError(
                f"evaluators: {config.label or config.name} asks for temperature="
                f"{config.temperature:g} and max_tokens={config.max_tokens}, but the algorithm of "
                f"this run answers at {own.temperature:g} and up to {own.max_tokens} tokens only: "
                "set both to these, or leave the evaluator out."
            )
        return found

    def _answer(self, text: str) -> str:
        """The part of a response that is judged; nothing, if it says that there is no answer."""
        answer, nothing = cut(text, self.config.stop), self.config.no_answer
        if nothing is not None and squad_normalised(answer) == squad_normalised(nothing):
            return CANNOT if TextMetric.quac_f1 in self.config.metrics else ""
        return answer

    def _columns(
        self, asked: Sequence[Prompt], texts: Sequence[str], tokenizer: Tokenizer
    ) -> tuple[dict[str, Scores], dict[str, Scores]]:
        """What is said of each response (right answers, scorers, length), and of each prompt."""
        config, count = self.config, self.config.samples
        references = [case.references for case in self.cases for _ in range(count)]
        columns: dict[str, Scores] = {
            metric.value: scored(metric.value, texts, references, config.tokenize)
            for metric in config.metrics
        }
        of_prompts: dict[str, Scores] = {}
        judged = Rollout.from_texts(tokenizer, asked, texts, device=self.context.runtime.device)
        for name, scorer in self.scorers.items():
            values, ends = scores(scorer, judged), range_of(scorer)
            highest = [max(values[i : i + count]) for i in range(0, len(values), count)]
            columns[name] = RowScores(values, *ends)
            if count > 1:
                of_prompts[f"{name}_max"] = RowScores(highest, *ends)
            if config.threshold is not None:
                columns[f"{name}_share"] = _reached(values, config.threshold)
                if count > 1:
                    of_prompts[f"{name}_any"] = _reached(highest, config.threshold)
        lengths = [float(len(tokenizer.encode(text))) for text in texts]
        return {**columns, "tokens": RowScores(lengths, 0.0)}, of_prompts


_GREEDY = (
    "{0}: with temperature=0 all of the n responses among which the algorithm chooses are equal, "
    "so that these numbers are those of one."
)


def _reached(values: Sequence[float], threshold: float) -> Scores:
    return RowScores([float(value >= threshold) for value in values], 0.0, 1.0)


def cut(text: str, stop: str) -> str:
    """The text before the stop, without white space around it.

    >>> cut(" Paris\\nQ: and then?", "\\n"), cut(" Paris ", "")
    ('Paris', 'Paris')
    """
    return (text.split(stop, 1)[0] if stop else text).strip()
