"""Evaluators of the pretraining domain: what alignment costs there (InstructGPT 4.2, the alignment
tax)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from preflab import intervals
from preflab.errors import UserError
from preflab.interfaces import (
    Context,
    Evaluation,
    Measure,
    Policy,
    RolloutEngine,
    Sampling,
    Subject,
    Tokenizer,
)
from preflab.prompts import with_prefix
from preflab.randomness import permutation
from preflab.records import Document, Prompt, Split
from preflab_builtin.evaluation.config import DocumentLossConfig, FamiliesConfig
from preflab_builtin.evaluation.forward import document_nll


def by_family(documents: Sequence[Document], most: int) -> dict[str, list[Document]]:
    """At most ``most`` documents of each family, families in alphabetical order. Equal documents
    count once, so that the cases are independent. The choice does not depend on the run's seed."""
    different = list({(d.family, d.text, d.answer_start): d for d in documents}.values())
    families: dict[str, list[Document]] = {}
    for i in permutation(len(different), "evaluation", "documents"):
        chosen = families.setdefault(different[i].family, [])
        if len(chosen) < most:
            chosen.append(different[i])
    return {family: families[family] for family in sorted(families)}


def values_by_case(
    measure: str, values: Sequence[tuple[str, float]]
) -> dict[str, dict[str, float]]:
    """The values of a measure by case id; nothing if two cases have the same id.

    >>> values_by_case("m", [("a", 1.0), ("b", 0.0)]), values_by_case("m", [("a", 1.0), ("a", 0.0)])
    ({'m': {'a': 1.0, 'b': 0.0}}, {})
    """
    by_id = dict(values)
    return {measure: by_id} if len(by_id) == len(values) else {}


@dataclass(frozen=True)
class Probe:
    """A question of a document: the text to continue, and the tokens that must follow."""

    prompt: Prompt
    answer: tuple[int, ...]

    @property
    def most(self) -> int:
        """Tokens that are sampled. Powers of two make few calls; those beyond the length of the
        answer are not looked at."""
        return 1 << (len(self.answer) - 1).bit_length()


def probe(document: Document, tokenizer: Tokenizer) -> Probe | None:
    """The question of a document; None if it has none. Where the answer begins within a token
    (the tokenizer joins a space to the next word), white space before the answer is moved to it."""
    if document.answer_start is None:
        return None
    question = document.text[: document.answer_start]
    tokens = tokenizer.encode_prompt(Prompt(document.id, document.text))
    bare = question.rstrip()
    for text in (question, bare):
        head = tokenizer.encode_prompt(Prompt(document.id, text))
        if head and tokens[: len(head)] == head:
            rest = tuple(tokens[len(head) :])
            return Probe(Prompt(document.id, text, place=document.place), rest) if rest else None
    answer = tuple(tokenizer.encode(document.text[len(bare) :]))
    return (
        Probe(Prompt(document.id, bare, place=document.place), answer) if bare and answer else None
    )


def answered(policy: Policy, engine: RolloutEngine, probes: Sequence[Probe]) -> list[bool]:
    """Whether the greedy continuation, with as many tokens as the answer, is the answer: the same
    tokens or, where a text can be written in several ways in tokens, the same text up to white
    space. A continuation that ends early is compared as it is."""
    right = [False] * len(probes)
    groups: dict[int, list[int]] = {}
    for i, item in enumerate(probes):
        groups.setdefault(item.most, []).append(i)
    for size, members in groups.items():
        prompts = [probes[i].prompt for i in members]
        sampling = Sampling(size, temperature=0.0)
        rollout = engine.generate(policy, prompts, sampling, seed=("evaluation", "greedy"))
        for i, (_, response) in zip(members, rollout.tokens(), strict=True):
            answer = list(probes[i].answer)
            given = response[: len(answer)]
            right[i] = given == answer or (
                _words(policy.tokenizer, given) == _words(policy.tokenizer, answer)
            )
    return right


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    return tokenizer.decode(list(ids)).split()


class FamilyAccuracy:
    """families/FAMILY: greedy exact-match accuracy. families/mean: the mean of the families, each
    with the same weight. The policy is asked, after the evaluator's own prefix alone: documents are
    no prompts, and examples of instructions in front of them would be another task."""

    def __init__(self, config: FamiliesConfig, context: Context) -> None:
        self.engine = context.rollout()
        split: Split = config.split.value
        documents = [d for d in context.records("documents", split) if d.answer_start is not None]
        self.probes: dict[str, list[Probe]] = {}
        for family, group in by_family(documents, config.per_family).items():
            probes = [probe(document, context.tokenizer) for document in group]
            self.probes[family] = [
                replace(p, prompt=with_prefix(p.prompt, config.prefix))
                for p in probes
                if p is not None
            ]
        if not any(self.probes.values()):
            raise UserError(
                f"evaluators: families finds no {split} documents with an answer (answer_start). "
                "Leave it out with evaluation.evaluators.families=null."
            )

    def evaluate(self, subject: Subject) -> Evaluation:
        """Continue all questions."""
        probes = [p for group in self.probes.values() for p in group]
        right = iter(answered(subject.responder.policy, self.engine, probes))
        outcomes = {
            family: [next(right) for _ in group] for family, group in self.probes.items() if group
        }
        measures = {_measure(family): intervals.share(o) for family, o in outcomes.items()}
        measures["families/mean"] = intervals.mean_of_shares(list(outcomes.values()))
        return Evaluation(measures, cases=self._cases(outcomes))

    def _cases(self, outcomes: Mapping[str, Sequence[bool]]) -> dict[str, dict[str, float]]:
        """Each question's outcome in its family and in the mean of families, in which the questions
        of a small family have more weight."""
        count = sum(len(right) for right in outcomes.values())
        cases: dict[str, dict[str, float]] = {}
        weighted: list[tuple[str, float]] = []
        for family, right in outcomes.items():
            ids = [p.prompt.id for p in self.probes[family]]
            values = [(case, float(r)) for case, r in zip(ids, right, strict=True)]
            cases |= values_by_case(_measure(family), values)
            weight = count / (len(outcomes) * len(right))
            weighted += [(case, weight * value) for case, value in values]
        return cases | values_by_case("families/mean", weighted)


def _measure(family: str) -> str:
    return f"families/{family or 'documents'}"


class DocumentLoss:
    """document_loss/FAMILY and document_loss/all: negative log-likelihood in nats per token over
    whole documents with their end token. The intervals draw documents. After a prefix the same
    tokens count as without one."""

    def __init__(self, config: DocumentLossConfig, context: Context) -> None:
        self.runtime = context.runtime
        split: Split = config.split.value
        self.families = by_family(context.records("documents", split), config.per_family)
        self.max_tokens, self.prefix = config.max_tokens, config.prefix
        if not self.families:
            raise UserError(
                f"evaluators: document_loss finds no {split} documents. Give some, or leave it out."
            )

    def evaluate(self, subject: Subject) -> Evaluation:
        """Read all documents."""
        policy = subject.responder.policy
        documents = [(family, d) for family, group in self.families.items() for d in group]
        texts = [document.text for _, document in documents]
        sums, counts = document_nll(policy, texts, self.max_tokens, self.runtime, self.prefix)
        groups = {"document_loss/all": list(range(len(documents)))}
        for family in self.families if any(self.families) else ():
            rows = [i for i, (name, _) in enumerate(documents) if name == family]
            groups[f"document_loss/{family or 'other'}"] = rows
        measures: dict[str, Measure] = {}
        cases: dict[str, dict[str, float]] = {}
        for name, rows in groups.items():
            mean = intervals.ratio([sums[i] for i in rows], [counts[i] for i in rows])
            measures[name] = intervals.within(mean, 0.0, math.inf)
            # The mean of the cases is the loss per token: token counts are the same in every run.
            scale = len(rows) / max(1, sum(counts[i] for i in rows))
            cases |= values_by_case(name, [(documents[i][1].id, sums[i] * scale) for i in rows])
        return Evaluation(measures, cases=cases)
