"""Evaluators of the pretraining domain: what alignment costs there (InstructGPT section 4.2, the alignment tax)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from preflab.randomness import permutation
from preflab.records import Document, Prompt
from preflab_builtin.evaluation.config import DocumentLossConfig, FamiliesConfig
from preflab_builtin.evaluation.likelihood import document_nll


def by_family(documents: Sequence[Document], most: int) -> dict[str, list[Document]]:
    """At most so many documents of each family, families in alphabetical order. Equal texts count once, so that the cases
    are independent; which ones are taken does not depend on the run's seed."""
    different = {(d.family, d.text, d.answer_start): d for d in documents}
    families: dict[str, list[Document]] = {}
    everything = list(different.values())
    for i in permutation(len(everything), "evaluation", "documents"):
        kept = families.setdefault(everything[i].family, [])
        if len(kept) < most:
            kept.append(everything[i])
    return {family: families[family] for family in sorted(families)}


def told_apart(measure: str, cases: Sequence[tuple[str, float]]) -> dict[str, dict[str, float]]:
    """The values of a measure by case; nothing where two cases have one id.

    >>> told_apart("m", [("a", 1.0), ("b", 0.0)]), told_apart("m", [("a", 1.0), ("a", 0.0)])
    ({'m': {'a': 1.0, 'b': 0.0}}, {})
    """
    found = dict(cases)
    return {measure: found} if len(found) == len(cases) else {}


@dataclass(frozen=True)
class Probe:
    """A question in pretraining format: the text that is continued, and the tokens that must follow."""

    prompt: Prompt
    answer: tuple[int, ...]


def probe(document: Document, tokenizer: Tokenizer) -> Probe | None:
    """The question that a document asks, or None if it asks none. Where the answer begins within a token (a space that the
    tokenizer joins to the next word), white space before the answer is moved over to it."""
    if document.answer_start is None:
        return None
    whole, question = tokenizer.encode(document.text), document.text[: document.answer_start]
    for text in (question, question.rstrip()):
        head = tokenizer.encode(text)
        if head and whole[: len(head)] == head:
            return (
                Probe(Prompt(document.id, text), tuple(whole[len(head) :]))
                if len(whole) > len(head)
                else None
            )
    answer = tokenizer.encode(document.text[len(question.rstrip()) :])
    return (
        Probe(Prompt(document.id, question.rstrip()), tuple(answer))
        if question.strip() and answer
        else None
    )


def answered(policy: Policy, engine: RolloutEngine, probes: Sequence[Probe]) -> list[bool]:
    """Whether the greedy continuation, as many tokens as the answer has, is the answer: the same tokens or, if a text has
    several spellings in tokens, the same text but for white space. A continuation that ends early is judged as it is."""
    right = [False] * len(probes)
    groups: dict[int, list[int]] = {}
    for i, item in enumerate(probes):
        # Powers of two: few calls; what is generated beyond an answer's own length is cut off again.
        groups.setdefault(1 << (len(item.answer) - 1).bit_length(), []).append(i)
    for size, members in groups.items():
        prompts = [probes[i].prompt for i in members]
        rollout = engine.generate(
            policy, prompts, Sampling(size, temperature=0.0), seed=("evaluation", "greedy")
        )
        for i, ids, length in zip(
            members, rollout.response_ids.tolist(), rollout.response_lengths.tolist(), strict=True
        ):
            answer = list(probes[i].answer)
            given = ids[: min(length, len(answer))]
            right[i] = given == answer or _words(policy.tokenizer, given) == _words(
                policy.tokenizer, answer
            )
    return right


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    return tokenizer.decode(list(ids)).split()


class FamilyAccuracy:
    """families/FAMILY: greedy exact-match accuracy. families/mean: the unweighted mean of the families."""

    def __init__(self, config: FamiliesConfig, context: Context) -> None:
        self.engine = context.rollout()
        documents = [
            d
            for d in context.records("documents", config.split.value)
            if d.answer_start is not None
        ]
        found = by_family(documents, config.per_family)
        probes = {
            family: [probe(d, context.tokenizer) for d in group] for family, group in found.items()
        }
        self.probes = {
            family: [p for p in group if p is not None] for family, group in probes.items()
        }
        if not any(self.probes.values()):
            raise UserError(
                f"evaluators: families finds no {config.split.value} documents with an answer (answer_start). Leave it out with "
                "evaluation.evaluators.families=null. What was computed before is kept."
            )

    def evaluate(self, subject: Subject) -> Evaluation:
        """Continue all questions."""
        everything = [p for group in self.probes.values() for p in group]
        right = iter(answered(subject.responder.policy, self.engine, everything))
        outcomes = {
            family: [next(right) for _ in group] for family, group in self.probes.items() if group
        }
        measures: dict[str, Measure] = {
            f"families/{family or 'documents'}": intervals.share(o)
            for family, o in outcomes.items()
        }
        measures["families/mean"] = intervals.mean_of_shares(list(outcomes.values()))
        return Evaluation(measures, cases=self._cases(outcomes))

    def _cases(self, outcomes: Mapping[str, Sequence[bool]]) -> dict[str, dict[str, float]]:
        """Each question's outcome by family, and in the mean of families, where the questions of a small family weigh more."""
        count = sum(len(right) for right in outcomes.values())
        cases: dict[str, dict[str, float]] = {}
        everything: list[tuple[str, float]] = []
        for family, right in outcomes.items():
            found = [
                (p.prompt.id, float(r)) for p, r in zip(self.probes[family], right, strict=True)
            ]
            cases |= told_apart(f"families/{family or 'documents'}", found)
            weight = count / (len(outcomes) * len(right))
            everything += [(case, weight * value) for case, value in found]
        return cases | told_apart("families/mean", everything)


class DocumentLoss:
    """document_loss/FAMILY and document_loss/all: negative log-likelihood a token, nats, over whole documents with their
    end token. The intervals draw documents."""

    def __init__(self, config: DocumentLossConfig, context: Context) -> None:
        self.runtime = context.runtime
        self.families = by_family(
            context.records("documents", config.split.value), config.per_family
        )
        self.max_tokens = config.max_tokens
        if not self.families:
            raise UserError(
                f"evaluators: document_loss finds no {config.split.value} documents. What was computed before is kept."
            )

    def evaluate(self, subject: Subject) -> Evaluation:
        """Read all documents."""
        policy = subject.responder.policy
        documents = [(family, d) for family, group in self.families.items() for d in group]
        most = min(self.max_tokens, policy.max_positions or self.max_tokens)
        sums, counts = document_nll(policy, [d.text for _, d in documents], most, self.runtime)
        groups = {"document_loss/all": list(range(len(documents)))}
        for family in self.families if any(self.families) else ():
            rows = [i for i, (name, _) in enumerate(documents) if name == family]
            groups[f"document_loss/{family or 'other'}"] = rows
        measures: dict[str, Measure] = {}
        cases: dict[str, dict[str, float]] = {}
        for name, rows in groups.items():
            measures[name] = intervals.ratio([sums[i] for i in rows], [counts[i] for i in rows])
            # The mean of these is the loss a token, as the numbers of tokens are the same for every run on these documents.
            scale = len(rows) / max(1, sum(counts[i] for i in rows))
            cases |= told_apart(name, [(documents[i][1].id, sums[i] * scale) for i in rows])
        return Evaluation(measures, cases=cases)
