"""The manual of labeling says what the code computes."""

from __future__ import annotations

import re
from pathlib import Path

import preflab_people
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


def test_every_command_that_it_names_is_there() -> None:
    named = set(re.findall(r"preflab label ([a-z]+) ", PAGE))
    assert named <= set(COMMANDS)
    assert {"invite", "status", "close", "forget", "backup"} <= named
