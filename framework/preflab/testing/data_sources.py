"""What holds for data sources: the records that were counted, always in the same order, well
formed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from preflab.interfaces import World
from preflab.planning.asking import inspect
from preflab.records import RECORD_TYPES, SPLITS, Document, Prompt, Ranking, Record
from preflab.testing.components import ComponentContract
from preflab.testing.context import TYPES
from preflab.testing.protocols import unknown_methods
from preflab.testing.runs import global_seed

if TYPE_CHECKING:
    from preflab.interfaces import DataSource
    from preflab.testing.case import Case


def everything(source: DataSource) -> dict[str, list[Record]]:
    """All records by type."""
    return {record_type: list(source.records(record_type)) for record_type in RECORD_TYPES}


def texts(record: Any) -> list[str]:
    """What a record lets a model read."""
    if isinstance(record, (Prompt, Document)):
        return [record.text]
    return [
        record.prompt.text,
        *(record.responses if isinstance(record, Ranking) else [record.response]),
    ]


class DataSourceContract(ComponentContract):
    """``class TestMine(DataSourceContract): name = "mine"``; files that it reads are written by
    the class method ``files``."""

    kind = "data"

    def test_its_public_methods_are_those_of_protocols(self, preflab_case: Case) -> None:
        wrong = unknown_methods(preflab_case.build())
        assert not wrong, "\n".join(wrong)

    def test_it_counts_what_it_gives(self, preflab_case: Case) -> None:
        counted = inspect(preflab_case.choice).records
        given = {
            t: len(records) for t, records in everything(preflab_case.build()).items() if records
        }
        assert given, "it gives no record of any type"
        assert dict(counted) == given, f"inspect counts {dict(counted)}, records() gives {given}"

    def test_records_are_of_their_type_and_well_formed(self, preflab_case: Case) -> None:
        for record_type, records in everything(preflab_case.build()).items():
            for number, record in enumerate(records):
                where = f"{record_type}, record {number}"
                assert isinstance(record, TYPES[record_type]), (
                    f"{where} is a {type(record).__name__}"
                )
                assert record.split in ("", *SPLITS), (
                    f"{where} has the split {record.split!r}. Allowed: {SPLITS} or none"
                )
                assert all(isinstance(text, str) for text in texts(record)), (
                    f"{where} holds a text that is not a string"
                )
                if isinstance(record, Ranking):
                    self._check_ranking(record, where)
                if isinstance(record, Document) and record.answer_start is not None:
                    assert 0 < record.answer_start < len(record.text), (
                        f"{where}: answer_start is outside the text"
                    )

    @staticmethod
    def _check_ranking(ranking: Ranking, where: str) -> None:
        answers = len(ranking.responses)
        assert answers >= 2, f"{where} ranks {answers} response"
        for better, worse in ranking.preferences:
            assert better != worse, f"{where} prefers a response to itself"
            assert 0 <= better < answers, f"{where} prefers response {better} of {answers}"
            assert 0 <= worse < answers, (
                f"{where} prefers something to response {worse} of {answers}"
            )
        rated = len(ranking.ratings)
        assert rated in (0, answers), f"{where} has {rated} ratings for {answers} responses"

    def test_ids_are_unique(self, preflab_case: Case) -> None:
        source = preflab_case.build()
        for record_type in ("prompts", "documents"):
            ids = [record.id for record in source.records(record_type)]
            assert len(set(ids)) == len(ids), f"two {record_type} have the same id"

    def test_the_records_are_always_the_same_in_the_same_order(self, preflab_case: Case) -> None:
        source = preflab_case.build()
        with global_seed(11):
            first = everything(source)
        assert everything(source) == first, "a second call gives other records"
        with global_seed(12):
            again = everything(cast("DataSource", preflab_case.build(preflab_case.context(seed=2))))
        assert again == first, (
            "built again, for a run of another seed, it gives other records: data have a seed of "
            "their own"
        )

    def test_a_closed_vocabulary_holds_every_word(self, preflab_case: Case) -> None:
        source = preflab_case.build()
        if not isinstance(source, World) or source.vocabulary is None:
            return
        known = set(source.vocabulary)
        assert len(known) == len(source.vocabulary), "a word is in the vocabulary twice"
        for record_type, records in everything(source).items():
            for record in records:
                unknown = {word for text in texts(record) for word in text.split()} - known
                assert not unknown, f"{record_type}: {sorted(unknown)[:3]} not in the vocabulary"

    def test_the_true_utility_is_a_sum_of_parts(self, preflab_case: Case) -> None:
        source = preflab_case.build()
        if not isinstance(source, World) or source.gold is None:
            return
        prompts = [record for record in source.records("prompts") if isinstance(record, Prompt)]
        for prompt in prompts[:20]:
            for response in ("", prompt.text):
                parts = dict(source.gold.parts(prompt, response))
                total = parts.pop("gold")
                assert abs(total - sum(parts.values())) < 1e-9, (
                    f"the parts of {parts} do not add up to {total}"
                )
