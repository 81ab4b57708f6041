"""Examples that several evaluators of one evaluation show."""

from __future__ import annotations

from pathlib import Path

import pytest

from preflab.errors import UserError
from preflab.interfaces import Evaluation, Measure
from preflab.records import Prompt
from preflab_builtin.evaluation.config import SuiteConfig
from preflab_builtin.evaluation.suite import EvaluationSuite
from preflab_builtin.groups.divided import Case, division
from support import FakeContext


def test_examples_of_two_evaluators_are_kept_and_doubled_headings_refused(tmp_path: Path) -> None:
    """The evaluators groups and group_agreement both show on what majorities differ: under a
    heading for each measure. Under one heading the first ones would be lost."""
    suite = EvaluationSuite(SuiteConfig(prompts=0), FakeContext(tmp_path))
    case = Case(Prompt("p", "add"), "a", "b", {"x": (1, 0), "y": (0, 1)})
    for key in ("group_agreement", "ranked_agreement"):
        suite._add(key, division(f"{key}/divided", [case]))
    assert [len(rows) for rows in suite.examples.values()] == [1, 1]
    (heading, _) = suite.examples
    again = Evaluation({"other": Measure(0.0)}, examples={heading: [case.row()]})
    with pytest.raises(UserError, match=r"evaluators\.third shows .*\(group_agreement/divided\)"):
        suite._add("third", again)
