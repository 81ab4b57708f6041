"""Intervals of agreement and of win rates cover the truth as often as they say, with 5 and with 20
people. Short form here; the long one, 500 rounds each, has the mark `label`."""

from __future__ import annotations

from collections import Counter

import pytest
from scipy import stats

from preflab.interfaces import Measure
from preflab.two_way import mean_about_people
from preflab_people.statistics.agreement import ranking
from preflab_people.statistics.comparison import verdicts, win_table
from preflab_people.statistics.votes import SIDES, pair_votes, table

from .simulated import (
    WON,
    Truth,
    agreement_round,
    comparison_round,
    of_people,
    of_population,
    skills_of,
)

SHORT, LONG = 40, 500
LEAST, MOST = 0.92, 0.98


def _covers(measure: Measure, value: float) -> bool:
    return measure.low <= value <= measure.high


def _agreement(rounds: int, people: int, prompts: int = 120) -> dict[str, float]:
    hits: Counter[str] = Counter()
    population = of_population()
    for seed in range(rounds):
        asked = agreement_round(seed, prompts, people)
        these: Truth = of_people(skills_of(seed, people))
        for found in ranking(table(list(pair_votes(asked.answered())), SIDES)):
            name = found.name
            hits[f"{name}, people too"] += _covers(found.with_people, getattr(population, name))
            hits[f"{name}, prompts"] += _covers(found.measure, getattr(these, name))
    return {name: hits[name] / rounds for name in hits}


def _win_rates(rounds: int, people: int, prompts: int, overlap: float) -> float:
    hits = 0
    for seed in range(rounds):
        asked = comparison_round(seed, prompts, people, overlap)
        found = win_table(list(verdicts(asked.answered(), "new", "old")))
        hits += _covers(mean_about_people(found, 0.0, 1.0), WON)
    return hits / rounds


def _possible(rounds: int) -> float:
    """The least share that a coverage of 92 % gives but once in ten thousand times."""
    return float(stats.binom.ppf(1e-4, rounds, LEAST)) / rounds


@pytest.mark.slow
@pytest.mark.parametrize("people", [5, 20])
def test_agreement_covers_the_truth(people: int) -> None:
    found = _agreement(SHORT, people)
    assert len(found) == 6
    assert min(found.values()) >= _possible(SHORT), found


@pytest.mark.slow
@pytest.mark.parametrize("people", [5, 20])
@pytest.mark.parametrize("prompts, overlap", [(150, 0.2), (60, 1.0)])
def test_win_rates_cover_the_truth(people: int, prompts: int, overlap: float) -> None:
    assert _win_rates(SHORT, people, prompts, overlap) >= _possible(SHORT)


@pytest.mark.label
@pytest.mark.parametrize("people", [5, 20])
def test_agreement_covers_the_truth_in_500_rounds(people: int) -> None:
    found = _agreement(LONG, people)
    assert all(LEAST <= share <= MOST for share in found.values()), found


@pytest.mark.label
@pytest.mark.parametrize("people", [5, 20])
@pytest.mark.parametrize("prompts, overlap", [(400, 0.2), (100, 1.0)])
def test_win_rates_cover_the_truth_in_500_rounds(people: int, prompts: int, overlap: float) -> None:
    found = _win_rates(LONG, people, prompts, overlap)
    assert LEAST <= found <= MOST
