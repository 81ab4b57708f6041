"""The file as a whole: what no single row shows, counted in the same pass and said before work."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from preflab.records import Demonstration, Document, Prompt, Ranking, Record
from preflab.rows import shown
from preflab_builtin.files.columns import FEW_VALUES, Reading, Remark
from preflab_builtin.files.labelers import overlooked, told
from preflab_builtin.files.transcripts import ASSISTANT, HUMAN, shared
from preflab_builtin.files.values import says_nothing

FEW_ROWS = 10
"""Below so many rows nothing is said of all of them."""
_SMALL_SHARE = 0.01
"""Below this share of the rows, texts that look odd may be meant so."""
_REMEMBERED = 500_000
"""Records whose hash is kept, to find the same again (about 80 MB)."""
_SHARED_START = 30
"""Characters with which all prompts may begin before somebody is told."""
_ENTITY = re.compile(r"&(amp|lt|gt|quot|apos|nbsp|#\d{2,4}|#x[0-9a-fA-F]{2,4});")
_CHAT_TOKEN = re.compile(
    r"<\|(im_start|im_end|user|assistant|system|end|eot_id|start_header_id|endoftext|end_of_text)\|>"
    r"|\[/?INST\]|<(start|end)_of_turn>|<<SYS>>|<[|｜](User|Assistant)[|｜]>"
)
_INSTRUCTION = "### Instruction:\n"
_BY_ANSWERS = {"preference", "implicit", "sharegpt-preference", "alpaca-preference", "k-wise"}
_BY_ANSWERS |= {
    "preflab",
    "ultrafeedback",
    "nectar",
    "oasst",
    "oasst-flat",
    "helpsteer",
    "kto",
    "scored",
}
"""Shapes in which the first answer may be the best in every row, by their form."""


class Findings:
    """Counts over the records of one file. `notices` has the sentences, after the last row."""

    def __init__(self, reading: Reading) -> None:
        self._reading, self._type = reading, reading.settings.record_type
        self._records = 0
        self._odd: Counter[str] = Counter()
        """By kind of oddity: records."""
        self._example: dict[str, str] = {}
        """By kind: the place of the first."""
        self._start: str | None = None
        self._same: list[str | None] = []
        """The first two responses of all records, where they are the same text everywhere."""
        self._hashes: dict[int, int] = {}
        """By the hash of a record without its judgement: the hash of the first judgement."""
        self._best: Counter[int] = Counter()
        self._groups: Counter[str] = Counter()
        """By group of labelers: rankings or demonstrations."""

    def see(self, records: Sequence[Record]) -> None:
        """Count the records of a row."""
        for record in records:
            self._records += 1
            if isinstance(record, Document):
                self._texts(record.place, record.text)
                self._again(record.place, (record.text,))
                continue
            prompt = record if isinstance(record, Prompt) else record.prompt
            if not isinstance(record, Prompt):
                self._groups[record.group] += 1
            responses = _responses(record)
            self._prompt(prompt)
            self._texts(prompt.place, prompt.text, *responses)
            self._answers(prompt, responses)
            if isinstance(record, Ranking):
                self._ranking(record)
            elif not isinstance(record, Prompt):
                self._again(prompt.place, (prompt.text, *responses))

    def _count(self, kind: str, place: str) -> None:
        self._odd[kind] += 1
        self._example.setdefault(kind, place)

    def _prompt(self, prompt: Prompt) -> None:
        self._odd["conversations"] += bool(prompt.messages)
        said = prompt.messages[-1].content if prompt.messages else prompt.text
        if not prompt.messages and _INSTRUCTION in said:
            said = said.partition(_INSTRUCTION)[2]
        if self._start is None:
            self._start = said
        elif prompt.rendered:
            self._start = ""
        elif not said.startswith(self._start):
            self._start = said[: shared(self._start, said)]
        if says_nothing(said):
            self._count("empty prompt", prompt.place)
        if not prompt.messages and not prompt.rendered and _has_chat_token(prompt.text):
            self._count("chat token", prompt.place)

    def _texts(self, place: str, *texts: str) -> None:
        for text in texts:
            if "&" in text and _ENTITY.search(text):
                self._count("entity", place)
                return

    def _answers(self, prompt: Prompt, responses: Sequence[str]) -> None:
        if not responses:
            return
        if not self._same:
            self._same = list(responses[:2])
        if any(self._same):
            firsts = zip(self._same, responses, strict=False)
            self._same = [a if a == b else None for a, b in firsts]
        stripped = list(map(str.strip, responses))
        if any(map(says_nothing, stripped)):
            self._count("empty response", prompt.place)
        asked = prompt.messages[-1].content if prompt.messages else prompt.text
        said = asked.strip()
        if said in stripped:
            self._count("echo", prompt.place)
        if prompt.messages or not (asked[-1:].isalnum() or asked[-1:] in ".?!"):
            return
        if not any(not r[:1].isalnum() or said in r for r in responses):
            self._count("joined", prompt.place)

    def _again(
        self, place: str, said: Hashable, judged: Hashable = None, labeler: str = ""
    ) -> None:
        """Whether a record is there again. said: all of it but the judgement and who judged: that
        two people say the same is no repetition."""
        first = self._remembered(hash(said), judged)
        if first is not None and first != hash(judged):
            self._count("judged otherwise", place)
        elif labeler and self._remembered(hash((said, labeler)), judged) is None:
            return
        elif first is not None:
            self._count("again", place)

    def _remembered(self, name: int, judged: Hashable) -> int | None:
        """The first judgement of what has the name, None if this is the first."""
        if name not in self._hashes and len(self._hashes) < _REMEMBERED:
            self._hashes[name] = hash(judged)
            return None
        return self._hashes.get(name)

    def _ranking(self, ranking: Ranking) -> None:
        answers, prompt = ranking.responses, ranking.prompt
        better = frozenset((answers[i], answers[j]) for i, j in ranking.preferences)
        texts = tuple(sorted(answers))
        self._again(prompt.place, (prompt.text, texts), better, ranking.labeler)
        if not ranking.preferences:
            self._odd["tie"] += 1
        elif len(ranking.responses) == 2:
            self._best[ranking.preferences[0][0]] += 1

    @property
    def conversations(self) -> int:
        """Records whose prompt is a conversation."""
        return self._odd["conversations"]

    def notices(self, rows: int) -> list[str]:
        """What people should know of the file before work. rows: of the file."""
        found = [*self._of_columns(rows), *told(self._groups), *self._of_texts(), *self._of_all()]
        return [f"{self._type}: {sentence}" for sentence in found]

    def _of_columns(self, rows: int) -> Iterator[str]:
        reading = self._reading
        if reading.unread:
            everywhere = sorted(name for name, count in reading.unread.items() if count == rows)
            others = sorted((n, c) for n, c in reading.unread.items() if c < rows)
            named = [f"{', '.join(everywhere)} (all rows)"] if everywhere else []
            named += [f"{name} ({count} rows)" for name, count in others]
            yield f"columns that are not read: {', '.join(named)}."
            if self._type == "rankings":
                yield from overlooked(reading.unread, reading.settings.option)
        if len(reading.shapes) > 1:
            parts = (f"{name} ({count} rows)" for name, count in reading.shapes.most_common())
            yield f"the rows have several shapes: {', '.join(parts)}."
        if reading.layout is not None and reading.judged:
            yield reading.layout.summary(reading.judged)
        yield from _alone(reading.alone)
        for remark in Remark:
            seen = reading.remarks[remark]
            if seen and (not remark.of_all or (seen == rows and rows >= FEW_ROWS)):
                ignore_id = reading.settings.option("ignore=[id]")
                yield remark.sentence.format(n=seen, of=rows, ignore_id=ignore_id)
        yield from reading.others.marks(rows, reading.settings.option)
        for column, values in sorted(reading.values.items()):
            if (
                values
                and rows >= FEW_ROWS * len(values)
                and rows > FEW_ROWS
                and len(values) <= FEW_VALUES
            ):
                what = f"'{column}' has {len(values)} values in {rows} rows"
                cure = reading.settings.option(f"ignore=[{column}]")
                yield (
                    f"{what}, and all rows of a value go into one split (but with "
                    "filters.split.name=split_by_prompt), so that a split may lack whole subjects. "
                    f"If a value may be in several splits: {cure}."
                )

    def _of_texts(self) -> Iterator[str]:
        for kind, (least, sentence) in _ODDITIES.items():
            count = self._odd[kind]
            some = self._records >= FEW_ROWS or least < 1 / 2
            if count and some and count >= least * self._records:
                option, place = self._reading.settings.option, self._example.get(kind, "")
                cures = {"rendered": option("rendered=true"), "chat": option("template=chat")}
                yield sentence.format(n=count, of=self._records, place=place, **cures)

    def _of_all(self) -> Iterator[str]:
        n, chats = self._records, self._odd["conversations"]
        if 0 < chats < n:
            yield (
                f"{chats} prompts are conversations, which the model's chat template shows, and "
                f"{n - chats} are texts, which it does not."
            )
        if n < FEW_ROWS:
            return
        if opening := self._reading.opening:
            turns = opening.count(HUMAN) + opening.count(ASSISTANT)
            yield (
                f"most conversations begin with the same {turns} turns: those that also go on with "
                "the same turn are in one split, and others need not be."
            )
        start = self._start or ""
        if len(start) >= _SHARED_START:
            yield f"all {n} prompts begin with the same {len(start)} characters: '{shown(start)}'."
        names = (
            ("response",) if self._type == "demonstrations" else ("first answer", "second answer")
        )
        for name, text in zip(names, self._same, strict=False):
            if text is not None:
                yield f"the {name} is the same text in all {n} records: '{shown(text)}'."
        labelled = not _BY_ANSWERS & self._reading.shapes.keys()
        if labelled and len(self._best) == 1 and sum(self._best.values()) == n:
            which = ("first", "second")[next(iter(self._best))]
            yield f"the {which} answer is the better one in all {n} records: is the label right?"


def _alone(alone: Counter[str]) -> Iterator[str]:
    """How single answers were compared."""
    fields = {name.split()[0] for name in alone}
    for field in sorted(fields):
        found = {n: count for n, count in alone.items() if n.split()[0] == field}
        marks = [(name.split()[1:], count) for name, count in found.items()]
        if len(marks[0][0]) == 1:
            values = sorted(float(value) for (value,), _ in marks)
            best = "1 is the best" if field == "rank" else "the highest is the best"
            said = f"goes from {values[0]:g} to {values[-1]:g}, and {best}"
            yield f"'{field}' {said} of the answers to one prompt."
            continue
        parts = (
            f"{value} ({'liked' if mark == 'True' else 'disliked'}) in {count}"
            for (value, mark), count in sorted(marks, key=lambda one: one[0][1], reverse=True)
        )
        what = f"'{field}' says whether people liked an answer: {', '.join(parts)} rows"
        yield f"{what}. Of one prompt, those they liked are better than those they did not."


def _has_chat_token(text: str) -> bool:
    marks = "<" in text or "[INST]" in text  # a regular expression alone would be slow
    return marks and _CHAT_TOKEN.search(text) is not None


def _responses(record: Record) -> tuple[str, ...]:
    if isinstance(record, Demonstration):
        return (record.response,)
    return record.responses if isinstance(record, Ranking) else ()


_ODDITIES = {
    "chat token": (
        _SMALL_SHARE,
        "{n} of {of} prompts spell tokens of a chat template (first: {place}); they are read as "
        "letters. If the template was applied beforehand: {rendered}.",
    ),
    "tie": (
        0.0,
        "{n} of {of} rankings are ties of all their answers, of which no preference is learnt.",
    ),
    "again": (_SMALL_SHARE, "{n} of {of} records are there again, word for word (first: {place})."),
    "judged otherwise": (
        _SMALL_SHARE,
        "{n} of {of} records judge the same answers otherwise than an earlier record (first: "
        "{place}): people disagree, or some labels are wrong. All of them are learnt.",
    ),
    "empty prompt": (0.0, "{n} of {of} prompts are words for nothing, as 'nan' (first: {place})."),
    "empty response": (
        _SMALL_SHARE,
        "{n} of {of} records have a word for nothing, as 'nan', as response (first: {place}).",
    ),
    "echo": (
        _SMALL_SHARE,
        "{n} of {of} records have a response that is the prompt itself (first: {place}).",
    ),
    "entity": (
        _SMALL_SHARE,
        "{n} of {of} records hold HTML entities such as &amp; (first: {place}).",
    ),
    "joined": (
        0.9,
        "in {n} of {of} records prompt and response follow each other without a space or a line "
        "break (first: {place}). A text is read as it is: put the space into the file, or say that "
        "it is a chat: {chat}.",
    ),
}
"""By kind: the least share of the records at which it is said, and the sentence."""
