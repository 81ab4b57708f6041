"""What a log of use shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preflab.errors import UserError
from preflab_serve.commands import monitor
from preflab_serve.commands.monitoring import said
from preflab_serve.keys import new_key
from preflab_serve.usage.log import UsageLog
from preflab_serve.usage.monitoring import overview, sudden
from preflab_serve.usage.reading import Request, read


def request(at: float, key: str, against: str = "", status: int = 200) -> Request:
    return Request(at, key, "m", status, 10, frozenset([against] if against else ()), bool(against))


def test_rates_by_category_and_a_key_above_the_rest() -> None:
    """Ten keys with 20 requests each, of which every key has one blocked; one more key has 15 of 20
    blocked: 75 % [53, 89] (Wilson) is above the others' 5 %."""
    rows = [request(i, f"k{i % 10}", "insult" if i < 10 else "") for i in range(200)]
    rows += [request(200 + i, "bad", "threat" if i < 15 else "") for i in range(20)]
    rows += [request(220, "bad", status=400)]
    found = overview(rows)
    assert found.requests == 221
    assert found.categories["insult"].value == pytest.approx(10 / 220)
    assert found.categories["threat"].value == pytest.approx(15 / 220)
    assert found.categories["threat"].n == 11  # keys, not requests
    above = [one.key for one in found.keys if one.above]
    assert above == ["bad"]
    bad = found.keys[0]
    assert (bad.key, bad.requests, bad.refused, bad.tokens) == ("bad", 21, 1, 210)
    assert (round(bad.blocked.own.low, 2), round(bad.blocked.own.high, 2)) == (0.53, 0.89)


def test_a_key_whose_requests_are_only_flagged_is_above_the_rest_too() -> None:
    """Of a guard that only flags: 18 of 20 against one of 20 of each of five others."""
    rows = [
        Request(i, f"k{i % 5}", "m", 200, 1, frozenset(["threat"] if i < 5 else ()))
        for i in range(100)
    ]
    rows += [
        Request(100 + i, "bad", "m", 200, 1, frozenset(["threat"] if i < 18 else ()))
        for i in range(20)
    ]
    found = overview(rows)
    bad = next(one for one in found.keys if one.key == "bad")
    assert (bad.against.own.value, bad.against.rest.value) == (0.9, 0.05)
    assert (bad.blocked.own.value, found.blocked.value) == (0.0, 0.0)
    assert [one.key for one in found.keys if one.above] == ["bad"]
    assert said(bad).startswith("guard against: above the rest, 5.0% [")


def test_who_hangs_up_is_in_the_rates_and_is_not_refused() -> None:
    """50 requests that a guard blocked and that hung up, 10 that hung up before it said anything
    (499); one that failed (503), one of a bad form (400)."""
    rows = [request(i, "gone", "threat", status=499) for i in range(50)]
    rows += [request(50 + i, "gone", status=499) for i in range(10)]
    rows += [request(60, "gone", status=503), request(61, "gone", status=400)]
    rows += [request(62 + i, "fine") for i in range(20)]
    found = overview(rows)
    gone = found.keys[0]
    assert (gone.key, gone.requests) == ("gone", 62)
    assert (gone.refused, gone.left, gone.failed) == (1, 60, 1)
    assert gone.against.own.value == gone.blocked.own.value == pytest.approx(50 / 60)
    assert found.categories["threat"].value == pytest.approx(50 / 80)
    assert gone.above
    assert said(gone).endswith("60 hung up; 1 failed")


def test_a_log_of_many_keys_is_read_once() -> None:
    """Each request is looked at as often whether they are of 2 keys or of 200: a log of 20,000
    requests of 400 keys took 40 s, in which each key read all of them."""

    class Counted(list[Request]):
        looks = 0

        def __iter__(self) -> Iterator[Request]:
            Counted.looks += 1
            return super().__iter__()

    for keys in (2, 200):
        Counted.looks = 0
        assert overview(Counted(request(i, f"k{i % keys}") for i in range(400))).requests == 400
        assert Counted.looks <= 3


def test_a_share_of_one_request_has_no_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    UsageLog(tmp_path).write({"key": "a", "path": "/v1/completions", "status": 200})
    assert monitor([str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "0.0%, no interval" in shown
    assert "nan" not in shown


def test_moderations_do_not_dilute_the_rates(tmp_path: Path) -> None:
    """One of two answers is blocked; eight moderations are no answers."""
    log = UsageLog(tmp_path)
    against = [{"category": "insult", "action": "refuse"}]
    for verdicts in (against, []):
        log.write({"key": "a", "path": "/v1/completions", "status": 200, "against": verdicts})
    for _ in range(8):
        log.write({"key": "a", "path": "/v1/moderations", "status": 200})
    found = overview(read(tmp_path)[0])
    assert (found.requests, found.keys[0].requests) == (10, 10)
    assert found.blocked.value == found.categories["insult"].value == 0.5
    assert found.keys[0].blocked.own.n == 2


def test_sudden_volume() -> None:
    """One request an hour for 99 hours; then 20 in the last hour. 119 requests, each in the last of
    100 hours with a probability of 1 %: 20 of them have a probability far below 1e-10."""
    hour = 3600.0
    times = [(i * hour, 1) for i in range(99)]
    burst = times + [(99.5 * hour + i, 2) for i in range(10)]  # two at a time
    found = sudden(burst, 0.0, 100 * hour, 1.0, keys=5)
    assert found is not None
    assert (found.recent, found.before) == (20, 99)
    assert found.times == pytest.approx(20.0)
    assert found.chance < 1e-10
    assert sudden(times, 0.0, 99 * hour, 1.0, keys=5) is None
    assert sudden(burst, 99.5 * hour, 100 * hour, 1.0, keys=5) is None  # nothing to compare with


def test_monitor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys, folder = tmp_path / "keys.txt", tmp_path / "log"
    new_key(keys, "mine")
    log = UsageLog(folder)
    against = [{"stage": "prompt", "category": "insult", "score": 1.0, "action": "refuse"}]
    for i in range(4):
        entry = {"key": log.pseudonym("mine"), "status": 200, "tokens": 5}
        log.write(entry | {"against": against if i == 0 else []})
    assert monitor([str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "4 requests" in shown
    assert "insult" in shown
    assert "mine" not in shown
    assert monitor([str(folder), "--keys", str(keys), "--json", "--days", "1"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["keys"][0]["key"] == "mine"
    assert found["categories"]["insult"]["value"] == 0.25
    (folder / "salt").unlink()
    with pytest.raises(UserError, match="log's own file 'salt'"):
        monitor([str(folder), "--keys", str(keys)])
    with pytest.raises(UserError, match="no requests of the newest 1e-09 days: give more --days"):
        monitor([str(folder), "--days", "1e-9"])
    with pytest.raises(UserError, match="--dayz' is not known"):
        monitor([str(folder), "--dayz", "1"])


def test_names_of_categories_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # "[/b]" closes nothing: as markup it would be an error, and "[red]" would vanish.
    log = UsageLog(tmp_path)
    for name in ("[/b]threat", "[red]insult"):
        against = [{"category": name, "action": "refuse"}]
        log.write({"key": "[red]key", "status": 200, "against": against})
    assert monitor([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("[/b]threat", "[red]insult", "[red]key"))
