"""`preflab label` as a process, with robots at the browsers: links, work, Ctrl-C, going on."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from people.robots import Server, label_all
from people.runs_in_files import evaluated, sampled
from preflab_people.commands import label
from preflab_people.rounds import frozen_of

POOL = [[f"b{i}", "a", f"c{i}", "a"] for i in range(12)]


def by_alphabet(prompt: str, outputs: Sequence[str]) -> list[int]:
    return [sorted(outputs).index(text) + 1 for text in outputs]


@pytest.mark.slow
def test_people_label_over_http_and_the_round_holds_what_they_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sampled(tmp_path, "x", POOL)
    server = Server(tmp_path, "runs/x", "--people", "3", "--overlap", "0.25")
    assert "12 tasks x 1.25 labels, 90 s each: 0.375 h of people" in "".join(server.said)
    robots = label_all(server, by_alphabet)
    assert server.stop() == 0
    assert "preflab label close round-1" in server.said[-1]
    assert "Traceback" not in server.said[-1]
    # Ctrl-C has left nothing behind; the same command goes on, and its links are the old ones.
    again = Server(tmp_path, "runs/x")
    assert "3 invited before" in "".join(again.said)
    assert again.stop() == 0
    assert label(["close", "round-1"]) == 0
    assert "15 asked = 15 judgments + 0 skips + 0 open." in capsys.readouterr().out
    frozen = frozen_of("round-1")
    assert frozen is not None
    said = Counter(j.task for t, j, _ in frozen.judged if t.origin == "normal")
    assert sorted(said.values()) == [1] * 9 + [2] * 3
    rows = (frozen.folder / "rankings.jsonl").read_text().splitlines()
    rankings = list(map(json.loads, rows))
    # The alphabet: a, which is there twice and tied, before b, before c.
    better = [[0, 2], [1, 0], [1, 2], [3, 0], [3, 2]]
    assert all(row["preferences"] == better for row in rankings)
    # What a browser got: no path, no id of a prompt, no other person.
    sent = "\n".join(text for robot in robots for text in robot.seen)
    for secret in (str(tmp_path), '"p1"', "runs/x", "reward", "origin"):
        assert secret not in sent, secret


@pytest.mark.slow
def test_a_comparison_is_blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a browser receives tells which run gave a response, and each run's stands at
    each place about equally often: 40 tasks, two outputs, so that 20 +- 4 sd of 3.2 are first."""
    monkeypatch.chdir(tmp_path)
    for arm in ("secret-one", "secret-two"):
        texts = [f"{'good' if arm.endswith('one') else 'fine'} {i}" for i in range(40)]
        evaluated(tmp_path, arm, texts, arm=arm)
    runs = ("runs/secret-one", "runs/secret-two")
    server = Server(tmp_path, *runs, "--task", "compare", "--people", "2", "--overlap", "0")
    places: Counter[int] = Counter()

    def judge(prompt: str, outputs: Sequence[str]) -> list[int]:
        places[[text[:4] for text in outputs].index("good")] += 1
        return by_alphabet(prompt, outputs)

    robots = label_all(server, judge)
    assert server.stop(signal.SIGINT) == 0
    sent = "\n".join(text for robot in robots for text in robot.seen)
    for secret in ("secret", "baseline", "base", "reward", str(tmp_path), "labels/", "artifacts"):
        assert secret not in sent, secret
    assert abs(places[0] - places.total() / 2) <= 4 * (places.total() / 4) ** 0.5


@pytest.mark.reliability
@pytest.mark.slow
def test_a_second_server_of_a_round_is_refused(tmp_path: Path) -> None:
    sampled(tmp_path, "x", POOL)
    server = Server(tmp_path, "runs/x")
    with pytest.raises(AssertionError, match="a round has one server"):
        Server(tmp_path, "runs/x")
    assert server.stop() == 0
    assert not os.path.exists(f"/proc/{server.process.pid}/cmdline")
