"""``preflab monitor``: a log of use as tables."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflab import terminal
from preflab.errors import UserError
from preflab_people.commands.parsing import Parser

if TYPE_CHECKING:
    from preflab.interfaces import Measure
    from preflab_serve.usage.monitoring import KeyUse, Overview

NO_KEY = "(no known key)"


def monitor(words: list[str]) -> int:
    """What a log of use shows: how often a guard had something against a request, by category and
    by key, with 95 % intervals; keys above the rest; sudden volume."""
    parser = Parser("monitor", monitor.__doc__)
    parser.add_argument("folder", type=Path, help="of preflab serve --log")
    parser.add_argument("--days", type=_days, help="only the newest days")
    parser.add_argument(
        "--hours", type=_days, default=1.0, help="the newest, for sudden volume (default: 1)"
    )
    parser.add_argument("--keys", type=Path, metavar="FILE", help="shows the names of its keys")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse(words)
    from preflab_serve.usage.log import said_ignored
    from preflab_serve.usage.monitoring import overview
    from preflab_serve.usage.reading import read

    now = datetime.datetime.now(datetime.UTC).timestamp()
    since = now - options.days * 86_400 if options.days else 0.0
    requests, damaged = read(options.folder, since)
    if other := said_ignored(options.folder):
        print(f"preflab:{other}", file=sys.stderr)
    if damaged:
        lines = "1 line is" if damaged == 1 else f"{damaged} lines are"
        print(f"preflab: {lines} damaged in {options.folder} and not counted.", file=sys.stderr)
    if not requests:
        newer = f" of the newest {options.days:g} days: give more --days" if options.days else ""
        raise UserError(f"{options.folder} has no requests{newer}.")
    found = overview(requests, options.hours)
    names = _names(options)
    if options.json:
        print(json.dumps(as_json(found, names), indent=1))
    else:
        _show(found, names)
    return 0


def _names(options: argparse.Namespace) -> Mapping[str, str]:
    """Names of keys by their pseudonyms."""
    if options.keys is None:
        return {}
    from preflab_serve.keys import read_keys
    from preflab_serve.usage.log import SALT, pseudonym

    try:
        salt = (options.folder / SALT).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"--keys: names are found with the log's own file '{SALT}', and {options.folder} has "
            "none that can be read: take it over from where the log was kept."
        ) from None
    return {pseudonym(salt, name): name for name in read_keys(options.keys).values()}


def as_json(found: Overview, names: Mapping[str, str]) -> dict[str, Any]:
    """The numbers for programs; null: there is no such number."""
    return {
        "requests": found.requests,
        "first": found.first,
        "last": found.last,
        "blocked": _numbers(found.blocked),
        "categories": {name: _numbers(m) for name, m in found.categories.items()},
        "keys": [
            {
                "key": named(one.key, names),
                "requests": one.requests,
                "tokens": one.tokens,
                "refused": one.refused,
                "hung_up": one.left,
                "failed": one.failed,
                "against": _numbers(one.against.own),
                "blocked": _numbers(one.blocked.own),
                "above_the_rest": one.above,
                "sudden_times": None if one.sudden is None else _finite(one.sudden.times),
            }
            for one in found.keys
        ],
    }


def _show(found: Overview, names: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    first, last = (
        datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M")
        for at in (found.first, found.last)
    )
    print(
        f"{found.requests} requests, {first} to {last} UTC. Intervals are 95 %, over n requests, "
        "or in the first table over n keys if there are several."
    )
    console = Console(width=terminal.width())
    table = Table("a guard had something against", "share of requests")
    for name, measure in found.categories.items():
        table.add_row(escape(name), shown(measure))
    table.add_row("of which something was not shown", shown(found.blocked))
    console.print(table)
    table = Table(
        *("key", "requests", "tokens", "refused for form, key or limit"),
        *("guard against", "not shown", ""),
    )
    for one in found.keys:
        numbers = map(str, (one.requests, one.tokens, one.refused))
        shares = (shown(one.against.own), shown(one.blocked.own))
        cells = (named(one.key, names), *numbers, *shares, said(one))
        table.add_row(*map(escape, cells))
    console.print(table)


def named(key: str, names: Mapping[str, str]) -> str:
    """What a key is called."""
    return names.get(key, key) or NO_KEY


def said(one: KeyUse) -> str:
    """What a person should look at."""
    facts = []
    if one.against.above:
        facts.append(f"guard against: above the rest, {shown(one.against.rest)}")
    if one.blocked.above:
        facts.append(f"not shown: above the rest, {shown(one.blocked.rest)}")
    if one.left:
        facts.append(f"{one.left} hung up")
    if one.failed:
        facts.append(f"{one.failed} failed")
    if one.sudden is not None:
        rate = (
            f"{one.sudden.times:.0f} times its earlier rate" if one.sudden.before else "none before"
        )
        facts.append(f"sudden: {one.sudden.recent} in the newest hours, {rate}")
    return "; ".join(facts)


def shown(measure: Measure) -> str:
    """A share with its interval, and of how many it is."""
    if not measure.n:
        return "none"
    if not math.isfinite(measure.low):  # of one request, or one key, nothing is known of others
        return f"{measure.value:.1%}, no interval, n = {measure.n}"
    return f"{measure.value:.1%} [{measure.low:.1%}, {measure.high:.1%}], n = {measure.n}"


def _numbers(measure: Measure) -> dict[str, float | int | None]:
    return {
        "value": _finite(measure.value),
        "low": _finite(measure.low),
        "high": _finite(measure.high),
        "n": measure.n,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _days(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {word!r}")
    return value
