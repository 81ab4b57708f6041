"""`preflab label` from the making of a round to its frozen folder, without a server."""

from __future__ import annotations

import json
import re
import shlex
import socket
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from people.runs_in_files import evaluated, sampled
from people.whole_runs import answer_everything, by_alphabet
from preflab import UserError
from preflab.errors import StorageError
from preflab_people.commands import label
from preflab_people.judgments import Answer, canonical_digest
from preflab_people.rounds import frozen_of, open_round
from preflab_people.store import Store, survey

Say = Callable[..., str]
POOL = [["a", f"b{i}", "c"] for i in range(10)]
NOBODY = "postgresql://me@127.0.0.1:1/nothing"
LINK = re.compile(r"^  (labeler-\w+)  http://127\.0\.0\.1:8787/#([\w-]{16,})$", re.MULTILINE)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """What ``preflab label WORDS`` prints in the working folder."""
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        assert label(list(words)) == 0
        return capsys.readouterr().out

    return said


def answer_all(name: str, note: str = "", most: int = 10**6) -> None:
    """Everybody who was invited ranks by the alphabet, at most so many tasks in all."""
    folder, _ = open_round(name)
    answer_everything(folder, lambda task: Answer(by_alphabet(task.responses)), most, note)


def test_a_round_of_a_run_from_links_to_rankings(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", [*POOL, ["same", "same"]])
    text = say("runs/x", "--no-serve", "--people", "3")
    assert "Round round-1: 10 tasks to rank." in text
    assert "1 prompt is left out" in text
    links = LINK.findall(text)
    assert len(links) == 3
    assert len({token for _, token in links}) == 3
    # Again: the round goes on, and nobody is invited twice.
    text = say("runs/x", "--no-serve")
    assert LINK.findall(text) == []
    assert "3 invited before" in text
    with pytest.raises(UserError, match=r"0 of 10 prompts are ranked \(0 of 2 twice\), 3 people"):
        label(["close", "round-1"])
    answer_all("round-1")
    status = say("status", "round-1")
    assert "10 of 10 prompts are ranked (2 of 2 twice), 3 people active" in status
    assert "both take a side" in status
    assert "10 tasks x 1.2 labels, 30 s each: 0.1 h of people; tells the agreement of two" in status
    text = say("close", "round-1")
    assert "12 asked = 12 judgments + 0 skips + 0 open." in text
    assert "12 rankings for training" in text
    assert "preflab rerun runs/x labeler=people labeler.round=round-1" in text
    frozen = frozen_of("round-1")
    assert frozen is not None
    rankings = (frozen.folder / "rankings.jsonl").read_text().splitlines()
    assert [json.loads(row)["prompt"]["id"] for row in rankings[:1]] == ["p0"]
    agreement = json.loads((frozen.folder / "agreement.json").read_text())
    assert agreement["ranking"]["both_sides"]["value"] == 1.0
    # A closed round takes no more people, and closing again changes nothing.
    with pytest.raises(UserError, match="is closed: nobody can be invited"):
        label(["invite", "round-1"])
    with pytest.raises(UserError, match=r"is closed\. Go on with the run"):
        label(["runs/x"])
    assert frozen.folder.name in say("close", "round-1")


def test_closing_early_leaves_what_is_open(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    say("runs/x", "--no-serve", "--people", "1", "--overlap", "1")
    for words in ((), ("--early",)):
        with pytest.raises(UserError, match=r"Nobody has judged.*label invite round-1 --people 2"):
            label(["close", "round-1", *words])
    answer_all("round-1")  # one person: ten of twenty judgments
    with pytest.raises(UserError, match=r"10 judgments missing.*--early"):
        label(["close", "round-1"])
    assert "20 asked = 10 judgments + 0 skips + 10 open." in say("close", "round-1", "--early")


def test_held_out_people_alone_close_nothing(say: Say, tmp_path: Path) -> None:
    """The cure works: other people are invited, and then it can be closed early."""
    sampled(tmp_path, "x", POOL)
    ((person, _),) = LINK.findall(say("runs/x", "--no-serve", "--people", "1"))
    say("state", "round-1", person, "paused")
    say("invite", "round-1", "--held-out")
    answer_all("round-1")
    for words in ((), ("--early",)):
        with pytest.raises(UserError, match=r"Only held-out people .*\(\d+ answers\)") as why:
            label(["close", "round-1", *words])
    cure = str(why.value).rpartition("preflab label ")[2].split()
    say(*cure)
    answer_all("round-1", most=1)
    assert "1 ranking for training" in say("close", "round-1", "--early")


def test_runs_are_compared_blindly_with_equal_texts_merged(say: Say, tmp_path: Path) -> None:
    evaluated(tmp_path, "one", ["x", "x", "base"], arm="plain")
    evaluated(tmp_path, "two", ["y", "x", "base"], arm="tuned")
    text = say("runs/one", "runs/two", "--task", "compare", "--baseline", "--no-serve")
    assert "Round comparison-1: 2 tasks to compare." in text
    assert "Compared blindly: baseline; plain; tuned." in text
    folder, made = open_round("comparison-1")
    with Store.open(folder / "store.sqlite") as store:
        first, second = store.snapshot().tasks
    assert (first.responses, first.arms) == (
        ("x", "y", "base"),
        (("plain",), ("tuned",), ("baseline",)),
    )
    assert (second.responses, second.arms) == (("x", "base"), (("plain", "tuned"), ("baseline",)))
    assert made.equal == {"say 2 .": canonical_digest("base")}
    answer_all("comparison-1")
    status = say("status", "comparison-1")
    assert re.search(r"tuned +plain +25\.0 %", status)  # y after x, and a tie: (0 + 0.5) / 2
    assert "evaluation.evaluators.people.round=comparison-1" in say("close", "comparison-1")


def test_the_command_after_a_comparison_names_the_other_run(say: Say, tmp_path: Path) -> None:
    """Of two runs the evaluator finds it; of three without their baseline it is named, quoted for
    the shell and for Hydra, and Hydra reads what was meant."""
    for name in ("one", "two", "three"):
        evaluated(tmp_path, name, [name, name], arm=f'{name} "=x')
    runs = [f"runs/{name}" for name in ("one", "two", "three")]

    def versus(*words: str) -> list[str]:
        name = f"r{len(list(tmp_path.glob('labels/*')))}"
        text = say(*words, "--task", "compare", "--name", name, "--no-serve")
        command = text[text.index("preflab rerun") :].splitlines()[0]
        overrides = OverridesParser.create().parse_overrides(shlex.split(command)[3:])
        return [str(one.value()) for one in overrides if "versus" in one.key_or_group]

    assert versus(*runs[:2]) == []
    assert versus(*runs, "--baseline") == []
    assert versus(*runs) == ['two "=x']
    assert versus(*runs, "--pairs", 'three "=x') == ['three "=x']
    assert versus(*runs, "--pairs", 'one "=x') == ['two "=x']


@pytest.mark.parametrize(
    ("host", "message"),
    [((), "Nothing can be served on 127.0.0.1"), (("--host", "0.0.0.0"), "say by which name")],
)
def test_nobody_is_invited_where_nothing_can_be_served(
    say: Say, tmp_path: Path, host: Sequence[str], message: str
) -> None:
    """A link is shown once: were people made first, their links would be lost."""
    sampled(tmp_path, "x", POOL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ("runs/x", "--port", str(taken.getsockname()[1]), *host)
        with pytest.raises(UserError, match=message):
            label(list(words))
        assert not (tmp_path / "labels").exists()
        say("runs/x", "--no-serve", "--people", "1")
        with pytest.raises(UserError, match=message):
            label([*words, "--people", "3"])
    folder, _ = open_round("round-1")
    with Store.open(folder / "store.sqlite") as store:
        assert len(store.people()) == 1


def test_later_links_lead_to_where_the_round_was_served(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    say("runs/x", "--no-serve", "--port", "9123")
    assert "  http://127.0.0.1:9123/#" in say("invite", "round-1")
    assert "  https://a.example.org/#" in say("invite", "round-1", "--url", "https://a.example.org")
    say("runs/x", "--no-serve", "--url", "https://label.example.org")
    assert "  https://label.example.org/#" in say("invite", "round-1")


def test_side_by_side_against_one_run(say: Say, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        evaluated(tmp_path, name, [name, name])
    runs = ("runs/one", "runs/two", "runs/three")
    text = say(*runs, "--task", "compare", "--pairs", "name=one", "--no-serve")
    assert "4 tasks to compare" in text  # two prompts, two other runs
    with pytest.raises(UserError, match=r"--pairs name=on: .*Did you mean 'name=one'"):
        label([*runs, "--task", "compare", "--pairs", "name=on", "--name", "other"])


def test_one_run_is_compared_with_its_baseline(say: Say, tmp_path: Path) -> None:
    evaluated(tmp_path, "one", ["x", "base"])
    text = say("runs/one", "--task", "compare", "--no-serve", "--name", "mine")
    assert "Round mine: 1 task to compare" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name the folder of a run"),
        (("statsu", "round-1"), "'statsu' is not the folder of a run.*Did you mean 'status'"),
        (("status", "round-2"), "no round 'round-2'.*Did you mean 'round-1'"),
        (("runs/x", "--taks", "3"), "'--taks' is not known.*Did you mean '--tasks'"),
        (("runs/x", "--people", "0"), "must be a whole number of at least 1"),
        (("runs/x", "--overlap", "2"), "must be between 0 and 1"),
        (("runs/x", "--port", "99999"), "--port: must be a whole number from 0 to 65535"),
        (("runs/x", "--port", "-1"), "port"),
        (("runs/x", "--name", "b", "--language", "xx"), "do not speak 'xx'.*Allowed: ar, de, en"),
        (
            ("runs/x", "--name", "b", "--language", "de"),
            "--language de: .* in English.*--consent FILE and --instructions FILE",
        ),
        (("backup", "round-1", "--out", "/proc/copy.sqlite"), "No file can be made in /proc"),
        (("runs/x", "--likert"), "--likert was fixed when it was made"),
        (("runs/x", "--name", "a b"), "'a b' cannot be the name of a round"),
        (("runs/x", "--instructions", "no.md"), "there is no file no.md"),
        (("runs/x", "--task", "compare", "--name", "round-1"), "asked to rank: give --task rank"),
        (("runs/x", "--pairs", "a", "--name", "b"), "--pairs is about comparisons"),
        (("runs/y",), "was asked about another pool.*--name OTHER"),
        (("runs/x", "runs/y", "--name", "b"), "2 runs are given.*--task compare"),
        (("state", "round-1", "labeler-a", "activ"), "Did you mean 'active'"),
        (("state", "round-1", "labeler-a", "active"), "no 'labeler-a' in this round"),
        (("backup", "round-1", "--out", "labels/round-1/store.sqlite"), "exists"),
        (("invite", "round-1", "--people", "2", "--to", "Ada"), "--people 2, but 1 names"),
        (
            ("runs/x", "--name", "b", "--database", "postgresql://me:secret@h/d"),
            "--database holds a password.*PGPASSWORD",
        ),
    ],
)
def test_wrong_words_are_named_with_the_cure(
    say: Say, tmp_path: Path, words: Sequence[str], message: str
) -> None:
    sampled(tmp_path, "x", POOL)
    sampled(tmp_path, "y", POOL[:5])
    say("runs/x", "--no-serve")
    with pytest.raises(UserError, match=message):
        label(list(words))


def test_what_is_wrong_leaves_no_folder(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    for words in (("--language", "xx"), ("--database", "mysql://h/d"), ("--database", NOBODY)):
        with pytest.raises((UserError, StorageError)):
            label(["runs/x", "--no-serve", *words])
    assert not (tmp_path / "labels").exists()


def test_a_round_of_which_a_part_is_missing_is_named(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    say("runs/x", "--no-serve")
    folder = tmp_path / "labels" / "round-1"
    known = (folder / "round.json").read_bytes()
    (folder / "round.json").unlink()
    with pytest.raises(UserError, match=r"store\.sqlite is there, without the round\.json"):
        label(["runs/x", "--no-serve"])
    (folder / "round.json").write_bytes(known)
    (folder / "store.sqlite").unlink()
    with pytest.raises(UserError, match=r"the file is missing.*put the last backup"):
        label(["runs/x", "--no-serve"])


def test_the_run_names_the_round(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL, labeler={"name": "people", "round": "spring"})
    assert "Round spring: 10 tasks to rank." in say("runs/x", "--no-serve")


def test_changed_instructions_are_a_new_version(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    say("runs/x", "--no-serve")
    (tmp_path / "new.md").write_text("# Other\n")
    assert "version 2" in say("runs/x", "--no-serve", "--instructions", "new.md")
    assert "version" not in say("runs/x", "--no-serve", "--instructions", "new.md")


def test_names_are_kept_apart_and_forgotten(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    say("runs/x", "--no-serve", "--people", "1")
    said = say("invite", "round-1", "--to", "Ada Lovelace <ada@example.org>", "--group", "north")
    ((who, _),) = LINK.findall(said)
    private = tmp_path / "labels" / "round-1" / "people.json"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert json.loads(private.read_text()) == {who: {"to": "Ada Lovelace <ada@example.org>"}}
    answer_all("round-1", note="canary")
    say("close", "round-1", "--early")
    first = frozen_of("round-1")
    assert first is not None
    for path in first.folder.iterdir():  # no name, address or token
        assert "Lovelace" not in path.read_text()
        assert "ada@" not in path.read_text()
    answers = tmp_path / "labels" / "round-1" / survey.FILE
    survey.keep(answers, who, {"answers": {"age": ["99"]}, "link": True})
    text = say("forget", "round-1", who)
    assert answers.read_text() == ""
    assert str(first.folder.name) in text  # for a person to decide
    assert json.loads(private.read_text()) == {}
    say("close", "round-1", "--early")
    second = frozen_of("round-1")
    assert second is not None
    assert second.digest != first.digest
    assert second.manifest["removed"] == [who]
    say("backup", "round-1", "--out", "copy.sqlite")
    said_by_them = f"canary {who}".encode()
    for path in (*second.folder.iterdir(), tmp_path / "copy.sqlite"):
        assert said_by_them not in path.read_bytes(), path
    store = tmp_path / "labels" / "round-1"
    assert all(said_by_them not in path.read_bytes() for path in store.glob("store.sqlite*"))


def test_a_removed_person_trains_nothing(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    say("runs/x", "--no-serve", "--people", "2", "--overlap", "1")
    answer_all("round-1")
    folder, _ = open_round("round-1")
    with Store.open(folder / "store.sqlite") as store:
        who = store.people()[0].id
    say("state", "round-1", who, "removed")
    with pytest.raises(UserError, match="10 judgments missing"):  # others would be asked
        label(["close", "round-1"])
    text = say("close", "round-1", "--early")
    assert "20 asked = 10 judgments + 0 skips + 10 open." in text
    assert "10 rankings for training" in text
    assert "10 judgments of removed people are kept and not used." in text


def test_gold_and_screening_are_asked_and_train_nothing(say: Say, tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    rows = [
        {"prompt": f"g{i}", "responses": ["a", "b"], "ranks": [1, 2], "use": use}
        for i, use in enumerate(["gold", "gold", "screening", "screening"])
    ]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--gold", "gold.jsonl", "--gold-share", "0.5", "--people", "1", "--retest-share", "0")
    say("runs/x", "--no-serve", *words)
    folder, _ = open_round("round-1")
    with Store.open(folder / "store.sqlite") as store:
        (person,) = store.people()
        assert person.state == "screening"
        assert store.settings.screening is not None
        assert store.settings.screening.tasks == 2
    say("state", "round-1", person.id, "active")
    answer_all("round-1")
    say("close", "round-1", "--early")
    frozen = frozen_of("round-1")
    assert frozen is not None
    origins = {task.origin for task, _, _ in frozen.judged}
    assert origins == {"normal", "gold"}
    assert frozen.manifest["counts"]["submitted"] == frozen.manifest["rankings"] == 10


def test_a_changed_consent_text_is_asked_anew(say: Say, tmp_path: Path) -> None:
    """The frozen round says which text each answer is of."""
    sampled(tmp_path, "x", POOL)
    for number, text in enumerate(("We keep it.", "We keep all of it."), 1):
        (tmp_path / f"{number}.md").write_text(text)
    say("runs/x", "--no-serve", "--people", "2", "--consent", "1.md")
    answer_all("round-1", most=3)
    for words in ((), ("--consent", "1.md")):
        assert "Consent text" not in say("runs/x", "--no-serve", *words)
    text = say("runs/x", "--no-serve", "--consent", "2.md")
    assert "Consent text: version 2 from now on. Everybody is asked again." in text
    answer_all("round-1")
    say("close", "round-1", "--early")
    frozen = frozen_of("round-1")
    assert frozen is not None
    lines = (frozen.folder / "labels.jsonl").read_text().splitlines()
    counts = Counter(json.loads(line)["consent"] for line in lines)
    assert counts == {1: 3, 2: len(lines) - 3}
    asked = json.loads((frozen.folder / "instructions.json").read_text())["consents"]
    assert [(one["version"], one["markdown"]) for one in asked] == [
        (1, "We keep it."),
        (2, "We keep all of it."),
    ]
    assert asked[0]["digest"] == canonical_digest("We keep it.") != asked[1]["digest"]
