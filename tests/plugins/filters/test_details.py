"""E-mail addresses and phone numbers: precision and recall on labelled samples, on made-up sums,
dates and ids, and on the example number of every country."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import phonenumbers
import pytest

from preflab_builtin.filters.details import has_email, has_phone


def _sample(name: str) -> list[dict[str, str]]:
    lines = Path(__file__).with_name(name).read_text("utf8").splitlines()
    return [json.loads(line) for line in lines]


SAMPLE, HELD_OUT = _sample("private_sample.jsonl"), _sample("private_held_out.jsonl")
"""Texts written for this test: private is "phone", "email" or "". The numbers are examples of the
numbering plans, reserved numbers or those of public places. The second was not looked at while the
patterns were written."""
COUNTRIES = ["US", "GB", "DE", "FR", "JP", "AU", "BR", "ZA", "CH", "IN", "IT", "ES", "NL"]


def precision_and_recall(
    kind: str, found: Callable[[str], bool], sample: Sequence[Mapping[str, str]]
) -> tuple[float, float]:
    """Of a detector on a sample."""
    hits = [row["private"] == kind for row in sample if found(row["text"])]
    positives = [found(row["text"]) for row in sample if row["private"] == kind]
    return sum(hits) / len(hits), sum(positives) / len(positives)


def test_the_samples_are_large_and_mixed() -> None:
    kinds = [row["private"] for row in SAMPLE]
    assert len({row["text"] for row in SAMPLE}) == len(SAMPLE) >= 290
    assert (kinds.count("phone"), kinds.count("email")) == (70, 25)
    kinds = [row["private"] for row in HELD_OUT]
    texts = {row["text"] for row in HELD_OUT}
    assert len(texts) == len(HELD_OUT) == 302
    assert (kinds.count("phone"), kinds.count("email")) == (98, 30)
    assert texts.isdisjoint(row["text"] for row in SAMPLE)


@pytest.mark.parametrize(
    ("regions", "floors", "held_out"),
    [
        ((), (0.97, 0.85), (0.97, 0.37)),
        (("US",), (0.97, 0.9), (0.97, 0.43)),
        (COUNTRIES, (0.95, 0.95), (0.97, 0.64)),
    ],
)
def test_phones_are_found_and_little_else(
    regions: Sequence[str], floors: tuple[float, float], held_out: tuple[float, float]
) -> None:
    # measured: 1.00 and 0.87; 1.00 and 0.93 (the default); 0.97 and 0.99
    # held out: 1.00 and 0.378 (37 of 98); 1.00 and 0.439 (43); 1.00 and 0.643 (63)
    for sample, least in ((SAMPLE, floors), (HELD_OUT, held_out)):
        precision, recall = precision_and_recall("phone", lambda t: has_phone(t, regions), sample)
        assert (precision >= least[0], recall >= least[1]) == (True, True), (precision, recall)


def test_emails_are_found_and_little_else() -> None:
    # measured: 1.00 and 1.00; held out: 1.00 and 0.90 (27 of 30)
    for sample, least in ((SAMPLE, 0.97), (HELD_OUT, 0.9)):
        precision, recall = precision_and_recall("email", has_email, sample)
        assert (precision >= 0.97, recall >= least) == (True, True), (precision, recall)


_DRAW = random.Random(0)


def _digits(n: int) -> str:
    return str(_DRAW.randint(10 ** (n - 1), 10**n - 1))


@pytest.mark.parametrize(
    "write",
    [
        lambda: f"Round {_digits(3)}.{_digits(4)} to two decimals.",
        lambda: f"Sort in falling order: {_digits(3)} {_digits(4)} {_digits(4)}",
        lambda: f"Sort: {_digits(3)} {_digits(3)} {_digits(4)}",
        lambda: (
            f"Add the binary numbers {_DRAW.getrandbits(7):07b} and {_DRAW.getrandbits(7):07b}."
        ),
        lambda: f"What is {_digits(3)}-{_digits(3)}-{_digits(4)}?",
        lambda: f"{_digits(3)}-{_digits(3)}-{_digits(4)} =",
        lambda: f"Is {_digits(10)} even?",
        lambda: f"{_digits(3)} + {_digits(10)} - {_digits(7)}",
        lambda: f"f({_digits(3)}) {_digits(3)}-{_digits(4)}",
        lambda: f"version {_digits(3)}.{_digits(3)}.{_digits(4)}",
        lambda: f"on {_DRAW.randint(1, 28):02}-{_DRAW.randint(1, 12):02}-{_digits(4)}",
        lambda: f"{_digits(4)}-{_DRAW.randint(1, 12):02}-01 {_DRAW.randint(0, 23):02}:30",
        lambda: f"978-{_digits(1)}-{_digits(2)}-{_digits(6)}-{_digits(1)}",
        lambda: f"order {_digits(3)}-{_digits(2)}-{_digits(4)}",
        lambda: f"{_DRAW.uniform(-90, 90):.6f}, {_DRAW.uniform(-180, 180):.6f}",
        lambda: f"call it {_digits(7)} times",
    ],
)
def test_sums_dates_and_ids_are_no_phones(write: Callable[[], str]) -> None:
    wrong = [text for text in (write() for _ in range(300)) if has_phone(text, ["US"])]
    assert wrong == []


def test_the_example_number_of_every_country_is_found() -> None:
    shapes = phonenumbers.PhoneNumberFormat
    international = after_a_word = total = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number(region)
        assert number is not None
        total += 1
        text = phonenumbers.format_number(number, shapes.INTERNATIONAL)
        international += has_phone(f"Write to Li, {text}, soon.")
        text = phonenumbers.format_number(number, shapes.NATIONAL)
        after_a_word += has_phone(f"My phone number is {text}.")
    # in its own country some numbers have fewer than seven digits
    assert (total, international) == (245, 245)
    assert after_a_word >= 0.9 * total


def test_addresses_at_domains_of_nobody_count_if_asked() -> None:
    text = "write to ann@example.com"
    assert (has_email(text), has_email(text, reserved=True)) == (False, True)
