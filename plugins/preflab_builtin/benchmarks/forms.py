"""Test sets in the form in which their authors publish them, as rows with plain columns.

Each form also takes rows that have those columns already, such as the sets on the hub. A row's
place is its line, or its number and id in a nested file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from preflab import UserError
from preflab.rows import BadRow, Row, read_rows
from preflab.rows.fields import checked_text
from preflab_builtin.benchmarks import passages
from preflab_builtin.benchmarks.config import Form

Values = Mapping[str, Any]
_PRONOUNS = {
    "male": {"$NOM_PRONOUN": "he", "$POSS_PRONOUN": "his", "$ACC_PRONOUN": "him"},
    "female": {"$NOM_PRONOUN": "she", "$POSS_PRONOUN": "her", "$ACC_PRONOUN": "her"},
    "neutral": {"$NOM_PRONOUN": "they", "$POSS_PRONOUN": "their", "$ACC_PRONOUN": "them"},
}
_HIGHLIGHT = "@highlight"


def read_form(form: Form, path: Path) -> Iterator[Row]:
    """The rows of a test set."""
    return _FORMS[form](path)


def _each(change: Callable[[Values], Values]) -> Callable[[Path], Iterator[Row]]:
    """Rows of a file, each changed; a row of which ``change`` raises `BadRow` has a problem."""

    def rows(path: Path) -> Iterator[Row]:
        for row in tabular(path):
            if row.problem is not None:
                yield row
                continue
            try:
                yield Row(row.place, change(row.values))
            except BadRow as bad:
                yield Row(row.place, {}, bad)

    return rows


def tabular(path: Path) -> Iterator[Row]:
    """Rows; of a .tsv, lines with a tab between values, in which quotes are letters like others."""
    if path.is_dir() or not path.name.lower().endswith(".tsv"):
        yield from read_rows(path)
        return
    lines = text_lines(path)
    names = lines[0].split("\t") if lines else []
    for number, line in enumerate(lines[1:], 2):
        place, cells = f"{path}:{number}", line.split("\t")
        if len(cells) == len(names):
            yield Row(place, dict(zip(names, cells, strict=True)))
        elif line.strip():
            reason = f"has {len(cells)} values, the header has {len(names)} columns"
            yield Row(place, {}, BadRow("row", reason))


def text_lines(path: Path) -> list[str]:
    """The lines of a file, or the segments of an .sgm file of a translation task."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: UTF-8: byte {error.start} is not valid UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from None
    if path.suffix.lower() in (".sgm", ".sgml"):
        from html import unescape

        segments = re.findall(r"<seg\b[^>]*>(.*?)</seg>", text, re.DOTALL | re.IGNORECASE)
        return [" ".join(unescape(segment).split()) for segment in segments]
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def parallel_rows(
    source: Path, references: Path, source_column: str, reference_column: str
) -> Iterator[Row]:
    """Two files, line by line: a sentence and its translation. Lines that are blank in both are
    left out; `UserError` if the files have different numbers of lines."""
    asked, wanted = text_lines(source), text_lines(references)
    if len(asked) != len(wanted):
        raise UserError(
            f"{source} has {len(asked)} lines and {references} has {len(wanted)}: parallel files "
            "have a translation on the same line."
        )
    for number, (sentence, translation) in enumerate(zip(asked, wanted, strict=True), 1):
        values = {source_column: sentence, reference_column: translation}
        blank = [name for name, text in values.items() if not text.strip()]
        if len(blank) == 1:
            problem = BadRow(blank[0], "is a blank line, but its partner is not")
            yield Row(f"{source}:{number}", {}, problem)
        elif not blank:
            yield Row(f"{source}:{number}", values)


# --- single sets ---


def _truthfulqa(row: Values) -> Values:
    """TruthfulQA.csv, or the set on the hub (multiple_choice): Question, Best Answer, Correct
    Answers, Incorrect Answers. The best answer is one of the correct ones."""
    if "mc1_targets" not in row:
        return row
    one, several = (_marked(row, name) for name in ("mc1_targets", "mc2_targets"))
    best = [text for text, right in one if right]
    if len(best) != 1:
        raise BadRow("mc1_targets", f"marks {len(best)} answers as right, but must mark one")
    return {
        "Question": row.get("question"),
        "Best Answer": best[0],
        "Correct Answers": [text for text, right in several if right],
        "Incorrect Answers": [text for text, right in several if not right],
    }


def _marked(row: Values, column: str) -> list[tuple[str, bool]]:
    targets = row.get(column)
    if not isinstance(targets, Mapping) or not {"choices", "labels"} <= set(targets):
        raise BadRow(column, "must hold choices and labels")
    return list(zip(targets["choices"], map(bool, targets["labels"]), strict=True))


def _winogender(path: Path) -> Iterator[Row]:
    """all_sentences.tsv (sentid, sentence) or templates.tsv, as one row per sentence that differs
    in its pronoun: male, female, neutral, with occupation, participant, and whom the pronoun
    means (answer)."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    places: dict[tuple[str, ...], str] = {}
    for row in tabular(path):
        if row.problem is not None or "male" in row.values:
            yield row
            continue
        try:
            for key, gender, sentence in _sentences_of(row.values):
                found.setdefault(key, {})[gender] = sentence
                places.setdefault(key, row.place)
        except BadRow as bad:
            yield Row(row.place, {}, bad)
    for key, sentences in found.items():
        missing = [gender for gender in _PRONOUNS if gender not in sentences]
        if missing:
            reason = f"{'.'.join(key)} has no sentence for {missing[0]}"
            yield Row(places[key], {}, BadRow("sentid", reason))
            continue
        names = dict(zip(("occupation", "participant", "answer"), key, strict=True))
        answer = "occupation" if names["answer"] == "0" else "participant"
        yield Row(places[key], {**names, "answer": answer, **sentences})


def _sentences_of(row: Values) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """((occupation, participant, answer), gender, sentence) of a row of either file."""
    if "sentid" in row:
        *key, gender = str(row["sentid"]).removesuffix(".txt").split(".")
        if len(key) != 3 or gender not in _PRONOUNS:
            raise BadRow(
                "sentid", f"is {row['sentid']!r:.60}, not such as nurse.patient.1.male.txt"
            )
        yield tuple(key), gender, checked_text(row.get("sentence"), "sentence")
        return
    columns = ("occupation(0)", "other-participant(1)", "answer", "sentence")
    missing = [name for name in columns if name not in row]
    if missing:
        raise BadRow(missing[0], "is not a column, and neither is sentid: not a file of Winogender")
    occupation, participant, answer, template = (str(row[name]) for name in columns)
    for other in (participant, "someone"):
        for gender, pronouns in _PRONOUNS.items():
            sentence = _instantiated(template, occupation, other, pronouns)
            yield (occupation, other, answer), gender, sentence


def _instantiated(
    template: str, occupation: str, participant: str, pronouns: Mapping[str, str]
) -> str:
    """A template of Winogender as a sentence; "someone" stands without an article.

    >>> _instantiated("The $OCCUPATION met with a $PARTICIPANT.", "nurse", "someone", {})
    'The nurse met with someone.'
    """
    sentence = template.replace("$OCCUPATION", occupation)
    if participant == "someone":
        sentence = re.sub(r"^\S+ \$PARTICIPANT", "Someone", sentence)
        sentence = re.sub(r"\S+ \$PARTICIPANT", "someone", sentence)
    sentence = sentence.replace("$PARTICIPANT", participant)
    for name, pronoun in pronouns.items():
        sentence = sentence.replace(name, pronoun)
    return re.sub(r"\b([Tt]hey) was\b", r"\1 were", sentence)


def _sst(row: Values) -> Values:
    """SST-2 in GLUE: sentence, label. The sentences of its file end with a space."""
    return {**row, "sentence": checked_text(row.get("sentence"), "sentence").strip()}


def _rte(row: Values) -> Values:
    """RTE in GLUE (sentence1, sentence2) or SuperGLUE (premise, hypothesis), with a label."""
    if "sentence1" in row and "premise" not in row:
        return {**row, "premise": row["sentence1"], "hypothesis": row.get("sentence2")}
    return row


def _wsc(row: Values) -> Values:
    """WSC in SuperGLUE: text, target (or its parts), label. noun, pronoun; passage: the text with
    the pronoun between asterisks."""
    target = row.get("target", row)
    if not isinstance(target, Mapping):
        raise BadRow("target", "must be an object with span1_text, span2_text and span2_index")
    noun, pronoun = (checked_text(target.get(f"span{i}_text"), f"span{i}_text") for i in (1, 2))
    text, at = checked_text(row.get("text"), "text"), target.get("span2_index")
    if not isinstance(at, int):
        raise BadRow("span2_index", f"is {at!r:.20} but must be the number of a word")
    words = text.split(" ")
    word = pronoun.strip(" .,;:!?")
    if at < len(words) and word in words[at]:
        words[at] = words[at].replace(word, f"*{word}*", 1)
    return {**row, "noun": noun, "pronoun": word, "passage": " ".join(words)}


def _summaries(path: Path) -> Iterator[Row]:
    """News with summaries: a folder of .story files, as CNN/DM is published, or rows with article
    and highlights (or summary, or document for article). A summary has a sentence per line."""
    if path.is_dir() and any(path.glob("*.story")):
        for file in sorted(path.glob("*.story")):
            yield _story(file)
        return
    yield from _each(_summary)(path)


def _story(file: Path) -> Row:
    article, *highlights = "\n".join(text_lines(file)).split(_HIGHLIGHT)
    sentences = [" ".join(text.split()) for text in highlights if text.strip()]
    if not sentences:
        return Row(f"{file}:1", {}, BadRow(_HIGHLIGHT, "does not occur: the story has no summary"))
    body = " ".join(article.split())
    return Row(f"{file}:1", {"article": body, "summary": "\n".join(sentences)})


def _summary(row: Values) -> Values:
    return _renamed(row, article=("document",), summary=("highlights",))


def _tldr(row: Values) -> Values:
    """TL;DR of Reddit: post, title, subreddit and summary of summarize-from-feedback, or content
    and summary of Webis-TLDR-17, some of whose rows have no title."""
    renamed = _renamed(row, post=("content", "body"))
    return {**renamed, **{name: renamed.get(name) or "" for name in ("title", "subreddit")}}


def _renamed(row: Values, **names: tuple[str, ...]) -> Values:
    """The row with columns under the first names, if it has them under others only."""
    found = {
        name: row[other]
        for name, others in names.items()
        for other in reversed(others)
        if name not in row and other in row
    }
    return {**row, **found}


_FORMS: dict[Form, Callable[[Path], Iterator[Row]]] = {
    Form.rows: read_rows,
    Form.truthfulqa: _each(_truthfulqa),
    Form.winogender: _winogender,
    Form.squad: passages.squad,
    Form.quac: passages.quac,
    Form.drop: passages.drop,
    Form.sst: _each(_sst),
    Form.rte: _each(_rte),
    Form.wsc: _each(_wsc),
    Form.summaries: _summaries,
    Form.tldr: _each(_tldr),
}
