"""The report before it is written: what the page, the Markdown file and the terminal show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preflab.study import StudyConfig
from preflab_builtin.report.arms import Arm
from preflab_builtin.report.claims import Decision
from preflab_builtin.report.costs import StageCost
from preflab_builtin.report.findings import DEBUG, findings
from preflab_builtin.report.gather import Gathered
from preflab_builtin.report.pictures.picture import Picture
from preflab_builtin.report.searches import search_findings


@dataclass(frozen=True)
class Study:
    """The runs of one config: what it declares, and what its own arms decide.

    series: labels of its arms as they are in the report, by the name of the series. featured:
    labels of the arms that its claims are about.
    """

    name: str
    declared: StudyConfig
    command: str
    decisions: tuple[Decision, ...]
    series: Mapping[str, list[str]]
    featured: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The title that it declares, else its name."""
        return self.declared.title or self.name


@dataclass(frozen=True)
class Report:
    """Everything that is shown.

    commands: what its runs were started with. figures: pictures by heading, in their order.
    unwritten: why the page could not be written, "" if it was.
    """

    gathered: Gathered
    arms: tuple[Arm, ...]
    notes: tuple[str, ...]
    costs: tuple[StageCost, ...]
    studies: tuple[Study, ...]
    commands: tuple[str, ...]
    figures: Mapping[str, Sequence[Picture]]
    unwritten: str = ""

    @property
    def title(self) -> str:
        """The studies' titles; else what a single arm, or a single multirun, is called."""
        titles = (study.declared.title for study in self.studies if study.declared.title)
        names = [*{run.name for run in self.gathered.runs}]
        several = names[0] if len(names) == 1 and names[0] else "Comparison of runs"
        only = self.arms[0].label if len(self.arms) == 1 else several
        return "; ".join(dict.fromkeys(titles)) or only

    @property
    def claimed(self) -> tuple[str, ...]:
        """The measures of the claims, in their order."""
        return tuple(dict.fromkeys(decision.claim.measure for decision in self.decisions))

    @property
    def findings(self) -> list[str]:
        """What came out, in sentences; first, if so, that it means nothing."""
        searched = [line for search in self.gathered.searches for line in search_findings(search)]
        if self.decisions or not searched:
            searched = [*findings(self.arms, self.decisions, self.claimed), *searched]
        if any(run.fast for arm in self.arms for run in arm.runs):
            searched[0] = f"{DEBUG} {searched[0]}"
        return searched

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The claims of all studies."""
        return tuple(decision for study in self.studies for decision in study.decisions)
