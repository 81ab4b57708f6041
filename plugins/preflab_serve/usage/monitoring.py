"""What a log of use shows: rates with their intervals, keys above the rest, sudden volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from preflab import intervals
from preflab.interfaces import Measure
from preflab_serve.usage.reading import Request

HOUR = 3600.0
CHANCE = 1e-3
"""Of one false alarm of sudden volume in a look at all keys, if requests came independently."""
TIMES = 2.0
"""Smaller increases are not called sudden."""


@dataclass(frozen=True)
class Share:
    """A share of one key's requests, and the same of all other keys."""

    own: Measure
    rest: Measure

    @property
    def above(self) -> bool:
        """Whether its interval lies above theirs."""
        return self.rest.n > 0 and self.own.low > self.rest.high


@dataclass(frozen=True)
class KeyUse:
    """What one key did. refused: for their form, their key or a limit; left: by a client that hung
    up; failed: the server could not answer; against: requests that a guard had something against,
    be it only to count them; blocked: requests of which something was not shown."""

    key: str
    requests: int
    tokens: int
    refused: int
    left: int
    failed: int
    against: Share
    blocked: Share
    sudden: Sudden | None

    @property
    def above(self) -> bool:
        """Whether a guard has something against its requests more often than against those of the
        others, or blocks them more often."""
        return self.against.above or self.blocked.above


@dataclass(frozen=True)
class Sudden:
    """A key's newest hours against those before: numbers of requests, the ratio of their rates, and
    the probability of so many if the rate had not changed."""

    recent: int
    before: int
    times: float
    chance: float


@dataclass(frozen=True)
class Overview:
    """A log of use in numbers. categories: share of requests that a guard had something against, by
    category, its interval over keys where there are several."""

    requests: int
    first: float
    last: float
    categories: Mapping[str, Measure]
    blocked: Measure
    keys: tuple[KeyUse, ...]


def overview(requests: Sequence[Request], hours: float = 1.0) -> Overview:
    """The numbers of a log, the oldest request first. Moderations, and requests that were refused
    for their form, are counted, and are in no rate. hours: the newest, whose volume is compared
    with the hours before."""
    judged = [one for one in requests if one.judged]
    names = sorted(set().union(*(one.against for one in judged)))
    categories = {name: _share(judged, [name in one.against for one in judged]) for name in names}
    keys = Counter(one.key for one in requests)
    used = [key_use(key, requests, judged, hours, len(keys)) for key, _ in keys.most_common()]
    first, last = (requests[0].at, requests[-1].at) if requests else (0.0, 0.0)
    blocked = _share(judged, [one.blocked for one in judged])
    return Overview(len(requests), first, last, categories, blocked, tuple(used))


def key_use(
    key: str, requests: Sequence[Request], judged: Sequence[Request], hours: float, keys: int
) -> KeyUse:
    """What one key did, beside the others. keys: how many are looked at."""
    own = [one for one in requests if one.key == key]
    mine = [one for one in judged if one.key == key]
    others = [one for one in judged if one.key != key]
    against, blocked = (
        Share(_share(mine, map(of, mine)), _share(others, map(of, others)))
        for of in (_has_against, _is_blocked)
    )
    return KeyUse(
        key=key,
        requests=len(own),
        tokens=sum(one.tokens for one in own),
        refused=sum(one.refused for one in own),
        left=sum(one.left for one in own),
        failed=sum(one.failed for one in own),
        against=against,
        blocked=blocked,
        sudden=sudden([one.at for one in own], requests[0].at, requests[-1].at, hours, keys),
    )


def _has_against(one: Request) -> bool:
    return bool(one.against)


def _is_blocked(one: Request) -> bool:
    return one.blocked


def _share(requests: Sequence[Request], which: Iterable[bool]) -> Measure:
    """The share of some requests [N] for which something [N] is true. Of one key every request is a
    unit, of several every key."""
    units = [one.key for one in requests]
    own = units if len(set(units)) > 1 else None
    return intervals.bounded_mean([float(one) for one in which], units=own)


def sudden(
    times: Sequence[float], first: float, last: float, hours: float, keys: int
) -> Sudden | None:
    """Whether requests at these times came more often in the newest hours than before: the exact
    test of two Poisson rates (Przyborowski and Wilenski 1940), with Bonferroni's correction for the
    number of keys. None if not, or if the log is not longer than these hours. first, last: the ends
    of the log, in seconds."""
    from scipy.stats import binom

    span, window = last - first, hours * HOUR
    if span <= window:
        return None
    recent = sum(at > last - window for at in times)
    before = len(times) - recent
    expected = window / span
    rate = before / (span - window) * window
    ratio = recent / rate if rate else float("inf")
    chance = float(binom.sf(recent - 1, len(times), expected))
    if ratio < TIMES or chance * max(1, keys) > CHANCE:
        return None
    return Sudden(recent, before, ratio, chance)
