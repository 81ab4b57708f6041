"""Terms alone: the same windows and steps as in the algorithm that they are the control of."""

from __future__ import annotations

from pathlib import Path

from preflab.optimization import OptimizerConfig
from preflab.records import Document
from preflab_builtin.baselines.config import TermsOnlyConfig
from preflab_builtin.baselines.terms_only import TermsOnly
from preflab_builtin.ptx.config import PtxConfig
from support import WORDS, FakeContext, builtin, largest_difference

DOCUMENTS = [
    Document(str(i), " ".join(WORDS[(i + j * j) % 20] for j in range(5 + i))) for i in range(12)
]


def control(folder: Path) -> TermsOnly:
    terms = {"ptx": PtxConfig(coef=2.0, ratio=1.0, window=8)}
    config = TermsOnlyConfig(
        episodes=24, batch=8, minibatch=4, policy=OptimizerConfig(lr=1e-2), terms=terms
    )
    return TermsOnly(config, FakeContext(folder, DOCUMENTS))


def test_takes_as_many_windows_and_steps_as_the_algorithm_would(tmp_path: Path) -> None:
    procedure = control(tmp_path)
    rows = [procedure.step(i) for i in range(procedure.total_steps)]
    assert procedure.total_steps == 3  # 24 episodes, 8 an iteration
    assert procedure.updates == 6  # 8 / 4 optimizer steps an iteration
    assert procedure.terms["ptx"].state_dict() == {"drawn": 24}  # ratio 1: a window an episode
    assert rows[-1]["loss/ptx"] < rows[0]["loss/ptx"]
    assert all(row["ptx/other_grad_norm"] == 0 for row in rows)  # nothing else pulls


def test_a_resumed_control_is_bit_identical(tmp_path: Path) -> None:
    whole = control(tmp_path)
    for i in range(3):
        whole.step(i)
    first, second = control(tmp_path), control(tmp_path)
    first.step(0)
    state = {k: v for k, v in first.state_dict().items()}
    second.load_state_dict(state)
    for i in (1, 2):
        second.step(i)
    assert (
        largest_difference(whole.policy.module.state_dict(), second.policy.module.state_dict()) == 0
    )


def test_a_control_without_a_term_is_refused(tmp_path: Path) -> None:
    complaints = dict(TermsOnlyConfig(episodes=8, batch=8, minibatch=4).check())
    assert "nothing would be trained" in complaints["terms"]
    assert builtin("algorithm", "terms_only").nested == {"terms": "gradient_term"}
    assert not dict(
        TermsOnlyConfig(episodes=8, batch=8, minibatch=4, terms={"ptx": PtxConfig()}).check()
    )
