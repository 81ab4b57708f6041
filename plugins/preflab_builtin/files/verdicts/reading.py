"""Rows with several answers and a verdict, as a ranking."""

from __future__ import annotations

from collections.abc import Sequence

from preflab.records import Message, pairs, preferences_from_ranks
from preflab.rows import BadRow, fields, shown
from preflab_builtin.files import conversations
from preflab_builtin.files.asking import (
    Case,
    Columns,
    answer,
    case,
    conversation,
    instruction,
    question,
)
from preflab_builtin.files.columns import Reading, Remark
from preflab_builtin.files.config import RowSettings
from preflab_builtin.files.names import names_worse
from preflab_builtin.files.ranked import check_ranks, order_would_differ
from preflab_builtin.files.transcripts import Asked
from preflab_builtin.files.values import blank, listed, numeric, truth
from preflab_builtin.files.verdicts import sides
from preflab_builtin.files.verdicts.candidates import mark
from preflab_builtin.files.verdicts.doubts import unknown
from preflab_builtin.files.verdicts.layouts import How, Layout
from preflab_builtin.files.verdicts.pointing import NOTHING, number
from preflab_builtin.files.verdicts.spread import UNNAMED, amount, is_named, is_votes, spread


def compared(row: Columns, reading: Reading) -> Sequence[Case]:
    """A question, several answers, and what the file's `Layout` says of them."""
    layout, settings = reading.layout, reading.settings
    if layout is None:
        cure = settings.option("verdict.answers=[NAME,NAME]")
        raise BadRow("columns", f"nothing shows which of them hold the answers. Say which: {cure}")
    reading.rest(row, layout.reads)
    reading.of_row.update(name for name in layout.beside if not blank(row.get(name)))
    asks_alone = settings.record_type == "prompts" and layout.asks
    needed = (layout.asks,) if asks_alone else layout.needs()
    missing = next((name for name in needed if row.get(str(name)) in (None, "")), None)
    if missing is not None:
        raise BadRow(missing, "is missing or empty")
    asked, responses = _asked(row, layout, reading)
    if settings.record_type == "prompts":
        return [case(row, asked)]
    ranks = _ranks(row, layout, len(responses), reading)
    unnamed = {i for i, rank in enumerate(ranks) if rank == UNNAMED}
    reading.remarks[Remark.PARTLY_RANKED] += bool(unnamed)
    preferences = [pair for pair in preferences_from_ranks(ranks) if unnamed.isdisjoint(pair)]
    for i, j in preferences:
        if responses[i] == responses[j]:
            raise BadRow(
                layout.answers[0],
                f"numbers {i + 1} and {j + 1} of the answers are the "
                "same text, but one is said to be better",
            )
    _check_rivals(row, layout, ranks, reading)
    _check_numbers(row, layout, preferences, reading)
    best = min(ranks)
    for place in [-1] if not preferences else [i for i, rank in enumerate(ranks) if rank == best]:
        reading.judged[place] += 1
    only_best = len(ranks) > 2 and layout.how in (How.WINNER, How.WINS) and preferences
    others = [i for i, rank in enumerate(ranks) if rank != best] if only_best else []
    unjudged = tuple(  # which nobody compared
        (i, j)
        for i, j in pairs(len(ranks))
        if (i in others and j in others) or not unnamed.isdisjoint((i, j))
    )
    ratings = _ratings(row, layout, ranks)
    return [case(row, asked, responses, preferences, unjudged=unjudged, ratings=ratings)]


def _ratings(row: Columns, layout: Layout, ranks: Sequence[float]) -> list[float]:
    """The scores that decide, as ratings; none where something else decides, or where they are
    counts of votes. Where the config reads the number of each of two answers for the other,
    because lower is better, each answer has its own number with the sign turned round."""
    value = row.get(layout.columns[0]) if layout.columns else None
    if layout.how is not How.SCORES or (len(layout.columns) == 1 and is_votes(value, len(ranks))):
        return []
    if sides.backwards(layout.columns) != sides.backwards(layout.answers):
        return list(reversed(ranks))
    return [-rank for rank in ranks]


def _asked(row: Columns, layout: Layout, reading: Reading) -> tuple[Asked, list[str]]:
    """The question and the answers to it."""
    values = layout.texts(row)
    names = layout.answers if not layout.listed else ()
    names = names or tuple(f"{layout.answers[0]}[{i}]" for i in range(len(values)))
    alone = reading.settings.record_type == "prompts" and layout.asks
    if len(values) < 2 and not alone:
        raise BadRow(layout.answers[0], "holds no list of two or more answers")
    if layout.asks is None:
        return _conversations(row, values, names, reading)
    value = row[layout.asks]
    said = listed(value) if not isinstance(value, str) or value[:1] == "[" else None
    turns = [said, *map(listed, values)] if isinstance(said, list) else []
    if turns and all(isinstance(texts, list) and _are_texts(texts) for texts in turns):
        return _turn_by_turn(row, turns, (layout.asks, *names), reading)
    chats = [conversations.is_conversation(v, n) for v, n in zip(values, names, strict=True)]
    if layout.asks in ("instruction", "input"):  # as in the other shapes with these columns
        beside = layout.asks == "instruction" and row.get("input") is not None
        given = fields.text(row, "input", blank=True) if beside else ""
        asked = instruction(row, fields.text(row, layout.asks), given, reading)
    else:
        asked = question(row, row[layout.asks], layout.asks, reading, chat=any(chats))
    if reading.settings.record_type == "prompts":
        return asked, []
    return asked, [answer(v, n, asked, reading) for v, n in zip(values, names, strict=True)]


def _are_texts(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(value, str) for value in values)


def _conversations(
    row: Columns, values: Sequence[object], names: Sequence[str], reading: Reading
) -> tuple[Asked, list[str]]:
    """Answers that are whole conversations, alike up to the last message."""
    if not all(conversations.is_conversation(v, n) for v, n in zip(values, names, strict=True)):
        cure = reading.settings.option("columns.prompt=NAME")
        raise BadRow("columns", f"no column is known to hold the question. Name it: {cure}")
    found = [conversation(row, v, n, reading) for v, n in zip(values, names, strict=True)]
    other = next((n for (a, _), n in zip(found, names, strict=True) if a != found[0][0]), None)
    if other is not None:
        raise BadRow(other, f"and {names[0]} differ before the last message")
    return found[0][0], [said for _, said in found]


def _turn_by_turn(
    row: Columns, turns: Sequence[Sequence[str]], names: Sequence[str], reading: Reading
) -> tuple[Asked, list[str]]:
    """Lists of texts, one a turn, as the arena writes them: what the user said, and what each
    model answered."""
    said, *answers = turns
    odd = next(
        (n for texts, n in zip(answers, names[1:], strict=True) if len(texts) != len(said)), ""
    )
    if odd:
        raise BadRow(odd, f"has other numbers of turns than {names[0]}")
    if any(texts[:-1] != answers[0][:-1] for texts in answers):
        skip = reading.settings.option("on_bad_row=skip")
        reason = "the answers differ before the last turn, and are to different questions"
        raise BadRow(names[0], f"{reason}. Leave such rows out: {skip}")
    messages = []
    for i, text in enumerate(said):
        messages.append(Message("user", fields.checked_text(text, f"{names[0]}[{i}]")))
        if i + 1 < len(said):
            earlier = fields.checked_text(answers[0][i], f"{names[1]}[{i}]")
            messages.append(Message("assistant", earlier))
    last = [fields.checked_text(t[-1], n) for t, n in zip(answers, names[1:], strict=True)]
    return conversations.asked(messages, names[0]), last


# --- the verdict ---


def _ranks(row: Columns, layout: Layout, count: int, reading: Reading) -> list[float]:
    """A number for each answer, the lowest for the best. `BadRow` if a column that marks ties says
    something else."""
    if layout.tie is None or layout.how is How.WINS or blank(row.get(layout.tie)):
        return _decided(row, layout, count, reading)
    option, tie = reading.settings.option, shown(layout.tie)
    ignore = f"If '{tie}' does not count: {option(f'ignore=[{tie}]')}"
    tied = mark(row[layout.tie])
    if tied is None:
        what = (
            f"is '{shown(str(row[layout.tie]))}' but must say whether the row is a tie: true, false"
        )
        raise BadRow(tie, f"{what}. {ignore}")
    if tied and all(blank(row.get(name)) for name in layout.columns):
        return [1.0] * count
    ranks = _decided(row, layout, count, reading)
    if tied != (ranks.count(min(ranks)) > 1):
        says = "is a tie" if tied else "is no tie"
        other = "a tie" if not tied else "that one answer is better"
        deciding = ", ".join(map(shown, layout.columns))
        verb = "says" if len(layout.columns) == 1 else "say"
        raise BadRow(
            tie,
            f"says that the row {says}, but {deciding} {verb} {other}. Correct the row, or leave "
            f"such rows out: {option('on_bad_row=skip')}. {ignore}",
        )
    return ranks


def _check_rivals(row: Columns, layout: Layout, ranks: Sequence[float], reading: Reading) -> None:
    """`BadRow` if another column that names the best or the worst answer contradicts the row's
    ranks."""
    tied = ranks.count(min(ranks)) > 1
    best = -1 if tied else ranks.index(min(ranks))
    for name in (name for name in layout.rivals if not blank(row.get(name))):
        said, worse = layout.points(row[name], row), names_worse(name)
        if (said == best >= 0) if worse else (said != best):
            (own,) = layout.columns
            counting = (own,) if worse else (own, name)
            options = [reading.settings.option(f"verdict.winner={shown(n)}") for n in counting]
            raise BadRow(
                name,
                f"is '{shown(str(row[name]))}' and does not agree with '{shown(own)}', which is "
                f"'{shown(str(row[own]))}'. Say which column counts: {' or '.join(options)}",
            )


def _decided(row: Columns, layout: Layout, count: int, reading: Reading) -> list[float]:
    """The same by the columns that decide."""
    name = layout.columns[0]
    if layout.how is How.WINNER:
        best = _winner(row, layout, count, reading)
        return [1.0 if best in (i, -1) else 2.0 for i in range(count)]
    if layout.how is How.SCALE:
        if count != 2:
            raise BadRow(name, f"is a scale between two answers, but there are {count}")
        value = numeric(row.get(name), name)
        preferred, even = layout.leans
        high = 1.0 if value >= even else 2.0
        low = 1.0 if value <= even else 2.0
        return [high, low] if preferred == 0 else [low, high]
    if layout.how is How.WINS:
        return _marked(row, layout)
    if len(layout.columns) == 1:
        numbers = _spread(row, layout, count, reading.settings)
    else:
        numbers = [numeric(row.get(column), column) for column in layout.columns]
    if layout.how is How.SCORES:
        return [-value for value in numbers]
    check_ranks(tuple(n for n in numbers if n != UNNAMED), name)
    named = len(layout.columns) == 1 and is_named(row.get(name))
    if len(layout.columns) == 1 and not named and order_would_differ(numbers):
        reading.remarks[Remark.RANKS_BY_PLACE] += 1
    return numbers


def _spread(row: Columns, layout: Layout, count: int, settings: RowSettings) -> list[float]:
    """The numbers of the only column that decides."""
    (name,) = layout.columns
    if blank(row.get(name)):
        raise BadRow(name, "is empty: nothing says which answer is better")
    numbers = spread(row[name], layout.how, layout, row)
    if numbers is None:
        allowed = "a list of numbers, an object {answer: number}, or names of answers"
        reason = (
            f"is '{shown(str(row[name]))}' but must say something of each of the {count} answers"
        )
        skip = settings.option("on_bad_row=skip")
        raise BadRow(name, f"{reason}: {allowed}. Leave such rows out: {skip}")
    return numbers


def _check_numbers(
    row: Columns, layout: Layout, preferences: Sequence[tuple[int, int]], reading: Reading
) -> None:
    """`BadRow` if scores, ranks or marks next to the verdict prefer another answer; where the
    config names the verdict, such rows are counted."""
    option = reading.settings.option
    for how, names in layout.numbers:
        if not _say_otherwise(row, layout, how, names, preferences):
            continue
        if reading.settings.verdict.columns:
            reading.remarks[Remark.OTHERWISE] += 1
            return
        own = [shown(name) for name in layout.columns]
        one = option(f"verdict.winner={own[0]}")
        one = one if len(own) == 1 else option(f"verdict.wins=[{','.join(own)}]")
        other = option(f"verdict.{how.name.lower()}=[{','.join(map(shown, names))}]")
        what = f"prefer another answer than {', '.join(own)}"
        raise BadRow(", ".join(map(shown, names)), f"{what}. Say which counts: {one} or {other}")


def _say_otherwise(
    row: Columns,
    layout: Layout,
    how: How,
    columns: tuple[str, ...],
    preferences: Sequence[tuple[int, int]],
) -> bool:
    """Whether the scores, ranks or marks next to a verdict prefer an answer that it calls worse."""
    found = [amount(row.get(name)) for name in columns]
    if len(columns) == 1:
        found = list(spread(row.get(columns[0]), how, layout, row) or ())
    if preferences and len(found) <= max(map(max, preferences)):
        return False
    given = [(found[i], found[j]) for i, j in preferences]
    both = [(a, b) for a, b in given if a is not None and b is not None and UNNAMED not in (a, b)]
    return any(a > b if how is How.RANKS else a < b for a, b in both)


def _winner(row: Columns, layout: Layout, count: int, reading: Reading) -> int:
    """The number of the best answer, -1 for a tie."""
    (name,) = layout.columns
    value = row.get(name)
    if blank(value):
        raise BadRow(name, "is empty: nothing says which answer is better")
    best = layout.points(value, row)
    place = number(value)
    if best == NOTHING and place is not None and layout.start is not None:
        best = int(place) - layout.start if place.is_integer() else NOTHING
        if not 0 <= best < count:
            last = layout.start + count - 1
            reason = f"is {shown(str(value))} but must be a number from {layout.start} to {last}"
            raise BadRow(name, reason)
    if best == NOTHING and layout.of_both(value, row):
        skip = reading.settings.option("on_bad_row=skip")
        what = f"is '{shown(str(value))}', which several answers of the row are of"
        raise BadRow(name, f"{what}: it does not say which is better. Leave such rows out: {skip}")
    if best == NOTHING:
        what = f"is '{shown(str(value))}', which points to no answer"
        raise BadRow(name, f"{what}. {unknown(name, layout, reading.settings)}")
    return best


def _marked(row: Columns, layout: Layout) -> list[float]:
    """Ranks by a mark for each answer, and one for a tie."""
    marks = [truth(row.get(name), name) for name in layout.columns]
    tied = layout.tie is not None and truth(row.get(layout.tie), layout.tie)
    if any(marks) == tied:
        marked = ", ".join((*layout.columns, *((layout.tie,) if layout.tie else ())))
        both = "a tie and a winner" if tied else "neither a winner nor a tie"
        raise BadRow(layout.columns[0], f"the row says {both} in {marked}")
    return [1.0 if mark or tied else 2.0 for mark in marks]
