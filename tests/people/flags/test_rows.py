"""Which texts a guard is trained on, and what counts as flagged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from people.rounds_in_files import closed_round, snapshot, task
from preflab import UserError
from preflab_people.flags.rows import flagged
from preflab_people.judgments import Answer
from preflab_people.rounds import Round, write_round

BOTH = task("one", "a", "b", "a", want=2)
GOLD = task("two", "c", "d", origin="gold")
RUDE, FINE = ("rude",), ()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(*flags: tuple[str, ...]) -> Answer:
    return Answer(ranks=(1,) * len(flags), flags=flags)


def test_a_share_is_over_the_people_who_train_something(tmp_path: Path) -> None:
    answers = [
        (BOTH, "a", said(RUDE, FINE, FINE)),  # the third is the first again, shown once
        (BOTH, "b", said(FINE, FINE, FINE)),
        (BOTH, "c", said(RUDE, RUDE, RUDE)),  # held out
        (BOTH, "d", said(RUDE, RUDE, RUDE)),  # removed
        (GOLD, "a", said(RUDE, RUDE)),
    ]
    closed_round(tmp_path, snapshot([BOTH, GOLD], answers, flags=["rude", "wrong"]))
    given = flagged("round-1")
    assert given.asked == ("rude", "wrong")
    assert given.people == 2
    texts = {text.response: text for text in given.texts}
    # a: one of two people; b: none of them.
    assert {name: text.share("rude") for name, text in texts.items()} == {"a": 0.5, "b": 0.0}
    assert texts["a"].has("rude")  # half of them is enough
    assert not texts["a"].has("wrong")
    assert {text.prompt for text in given.texts} == {"say one ."}


def test_a_round_without_flags_is_refused_with_the_way_to_ask_for_them(tmp_path: Path) -> None:
    closed_round(tmp_path, snapshot([BOTH], [(BOTH, "a", Answer(ranks=(1, 2, 1)))]))
    with pytest.raises(UserError, match=r"nobody was asked for flags.*--name OTHER --flags FILE"):
        flagged("round-1")


def test_an_open_round_and_one_that_is_not_there_are_refused() -> None:
    write_round(Path("labels/open"), Round("open", "rank", "ab" * 32))
    with pytest.raises(UserError, match=r"is open.*preflab label close open"):
        flagged("open")
    with pytest.raises(UserError, match=r"no round 'opne'.*Did you mean 'open'"):
        flagged("opne")


def test_people_who_compared_runs_train_no_guard(tmp_path: Path) -> None:
    asked = task("one", "a", "b", kind="compare", arms=[["x"], ["y"]])
    answers = [(asked, "a", said(RUDE, FINE))]
    closed_round(tmp_path, snapshot([asked], answers, kind="compare", flags=["rude"]))
    with pytest.raises(UserError, match="were asked to compare, but it needs a round in which"):
        flagged("round-1")


def test_rows_of_a_file(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "response": "a", "flags": ["toxic"]},
        {"prompt": "p", "response": "a", "flags": []},
        {"response": "b", "flags": []},
        {"response": "c", "flags": []},
    ]
    file = tmp_path / "flags.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = flagged("flags.jsonl")
    assert [text.share("toxic") for text in given.texts] == [0.5, 0.0, 0.0]
    # Texts without a prompt are independent of each other.
    assert len({text.unit for text in given.texts}) == 3
    file.write_text('{"response": "a", "flags": []}\n{"response": "a"}\n')
    with pytest.raises(UserError, match=r"flags.jsonl:2: flags: "):
        flagged("flags.jsonl")
    file.write_text('{"response": "a", "flags": []}\n')
    with pytest.raises(UserError, match=r"no row of flags.jsonl has a flag"):
        flagged("flags.jsonl")
