"""What never leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab import UserError
from preflab.records import Prompt
from preflab_people.exchange.formats import export
from preflab_people.exchange.labels import Labels
from preflab_people.exchange.privacy import HIDDEN, Pseudonyms, for_training, merged, public
from preflab_people.judgments import Answer, Judgment, Person, Task

FORMATS = ["preflab", "trl", "argilla", "label-studio"]


def _secret_round() -> Labels:
    """A round with what must not leave: the user of a prompt, notes to judges, a place, an address
    and a phone number in remarks, a group of two, a forgotten person, a held-out one, gold."""
    prompt = Prompt(
        *("p", "?", "jane.doe@canary-mail.org"),
        notes={"task": "canary-judge"},
        place="/home/canary-path/a.jsonl:3",
    )
    task = Task("t", "rank", prompt, ("a", "b"))
    gold = Task("g", "rank", prompt, ("canary-gold", "b"), origin="gold", expected=Answer((1, 2)))
    say = ["write to me: me@canary-mail.org", "call me: +49 30 901820", "unclear", "fine", "canary"]
    names = ["labeler-aaaa", "labeler-bbbb", "labeler-cccc", "labeler-dddd", "labeler-ffff"]
    groups = ["canary-small", "canary-small", "north", "north", "north"]
    judgments = [
        Judgment("t", name, Answer(ranks=(1, 2), written=f"text {i}", notes=note))
        for i, (name, note) in enumerate(zip(names, say, strict=True))
    ]
    judgments.append(Judgment("g", names[2], Answer(ranks=(1, 2), notes="canary-gold")))
    people = [Person(name, group) for name, group in zip(names, groups, strict=True)]
    people[4] = Person(names[4], "north", state="forgotten")
    judgments.append(Judgment("t", "labeler-gggg", Answer(ranks=(2, 1), notes="held-note")))
    people.append(Person("labeler-gggg", "north", held_out=True))
    return Labels((task, gold), tuple(judgments), tuple(people))


@pytest.mark.parametrize("name", FORMATS)
def test_no_canary_is_in_an_export(name: str, tmp_path: Path) -> None:
    export(name, _secret_round(), tmp_path, lossy=True)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    found = [line for line in text.splitlines() if "canary" in line and "canary-gold" not in line]
    assert found == []
    assert "901820" not in text
    assert "labeler-ffff" not in text
    if name != "preflab":  # gold and held-out people are in no file that training reads
        assert "canary-gold" not in text
        assert "labeler-gggg" not in text
        assert "held-note" not in text


def test_training_files_of_preflab_hold_no_gold_and_no_held_out_people(tmp_path: Path) -> None:
    export("preflab", _secret_round(), tmp_path)
    for name in ("rankings.jsonl", "demonstrations.jsonl"):
        text = (tmp_path / name).read_text()
        assert "labeler-aaaa" in text
        assert "canary-gold" not in text
        assert "labeler-gggg" not in text
    assert HIDDEN in (tmp_path / "labels.jsonl").read_text()


def test_users_of_prompts_stay_apart_under_pseudonyms() -> None:
    tasks = tuple(
        Task(f"t{i}", "demonstrate", Prompt(f"p{i}", "?", user))
        for i, user in enumerate(["jane", "jane", "joe", ""])
    )
    one, same, other, none = (t.prompt.user for t in public(Labels(tasks, (), ())).tasks)
    assert one == same != other
    assert one.startswith("user-")
    assert none == ""
    kept = [public(Labels(tasks, (), ()), b"secret").tasks[0].prompt.user for _ in range(2)]
    assert kept[0] == kept[1] != one


def test_what_is_removed_and_held_out_is_not_for_training() -> None:
    task = Task("t", "demonstrate", Prompt("p", "?"))
    people = (Person("a"), Person("b", state="removed"), Person("c", held_out=True))
    said = tuple(Judgment("t", p.id, Answer(written="x")) for p in people)
    assert [j.labeler for j in for_training(Labels((task,), said, people)).judgments] == ["a"]


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ({"a": 3, "b": 4}, {"a": "a", "b": "b"}),
        ({"a": 1, "b": 2, "c": 5}, {"a": "others", "b": "others", "c": "c"}),
        # One person of group a alone would be "others": the next smallest group joins.
        ({"a": 1, "b": 3, "c": 5}, {"a": "others", "b": "others", "c": "c"}),
        ({"a": 1, "b": 1}, {"a": "", "b": ""}),
        ({"a": 2}, {"a": ""}),
    ],
)
def test_groups_of_fewer_than_three_are_merged(
    sizes: dict[str, int], expected: dict[str, str]
) -> None:
    people = [Person(f"{group}{i}", group) for group, n in sizes.items() for i in range(n)]
    found = {
        before.group: after.group for before, after in zip(people, merged(people), strict=True)
    }
    assert found == expected
    groups = [person.group for person in merged([*people, Person("none")]) if person.group]
    assert all(groups.count(name) >= 3 for name in groups)


@pytest.mark.parametrize("labeler", ["jane@mail.org", "Jane Doe", "192.168.0.7", "", "a/b"])
def test_nothing_is_exported_under_a_name(labeler: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not under a pseudonym, so nothing is exported"):
        export("trl", Labels((), (), (Person(labeler),)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pseudonyms_tell_nobody_the_name() -> None:
    secret = Pseudonyms(b"s")
    assert secret("jane@mail.org") == Pseudonyms(b"s")("jane@mail.org") != secret("joe@mail.org")
    assert Pseudonyms()("jane@mail.org") != Pseudonyms()("jane@mail.org")
    assert secret("jane@mail.org").startswith("labeler-")
    assert secret("labeler-k3f9") == "labeler-k3f9"
    assert "jane" not in repr(secret) + secret("jane@mail.org")
    assert "secret" not in repr(secret)
