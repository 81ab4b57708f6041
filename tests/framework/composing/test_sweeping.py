"""Jobs of a multirun: trials that a sampler proposes, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from preflab.composing import sweeping
from preflab.composing.compose import parse
from preflab.composing.sweeping import Search, rounded
from preflab.errors import PluginError, UserError
from preflab.searching import Dimension, Space, Trial, Value
from preflab.study import SearchConfig

CONFIG = SearchConfig("gold/gold", trials=8, block=2)


class Middle:
    """Proposes the middle of every number and the last of every choice."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def propose(self, trials: Sequence[Trial], number: int) -> list[Mapping[str, Value]]:
        return [{d.key: _middle(d) for d in self.space.dimensions}] * number

    def importance(self, trials: Sequence[Trial]) -> dict[str, float]:
        return {}


def _middle(d: Dimension) -> Value:
    if d.choices:
        return d.choices[-1]
    return int((d.low + d.high) / 2) if d.whole else (d.low + d.high) / 2


@pytest.fixture(autouse=True)
def _no_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler is `Middle`."""
    component = SimpleNamespace(
        build=lambda config, space: Middle(space), inspect=lambda config: None, kind="sampler"
    )
    choice: Any = SimpleNamespace(
        all=lambda: (),
        component=component,
        config=None,
        name="middle",
        plugin=SimpleNamespace(label="tests"),
    )
    monkeypatch.setattr(sweeping, "sampler_of", lambda name: choice)


def _search(*words: str, config: SearchConfig = CONFIG) -> Search:
    return Search.read(config, OverridesParser.create().parse_overrides(list(words)))


@pytest.mark.parametrize(
    "word,dimension",
    [
        ("x=interval(0,1)", Dimension("x", low=0.0, high=1.0)),
        ("x=tag(log, interval(1e-5,1e-3))", Dimension("x", low=1e-5, high=1e-3, log=True)),
        ("x=int(interval(1,9))", Dimension("x", low=1, high=9, step=1, whole=True)),
        # Hydra's range has no end: 1 to 9, and 0, 0.1, ..., 0.9.
        ("x=range(1,10)", Dimension("x", low=1, high=9, step=1, whole=True)),
        ("x=range(0,2,0.25)", Dimension("x", low=0.0, high=1.75, step=0.25)),
        ("x=choice(a,b,c)", Dimension("x", ("a", "b", "c"))),
        ("x=1,2", Dimension("x", ("1", "2"))),
        ("+x='a,b',c", Dimension("+x", ("'a,b'", "c"))),
    ],
)
def test_a_word_of_hydra_as_a_dimension(word: str, dimension: Dimension) -> None:
    (found, _) = _search(word, "y=interval(0,1)").space.dimensions
    assert found == dimension


def test_a_trial_has_all_seeds_and_the_words_keep_their_order() -> None:
    search = _search("a=1", "lr=interval(0,1)", "seed=1,2", "algorithm.seed=7", "b=x,y")
    assert search.first == ({"lr": 0.5, "b": "y"},) * 2
    assert search.seeds == 2
    assert search.jobs_of([{"lr": 0.5, "b": "y"}, {"lr": 0.25, "b": "x"}]) == tuple(
        ("a=1", f"lr={lr}", f"seed={seed}", "algorithm.seed=7", f"b={b}")
        for lr, b in ((0.5, "y"), (0.25, "x"))
        for seed in (1, 2)
    )
    # Each end once, all else as in the first trial, with the first seed.
    ends = [(job[1], job[-1]) for job in search.at_the_ends()]
    assert ends == [("lr=0.0", "b=y"), ("lr=1.0", "b=y"), ("lr=0.5", "b=x"), ("lr=0.5", "b=y")]


@pytest.mark.parametrize(
    "words,message",
    [
        ("x=1 seed=1,2", r"nothing to search: give 'KEY=interval\(LOW,HIGH\)'"),
        ("x=1,2 y=1,2", r"would try 8 of 4 combinations: a grid"),
        ("x=interval(1,0)", "from a number to a greater one"),
        ("x=interval(1,inf)", "both finite"),
        ("x=tag(log,interval(0,1))", "both ends are above 0"),
        ("x=tag(lgo,interval(1,2))", "the only tag that a search knows is log"),
        ("x=tag(log,range(1,9,2)) y=interval(0,1)", "in steps of 1"),
        ("hydra.job.num=1,2", "Hydra's own settings cannot be swept"),
        ("seed=interval(1,9) x=interval(0,1)", "is not a list of values"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _search(*words.split())


def test_what_a_sampler_gives_is_checked() -> None:
    search = _search("x=interval(0,1)")
    for wrong, message in (([{"x": 2.0}], "not in the space"), ([], "proposes 0 trials")):
        sampler: Any = SimpleNamespace(propose=lambda trials, number, wrong=wrong: wrong)
        with pytest.raises(PluginError, match=message):
            replace(search, sampler=sampler).propose((), 1)


def test_numbers_are_rounded_within_their_interval() -> None:
    # 0.99996 to four digits is 1.000, which is beyond the end.
    end = Dimension("x", low=0.1, high=0.99997, log=True)
    assert rounded(end, 0.99996) == 0.99997
    assert rounded(Dimension("x", low=0.0, high=1.75, step=0.25), 0.5000000001) == 0.5
    assert rounded(Dimension("n", low=1, high=9, step=1, whole=True), 3) == 3


def test_a_search_is_a_command_line_of_several_runs() -> None:
    words = ("study.search={objective:gold/gold,trials:6}", "sft.epochs=1", "seed=1,2")
    line = parse(["-m", *words, "algorithm.kl.coef=interval(0,1)"])
    assert line.search is not None
    assert len(line.jobs) == 4 * 2
    assert line.jobs[0][-1] == "algorithm.kl.coef=0.5"
    with pytest.raises(UserError, match=r"study\.search is about several runs: add -m"):
        parse([*words[:2]])
    with pytest.raises(UserError, match=r"To have values proposed: 'study\.search="):
        parse(["-m", "algorithm.kl.coef=interval(0,1)"])
    with pytest.raises(UserError, match=r"no hydra/sweeper 'optuna' here.*study\.search="):
        parse(["-m", "hydra/sweeper=optuna", "algorithm.kl.coef=interval(0,1)"])
    with pytest.raises(UserError, match=r"n_trials is not an option.*study\.search="):
        parse(["-m", "hydra.sweeper.n_trials=20", "algorithm.kl.coef=interval(0,1)"])
    with pytest.raises(UserError, match=r"Did you mean 'trials'"):
        parse(["-m", "study.search={trails:6}", "algorithm.kl.coef=interval(0,1)"])


def test_seeds_that_are_typed_take_the_place_of_those_of_the_file() -> None:
    line = parse(["-cn", "labeler_folds", "study.seeds={at_least:2,at_most:3,block:1}"])
    assert line.said == ()
    assert [job[-1] for job in line.jobs[:2]] == ["seed=201", "seed=202"]
    line = parse(["-cn", "algorithms", "study.seeds.at_most=5", "arm=ppo,sft"])
    assert line.said == ("study.seeds takes the place of the study's own seed=31,32,33,34,35.",)
    assert [job[-1] for job in line.jobs[:2]] == ["seed=1", "seed=2"]
    with pytest.raises(UserError, match=r"seed=1,2: the study chooses its seeds by itself"):
        parse(["-cn", "algorithms", "study.seeds.at_most=5", "seed=1,2"])
