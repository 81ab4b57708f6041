"""The manual of labeling says what the code computes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import preflab_people
from people.robots import Robot, Server
from people.whole_runs import last_run, said
from preflab_people.commands.parsing import COMMANDS
from preflab_people.statistics.planning import table

PAGE = (Path(preflab_people.__file__).parent / "README.md").read_text(encoding="utf8")


def test_the_table_of_what_labeling_decides_is_the_planning_function_s() -> None:
    printed = re.findall(
        r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.M
    )
    plans = table([int(row[0]) for row in printed], [1.2])
    assert len(plans) == 6
    for (_, *numbers), plan in zip(printed, plans, strict=True):
        shares = (100 * x for x in (plan.half_width, plan.finds, plan.agreement))
        assert numbers == [f"{plan.hours:.3g}", *(f"{share:.1f}" for share in shares)]


@pytest.mark.reliability
@pytest.mark.slow
def test_a_newcomer_has_a_first_label_within_three_minutes(tmp_path: Path) -> None:
    """With the two commands of the first look, in an empty folder."""
    begun = time.monotonic()
    first, second = re.findall(r"^    preflab (.+)$", PAGE.partition("## A first look")[2], re.M)[
        :2
    ]
    said(tmp_path, *first.split(), code=6)
    words = second.replace("runs/config/ID", last_run(tmp_path)).split()
    assert words[0] == "label"
    server = Server(tmp_path, *words[1:])
    robot = Robot(*server.links[0])
    robot.post("consent", {"version": robot.get("consent")["version"]})
    given = robot.post("task", {})
    answer = {"ranks": [1] * len(given["task"]["outputs"])}
    sent = {"task": given["task"]["id"], "key": "first-label", "answer": answer, "seconds": 5.0}
    robot.post("submit", {**sent, "instructions": given["instructions"]["version"]})
    seconds = time.monotonic() - begun
    print(f"the first label after {seconds:.0f} s")
    robot.client.close()
    assert server.stop() == 0
    assert "1 of 16 prompts are ranked" in said(tmp_path, "label", "status", "try")
    assert seconds <= 180


def test_every_command_that_it_names_is_there() -> None:
    named = set(re.findall(r"preflab label ([a-z]+) ", PAGE))
    assert named <= set(COMMANDS)
    assert {"invite", "status", "close", "forget", "backup"} <= named
