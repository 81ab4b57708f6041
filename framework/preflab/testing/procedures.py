"""What holds for every component that makes a stage: repeatable, resumable, and independent of
everybody else's randomness."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

from preflab.planning.asking import words
from preflab.records import RECORD_TYPES
from preflab.testing.context import TYPES
from preflab.testing.protocols import unknown_methods
from preflab.testing.runs import Kill, global_seed, prints, procedure, refusal, work
from preflab.testing.world import tiny_records

if TYPE_CHECKING:
    from preflab.testing.case import Case


class ProcedureContract:
    """Combine it with `preflab.testing.ComponentContract`; the contracts of trained kinds hold it
    already.

    seeded: False says that the result does not depend on the seed, and that is tested then.
    """

    seeded: ClassVar[bool] = True

    def test_it_reports_numbers_by_name(self, preflab_case: Case) -> None:
        tried = procedure(preflab_case.choice, preflab_case.context())
        assert tried.total_steps >= 1, "total_steps must be at least 1"
        metrics = tried.step(0)
        wrong = [
            name
            for name, value in metrics.items()
            if not (isinstance(name, str) and isinstance(value, Real))
        ]
        assert not wrong, f"metrics must be numbers: {wrong}"

    def test_its_public_methods_are_those_of_protocols(self, preflab_case: Case) -> None:
        wrong = unknown_methods(procedure(preflab_case.choice, preflab_case.context()))
        assert not wrong, "\n".join(wrong)

    def test_killed_and_resumed_it_gives_the_same_bits(self, preflab_case: Case) -> None:
        steps = procedure(preflab_case.choice, preflab_case.context()).total_steps
        kills = [
            Kill(0, saved=False),
            Kill(0, saved=True),
            Kill(steps - 2, saved=True),
            Kill(steps - 1, saved=False),
        ]
        for kill in dict.fromkeys(
            k for k in kills if k.step >= 0 and not (k.saved and k.step == steps - 1)
        ):
            folder = preflab_case.fresh_folder()
            work(preflab_case.choice, preflab_case.context(folder), kill)
            work(preflab_case.choice, preflab_case.context(folder))
            differences = preflab_case.finished.differences(prints(folder))
            assert not differences, (
                f"killed {'after' if kill.saved else 'before'} the checkpoint of step {kill.step} "
                f"and run again: {differences}. What changes from step to step belongs into "
                "state_dict, or must be a function of the step"
            )

    def test_its_state_is_taken_over_whole(self, preflab_case: Case) -> None:
        from preflab.storage import checkpoints

        first = procedure(preflab_case.choice, preflab_case.context())
        first.step(0)
        folder = checkpoints.save(preflab_case.fresh_folder(), 1, first.state_dict())
        second = procedure(preflab_case.choice, preflab_case.context())
        second.load_state_dict(checkpoints.load(folder)[1])
        different = _differences(first.state_dict(), second.state_dict())
        assert not different, f"load_state_dict does not take over: {', '.join(different[:5])}"

    def test_the_seed_alone_decides_the_bits(self, preflab_case: Case) -> None:
        again, other = preflab_case.context(), preflab_case.context(seed=2)
        for context in (again, other):
            work(preflab_case.choice, context)
        differences = preflab_case.finished.differences(prints(again.folder))
        assert not differences, f"two runs from the same seed: {differences}"
        changed = bool(preflab_case.finished.differences(prints(other.folder)))
        assert changed == self.seeded, (
            "another seed gives the same bits: is context.seed used? If nothing is drawn, say "
            "seeded = False"
            if self.seeded
            else "seeded = False, but another seed gives other bits"
        )

    def test_global_random_numbers_are_not_used(self, preflab_case: Case) -> None:
        results = []
        for seed in (11, 12):
            context = preflab_case.context()
            with global_seed(seed):
                work(preflab_case.choice, context)
            results.append(prints(context.folder))
        differences = results[0].differences(results[1])
        assert not differences, f"another global random state changes the result: {differences}"

    def test_it_asks_only_for_what_it_declares(self, preflab_case: Case) -> None:
        context = preflab_case.context()
        work(preflab_case.choice, context)
        undeclared = context.asked - words(preflab_case.choice)
        assert not undeclared, (
            f"it uses {', '.join(sorted(undeclared))} without declaring so: name them in the "
            "component's 'needs', or ask context.has first, so that a run without them is refused "
            "before anything is computed"
        )

    def test_without_the_records_it_needs_it_says_so(self, preflab_case: Case) -> None:
        for record_type in sorted(words(preflab_case.choice) & set(RECORD_TYPES)):
            others = [r for r in tiny_records() if not isinstance(r, TYPES[record_type])]
            context = preflab_case.context(records=others)
            message = refusal(partial(work, preflab_case.choice, context))
            assert message, f"it declares that it needs {record_type}, and runs without them"
            assert record_type.rstrip("s") in message, (
                f"without {record_type} the message does not name them: {message}"
            )

    def test_micro_batches_change_no_loss(self, preflab_case: Case) -> None:
        losses = []
        for size in (64, 2):
            metrics = procedure(preflab_case.choice, preflab_case.context(micro_batch=size)).step(0)
            losses.append({k: v for k, v in metrics.items() if k.startswith("loss/")})
        for name, value in losses[0].items():
            other = losses[1][name]
            assert abs(value - other) <= 1e-3 * abs(value) + 1e-4, (
                f"{name} of the first step is {value} with micro-batches of 64 rows and {other} "
                "with 2: divide sums by one count of the whole step, never average means"
            )


def _differences(first: Any, second: Any, path: str = "state") -> list[str]:
    """Places at which two states differ."""
    import torch

    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return [] if first.dtype == second.dtype and torch.equal(first, second) else [path]
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        keys = sorted({*map(str, first), *map(str, second)})
        a, b = ({str(k): v for k, v in value.items()} for value in (first, second))
        return [d for k in keys for d in _differences(a.get(k), b.get(k), f"{path}.{k}")]
    if (
        isinstance(first, (list, tuple))
        and isinstance(second, (list, tuple))
        and len(first) == len(second)
    ):
        return [
            d
            for i, (a, b) in enumerate(zip(first, second, strict=True))
            for d in _differences(a, b, f"{path}[{i}]")
        ]
    return [] if first == second else [path]
