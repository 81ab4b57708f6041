"""`preflab label export` and `import`: what people said goes to other tools' files and comes back,
and nothing is lost without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from people.runs_in_files import evaluated, sampled
from people.whole_runs import answer_everything, by_alphabet, rows
from preflab import UserError
from preflab_people.commands import label
from preflab_people.exchange import argilla, label_studio, trl
from preflab_people.judgments import Answer, Judgment, Task
from preflab_people.rounds import frozen_of, open_round
from preflab_people.store import Store

Say = Callable[..., str]
POOL = [["b", "a", f"c{i}", "Öl 梨"] for i in range(8)]
FILES = {"preflab": "", "argilla": argilla.RECORDS, "label-studio": label_studio.TASKS}
THERE_AND_BACK = pytest.mark.parametrize("form", FILES)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """What ``preflab label WORDS`` prints in the working folder."""
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        capsys.readouterr()
        assert label(list(words)) == 0
        return capsys.readouterr().out

    return said


def everything(task: Task) -> Answer:
    """Ties, a response that was not judged, a rating, flags, a better text, a note; or a skip."""
    number = int(task.prompt.id.removeprefix("p"))
    if number == 3:
        return Answer(skipped="unclear")
    return Answer(
        ranks=(1, 1, None, 2) if number % 2 else (2, 1, 4, 3),
        likert=(7, None, 1, 4),
        flags=(("hallucination",), (), ("moral_judgment", "sexual_content"), ()),
        written="Besser 🍎." if number == 4 else "",
        notes="knapp" if number == 5 else "",
    )


def a_round(say: Say, tmp_path: Path, answer: Callable[[Task], Answer] | None = everything) -> Path:
    """The round of a run, which two people have worked on."""
    if not (tmp_path / "runs").exists():
        sampled(tmp_path, "x", POOL)
    words = ("--no-serve", "--flags", "instructgpt", "--likert", "--overlap", "0.5")
    say("runs/x", *words, "--retest-share", "0")
    folder, _ = open_round("round-1")
    if answer is not None:
        answer_everything(folder, answer)
    return folder


def judgments(name: str) -> dict[tuple[str, str], Answer]:
    """By prompt and labeler of a round."""
    folder, _ = open_round(name)
    with Store.open(folder / "store.sqlite") as store:
        seen = store.snapshot()
        assert store.verify() == ()
    prompt = {task.id: task.prompt.id for task in seen.tasks}
    return {(prompt[one.task], one.labeler): one.answer for one in seen.judgments}


@THERE_AND_BACK
def test_a_round_goes_to_another_tool_and_comes_back_as_a_round(
    form: str, say: Say, tmp_path: Path
) -> None:
    a_round(say, tmp_path)
    text = say("export", "round-1", "--format", form, "--out", "out")
    assert "round-1 (open: people may say more):" in text
    assert ("Not in it, on purpose" in text) == (form != "preflab")
    text = say("import", "copy", f"out/{FILES[form]}", "--format", form)
    wanted = judgments("round-1")
    assert f"{len(wanted)} judgments are new, 0 take the place" in text
    assert judgments("copy") == wanted
    # The copy is a round like any other: its numbers are those of the first one.
    for name in ("round-1", "copy"):
        assert "both take a side" in say("status", name)
        say("close", name, "--early")
    first, second = frozen_of("round-1"), frozen_of("copy")
    assert first is not None
    assert second is not None
    name = "rankings.jsonl"
    assert (first.folder / name).read_text() == (second.folder / name).read_text()
    numbers = [json.loads((f.folder / "agreement.json").read_text()) for f in (first, second)]
    assert numbers[0]["ranking"] == numbers[1]["ranking"]
    ranked = rows(first.folder / "rankings.jsonl")
    assert any(row.get("unjudged") for row in ranked)


@THERE_AND_BACK
def test_labels_made_in_another_tool_come_into_the_round_that_was_exported(
    form: str, say: Say, tmp_path: Path
) -> None:
    """Nobody has labelled anything here; somebody else does there, in a copy of the round."""
    folder = a_round(say, tmp_path, answer=None)
    with Store.open(folder / "store.sqlite") as store:
        tasks = store.snapshot().tasks
    say("export", "round-1", "--format", "argilla", "--out", "asked")
    records = json.loads((tmp_path / "asked" / argilla.RECORDS).read_text())
    for record in records:
        record["responses"] = {"ranking": [_ranking("jane@mail.org"), _ranking("joe")]}
    (tmp_path / "done.json").write_text(json.dumps(records))
    said = say("import", "round-1", "done.json", "--format", "argilla")
    assert "16 judgments are new" in said
    # The same people under the same pseudonyms: nothing is there twice.
    again = say("import", "round-1", "done.json", "--format", "argilla")
    assert "0 judgments are new, 0 take the place of another one" in again
    assert "16 were there already" in again
    names = json.loads((folder / "people.json").read_text())
    assert sorted(row["from"] for row in names.values()) == ["jane@mail.org", "joe"]
    assert "jane" not in " ".join(names)
    given = judgments("round-1")
    assert set(given.values()) == {Answer(ranks=(1, 2, 2, None))}
    assert len(given) == 2 * len(tasks)
    # And on to the third tool, and back: what is there already is known.
    say("export", "round-1", "--format", form, "--out", "on")
    assert "16 were there already" in say(
        "import", "round-1", f"on/{FILES[form]}", "--format", form
    )
    assert "16 judgments" in say("close", "round-1", "--early")


def _ranking(user: str) -> dict[str, Any]:
    ranks = [{"rank": rank, "value": f"response_{i}"} for i, rank in ((1, 1), (2, 2), (3, 2))]
    return {"value": ranks, "user_id": user, "status": "submitted"}


def test_a_changed_answer_is_a_correction(say: Say, tmp_path: Path) -> None:
    a_round(say, tmp_path)
    say("export", "round-1", "--format", "label-studio", "--out", "out")
    path = tmp_path / "out" / label_studio.TASKS
    tasks = json.loads(path.read_text())
    texts = [
        result["value"]
        for task in tasks
        for annotation in task["annotations"]
        for result in annotation["result"]
        if result["from_name"] == "notes"
    ]
    for value in texts:
        value["text"] = ["doch klar"]
    path.write_text(json.dumps(tasks))
    before = judgments("round-1")
    said = say("import", "round-1", str(path), "--format", "label-studio")
    assert f"0 judgments are new, {len(texts)} take the place of another one" in said
    after = judgments("round-1")
    assert {pair for pair in before if before[pair] != after[pair]} == {
        pair for pair in before if before[pair].notes
    }


def test_a_format_that_cannot_hold_something_is_refused_unless_it_is_said(
    say: Say, tmp_path: Path
) -> None:
    a_round(say, tmp_path)
    with pytest.raises(UserError, match=r"trl cannot hold all.*ties \(in .*flags \(.*--lossy"):
        label(["export", "round-1", "--format", "trl", "--out", "out"])
    assert not (tmp_path / "out").exists()
    text = say("export", "round-1", "--format", "trl", "--out", "out", "--lossy")
    assert str(Path("out") / trl.PREFERENCE) in text
    assert rows(tmp_path / "out" / trl.PREFERENCE)
    (written, *_) = rows(tmp_path / "out" / trl.COMPLETION)
    assert written["completion"] == "Besser 🍎."


def test_a_round_without_anything_to_lose_needs_no_word(say: Say, tmp_path: Path) -> None:
    a_round(say, tmp_path, lambda task: Answer(ranks=by_alphabet(task.responses)))
    say("export", "round-1", "--format", "trl", "--out", "out")
    # Each of 12 judgments orders four different texts: six pairs.
    assert len(rows(tmp_path / "out" / trl.PREFERENCE)) == 12 * 6


def test_votes_of_an_arena_become_a_round(say: Say, tmp_path: Path) -> None:
    def talk(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": text}]

    votes = [
        {
            **{"question_id": "q", "model_a": "one", "model_b": "two", "winner": winner},
            **{"judge": f"judge {n}", "turn": 1, "anony": True},
            **{"conversation_a": talk("yes"), "conversation_b": talk("no")},
        }
        for n, winner in enumerate(("model_a", "model_a", "tie (bothbad)"))
    ]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    text = say("import", "arena", "votes.jsonl", "--format", "fastchat")
    assert "Round arena: 1 tasks to compare." in text
    assert "3 judgments are new" in text
    assert "one" in say("status", "arena")
    assert {answer.ranks for answer in judgments("arena").values()} == {(1, 2), (1, 1)}
    assert "Go on: preflab label status arena" in say("close", "arena")


def test_forgotten_people_are_in_no_export_and_come_back_by_no_import(
    say: Say, tmp_path: Path
) -> None:
    folder = a_round(say, tmp_path, lambda task: Answer(ranks=(1, 2, 3, 4)))
    say("export", "round-1", "--format", "argilla", "--out", "before")
    say("close", "round-1", "--early")
    with Store.open(folder / "store.sqlite") as store:
        who = store.people()[0].id
    say("forget", "round-1", who)
    for form in ("preflab", "argilla", "label-studio", "trl"):  # the frozen round has them still
        say("export", "round-1", "--format", form, "--out", f"after-{form}")
        files = list((tmp_path / f"after-{form}").iterdir())
        assert files
        assert all(who not in path.read_text() for path in files)
    say("import", "copy", f"before/{argilla.RECORDS}", "--format", "argilla")
    say("forget", "copy", who)
    again = say("import", "copy", f"before/{argilla.RECORDS}", "--format", "argilla")
    assert "are left out: the people who gave them were forgotten here" in again
    assert who not in {labeler for _, labeler in judgments("copy")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "round-1", "--format", "argila", "--out", "o"), "Did you mean 'argilla'"),
        (("export", "round-1", "--format", "fastchat", "--out", "o"), "fastchat is not exported"),
        (("export", "round-1", "--format", "trl"), "--out"),
        (("export", "round-2", "--format", "trl", "--out", "o"), "Did you mean 'round-1'"),
        (("import", "round-1", "no.json", "--format", "argilla"), "no.json: there is no such file"),
        (("import", "new", "no.json", "--format", "argilla"), "no.json: there is no such file"),
        (("import", "new", "other.json", "--format", "trl"), "trl is not imported: rankings=files"),
        (
            ("import", "round-1", "other.json", "--format", "argilla"),
            "1 of 1 tasks are none of the round 'round-1'.*Other.*import OTHER other.json",
        ),
        (
            ("import", "new", "mixed.json", "--format", "argilla"),
            "mixed.json holds tasks to demonstrate and to rank",
        ),
        (
            ("import", "round-1", "flag.json", "--format", "argilla"),
            "there is no flag 'quite new'",
        ),
    ],
)
def test_wrong_words_and_files_are_refused_and_nothing_is_changed(
    say: Say, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    a_round(say, tmp_path)
    before = judgments("round-1")
    say("export", "round-1", "--format", "argilla", "--out", "out")
    (own, *_) = json.loads((tmp_path / "out" / argilla.RECORDS).read_text())
    ranking = _ranking("u")
    ranking["value"].pop()
    asked = {"prompt": "Other?", "response_1": "a", "response_2": "b"}
    other = {"id": "o", "fields": asked, "responses": {"ranking": [ranking]}}
    write = {"prompt": "Write?"}
    said = {"completion": [{"value": "so", "user_id": "u", "status": "submitted"}]}
    own["responses"]["flags_1"] = [
        {"value": ["quite new"], "user_id": "u", "status": "submitted"},
    ]
    files = {"other": [other], "flag": [own]}
    files["mixed"] = [other, {"id": "w", "fields": write, "responses": said}]
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        label(list(words))
    assert judgments("round-1") == before
    assert not (tmp_path / "labels" / "new").exists()


def test_a_closed_round_takes_no_labels(say: Say, tmp_path: Path) -> None:
    a_round(say, tmp_path)
    say("export", "round-1", "--format", "argilla", "--out", "out")
    say("close", "round-1", "--early")
    with pytest.raises(UserError, match=r"'round-1' is closed. .* import OTHER"):
        label(["import", "round-1", f"out/{argilla.RECORDS}", "--format", "argilla"])


def test_times_come_along_where_the_format_has_them(say: Say, tmp_path: Path) -> None:
    a_round(say, tmp_path)
    say("export", "round-1", "--format", "preflab", "--out", "out")
    say("import", "copy", "out", "--format", "preflab")

    def facts(name: str) -> set[tuple[Any, ...]]:
        folder, _ = open_round(name)
        with Store.open(folder / "store.sqlite") as store:
            said: tuple[Judgment, ...] = store.snapshot().judgments
        return {(j.task, j.labeler, j.seconds, j.order, j.at, j.instructions) for j in said}

    assert facts("copy") == facts("round-1")


@pytest.mark.parametrize("seconds", [7, 0, 12.5])
def test_times_from_files_leave_the_history_whole(say: Say, tmp_path: Path, seconds: float) -> None:
    """A whole number of seconds comes back from the store as 7.0, and the chain of 7 is another."""
    folder = _exported(say, tmp_path)
    _with(folder / "labels.jsonl", seconds=seconds)
    say("import", "copy", "out", "--format", "preflab")
    assert judgments("copy")  # and nothing is wrong with its history


@pytest.mark.parametrize(
    "change",
    [{"seconds": -1}, {"seconds": "long"}, {"order": ["a"]}, {"labeler": 5}, {"instructions": "x"}],
    ids=str,
)
def test_a_label_of_another_type_is_named(say: Say, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = _exported(say, tmp_path)
    _with(folder / "labels.jsonl", **change)
    with pytest.raises(UserError, match=rf"labels\.jsonl:1.*{next(iter(change))}"):
        label(["import", "copy", "out", "--format", "preflab"])


def _exported(say: Say, tmp_path: Path) -> Path:
    a_round(say, tmp_path)
    say("export", "round-1", "--format", "preflab", "--out", "out")
    return tmp_path / "out"


def _with(path: Path, **values: Any) -> None:
    """The first row of a file says something else."""
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **values}), *others, ""]))


@pytest.mark.parametrize("form", ["argilla", "label-studio"])
def test_a_fresh_round_is_asked_elsewhere_as_it_is_here(
    form: str, say: Say, tmp_path: Path
) -> None:
    """Nobody has said anything: flags, ratings, reasons and instructions come from the round."""
    (tmp_path / "how.md").write_text("# Be fair & kind")
    sampled(tmp_path, "x", POOL)
    words = ("--no-serve", "--flags", "instructgpt", "--instructions", "how.md")
    say("runs/x", *words, "--name", "plain")
    say("runs/x", *words, "--name", "rated", "--likert")
    found = {}
    for name in ("plain", "rated"):
        say("export", name, "--format", form, "--out", name)
        file = "argilla_settings.json" if form == "argilla" else label_studio.LAYOUT
        found[name] = (tmp_path / name / file).read_text()
        assert "flags_4" in found[name]
        assert "hallucination" in found[name]
        assert "too sensitive" in found[name]
        assert ("Be fair &amp; kind" if form == "label-studio" else "Be fair & kind") in found[name]
    assert "likert_1" in found["rated"]
    assert "likert_1" not in found["plain"]


def test_comparisons_without_runs_are_told_what_they_cannot_give(say: Say, tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluated(tmp_path, name, [name, f"{name} more"], arm=name)
    say("runs/one", "runs/two", "--task", "compare", "--name", "first", "--no-serve")
    answer_everything(open_round("first")[0], lambda task: Answer(by_alphabet(task.responses)))
    say("export", "first", "--format", "argilla", "--out", "out")
    text = say("import", "second", "out", "--format", "argilla")
    assert "And then:" not in text
    assert "do not say which run gave a response, so that no win rates" in text
    assert "And then:      preflab rerun runs/one" in say(
        "import", "first", "out", "--format", "argilla"
    )
