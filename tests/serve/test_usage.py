"""The log of use, and limits."""

from __future__ import annotations

import asyncio
import datetime
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preflab.errors import UserError
from preflab_people.server.answers import Refused
from preflab_serve.account import Account
from preflab_serve.commands import monitor
from preflab_serve.keys import digest, new_key, read_keys
from preflab_serve.server.app import forgetting
from preflab_serve.usage.limits import Limits
from preflab_serve.usage.log import UsageLog
from preflab_serve.usage.monitoring import overview
from preflab_serve.usage.reading import read

NOON = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime.datetime:
        return self.now


def test_a_line_a_request_a_file_a_day_and_old_files_are_removed(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "2026-10-31.jsonl").write_text("{}\n")  # 30 days: kept
    (tmp_path / "2026-10-30.jsonl").write_text("{}\n")
    (tmp_path / "notes.txt").write_text("mine")
    log = UsageLog(tmp_path, keep_days=30, clock=clock)
    log.write({"key": log.pseudonym("mine"), "status": 200})
    clock.now += datetime.timedelta(days=1)
    log.write({"key": log.pseudonym("mine"), "status": 200})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["2026-11-30.jsonl", "2026-12-01.jsonl", "notes.txt", "salt"]
    first, row = map(json.loads, (tmp_path / "2026-11-30.jsonl").read_text().splitlines())
    assert first["about"] == {"form": 1, "keep_days": 30, "text": False}
    assert row["at"] == NOON.timestamp()
    assert "mine" not in (tmp_path / "2026-11-30.jsonl").read_text()
    assert (tmp_path / "2026-11-30.jsonl").stat().st_mode & 0o077 == 0
    assert UsageLog(tmp_path).pseudonym("mine") == row["key"]  # the salt is kept
    assert log.about.endswith(
        "without any text; files are removed after 30 days, or after fewer where they state so. "
        "Not part of the log, and left as it is: 'notes.txt'."
    )


def test_old_files_are_removed_at_the_start_and_while_nobody_asks(tmp_path: Path) -> None:
    clock = Clock()
    old, older = tmp_path / "2026-10-31.jsonl", tmp_path / "2026-10-30.jsonl"
    old.write_text("")
    older.write_text("")
    log = UsageLog(tmp_path, keep_days=30, clock=clock)
    assert (old.exists(), older.exists()) == (True, False)
    clock.now += datetime.timedelta(days=1)

    async def idle() -> None:
        async with forgetting(log, seconds=0.001):
            while old.exists():
                await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(idle(), 10))


def test_a_file_is_kept_no_longer_than_it_states(tmp_path: Path) -> None:
    """A server that keeps 10 days, then one that keeps 90: the first one's files go after 10. A
    file that both wrote to states both. One that states more than the server goes with it."""
    clock = Clock()
    UsageLog(tmp_path, keep_days=10, clock=clock)
    first = tmp_path / "2026-11-30.jsonl"
    clock.now += datetime.timedelta(days=1)
    UsageLog(tmp_path, keep_days=10, clock=clock)
    log = UsageLog(tmp_path, keep_days=90, clock=clock)
    both, alone = tmp_path / "2026-12-01.jsonl", tmp_path / "2026-12-02.jsonl"
    clock.now += datetime.timedelta(days=1)
    log.write({"key": "a", "status": 200})
    assert first.exists()
    clock.now = NOON + datetime.timedelta(days=11)
    log.forget()
    assert (first.exists(), both.exists(), alone.exists()) == (False, True, True)
    clock.now += datetime.timedelta(days=1)
    log.forget()
    assert (both.exists(), alone.exists()) == (False, True)
    clock.now = NOON + datetime.timedelta(days=2 + 31)
    UsageLog(tmp_path, keep_days=30, clock=clock)
    assert not alone.exists()


def test_what_a_file_states_is_read_again_when_it_has_grown(tmp_path: Path) -> None:
    clock = Clock()
    log = UsageLog(tmp_path, keep_days=90, clock=clock)
    file = tmp_path / "2026-11-30.jsonl"
    clock.now += datetime.timedelta(days=3)
    log.forget()
    assert file.exists()
    with file.open("a") as more:  # "cut" lines and days that are none state nothing
        for line in ('{"about":{"keep_days":-1}}', '{"about":{"ke', '{"about":{"keep_days":2}}'):
            more.write(f"{line}\n")
    log.forget()
    assert not file.exists()


def test_files_that_are_not_of_the_log_are_named_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day that there is not, a folder with the name of an old day, and a link."""
    (tmp_path / "2020-13-45.jsonl").write_text("x")
    (tmp_path / "2020-01-01.jsonl").mkdir()
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "2020-01-02.jsonl").symlink_to(tmp_path / "elsewhere")
    log = UsageLog(tmp_path, clock=Clock())
    log.write({"key": "a", "status": 200})
    log.forget()
    assert monitor([str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "1 requests" in said.out
    names = "'2020-01-01.jsonl', '2020-01-02.jsonl', '2020-13-45.jsonl', 'elsewhere'"
    assert f"Not part of the log, and left as it is: {names}." in said.err
    assert f"left as it is: {names}." in log.about
    assert len([*tmp_path.iterdir()]) == 6


def test_nothing_is_answered_as_long_as_it_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes half of a line, and later on all of them: each request has one whole
    line."""
    log = UsageLog(tmp_path, clock=Clock())
    service: Any = SimpleNamespace(limits=Limits(), log=log, checking=None)
    plain, room = io.FileIO.write, [40]

    class Full(io.FileIO):
        def write(self, given: Any) -> int:
            return plain(self, bytes(given)[: room[0]])

    monkeypatch.setattr("preflab_serve.usage.log.io.FileIO", Full)
    first = Account(service, "a", "/v1/completions")
    first.begin()
    first.close(200)  # what is answered already is not taken back
    with pytest.raises(Refused, match="log of use cannot be written") as refused:
        Account(service, "a", "/v1/completions").begin()
    assert refused.value.status == 503
    assert read(tmp_path) == ([], 0)
    room[0] = 10_000
    second = Account(service, "a", "/v1/completions")
    second.begin()
    second.close(200)
    found, damaged = read(tmp_path)
    assert ([one.status for one in found], damaged) == ([200, 200], 0)


def test_several_servers_keep_one_log(tmp_path: Path) -> None:
    """Their lines are whole, and a key has one pseudonym; a damaged salt is no other one."""
    with ThreadPoolExecutor(8) as pool:
        logs = [*pool.map(lambda i: UsageLog(tmp_path), range(8))]
        list(pool.map(lambda i: logs[i % 8].write({"key": "a", "status": i}), range(80)))
    assert len({log.pseudonym("mine") for log in logs}) == 1
    found, damaged = read(tmp_path)
    assert (sorted(one.status for one in found), damaged) == ([*range(80)], 0)
    (tmp_path / "salt").write_text("short\n")
    with pytest.raises(UserError, match="holds no salt of a log"):
        UsageLog(tmp_path)


def test_a_clock_that_is_set_back_gives_no_second_day() -> None:
    clock = Clock()
    limits = Limits(tokens=100, clock=clock)
    limits.reserve("a", 100)
    clock.now -= datetime.timedelta(days=1)
    with pytest.raises(Refused, match="0 of 100 are left"):
        limits.reserve("a", 1)
    clock.now += datetime.timedelta(days=1)
    limits.reserve("a", 100)


def test_a_request_that_ends_after_midnight_gives_nothing_of_the_new_day() -> None:
    """900 of 1,000 are set apart at 23:59, and 900 of the next day at 0:01. The first request used
    100: of the new day 100 tokens are left, as before."""
    clock = Clock()
    clock.now = NOON.replace(hour=23, minute=59)
    limits = Limits(tokens=1000, clock=clock)
    before = limits.reserve("a", 900)
    clock.now += datetime.timedelta(minutes=2)
    limits.reserve("a", 900)
    limits.settle("a", before, 100)
    with pytest.raises(Refused, match="may need 900 tokens, and 100 of 1000 are left"):
        limits.reserve("a", 900)
    limits.reserve("a", 100)
    # What needed more than was set apart, without a reservation, is of the day on which it ends.
    limits.settle("b", None, 400)
    with pytest.raises(Refused, match="and 600 of 1000 are left"):
        limits.reserve("b", 700)


def test_a_line_that_a_kill_cut_is_left_out_and_damaged_ones_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = UsageLog(tmp_path, clock=Clock())
    log.write({"key": "a", "status": 200})
    file = tmp_path / "2026-11-30.jsonl"
    file.write_text(file.read_text() + '{"at": 1, "ke')
    requests, damaged = read(tmp_path)
    assert ([one.key for one in requests], damaged) == (["a"], 0)
    # A server that goes on after the cut line begins a new one; "{}" and "[]" are no requests.
    log.write({"key": "b", "status": 200})
    UsageLog(tmp_path, clock=Clock()).write({"key": "c", "status": 200})
    file.write_text("{}\n[]\n" + file.read_text())
    requests, damaged = read(tmp_path)
    assert ([one.key for one in requests], damaged) == (["a", "b", "c"], 3)
    assert "\n\n" not in file.read_text()
    assert monitor([str(tmp_path)]) == 0
    assert f"3 lines are damaged in {tmp_path} and not counted" in capsys.readouterr().err
    file.write_text("{}\n")
    with pytest.raises(UserError, match="has no requests"):
        monitor([str(tmp_path)])
    with pytest.raises(UserError, match="There is no folder"):
        read(tmp_path / "none")


def test_requests_a_minute_and_tokens_a_day() -> None:
    clock = Clock()
    limits = Limits(requests=2, tokens=100, clock=clock)
    limits.count("a")
    limits.count("a")
    limits.count("b")
    with pytest.raises(Refused, match="More than 2 requests a minute") as refused:
        limits.count("a")
    assert refused.value.status == 429
    assert 1 <= refused.value.wait <= 60
    reserved = limits.reserve("a", 60)
    with pytest.raises(Refused, match="may need 60 tokens, and 40 of 100") as refused:
        limits.reserve("a", 60)
    assert refused.value.wait == 12 * 3600  # until midnight
    limits.settle("a", reserved, 10)
    limits.reserve("a", 90)
    limits.reserve("b", 100)
    clock.now += datetime.timedelta(days=1)
    limits.reserve("a", 100)


def test_keys_are_kept_as_digests(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key = new_key(file, "mine")
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert read_keys(file) == {digest(key): "mine"}
    other = new_key(file, "other")
    assert read_keys(file)[digest(other)] == "other"
    with pytest.raises(UserError, match="has a key 'mine'"):
        new_key(file, "mine")
    with pytest.raises(UserError, match="is no name of a key"):
        new_key(file, "my key")
    file.write_text(file.read_text().removesuffix("\n"))  # as an editor may leave it
    third = new_key(file, "third")
    assert [*read_keys(file).values()] == ["mine", "other", "third"]
    assert read_keys(file)[digest(third)] == "third"
    file.write_text("# all were removed\n")
    with pytest.raises(UserError, match="holds no key"):
        read_keys(file)
    first = new_key(file, "first")
    assert read_keys(file) == {digest(first): "first"}
    file.write_text("secret\n")
    with pytest.raises(UserError, match=r"keys.txt:1 is no key"):
        read_keys(file)
    with pytest.raises(UserError, match="Make one: preflab serve --keys"):
        read_keys(tmp_path / "none")


def test_refusals_that_cost_nothing_do_not_fill_the_disk(tmp_path: Path) -> None:
    """Of 500 without a known key 60 have a line of their own in their minute, and the others one
    together, as soon as anything is noted or looked after. Nothing else is put together."""
    clock = Clock()
    log = UsageLog(tmp_path, clock=clock)
    for _ in range(500):
        log.write({"key": "", "path": "", "status": 401})
    for _ in range(70):
        log.write({"key": "a", "path": "/v1/completions", "status": 429, "seconds": 0.0})
        log.write({"key": "a", "path": "/v1/completions", "status": 200, "seconds": 0.0})
    file = tmp_path / "2026-11-30.jsonl"
    assert len(file.read_text().splitlines()) == 1 + 60 + 60 + 70
    clock.now += datetime.timedelta(minutes=1)
    assert log.pay()
    last = [json.loads(line) for line in file.read_text().splitlines()[-2:]]
    assert [(row["key"], row["status"], row["requests"]) for row in last] == [
        ("", 401, 440),
        ("a", 429, 10),
    ]
    requests, damaged = read(tmp_path)
    found = overview(requests)
    assert (found.requests, damaged) == (640, 0)
    assert [(one.key, one.requests, one.refused) for one in found.keys] == [
        ("", 500, 500),
        ("a", 140, 70),
    ]
    for _ in range(62):  # a new minute: lines of their own again, until the server ends
        log.write({"key": "", "path": "", "status": 401})
    before = file.read_text().splitlines()
    assert "requests" not in json.loads(before[-1])
    log.close()
    (end,) = map(json.loads, file.read_text().splitlines()[len(before) :])
    assert end["requests"] == 2
