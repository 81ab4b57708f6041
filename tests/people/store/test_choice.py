"""What is due, and with whom to share: by hand."""

from __future__ import annotations

from preflab_people.store.choice import Share, by_value, due, fair_share, parts, pick


def test_shares_of_what_is_due() -> None:
    kinds = [due("r", "labeler-a", n, 0.05, 0.03) for n in range(4000)]
    # Of 4,000 hashes 5 % and 3 %: sd of the counts 14 and 11.
    assert 140 < kinds.count("gold") < 260
    assert 75 < kinds.count("retest") < 165
    assert kinds == [due("r", "labeler-a", n, 0.05, 0.03) for n in range(4000)]
    assert kinds != [due("r", "labeler-b", n, 0.05, 0.03) for n in range(4000)]
    assert {due("r", "l", n, 0.0, 0.0) for n in range(100)} == {"normal"}


def test_a_pick_does_not_depend_on_the_order_of_names() -> None:
    names = ["g1", "g2", "g3", "g4"]
    assert pick(names, "r", "l", 1) == pick(names[::-1], "r", "l", 1)
    assert len({pick(names, "r", "l", n) for n in range(40)}) == 4


def test_parts_of_people() -> None:
    shared = [("a", "b"), ("c", "d"), ("d", "e"), ("b", "a")]
    found = sorted(sorted(part) for part in parts("abcdef", shared))
    assert found == [["a", "b"], ["c", "d", "e"], ["f"]]
    assert len(parts("abcdef", [*shared, ("e", "a"), ("f", "b")])) == 1
    assert parts("", []) == []


def test_another_part_comes_before_a_new_partner_before_the_least_known() -> None:
    shared = {("me", "b"): 5, ("me", "c"): 2}
    found = [{"me", "b", "c", "d"}, {"x", "y"}]
    assert by_value("me", ["b", "c", "d", "x"], shared, found) == ["x", "d", "c", "b"]


def test_a_fair_share() -> None:
    # 24 judgments by 5 people: 5 each (rounded up), with each of three partners 2 at most.
    assert fair_share(24, 5) == Share(tasks=5, with_one=2, partners=3)
    assert fair_share(8, 2) == Share(tasks=4, with_one=4, partners=1)
    assert fair_share(8, 1) == Share(tasks=8, with_one=8, partners=0)
    assert fair_share(0, 3) == Share(tasks=0, with_one=0, partners=2)
