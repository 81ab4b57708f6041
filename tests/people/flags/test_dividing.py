"""What trains and what is held out, and flags with too few texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from preflab import UserError
from preflab_people.flags.dividing import divided, held_out_units
from preflab_people.flags.rows import Flagged, FlaggedText


def texts(flagged: Mapping[str, int], fine: int, each: int = 2) -> list[FlaggedText]:
    """So many prompts with a text of each flag, and prompts without; each with ``each`` texts."""
    found = []
    for flag, count in {**flagged, "": fine}.items():
        for n in range(count):
            unit = f"{flag} {n}"
            shares = {flag: 1.0} if flag else {}
            found.append(FlaggedText(unit, f"{unit} first", shares, unit))
            found += [FlaggedText(unit, f"{unit} {i}", {}, unit) for i in range(1, each)]
    return found


def given(some: Sequence[FlaggedText], *asked: str) -> Flagged:
    return Flagged("round-1", tuple(some), asked, 3, "ab")


def test_a_quarter_of_the_prompts_with_each_flag_is_held_out_whole() -> None:
    some = texts({"rude": 40, "wrong": 20}, fine=60)
    parts = divided(given(some, "rude", "wrong"), [], 0.25, 0.05, whole_text=False)
    assert {text.unit for text in parts.trained}.isdisjoint(text.unit for text in parts.held_out)
    assert len(parts.trained) + len(parts.held_out) == len(some)
    for flag, count in (("rude", 10), ("wrong", 5)):
        assert sum(text.has(flag) for text in parts.held_out) == count
    assert parts.flags == ("rude", "wrong")
    # The same texts are held out for any choice of labels that are all there is.
    again = divided(given(some, "rude", "wrong"), [], 0.25, 0.05, whole_text=True)
    assert again.held_out == parts.held_out


def test_a_held_out_text_that_was_trained_on_measures_nothing() -> None:
    some = texts({"rude": 40}, fine=60)
    apart = held_out_units(some, ["rude"], 0.25)
    one = next(text for text in some if text.unit in apart and not text.has("rude"))
    other = next(text for text in some if text.unit not in apart)
    twin = FlaggedText(other.prompt, one.response, {}, other.unit)
    short = divided(given([*some, twin], "rude"), [], 0.25, 0.05, whole_text=False)
    assert one not in short.held_out
    assert twin in short.trained
    # With their prompts they are different texts.
    whole = divided(given([*some, twin], "rude"), [], 0.25, 0.05, whole_text=True)
    assert one in whole.held_out


def test_an_unknown_flag_is_refused_with_the_nearest() -> None:
    unknown = r"--flag rudee: the round 'round-1' has no such flag.*'rude'"
    with pytest.raises(UserError, match=unknown):
        divided(given(texts({"rude": 40}, 60), "rude"), ["rudee"], 0.25, 0.05, whole_text=False)


def test_too_few_flagged_texts_are_refused_with_their_number() -> None:
    # 12 + 4 are needed: of 15 prompts with a flagged text, 4 are held out (round(15 / 4)).
    few = texts({"rude": 40, "wrong": 15}, fine=60)
    numbers = r"has 15 of 230 texts with the flag 'wrong': 11 to train with and 4 held out"
    with pytest.raises(UserError, match=numbers):
        divided(given(few, "rude", "wrong"), ["wrong"], 0.25, 0.05, whole_text=False)
    parts = divided(given(few, "rude", "wrong"), [], 0.25, 0.05, whole_text=False)
    assert parts.flags == ("rude",)
    (left_out,) = parts.too_few
    assert "'wrong'" in left_out
    with pytest.raises(UserError, match="Let people label more"):
        divided(given(few, "never"), [], 0.25, 0.05, whole_text=False)


def test_a_share_that_needs_more_harmless_texts_is_refused_with_one_that_does_not() -> None:
    # 40 prompts with one text each, flagged, of which 10 are held out, and 20 of 80 others.
    some = texts({"rude": 40}, fine=80, each=1)
    asked = r"has 20 held-out texts without the flag 'rude', and --false-blocks 0.01 needs 99: "
    with pytest.raises(UserError, match=f"{asked}--false-blocks 0.05 would do"):
        divided(given(some, "rude"), [], 0.25, 0.01, whole_text=False)
    assert divided(given(some, "rude"), [], 0.25, 0.05, whole_text=False).flags == ("rude",)
    # Where every text is flagged, no share would do: `--false-blocks 1` is refused.
    every = given(texts({"rude": 80}, fine=0, each=1), "rude")
    with pytest.raises(UserError, match="no held-out text without the flag 'rude'") as error:
        divided(every, [], 0.25, 0.05, whole_text=False)
    assert "--false-blocks" not in str(error.value)
