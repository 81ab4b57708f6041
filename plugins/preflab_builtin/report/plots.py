"""Pictures of the comparison as PNG bytes, each with the text that says the same to those who cannot see it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preflab_builtin.report.arms import Arm, in_order
from preflab_builtin.report.costs import PHASES, iteration_times
from preflab_builtin.report.runs import Measured
from preflab_builtin.report.tables import plain, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
"""Okabe and Ito's palette, which the colour-blind can tell apart; marks and labels differ as well."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
CURVES = (
    ("objective/scores", "Reward of the training samples"),
    ("objective/kl", "KL to the reference, nats a response"),
    ("objective/length", "Length of the training samples, tokens"),
    ("loss/ptx", "Pretraining loss of the ptx term, nats a token"),
)
PHASE_COLORS = ("#332288", "#88CCEE", "#44AA99", "#DDCC77", "#BBBBBB")
"""Tol's palette for the phases of an iteration, which are no arms."""
TIME = "Where an iteration's time goes"
LINES = ("-", "--", ":", "-.")
_MUTED, _GRID = "#5b6470", "#e3e6ea"


@dataclass(frozen=True)
class Picture:
    """A picture for the page. alt: what it shows, in words and numbers; arms: those that are drawn, with the runs that their
    numbers are from; n: how many values a run has of each; caption: how to read it."""

    title: str
    png: bytes
    alt: str
    arms: tuple[Arm, ...]
    n: str
    caption: str = ""

    @property
    def command(self) -> str:
        """What its runs were started with."""
        return "; ".join(dict.fromkeys(run.command for arm in self.arms for run in arm.runs))

    @property
    def behind(self) -> str:
        """Arms, seeds and n; seeds an arm where the arms have different ones."""
        seeds = [
            ", ".join(str(run.draw.label) for run in sorted(arm.runs, key=lambda run: run.draw))
            for arm in self.arms
        ]
        named = [
            f"seed{'s' * (len(arm.runs) != 1)} {some}"
            for arm, some in zip(self.arms, seeds, strict=True)
        ]
        labels = [plain(arm.label) for arm in self.arms]
        if len(set(named)) == 1:
            between = "; " if any(", " in label for label in labels) else ", "
            said = f"Arm{'s' * (len(labels) != 1)} {between.join(labels)}; {named[0]}"
        else:
            said = "; ".join(f"{label}: {some}" for label, some in zip(labels, named, strict=True))
        return f"{said}; n a run: {self.n}."


def _with(arm: Arm, measures: Sequence[str]) -> Arm:
    """The arm with those of its runs that have any of the measures."""
    return replace(
        arm, runs=tuple(run for run in arm.runs if any(name in run.measures for name in measures))
    )


def _n(arms: Sequence[Arm], measures: Sequence[str]) -> str:
    """How many values of each measure a run has, in words."""
    said = []
    for name in measures:
        some = [run.measures[name].n for arm in arms for run in arm.runs if name in run.measures]
        said += [f"{_range(some)} ({name})"] if some else []
    return ", ".join(said)


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def style_of(number: int) -> tuple[str, str]:
    """Colour and mark of the arm with that number; the same in all pictures."""
    return COLORS[number % len(COLORS)], MARKS[(number + number // len(COLORS)) % len(MARKS)]


def scatters(arms: Sequence[Arm], series: Mapping[str, Sequence[str]]) -> list[Picture]:
    """Reward against tax: what the arms gain, proxy and truth, against what they keep of the pretraining tasks. series: arms
    that a line joins."""
    tax = next(
        (
            m
            for m in ("families/mean", "document_loss/all")
            if any(m in arm.measures for arm in arms)
        ),
        None,
    )
    if tax is None:
        return []
    gains = (
        ("gold/gold", "True utility (simulated)"),
        ("reward/proxy", "Reward that the reward model gives"),
    )
    pictures = []
    for gain, title in gains:
        points = [
            (i, a, a.measures[tax], a.measures[gain])
            for i, a in enumerate(arms)
            if {tax, gain} <= set(a.measures)
        ]
        if len(points) >= 2:
            pictures.append(_scatter(points, (gain, tax), title, series))
    return pictures


def _scatter(
    points: Sequence[tuple[int, Arm, Measured, Measured]],
    measures: tuple[str, str],
    title: str,
    series: Mapping[str, Sequence[str]],
) -> Picture:
    percent = measures[1] == "families/mean"
    x_title = (
        "Pretraining tasks answered right, %"
        if percent
        else "Loss on held-out text, nats a token (axis reversed)"
    )
    scale = 100.0 if percent else 1.0
    labels = [*series, *(arm.label for _, arm, *_ in points)]

    def draw(axes: Axes) -> None:
        for line, (name, members) in zip(LINES, series.items(), strict=False):
            places = {in_order(a.label): (x.value * scale, y.value) for _, a, x, y in points}
            joined = [places[m] for m in map(in_order, members) if m in places]
            axes.plot(
                *zip(*joined, strict=True),
                ls=line,
                color=_MUTED,
                lw=1.3,
                zorder=1,
                label=_short(name),
            )
        for number, arm, x, y in points:
            color, mark = style_of(number)
            x_error, y_error = _error(x, scale), _error(y, 1.0)
            label = _short(arm.label)
            pale = (color, 0.35)  # marks are read first
            bars: dict[str, Any] = {
                "yerr": y_error,
                "xerr": x_error,
                "ecolor": pale,
                "elinewidth": 1.1,
            }
            axes.errorbar(
                x.value * scale, y.value, fmt=mark, color=color, ms=8, label=label, **bars
            )
        axes.set_xlabel(x_title)
        axes.set_ylabel(title)
        _focus(axes, [(x.value * scale, y.value) for _, _, x, y in points])
        if not percent:
            axes.invert_xaxis()
        _legend(axes, labels)

    said = [f"{plain(a.label)}: {_say(x, percent)} against {_say(y)}" for _, a, x, y in points]
    alt = (
        f"Scatter of {title.lower()} (up) against {x_title.lower()} (right). "
        + "; ".join(said)
        + "."
    )
    caption = "Up is more reward, right is less alignment tax; bars are 95 % intervals."
    drawn = tuple(_with(arm, measures) for _, arm, *_ in points)
    return Picture(
        f"{title} against the alignment tax",
        _png(draw, _height(labels)),
        alt,
        drawn,
        _n(drawn, measures),
        caption,
    )


def drift(arms: Sequence[Arm]) -> list[Picture]:
    """What the reward model says and what is true, against the square root of KL: where they part, the reward is gamed (Gao
    et al. 2023). For best-of-n the KL is its bound, as an arm and as the curve over n."""
    points = []
    for number, arm in enumerate(arms):
        kl = arm.measures.get("kl/reference") or arm.measures.get("kl/bound")
        if kl is not None and {"reward/proxy", "gold/gold"} <= set(arm.measures):
            points.append(
                (
                    number,
                    arm,
                    math.sqrt(max(0.0, kl.value)),
                    arm.measures["reward/proxy"],
                    arm.measures["gold/gold"],
                )
            )
    curve, sampled = next(((found, arm) for arm in arms if (found := best_of_n(arm))), ([], None))
    if len(points) + len(curve) < 3:
        return []
    labels = [
        *(arm.label for _, arm, *_ in points),
        *([f"best of 1 to {curve[-1][0]}"] if curve else []),
    ]

    def draw(axes: Axes) -> None:
        for (number, _, x, proxy, gold), label in zip(points, labels, strict=False):
            color, mark = style_of(number)
            axes.plot([x, x], [proxy.value, gold.value], color=color, lw=0.8, alpha=0.5)
            axes.errorbar(
                x,
                gold.value,
                yerr=_error(gold, 1.0),
                fmt=mark,
                color=color,
                ms=8,
                elinewidth=1.1,
                label=_short(label),
            )
            axes.errorbar(
                x,
                proxy.value,
                yerr=_error(proxy, 1.0),
                fmt=mark,
                color=color,
                mfc="white",
                ms=8,
                elinewidth=1.1,
            )
        if curve:
            drifts = [x for _, x, _, _ in curve]
            axes.plot(
                drifts,
                [gold for *_, gold in curve],
                ls="--",
                marker=".",
                color=_MUTED,
                lw=1.3,
                label=labels[-1],
            )
            axes.plot(
                drifts,
                [proxy for _, _, proxy, _ in curve],
                ls="--",
                marker=".",
                mfc="white",
                color=_MUTED,
                lw=1.3,
            )
        axes.set_xlabel("Square root of KL to the reference, nats")
        axes.set_ylabel("Proxy (hollow) and true utility (filled)")
        ends = [(x, y.value) for _, _, x, proxy, gold in points for y in (proxy, gold)]
        _focus(axes, [*ends, *((x, y) for _, x, *values in curve for y in values)])
        _legend(axes, labels)

    said = [
        f"{plain(a.label)} at {x:.2f}: proxy {_say(p)}, truth {_say(g)}" for _, a, x, p, g in points
    ]
    said += [f"best of {n} at {x:.2f}: proxy {p:.2f}, truth {g:.2f}" for n, x, p, g in curve]
    caption = "Hollow: what the reward model says. Filled: what is true. Where only the first rises, the reward is gamed."
    title = "Proxy and true utility against drift"
    alt = "; ".join([f"{title} (square root of KL)", *said]) + "."
    # The curve is one arm's, who need not have a point of its own.
    measures = [
        "reward/proxy",
        "gold/gold",
        "kl/reference",
        "kl/bound",
        *([f"best_of/{curve[-1][0]}/gold"] if curve else []),
    ]
    shown = [arm for arm in arms if arm is sampled or any(arm is other for _, other, *_ in points)]
    drawn = tuple(_with(arm, measures) for arm in shown)
    return [Picture(title, _png(draw, _height(labels)), alt, drawn, _n(drawn, measures), caption)]


def best_of_n(arm: Arm) -> list[tuple[int, float, float, float]]:
    """(n, square root of its KL bound, proxy, true utility) for every n of the arm's best-of-n curve, n ascending."""
    found = []
    for name, kl in arm.measures.items():
        n = name.removeprefix("best_of/").removesuffix("/kl")
        proxy, gold = (arm.measures.get(f"best_of/{n}/{of}") for of in ("reward", "gold"))
        if name == f"best_of/{n}/kl" and n.isdigit() and proxy and gold:
            found.append((int(n), math.sqrt(max(0.0, kl.value)), proxy.value, gold.value))
    return sorted(found)


def win_rates(arms: Sequence[Arm]) -> list[Picture]:
    """Win rates with their intervals, one picture a judge."""
    judges = dict.fromkeys(
        name for arm in arms for name in arm.measures if name.startswith("win_rate/")
    )
    return [
        _win_rate([(i, a, a.measures[j]) for i, a in enumerate(arms) if j in a.measures], j)
        for j in judges
    ]


def _win_rate(rows: Sequence[tuple[int, Arm, Measured]], judge: str) -> Picture:
    baselines = sorted({run.baseline for _, arm, _ in rows for run in arm.runs if run.baseline})
    against = titled(baselines[0]) if len(baselines) == 1 else "the baseline"

    def draw(axes: Axes) -> None:
        axes.axvline(50, color=_MUTED, lw=1, ls="--")
        for height, (number, _, measured) in enumerate(rows):
            color, mark = style_of(number)
            error = _error(measured, 100.0)
            axes.errorbar(
                measured.value * 100,
                height,
                xerr=error,
                fmt=mark,
                color=color,
                ms=8,
                elinewidth=2,
                capsize=3,
            )
        axes.set_yticks(range(len(rows)), [_short(arm.label) for _, arm, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"Preferred to {against}, % of prompts (ties half)")
        axes.grid(visible=False, axis="y")

    alt = (
        f"Win rate against {against}: "
        + "; ".join(f"{plain(arm.label)} {_say(m, True)}" for _, arm, m in rows)
        + "."
    )
    title = f"Win rate against {against}, judge: {judge.partition('/')[2]}"
    caption = "Bars are 95 % intervals; the dashed line is a draw."
    drawn = tuple(_with(arm, [judge]) for _, arm, _ in rows)
    return Picture(
        title, _png(draw, 0.45 * len(rows) + 1.2), alt, drawn, _n(drawn, [judge]), caption
    )


def learning_curves(arms: Sequence[Arm]) -> list[Picture]:
    """Metrics of the algorithm stage over its steps: each run thin, the mean of an arm's runs thick."""
    logs = [(i, arm, [run.metrics("algorithm") for run in arm.runs]) for i, arm in enumerate(arms)]
    return [p for metric, title in CURVES if (p := _curve(logs, metric, title)) is not None]


def _curve(
    logs: Sequence[tuple[int, Arm, list[list[dict[str, Any]]]]], metric: str, title: str
) -> Picture | None:
    found: list[tuple[int, Arm, list[dict[int, float]]]] = []
    for number, arm, logged in logs:
        series = [
            {int(r["step"]): float(r[metric]) for r in rows if r.get(metric) is not None}
            for rows in logged
        ]
        if any(len(one) > 1 for one in series):
            runs = tuple(run for run, one in zip(arm.runs, series, strict=True) if one)
            found.append((number, replace(arm, runs=runs), [one for one in series if one]))
    if not found:
        return None
    labels = [arm.label for _, arm, _ in found]

    def draw(axes: Axes) -> None:
        for number, arm, series in found:
            color, _ = style_of(number)
            for one in series if len(series) > 1 else ():
                axes.plot(list(one), list(one.values()), color=color, lw=0.8, alpha=0.35)
            mean = _mean(series)
            axes.plot(list(mean), list(mean.values()), color=color, lw=2, label=_short(arm.label))
        axes.set_xlabel("Step of the algorithm")
        axes.locator_params(axis="x", integer=True)
        axes.set_ylabel(title)
        _legend(axes, labels)

    ends = []
    for _, arm, series in found:
        values = list(_mean(series).values())
        ends.append(f"{plain(arm.label)} from {values[0]:.2f} to {values[-1]:.2f}")
    alt = f"{title} over the steps of training: {'; '.join(ends)}."
    n = f"{_range([len(one) for *_, series in found for one in series])} steps"
    caption = (
        "Thin: each run; thick: the mean of an arm's runs."
        if any(len(s) > 1 for *_, s in found)
        else ""
    )
    return Picture(
        title, _png(draw, _height(labels)), alt, tuple(arm for _, arm, _ in found), n, caption
    )


def iterations(arms: Sequence[Arm]) -> list[Picture]:
    """Where an iteration's time goes, a bar an arm; at most one picture."""
    found = iteration_times(arms)
    if not found:
        return []
    phases = [phase for phase in PHASES if any(phase in row.seconds for row in found)]
    names = [phase.replace("_", " ") for phase in phases]

    def draw(axes: Axes) -> None:
        left = [0.0] * len(found)
        for name, phase, color in zip(names, phases, PHASE_COLORS, strict=False):
            widths = [row.seconds.get(phase, 0.0) for row in found]
            axes.barh(
                range(len(found)),
                widths,
                left=left,
                height=0.6,
                color=color,
                edgecolor="white",
                lw=0.8,
                label=name,
            )
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(found)), [_short(row.arm.label) for row in found])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_xlabel("Seconds an iteration")
        axes.grid(visible=False, axis="y")
        _legend(axes, names)

    said = []
    for row in found:
        parts = ", ".join(
            f"{n} {row.seconds[p]:.2f} s"
            for n, p in zip(names, phases, strict=True)
            if p in row.seconds
        )
        machine = (
            "" if row.share is None else f"; {100 * row.share:.1f} % of the machine's measured peak"
        )
        said.append(f"{plain(row.arm.label)}: {parts}{machine}")
    shares = [
        f"{plain(row.arm.label)} {100 * row.share:.1f} %" for row in found if row.share is not None
    ]
    caption = f"Mean over {sum(map(sum, (row.iterations for row in found)))} iterations."
    if shares:
        caption += f" Share of the machine's measured matmul peak: {', '.join(shares)}."
    title = "Seconds an iteration by phase"
    height = 0.4 * len(found) + 1.2 + 0.2 * math.ceil(len(names) / _columns(names))
    n = f"{_range([n for row in found for n in row.iterations])} iterations"
    return [
        Picture(
            title,
            _png(draw, height),
            f"{title}. {'; '.join(said)}.",
            tuple(row.arm for row in found),
            n,
            caption,
        )
    ]


def _mean(series: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Mean over runs at the steps that all of them have."""
    steps = sorted(set(series[0]).intersection(*series))
    return {step: sum(one[step] for one in series) / len(series) for step in steps}


def _focus(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Limits that show the points; an interval that is much wider than their range runs out of the picture."""
    for set_limits, values in (
        (axes.set_xlim, [x for x, _ in points]),
        (axes.set_ylim, [y for _, y in points]),
    ):
        low, high = min(values), max(values)
        margin = 0.18 * (high - low) or 0.1 * (abs(high) or 1.0)
        set_limits(low - margin, high + margin)


def _legend(axes: Axes, labels: Sequence[str]) -> None:
    """Below the picture, where it hides no data."""
    axes.get_figure().legend(  # type: ignore[union-attr]
        frameon=False, fontsize=8.5, loc="outside lower center", ncols=_columns(labels)
    )


def _columns(labels: Sequence[str]) -> int:
    """Columns of a legend as wide as the picture: a row holds some sixty letters, and each mark takes the place of six.

    >>> _columns(["PPO", "PPO-ptx"]), _columns(["algorithm.episodes=10240"]), _columns(["a label of thirty-one letters, no"])
    (3, 2, 1)
    """
    return max(1, min(3, 60 // (6 + max((len(_short(label)) for label in labels), default=1))))


def _height(labels: Sequence[str]) -> float:
    """Inches for a picture with these entries in its legend."""
    return 3.2 + 0.2 * math.ceil(len(labels) / _columns(labels))


def _error(measured: Measured, scale: float) -> list[list[float]] | None:
    if measured.low is None or measured.high is None:
        return None
    below, above = measured.value - measured.low, measured.high - measured.value
    return [[max(0.0, below) * scale], [max(0.0, above) * scale]]


def _say(measured: Measured, percent: bool = False) -> str:
    scale, unit = (100.0, " %") if percent else (1.0, "")
    text = f"{measured.value * scale:.1f}{unit}" if percent else f"{measured.value:.2f}"
    if measured.low is None or measured.high is None:
        return text
    return f"{text} ({measured.low * scale:.2f} to {measured.high * scale:.2f})"


def _short(label: str) -> str:
    """A label that fits a picture; matplotlib would hide one that begins with an underscore."""
    text = plain(label)
    text = text if len(text) <= 32 else f"{text[:31]}…"
    return f" {text}" if text.startswith("_") else text


def _png(draw: Callable[[Axes], None], height: float = 3.5) -> bytes:
    """One panel, drawn without any window system and without touching matplotlib's global state."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.size": 10.5, "axes.labelsize": 10, "text.parse_math": False}):
        figure = Figure(figsize=(5.2, height), dpi=150, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_MUTED)
        axes.tick_params(colors=_MUTED, labelcolor="#20262e")
        axes.grid(visible=True, color=_GRID, lw=0.8)
        axes.set_axisbelow(True)
        draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
    return stream.getvalue()
