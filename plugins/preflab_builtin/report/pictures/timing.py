"""Where an iteration's time goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preflab_builtin.report.arms import Arm
from preflab_builtin.report.costs import iteration_times
from preflab_builtin.report.pictures import drawing
from preflab_builtin.report.pictures.colors import PAPER, PHASES
from preflab_builtin.report.pictures.picture import Picture, csv_text, range_text
from preflab_builtin.report.wording import count, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def iterations(arms: Sequence[Arm]) -> list[Picture]:
    """Seconds per iteration by phase, one bar per arm; of many arms only those that have a colour
    of their own. At most one picture."""
    times = iteration_times([arm for arm in arms if arm.number is not None] or arms)
    if not times:
        return []
    phases = list(dict.fromkeys(phase for time in times for phase in time.seconds))
    names = [phase.replace("_", " ") for phase in phases]

    def draw(axes: Axes) -> None:
        left = [0.0] * len(times)
        for number, (name, phase) in enumerate(zip(names, phases, strict=True)):
            widths = [time.seconds.get(phase, 0.0) for time in times]
            color = PHASES[number % len(PHASES)]
            axes.barh(
                range(len(times)),
                widths,
                left=left,
                height=0.6,
                color=color,
                edgecolor=PAPER,
                lw=0.8,
                label=name,
            )
            left = [a + b for a, b in zip(left, widths, strict=True)]
        labels = [time.arm.brief for time in times]
        drawing.name_rows(axes, labels, "Seconds per iteration", margin=0.6)
        drawing.legend(axes, names)

    texts, shares = [], []
    for time in times:
        label, machine = plain(time.arm.label), ""
        if time.share is not None:
            shares.append(f"{label} {100 * time.share:.1f} %")
            machine = f"; {100 * time.share:.1f} % of the machine's measured peak"
        seconds = ", ".join(f"{p.replace('_', ' ')} {s:.2f} s" for p, s in time.seconds.items())
        texts.append(f"{label}: {seconds}{machine}")
    in_all = sum(sum(time.iterations) for time in times)
    caption = f"Mean over {count(in_all, 'iteration')}."
    if shares:
        caption += f" Share of the machine's measured matmul peak: {', '.join(shares)}."
    title = "Seconds per iteration by phase"
    return [
        Picture(
            title,
            drawing.svg(draw, 0.4 * len(times) + 1.2 + drawing.legend_height(names)),
            f"{title}. {'; '.join(texts)}.",
            tuple(time.arm for time in times),
            range_text([n for time in times for n in time.iterations], "iteration"),
            csv_text(
                ("arm", "phase", "seconds per iteration"),
                [(t.arm.label, phase, s) for t in times for phase, s in t.seconds.items()],
            ),
            caption,
        )
    ]
