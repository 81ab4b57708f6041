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
Count = tuple[int, int]
"""Requests of a key for which something is true, and all that may be."""


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
    by_key: dict[str, list[Request]] = {}
    for one in requests:
        by_key.setdefault(one.key, []).append(one)
    judged = {key: [one for one in own if one.judged] for key, own in by_key.items()}
    found = {
        key: Counter(name for one in own for name in one.against) for key, own in judged.items()
    }
    against = {key: (sum(map(_has_against, own)), len(own)) for key, own in judged.items()}
    blocked = {key: (sum(map(_is_blocked, own)), len(own)) for key, own in judged.items()}
    categories = {
        name: _share([(found[key][name], len(own)) for key, own in judged.items()])
        for name in sorted(set().union(*found.values()))
    }
    first, last = (requests[0].at, requests[-1].at) if requests else (0.0, 0.0)
    used = [
        key_use(
            *(key, own, _beside(key, against), _beside(key, blocked)),
            sudden([(one.at, one.number) for one in own], first, last, hours, len(by_key)),
        )
        for key, own in sorted(by_key.items(), key=lambda item: -_number(item[1]))
    ]
    all_blocked = _share([*blocked.values()])
    return Overview(_number(requests), first, last, categories, all_blocked, tuple(used))


def key_use(
    key: str, own: Sequence[Request], against: Share, blocked: Share, burst: Sudden | None
) -> KeyUse:
    """What one key did. own: its requests."""
    return KeyUse(
        key=key,
        requests=_number(own),
        tokens=sum(one.tokens for one in own),
        refused=_number([one for one in own if one.refused]),
        left=sum(one.left for one in own),
        failed=sum(one.failed for one in own),
        against=against,
        blocked=blocked,
        sudden=burst,
    )


def _number(requests: Iterable[Request]) -> int:
    return sum(one.number for one in requests)


def _has_against(one: Request) -> bool:
    return bool(one.against)


def _is_blocked(one: Request) -> bool:
    return one.blocked


def _beside(key: str, counts: Mapping[str, Count]) -> Share:
    """The share of a key, and that of the others."""
    others = [count for other, count in counts.items() if other != key]
    return Share(_share([counts[key]]), _share(others))


def _share(counts: Iterable[Count]) -> Measure:
    """The share of the requests of some keys for which something is true. Of one key every request
    is a unit, of several every key."""
    some = [(hits, requests) for hits, requests in counts if requests]
    if len(some) == 1:
        ((hits, requests),) = some
        return intervals.bounded_mean([1.0] * hits + [0.0] * (requests - hits))
    return intervals.bounded_ratio([hits for hits, _ in some], [number for _, number in some])


def sudden(
    times: Sequence[tuple[float, int]], first: float, last: float, hours: float, keys: int
) -> Sudden | None:
    """Whether requests came more often in the newest hours than before: the exact test of two
    Poisson rates (Przyborowski and Wilenski 1940), with Bonferroni's correction for the number of
    keys. None if not, or if the log is not longer than these hours. times: in seconds, each with a
    number of requests; first, last: the ends of the log."""
    from scipy.stats import binom

    span, window = last - first, hours * HOUR
    if span <= window:
        return None
    recent = sum(number for at, number in times if at > last - window)
    before = sum(number for _, number in times) - recent
    expected = window / span
    rate = before / (span - window) * window
    ratio = recent / rate if rate else float("inf")
    chance = float(binom.sf(recent - 1, recent + before, expected))
    if ratio < TIMES or chance * max(1, keys) > CHANCE:
        return None
    return Sudden(recent, before, ratio, chance)
