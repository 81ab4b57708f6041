"""The jobs of a multirun: a grid, one with seeds in blocks, or trials that a sampler proposes; from
Hydra's words for sweeps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from preflab.composing.search_path import registry
from preflab.door.blame import blamed
from preflab.door.choice import Choice
from preflab.errors import PluginError, UserError
from preflab.kinds import SAMPLER
from preflab.options import problems, typed
from preflab.searching import Dimension, Sampler, Space, Trial, Value
from preflab.study import SearchConfig, SeedsConfig

SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""Hydra's default. Its sweeps are grids, so that every job is known before the first starts."""

Overrides = tuple[tuple[str, ...], ...]
"""The overrides of each of some jobs."""
Values = Mapping[str, Value]
T = TypeVar("T")
DIGITS = 4
"""Of a number that is proposed, so that a job's words can be read: significant ones of one in
steps of equal ratio, else as many as tell 10,000 places in its interval apart."""
ASKS_FOR_VALUES = (
    "'KEY=interval(LOW,HIGH)', 'KEY=tag(log, interval(LOW,HIGH))', 'KEY=int(interval(LOW,HIGH))', "
    "'KEY=range(START,STOP)' or KEY=A,B"
)


def seeds_of(config: DictConfig) -> SeedsConfig | None:
    """The seeds that a study adds by itself; `UserError` if they are not valid."""
    cure = (
        "give study.seeds.at_least, study.seeds.at_most; for seeds of your own study.seeds=null "
        "seed=1,2,3"
    )
    return _part(config, "study.seeds", SeedsConfig, cure)


def search_of(config: DictConfig) -> SearchConfig | None:
    """What a study searches by itself; `UserError` if that is not valid."""
    cure = "give 'study.search={objective: MEASURE, trials: 24}'; for a grid study.search=null"
    return _part(config, "study.search", SearchConfig, cure)


def _part(config: DictConfig, key: str, config_class: type[T], cure: str) -> T | None:
    node = OmegaConf.select(config, key)
    if node is None:
        return None
    if not OmegaConf.is_dict(node):
        raise UserError(f"{key} is {node!r} but holds options of its own: {cure}.")
    plain = {str(k): v for k, v in OmegaConf.to_container(node, resolve=True).items()}  # type: ignore[union-attr]
    part: T = typed(config_class, plain, key)
    wrong = [f"{key}.{name} {message}" for name, message in problems(part)]
    if wrong:
        raise UserError("\n".join(wrong))
    return part


def jobs_of(swept: Sequence[Override], seeds: SeedsConfig | None) -> list[Overrides]:
    """The jobs of every block: one block, unless the study adds seeds by itself."""
    if seeds is None:
        return [_grid(swept)]
    given = next((o.input_line for o in swept if o.get_key_element().lstrip("+") == "seed"), None)
    if given is not None:
        values = given.partition("=")[2]
        raise UserError(
            f"{given}: the study chooses its seeds by itself (study.seeds: {seeds.first} to "
            f"{seeds.first + seeds.at_most - 1}). For others give study.seeds.first=N; for these "
            f"alone, without a correction for looks: study.seeds=null seed={values}"
        )
    parser = OverridesParser.create()
    return [
        _grid([*swept, parser.parse_override(f"seed={','.join(map(str, block))}")])
        for block in seeds.blocks()
    ]


def _grid(overrides: Sequence[Override]) -> Overrides:
    """The overrides of every job of a grid, as Hydra's basic sweeper orders them: the last key
    varies fastest, and of a key that is given twice the last counts."""
    return tuple(itertools.product(*_by_key(overrides).values()))


def _by_key(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """The words that some overrides stand for, by key."""
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = _key(override)
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise UserError(
                f"{override.input_line} is not a list of values: give {key}=A,B. To have values "
                "proposed: 'study.search={objective: MEASURE, trials: 24}' (with -m)."
            )
    return values


def _key(override: Override) -> str:
    key: str = override.get_key_element()
    if override.is_sweep_override() and key.startswith("hydra"):
        raise UserError(f"{override.input_line}: Hydra's own settings cannot be swept.")
    return key


@dataclass(frozen=True)
class Search:
    """Trials that a study proposes by itself. words: by key in their order, the words of a key that
    is not searched, and () for one that is; first: the values of the first block."""

    config: SearchConfig
    space: Space
    words: Mapping[str, tuple[str, ...]]
    sampler: Sampler
    choice: Choice
    first: tuple[Values, ...] = ()

    @staticmethod
    def read(config: SearchConfig, swept: Sequence[Override]) -> Search:
        """The search that a study declares. `UserError` for a space with nothing to search, for one
        that a grid covers, and for a sampler that there is not."""
        last = {_key(override): override for override in swept}
        found = {key: _dimension(override) for key, override in last.items()}
        dimensions = tuple(d for d in found.values() if d is not None)
        rest = _by_key([override for key, override in last.items() if found[key] is None])
        if not dimensions:
            raise UserError(f"study.search has nothing to search: give {ASKS_FOR_VALUES}.")
        size = math.prod(d.size for d in dimensions)
        if size <= config.trials:
            raise UserError(
                f"study.search would try {config.trials} of {size:.0f} combinations: a grid tries "
                f"each of them once (study.search=null). To search numbers give {ASKS_FOR_VALUES}."
            )
        space = Space(dimensions, config.more, config.seed)
        choice = sampler_of(config.sampler)
        with blamed(choice):
            choice.component.inspect(choice.config)
            build: Any = choice.component.build
            sampler = build(choice.config, space)
        words = {key: tuple(rest.get(key, ())) for key in last}
        search = Search(config, space, words, sampler, choice)
        number = min(config.block, config.trials)
        first = search.propose((), number)
        return Search(config, space, words, sampler, choice, first)

    @property
    def seeds(self) -> int:
        """Jobs of each trial."""
        return math.prod(len(words) for words in self.words.values() if words)

    def jobs_of(self, proposals: Sequence[Values]) -> Overrides:
        """The overrides of the jobs of some trials: each trial's seeds one after the other."""
        return tuple(job for values in proposals for job in self._jobs(values))

    def _jobs(self, values: Values) -> Iterator[tuple[str, ...]]:
        words = {k: own or (f"{k}={values[k]}",) for k, own in self.words.items()}
        return itertools.product(*words.values())

    def at_the_ends(self) -> Overrides:
        """Jobs at the end of each dimension, else as the first trial: whether they can be run is
        asked before any is, and they are not."""
        ends = [{**self.first[0], d.key: end} for d in self.space.dimensions for end in d.ends]
        return tuple(next(self._jobs(values)) for values in ends)

    def propose(self, trials: Sequence[Trial], number: int) -> tuple[Values, ...]:
        """Values of the next trials, rounded; `PluginError` if the sampler gives something else."""
        with blamed(self.choice):
            proposals = list(self.sampler.propose(trials, number))
        for values in proposals:
            fits = all(d.has(values.get(d.key)) for d in self.space.dimensions)
            if not fits or len(values) != len(self.space.dimensions):
                raise PluginError(
                    f"The sampler '{self.choice.name}' of {self.choice.plugin.label} proposes "
                    f"{dict(values)}, which is not in the space."
                )
        if len(proposals) != number:
            raise PluginError(
                f"The sampler '{self.choice.name}' of {self.choice.plugin.label} proposes "
                f"{len(proposals)} trials, and {number} were asked for."
            )
        dimensions = self.space.dimensions
        return tuple({d.key: rounded(d, v[d.key]) for d in dimensions} for v in proposals)

    def importance(self, trials: Sequence[Trial]) -> dict[str, float]:
        """How much each key explains, in the sampler's words; {} if it cannot say."""
        with blamed(self.choice):
            return dict(self.sampler.importance(trials))


def sampler_of(name: str) -> Choice:
    """The sampler of that name, with its defaults; `UserError` if there is none."""
    component = registry().component(SAMPLER, name)
    key = "study.search.sampler"
    return Choice(key, component, registry().provider(SAMPLER, name), component.config_class())


def _dimension(override: Override) -> Dimension | None:
    """What is searched of a key; None for one value, and for seeds, which each trial has all."""
    key, line = _key(override), override.input_line
    if not override.is_sweep_override() or key.lstrip("+").rpartition(".")[2] == "seed":
        return None
    value: Any = override._value
    tags = set(getattr(value, "tags", None) or ())
    if tags - {"log"}:
        raise UserError(f"{line}: the only tag that a search knows is log: tag(log, ...).")
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not low < high or not math.isfinite(high - low):
            raise UserError(f"{line}: an interval is from a number to a greater one, both finite.")
        if tags and low <= 0:
            raise UserError(f"{line}: with tag(log, ...) both ends are above 0.")
        whole = isinstance(low, int) and isinstance(high, int)
        return Dimension(key, (), low, high, 1 if whole else None, bool(tags), whole)
    if isinstance(value, RangeSweep):
        numbers: list[Any] = sorted(override.sweep_iterator())
        if len(numbers) > 1:
            whole = all(isinstance(number, int) for number in numbers)
            step = numbers[1] - numbers[0]
            if tags and not (whole and step == 1 and numbers[0] > 0):
                raise UserError(
                    f"{line}: tag(log, ...) goes with an interval, or with whole numbers above 0 "
                    "in steps of 1."
                )
            return Dimension(key, (), numbers[0], numbers[-1], step, bool(tags), whole)
    choices = tuple(dict.fromkeys(map(str, override.sweep_string_iterator())))
    return Dimension(key, choices) if len(choices) > 1 else None


def rounded(dimension: Dimension, value: Value) -> Value:
    """A proposal with so many digits that it can be read.

    >>> rounded(Dimension("lr", low=1e-5, high=1e-3, log=True), 0.000123456)
    0.0001235
    >>> rounded(Dimension("x", low=0.99, high=1.0), 0.9951239)
    0.99512
    """
    low, high = dimension.low, dimension.high
    if dimension.choices or dimension.whole or isinstance(value, str):
        return value
    if dimension.step is not None:
        value = low + round((value - low) / dimension.step) * dimension.step
        digits = round(value, 12)
    elif dimension.log:
        digits = float(f"{value:.{DIGITS}g}")
    else:
        digits = round(float(value), DIGITS - 1 - math.floor(math.log10(high - low)))
    return min(max(float(digits), low), high)
