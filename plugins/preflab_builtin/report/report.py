"""The report before it is written: what the page, the Markdown file and the terminal show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preflab.study import StudyConfig
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.costs import StageCost
from preflab_builtin.report.gather import Gathered
from preflab_builtin.report.pictures.picture import Picture


@dataclass(frozen=True)
class Study:
    """The runs of one config: what it declares, and what its own arms decide. series: labels of its
    arms as they are in the report, by the name of the series."""

    name: str
    declared: StudyConfig
    command: str
    decisions: tuple[Decision, ...]
    series: Mapping[str, list[str]]

    @property
    def title(self) -> str:
        """The title that it declares, else its name."""
        return self.declared.title or self.name


@dataclass(frozen=True)
class Report:
    """Everything that is shown. figures: pictures by heading, in their order; unwritten: why the
    page could not be written, "" if it was."""

    gathered: Gathered
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]
    costs: tuple[StageCost, ...]
    studies: tuple[Study, ...]
    command: str
    figures: Mapping[str, Sequence[Picture]]
    unwritten: str = ""

    @property
    def title(self) -> str:
        """The studies' titles."""
        titles = (study.declared.title for study in self.studies if study.declared.title)
        return "; ".join(dict.fromkeys(titles)) or "Comparison of runs"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The claims of all studies."""
        return tuple(decision for study in self.studies for decision in study.decisions)
