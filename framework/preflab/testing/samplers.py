"""What holds for samplers: proposals are in the space, and follow from what the sampler is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preflab.searching import Dimension, Sampler, Space, Trial
from preflab.testing.components import ComponentContract

if TYPE_CHECKING:
    from preflab.testing.case import Case

SPACE = Space(
    (
        Dimension("any", low=-1.0, high=1.0),
        Dimension("ratio", low=1e-5, high=1e-2, log=True),
        Dimension("whole", low=1, high=9, step=2, whole=True),
        Dimension("step", low=0.0, high=1.0, step=0.25),
        Dimension("choice", ("a", "b", "'a,b'")),
    )
)
BLOCK = 3


class SamplerContract(ComponentContract):
    """``class TestMine(SamplerContract): name = "mine"``."""

    kind = "sampler"

    def test_proposals_are_in_the_space(self, preflab_case: Case) -> None:
        trials = _trials(preflab_case, SPACE)
        assert len(trials) == 4 * BLOCK
        for trial in trials:
            keys = {dimension.key for dimension in SPACE.dimensions}
            assert trial.values.keys() == keys, f"{trial.values} has not the keys of the space"
            wrong = [d.key for d in SPACE.dimensions if not d.has(trial.values[d.key])]
            assert not wrong, f"{trial.values}: {', '.join(wrong)} is not in the space"

    def test_proposals_follow_from_what_it_is_told(self, preflab_case: Case) -> None:
        first, again = (_trials(preflab_case, SPACE) for _ in range(2))
        assert first == again, "the same results give other proposals: a killed search would change"

    def test_importance_is_of_keys(self, preflab_case: Case) -> None:
        trials = _trials(preflab_case, SPACE)
        shares = _built(preflab_case, SPACE).importance(trials)
        assert shares.keys() <= {dimension.key for dimension in SPACE.dimensions}
        assert _built(preflab_case, SPACE).importance([]) == {}


def _trials(case: Case, space: Space) -> list[Trial]:
    """Four blocks, each of a sampler of its own, as after a kill; every fifth trial fails."""
    trials: list[Trial] = []
    for _ in range(4):
        for values in _built(case, space).propose(trials, BLOCK):
            failed = len(trials) % 5 == 4
            trials.append(Trial(values, None if failed else float(values["any"])))
    return trials


def _built(case: Case, space: Space) -> Sampler:
    build: Any = case.component.build
    sampler: Sampler = build(case.choice.config, space)
    return sampler
