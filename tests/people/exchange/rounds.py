"""Rounds for tests of exchange: one by hand, and any round that hypothesis makes."""

from __future__ import annotations

from hypothesis import strategies as st

from preflab.records import Message, Prompt
from preflab_people.exchange.labels import Labels
from preflab_people.judgments import Answer, Judgment, Person, Task

PEOPLE = ("labeler-k3f9", "labeler-a2b4", "labeler-zz77")
FLAGS = ("hallucination", "schädlich", "拒否")


def by_hand() -> Labels:
    """Two tasks to rank and one to write, three people: ties, a response that was not judged, a
    rating, flags, a better answer, a note, a skip."""
    first = Task(
        "t1", "rank", Prompt("p1", "Nenne ein Obst: 🍎?"), ("Apfel", "Birne 梨", "Öl"), want=3
    )
    second = Task("t2", "rank", Prompt("p2", "Say hi.", group="g", split="train"), ("Hi", "No"))
    third = Task("t3", "demonstrate", Prompt("p3", "Sing.", tags=("song",)))
    k3f9, a2b4, zz77 = PEOPLE
    flags = (("hallucination", "拒否"), (), ())
    answers = [
        ("t1", k3f9, Answer(ranks=(1, 1, 2), likert=(6, None, 1), flags=flags)),
        ("t1", a2b4, Answer(ranks=(2, None, 1), written="Eine Kiwi.", notes="beide schwach")),
        ("t1", zz77, Answer(skipped="not my language")),
        ("t2", k3f9, Answer(ranks=(1, 1))),
        ("t3", a2b4, Answer(written="La la 🎵")),
    ]
    return Labels(
        (first, second, third),
        tuple(Judgment(task, labeler, answer) for task, labeler, answer in answers),
        tuple(map(Person, PEOPLE)),
    )


_characters = st.characters(
    exclude_categories=("Cs", "Cc", "Nd", "No", "Nl"), exclude_characters="@\u2028\u2029"
)
texts = st.text(_characters, min_size=1, max_size=12).filter(lambda text: text.strip() == text)


@st.composite
def _ranks(draw: st.DrawFn, count: int) -> tuple[int | None, ...]:
    """Ranks without gaps, some responses not judged, not all of them."""
    drawn = draw(st.lists(st.none() | st.integers(1, 4), min_size=count, max_size=count))
    place = {r: i for i, r in enumerate(sorted({r for r in drawn if r is not None}), 1)}
    return tuple(None if r is None else place[r] for r in drawn) if place else (1,) * count


@st.composite
def _answers(draw: st.DrawFn, count: int) -> Answer:
    if draw(st.integers(0, 4)) == 0:
        return Answer(skipped=draw(texts))
    if count == 0:
        return Answer(written=draw(texts), notes=draw(st.just("") | texts))
    rating = st.none() | st.integers(1, 7)
    likert = draw(st.just(()) | st.tuples(*[rating] * count))
    chosen = st.lists(st.sampled_from(FLAGS), unique=True).map(lambda f: tuple(sorted(f)))
    return Answer(
        ranks=draw(_ranks(count)),
        likert=likert if any(likert) else (),
        flags=draw(st.just(()) | st.tuples(*[chosen] * count)),
        written=draw(st.just("") | texts),
        notes=draw(st.just("") | texts),
    )


@st.composite
def _prompts(draw: st.DrawFn, number: int, conversation: bool) -> Prompt:
    messages: tuple[Message, ...] = ()
    text = draw(texts)
    if conversation:
        system = [Message("system", draw(texts))] * draw(st.integers(0, 1))
        earlier = [Message("user", draw(texts)), Message("assistant", draw(texts))]
        earlier *= draw(st.integers(0, 1))
        messages = (*system, *earlier, Message("user", text))
    return Prompt(
        f"p{number}",
        text,
        tags=tuple(draw(st.lists(texts, max_size=2))),
        group=draw(st.just("") | texts),
        split=draw(st.sampled_from(["", "train", "test"])),
        messages=messages,
    )


@st.composite
def rounds(draw: st.DrawFn) -> Labels:
    """Normal tasks, three people, any answers; all prompts are texts, or all conversations."""
    conversation = draw(st.booleans())
    tasks: list[Task] = []
    judgments: list[Judgment] = []
    for number in range(draw(st.integers(1, 3))):
        count = draw(st.sampled_from([0, 2, 3, 11]))
        responses = tuple(draw(st.lists(st.just("") | texts, min_size=count, max_size=count)))
        prompt, name = draw(_prompts(number, conversation)), f"task-{number}"
        kind = "rank" if count else "demonstrate"
        want = draw(st.integers(1, 3))
        tasks.append(Task(name, kind, prompt, responses, want=want))  # type: ignore[arg-type]
        for labeler in PEOPLE:
            if draw(st.booleans()):
                judgments.append(Judgment(name, labeler, draw(_answers(count))))
    return Labels(tuple(tasks), tuple(judgments), tuple(map(Person, PEOPLE)))
