"""The filters: what they keep, what they drop and why; they treat all record types alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from preflab import UserError
from preflab.interfaces import Filter
from preflab.options import problems
from preflab.records import Demonstration, Document, Message, Prompt, Ranking, Record
from preflab_builtin.filters import preflab_components
from preflab_builtin.filters.config import PrivateConfig, SplitConfig
from preflab_builtin.filters.privacy import DropPrivate
from preflab_builtin.filters.splits import by_user, split_of, user_of

_COMPONENTS = {c.name: c for c in preflab_components()}


def build(name: str, **settings: Any) -> Filter:
    """The filter as a run builds it; it uses no context."""
    component = _COMPONENTS[name]
    assert component.build is not None
    config = component.config_class(**settings)
    assert config.name == name
    assert list(problems(config)) == []
    built: Filter = component.build(config, None)  # type: ignore[arg-type]
    return built


def prompt(name: str, text: str = "", user: str = "", group: str = "", split: str = "") -> Prompt:
    return Prompt(name, text or f"question {name}", user, (), group, split)


def of_each_type(p: Prompt) -> list[Record]:
    """The same prompt as a prompt, a demonstration and a ranking."""
    return [p, Demonstration(p, "a"), Ranking(p, ("a", "b"), ((0, 1),))]


def names(records: Sequence[Record]) -> list[str]:
    """Ids of the prompts."""
    return [r.id if isinstance(r, (Prompt, Document)) else r.prompt.id for r in records]


def run(filter_: Filter, records: Sequence[Record]) -> tuple[list[Record], dict[str, int]]:
    """Kept records and reasons without zeros; kept and dropped add up."""
    kept, dropped = filter_(records)
    assert len(kept) + sum(dropped.values()) == len(records)
    return list(kept), {reason: n for reason, n in dropped.items() if n}


# --- splits ---


def test_a_user_is_in_one_split_in_every_record_type() -> None:
    split = build("split_by_user", validation=0.3, test=0.3)
    records = [
        r
        for i in range(200)
        for r in of_each_type(prompt(f"{i}", user=f"u{i % 20}", group=f"g{i}"))
    ]
    kept, _ = run(split, records)
    assert len(kept) == 600
    splits: dict[str, set[str]] = {}
    for record in kept:
        p = record if isinstance(record, Prompt) else record.prompt  # type: ignore[union-attr]
        splits.setdefault(p.user, set()).add(record.split)
    assert all(len(of_user) == 1 for of_user in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_without_a_user_the_group_counts_and_then_the_id() -> None:
    split = build("split_by_user", validation=0.3, test=0.3)
    grouped, _ = run(split, [prompt(f"{i}", group="g") for i in range(30)])
    assert len({r.split for r in grouped}) == 1
    alone, _ = run(split, [prompt(f"{i}") for i in range(30)])
    assert len({r.split for r in alone}) == 3
    documents, _ = run(split, [Document(f"{i}", "text") for i in range(30)])
    assert len({r.split for r in documents}) == 3


def test_by_group_ignores_the_user() -> None:
    split = build("split_by_group", validation=0.3, test=0.3)
    one_user, _ = run(split, [prompt(f"{i}", user="u", group=f"g{i}") for i in range(30)])
    assert len({r.split for r in one_user}) == 3
    one_group, _ = run(split, [prompt(f"{i}", user=f"u{i}", group="g") for i in range(30)])
    assert len({r.split for r in one_group}) == 1


def test_the_shares_are_what_was_asked() -> None:
    kept, _ = run(
        build("split_by_user", validation=0.1, test=0.2),
        [prompt(f"{i}", user=f"u{i}") for i in range(5000)],
    )
    counts = Counter(r.split for r in kept)
    # binomial: 5000 * 0.2 = 1000 with standard deviation 28.3, 5000 * 0.1 = 500 with 21.2; five of
    # them on both sides
    assert abs(counts["test"] - 1000) < 142
    assert abs(counts["validation"] - 500) < 106


@pytest.mark.parametrize(
    "missing,cure",
    [("validation", "filters.split.validation=0.2 asks"), ("test", "filters.split.test=0.4 asks")],
)
def test_the_split_that_is_short_is_named_in_the_cure(missing: str, cure: str) -> None:
    """All prompts that the hash of seed 3 puts into the split are taken out: none of 10 % and of
    20 % of them is left. Twice the share is advised, of that split alone."""
    config = SplitConfig("split_by_user", validation=0.1, test=0.2, seed=3)
    every = [Prompt(str(i), f"{i}?") for i in range(400)]
    sieve = by_user(config).sieve()
    for prompt in every:
        if split_of(user_of(prompt), config) != missing:
            sieve(prompt)
    (said,) = sieve.remarks()
    assert said.startswith(f"{missing} has 0 rows and should have about ")
    assert said.endswith(f". {cure} for more, filters.split.seed=4 draws again.")


def test_a_split_depends_on_the_seed_not_on_other_records() -> None:
    records = [prompt(f"{i}", user=f"u{i}") for i in range(50)]
    split = build("split_by_user")
    kept, _ = run(split, records)
    backwards, _ = run(split, records[::-2])
    assert {r.split for r in kept} >= {"train"}
    assert {(n, r.split) for n, r in zip(names(backwards), backwards, strict=True)} <= {
        (n, r.split) for n, r in zip(names(kept), kept, strict=True)
    }
    other, _ = run(build("split_by_user", seed=1), records)
    assert [r.split for r in other] != [r.split for r in kept]


def test_a_given_split_is_kept_unless_overwritten() -> None:
    records = [prompt(f"{i}", split="test") for i in range(30)]
    assert {r.split for r in run(build("split_by_user"), records)[0]} == {"test"}
    overwritten, _ = run(build("split_by_user", overwrite=True), records)
    expected, _ = run(build("split_by_user"), [replace(r, split="") for r in records])
    assert [r.split for r in overwritten] == [r.split for r in expected]


# --- repetition: see also test_repetition.py ---


def test_the_cap_counts_different_prompts_of_a_user() -> None:
    prompts = [prompt(f"{i}", user="busy") for i in range(10)]
    prompts += [prompt("a", user="rare"), prompt("b"), prompt("c")]
    cap = build("cap_per_user", prompts=4)
    kept, dropped = run(cap, prompts)
    assert Counter(p.user for p in kept if isinstance(p, Prompt)) == {"busy": 4, "rare": 1, "": 2}
    assert dropped == {"more than 4 prompts of one user": 6}
    # several rankings of one prompt are one prompt, and the same prompts stay
    rankings = [Ranking(p, ("a", "b"), ((0, 1),), w) for p in prompts for w in ("w1", "w2")]
    assert names(run(cap, rankings)[0]) == [n for n in names(kept) for _ in range(2)]
    assert names(run(build("cap_per_user", prompts=4, seed=1), prompts)[0]) != names(kept)


# --- privacy ---

_PRIVATE = DropPrivate(PrivateConfig(words=["phone", "home address"], patterns=[r"ID-\d{4}"]))


@pytest.mark.parametrize(
    "text,reason",
    [
        ("write to jane.doe+x@mail.example.co.uk.", "e-mail address"),
        ("<a@b.org>", "e-mail address"),
        ("ann@example.com, ann@real.com", "e-mail address"),
        ("ann@notexample.com", "e-mail address"),
        ("ann@example.com, ann@mail.Example.org, ann@host.test", ""),
        ("call 555-1234", "phone number"),
        ("try (212) 555-0147 now", "phone number"),
        ("212.555.0147", "phone number"),
        ("555 123 4567", ""),
        ("ring 555 123 4567", "phone number"),
        ("+49 30 1234567", "phone number"),
        ("+1-212-555-0147.", "phone number"),
        ("0301234567", ""),
        ("my Phone is two three", "word 'phone'"),
        ("the home address, please", "word 'home address'"),
        ("it is ID-1234", r"matches ID-\d{4}"),
        ("@anonymous you've never seen it", ""),
        ("2 @ 3 @ 4", ""),
        ("from 1990-2000 and 1914-1918", ""),
        ("on 2022-03-04 or 04/03/2022", ""),
        ("version 3.11.7 of 192.168.100.200", ""),
        ("12345 people and 3.14159265 and 1,234,567", ""),
        ("a 9780306406157 book", ""),
        ("smartphones and phoned", ""),
        ("ID-12", ""),
    ],
)
def test_private_details(text: str, reason: str) -> None:
    assert _PRIVATE.private_detail(text) == reason


def test_every_split_is_filtered_alike_unless_the_config_says_train_only() -> None:
    text = "mail a@b.org"
    splits = ("train", "validation", "test", "")
    everywhere = [
        run(build("drop_private"), of_each_type(prompt("1", text, split=s))) for s in splits
    ]
    assert [len(kept) for kept, _ in everywhere] == [0, 0, 0, 0]
    paper = build("drop_private", train_only=True)
    kept = [len(run(paper, of_each_type(prompt("1", text, split=s)))[0]) for s in splits[:3]]
    assert kept == [0, 3, 3]
    documents = [Document("1", text, split="train")]
    assert run(paper, documents) == run(build("drop_private"), documents) == (documents, {})


def test_responses_are_searched() -> None:
    p = prompt("1", split="train")
    records: list[Record] = [
        Demonstration(p, "a@b.org"),
        Ranking(p, ("fine", "phone 555-1234"), ((0, 1),)),
        p,
    ]
    kept, dropped = run(build("drop_private"), records)
    assert kept == [p]
    assert dropped == {"e-mail address": 1, "phone number": 1}
    assert run(build("drop_private", responses=False), records) == (records, {})


def test_the_system_message_is_its_owners() -> None:
    turns = [Message("system", "Hotline: 555-1234"), Message("user", "Hi."), Message("user", "Ho.")]
    own = replace(prompt("1", "system: Hotline: 555-1234"), messages=tuple(turns))
    assert run(build("drop_private"), [own]) == ([own], {})
    users = replace(own, messages=(*turns, Message("user", "my phone: 555-1234")))
    assert run(build("drop_private"), [users]) == ([], {"phone number": 1})


def test_privacy_of_the_training_split_needs_splits_first() -> None:
    expected = "drop_private with train_only comes before the splits are known"
    with pytest.raises(UserError, match=expected):
        build("drop_private", train_only=True)([prompt("1")])


def test_switched_off_searches_find_nothing() -> None:
    quiet = DropPrivate(PrivateConfig(emails=False, phones=False, words=["secret"]))
    texts = ("a@b.org", "call 555-1234", "a Secret.")
    assert [quiet.private_detail(text) for text in texts] == ["", "", "word 'secret'"]


# --- length ---


def test_long_prompts_are_dropped_in_every_record_type() -> None:
    length = build("length", max_words=3, max_characters=12)
    # 5 and 12 characters
    for text in ("a b c", "ab cd efghij"):
        assert len(run(length, of_each_type(prompt("1", text)))[0]) == 3, text
    # 13 characters, four words, 13 characters
    for text in ("one two three", "a b c d", "abcdefghijklm"):
        assert run(length, of_each_type(prompt("1", text)))[0] == [], text
    _, dropped = run(length, [prompt("1", "a b c d"), prompt("2", "abcdefghijklm")])
    assert dropped == {"prompt over 3 words": 1, "prompt over 12 characters": 1}
    documents = [Document("1", "a b c d e f")]
    assert run(length, documents) == (documents, {})


def test_tokens_are_those_that_the_policy_reads() -> None:
    class Tokens:
        """A token for each letter, and one that begins every prompt."""

        def encode_prompt(self, prompt: Prompt) -> list[int]:
            return [0, *map(ord, prompt.text)]

    class Run:
        """The context of a filter."""

        tokenizer = Tokens()

    component = _COMPONENTS["length"]
    assert component.build is not None
    config = component.config_class(max_tokens=4)
    assert list(problems(config)) == []
    length = component.build(config, Run())  # type: ignore[arg-type]
    kept, dropped = run(length, [prompt("1", "abc"), prompt("2", "abcd")])
    assert (names(kept), dropped) == (["1"], {"prompt over 4 tokens": 1})


@pytest.mark.parametrize(
    "name,values,key",
    [
        ("split_by_user", {"validation": 0.5, "test": 0.5}, "test"),
        ("split_by_user", {"validation": -0.1}, "validation"),
        ("deduplicate", {"length": 0}, "length"),
        ("cap_per_user", {"prompts": 0}, "prompts"),
        ("drop_private", {"patterns": ["("]}, "patterns"),
        ("drop_private", {"patterns": ["x*"]}, "patterns"),
        ("drop_private", {"words": [" "]}, "words"),
        ("drop_private", {"emails": False, "phones": False}, "emails"),
        ("drop_private", {"regions": ["Germany"]}, "regions"),
        ("length", {}, "max_tokens"),
    ],
)
def test_a_useless_config_is_refused(name: str, values: dict[str, Any], key: str) -> None:
    assert [field for field, _ in problems(_COMPONENTS[name].config_class(**values))] == [key]
