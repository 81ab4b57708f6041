"""Questions about passages, as SQuAD, QuAC and DROP publish them: nested JSON, a row a question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from preflab import UserError
from preflab.rows import BadRow, Row, parse_json, read_rows, type_name
from preflab_builtin.evaluation.published import CANNOT, quac_human_f1

Values = Mapping[str, Any]
AGREEMENT = 0.4
"""QuAC leaves out questions on which people agree less than this (F1)."""


def squad(path: Path) -> Iterator[Row]:
    """SQuAD 1.1 and 2.0: title, context, question, answers.text, and answerable (HasAns or NoAns,
    the names of the authors' script)."""
    return _flat(path, "paragraphs", _squad_rows, _answerable)


def _squad_rows(article: Values) -> Iterator[tuple[str, Values]]:
    for paragraph in _objects(article, "paragraphs"):
        for question in _objects(paragraph, "qas"):
            texts = [answer.get("text") for answer in _objects(question, "answers")]
            values = {"title": article.get("title"), "context": paragraph.get("context")}
            values |= {"question": question.get("question"), "answers": {"text": texts}}
            yield str(question.get("id")), _answerable(values)


def _answerable(row: Values) -> Values:
    answers = row.get("answers")
    texts = answers.get("text") if isinstance(answers, Mapping) else answers
    nothing = isinstance(texts, (list, tuple)) and not any(texts)
    return {**row, "answerable": "NoAns" if nothing else "HasAns"}


def quac(path: Path) -> Iterator[Row]:
    """QuAC: title, background, context, history (the dialogue so far, a line for each question and
    answer), question, answers, dialogue. Questions on which people do not agree are left out, as
    the authors' script does."""
    return _flat(path, "paragraphs", _quac_rows, _as_it_is, _quac_dialogue)


def _quac_rows(article: Values) -> Iterator[tuple[str, Values]]:
    titles = [str(article[key]) for key in ("title", "section_title") if article.get(key)]
    for paragraph in _objects(article, "paragraphs"):
        turns = [
            (
                str(question.get("id")),
                question.get("question"),
                [answer.get("text") for answer in _objects(question, "answers")],
                _first(question.get("orig_answer"), question),
            )
            for question in _objects(paragraph, "qas")
        ]
        shared = {
            "title": ", ".join(titles),
            "background": article.get("background"),
            "context": paragraph.get("context"),
            "dialogue": str(paragraph.get("id")),
        }
        yield from _dialogue(shared, turns)


def _first(original: Any, question: Values) -> Any:
    """The answer that the dialogue went on with."""
    if isinstance(original, Mapping):
        return original.get("text")
    return next((answer.get("text") for answer in _objects(question, "answers")), "")


def _quac_dialogue(row: Values) -> Iterator[tuple[str, Values]] | None:
    """A row that holds a whole dialogue, as on the hub; None for another row."""
    questions, answers, originals = (
        row.get(name) for name in ("questions", "answers", "orig_answers")
    )
    if not isinstance(questions, (list, tuple)) or not isinstance(answers, Mapping):
        return None
    texts = answers.get("texts") or []
    firsts = originals.get("texts") if isinstance(originals, Mapping) else None
    ids = row.get("turn_ids") or [str(i) for i in range(len(questions))]
    turns = [
        (str(name), question, list(given), first)
        for name, question, given, first in zip(
            ids, questions, texts, firsts or [given[0] for given in texts], strict=True
        )
    ]
    titles = [str(row[key]) for key in ("wikipedia_page_title", "section_title") if row.get(key)]
    shared = {
        "title": ", ".join(titles),
        "background": row.get("background"),
        "context": row.get("context"),
        "dialogue": str(row.get("dialogue_id")),
    }
    return _dialogue(shared, turns)


def _dialogue(
    shared: Values, turns: Sequence[tuple[str, Any, list[Any], Any]]
) -> Iterator[tuple[str, Values]]:
    """The questions of a dialogue, each with those before it. turns: id, question, answers, the
    answer that was given."""
    history = ""
    for name, question, answers, given in turns:
        if not answers:
            raise BadRow("answers", f"of {name} are empty")
        if quac_human_f1([str(text) for text in answers]) >= AGREEMENT:
            values = {**shared, "history": history, "question": question, "answers": answers}
            yield name, values
        history += f"Q: {question}\nA: {given or CANNOT}\n"


def drop(path: Path) -> Iterator[Row]:
    """DROP: passage, passage_id, question, answers (of the people who answered; several spans are
    on a line each)."""
    if path.is_file() and path.suffix.lower() == ".json":
        try:
            whole = parse_json(path.read_bytes())
        except (BadRow, OSError) as error:
            raise UserError(f"{path}: {error}") from None
        if isinstance(whole, dict) and all(
            isinstance(p, dict) and "qa_pairs" in p for p in whole.values()
        ):
            for name, passage in whole.items():
                yield from _placed(f"{path}:{name}", _drop_rows(name, passage))
            return
    yield from _flat(path, "qa_pairs", lambda row: _drop_rows(str(row.get("id")), row), _drop_row)


def _drop_rows(name: str, passage: Values) -> Iterator[tuple[str, Values]]:
    for pair in _objects(passage, "qa_pairs"):
        values = {"passage_id": name, "passage": passage.get("passage")}
        yield (
            str(pair.get("query_id")),
            {**values, "question": pair.get("question"), "answers": _drop_answers(pair)},
        )


def _drop_row(row: Values) -> Values:
    """A row that holds one question, as in copies of the set."""
    if "answer" in row:
        return {**row, "answers": _drop_answers(row)}
    if "answers_spans" in row:
        raise BadRow(
            "answers_spans",
            "mixes the answers of several people, which the metric of DROP must tell apart: use "
            "the authors' drop_dataset_dev.json",
        )
    return row


def _drop_answers(pair: Values) -> list[str]:
    """Every person's answer; the metric is the best of them."""
    others = pair.get("validated_answers") or []
    if isinstance(others, Mapping):  # columns of lists, as `datasets` has them
        count = max((len(column) for column in others.values()), default=0)
        others = [{key: column[i] for key, column in others.items()} for i in range(count)]
    answers = [_drop_answer(answer) for answer in (pair.get("answer"), *others)]
    found = [answer for answer in answers if answer.strip()]
    if not found:
        raise BadRow("answer", "holds neither a number, nor spans, nor a date")
    return found


def _drop_answer(answer: Any) -> str:
    """A number, else spans, else a date, as the authors' script reads it."""
    if not isinstance(answer, Mapping):
        raise BadRow("answer", f"is {type_name(answer)} but must be an object")
    if answer.get("number"):
        return str(answer["number"])
    if answer.get("spans"):
        return "\n".join(map(str, answer["spans"]))
    date = answer.get("date") or {}
    return " ".join(str(date.get(part, "")) for part in ("day", "month", "year"))


def _flat(
    path: Path,
    nested: str,
    rows_of: Callable[[Values], Iterator[tuple[str, Values]]],
    single: Callable[[Values], Values],
    whole: Callable[[Values], Iterator[tuple[str, Values]] | None] = lambda row: None,
) -> Iterator[Row]:
    """The questions of every row. nested: the key of a row that holds several, which ``rows_of``
    takes apart; whole: the same for rows of another form; single: a row with one question."""
    for row in read_rows(path):
        if row.problem is not None:
            yield row
            continue
        if nested in row.values:
            yield from _placed(row.place, rows_of(row.values))
            continue
        try:
            several = whole(row.values)
            if several is None:
                yield Row(row.place, single(row.values))
        except BadRow as bad:
            yield Row(row.place, {}, bad)
        else:
            if several is not None:
                yield from _placed(row.place, several)


def _placed(place: str, rows: Iterator[tuple[str, Values]]) -> Iterator[Row]:
    """Rows with the place of the row that held them, and their id."""
    try:
        for name, values in rows:
            yield Row(f"{place}, {name}", values)
    except BadRow as bad:
        yield Row(place, {}, bad)


def _as_it_is(row: Values) -> Values:
    return row


def _objects(row: Values, key: str) -> list[Values]:
    """A list of objects; none if the key is missing."""
    value = row.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRow(key, f"is {type_name(value)} but must be a list of objects")
    return value
