"""What is wrong with the jobs of a command line: all of it, in one refusal."""

from __future__ import annotations

from collections.abc import Sequence

from preflab.errors import UserError


class Refusals:
    """Collects what is refused of some jobs, so that a person mends it in one go."""

    def __init__(self, jobs: int) -> None:
        """jobs: how many there are in all."""
        self._jobs = jobs
        self._found: dict[str, list[str]] = {}

    def add(self, reason: str, words: Sequence[str]) -> None:
        """One more job that is refused. words: its overrides."""
        self._found.setdefault(reason, []).append(" ".join(words))

    def end(self) -> None:
        """`UserError` with every reason, and which jobs it is about, if there is any."""
        if not self._found:
            return
        if self._jobs == 1:
            raise UserError("\n".join(self._found))
        said = [f"{reason}\n{_where(jobs)}" for reason, jobs in self._found.items()]
        if len(said) > 1:
            number = len({job for jobs in self._found.values() for job in jobs})
            said.insert(0, f"{number} of {self._jobs} jobs are refused, so none is started.")
        raise UserError("\n\n".join(said))


def _where(jobs: Sequence[str]) -> str:
    others = len(jobs) - 1
    more = f" and {others} more" if others else ""
    return f"(in the job {jobs[0]}{more})"
