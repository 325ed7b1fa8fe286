"""Training curves from log.jsonl as SVG: one small chart a term, the runs of the report in their colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ocbench.html.collect import Run

PLACE = ("phase", "step", "updates", "event", "seconds", "of")  # of a log line; all else that is a number is drawn
FIRST, LAST = ("total",), ("rate", "scenes_per_second")
WORDS = {
    "total": "total loss", "rate": "learning rate", "scenes_per_second": "scenes a second", "probe_miou": "probe mIoU",
    "probe_ari_fg": "probe ARI-FG",
}  # fmt: skip
MOST = 300  # points of a line
DECADES = 1.5  # that a logarithmic axis is worth
WIDTH, HEIGHT = 360, 190  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24  # margins
Point = tuple[float, float]  # updates, value


@dataclass(frozen=True)
class Curve:
    """One chart."""

    title: str
    scale: str  # "", or "log scale"
    svg: str  # markup made here of numbers and escaped texts
    text: str  # what the picture shows, in words


def curves(runs: Sequence[Run]) -> tuple[Curve, ...]:
    """One chart for every number that some run logged; none where nothing was trained step by step."""
    series: dict[str, dict[int, list[Point]]] = {}
    phases: dict[str, float] = {}
    for place, run in enumerate(runs):
        records = kept_records(run.log)
        for name, start in phase_starts(records).items():
            phases.setdefault(name, start)
        for record in records:
            for name, value in record.items():
                if name not in PLACE and isinstance(value, int | float) and math.isfinite(value):
                    series.setdefault(name, {}).setdefault(place, []).append((float(record["updates"]), float(value)))
    plans = {tuple(starts.items()) for run in runs if (starts := phase_starts(kept_records(run.log)))}
    shared = phases if len(plans) == 1 else {}
    drawn = {name: lines for name, lines in series.items() if any(len(points) > 1 for points in lines.values())}
    return tuple(_curve(name, drawn[name], runs, shared) for name in sorted(drawn, key=_order))


def _order(name: str) -> tuple[int, str]:
    return (0 if name in FIRST else 3 if name in LAST else 2 if name.startswith("probe_") else 1), name


def kept_records(log: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The log lines of training; what a stopped run did again counts once, as it was done last."""
    kept: list[Mapping[str, Any]] = []
    for record in log:
        if "phase" not in record or "updates" not in record:
            continue
        later = len(kept)
        while later and kept[later - 1]["updates"] >= record["updates"]:
            later -= 1
            if kept[later]["updates"] > record["updates"] or kept[later].get("event") == record.get("event"):
                del kept[later:]
        kept.append(record)
    return kept


def phase_starts(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Phase -> updates done when its first line was logged, less the step of that line."""
    found: dict[str, float] = {}
    for record in records:
        found.setdefault(str(record["phase"]), float(record["updates"]) - float(record.get("step", 0)))
    return found


def _curve(name: str, lines: Mapping[int, Sequence[Point]], runs: Sequence[Run], phases: Mapping[str, float]) -> Curve:
    values = [value for points in lines.values() for _, value in points]
    low, high = min(values), max(values)
    log = low > 0 and math.log10(high / low) > DECADES
    axis = _Axis(math.log10(low), math.log10(high), log) if log else _Axis(low, high, log)
    last = max(updates for points in lines.values() for updates, _ in points)
    first = min(updates for points in lines.values() for updates, _ in points)
    parts = [*axis.marks(), *_bottom(first, last), *_phases(phases, first, last)]
    for place, points in lines.items():
        where = " ".join(f"{_x(updates, first, last):.1f},{axis.y(value):.1f}" for updates, value in thinned(points))
        parts.append(f'<polyline class="line run-{runs[place].colour % 8}" points="{where}"/>')
    title = WORDS.get(name, name.replace("_", " "))
    ends = "; ".join(f"{runs[place].name} ends at {points[-1][1]:.4g}" for place, points in lines.items())
    text = f"{title} over {last:,.0f} updates: {ends}"
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(text)}" class="chart">'
        f"{''.join(parts)}</svg>"
    )
    return Curve(title, "log scale" if log else "", svg, text)


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most so many points as a chart can show: every n-th, and the last."""
    stride = -(-len(points) // MOST)
    found = list(points[::stride])
    return found if found[-1] == points[-1] else [*found, points[-1]]


def _x(updates: float, first: float, last: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (updates - first) / ((last - first) or 1)


@dataclass(frozen=True)
class _Axis:
    """The vertical axis, of values or of their decimal logarithms."""

    low: float
    high: float
    log: bool

    def y(self, value: float) -> float:
        place = math.log10(value) if self.log else value
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (place - self.low) / ((self.high - self.low) or 1)

    def marks(self) -> list[str]:
        """Lines across, with their values."""
        ticks = [10**place for place in decades(self.low, self.high)] if self.log else nice_ticks(self.low, self.high)
        return [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(tick):.1f}" y2="{self.y(tick):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{self.y(tick) + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>'
            for tick in ticks
        ]


def decades(low: float, high: float) -> list[int]:
    """The whole decimal logarithms between two, at most five or so."""
    whole = list(range(math.ceil(low), math.floor(high) + 1))
    return whole[:: max(1, -(-len(whole) // 5))]


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers between two: about `count` of them, 1, 2 or 5 times a power of ten apart."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((times * power for times in (1, 2, 5) if times * power >= rough), 10 * power)
    start = math.ceil(low / step - 1e-9)
    return [round(tick * step, 12) for tick in range(start, math.floor(high / step + 1e-9) + 1)]


def _short(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e4:
        if abs(value) >= 1e4:
            return f"{value / 1000:g}k" if abs(value) < 1e6 else f"{value / 1e6:g}M"
        return f"{value:.0e}".replace("e-0", "e−")
    return f"{value:g}"


def _bottom(first: float, last: float) -> list[str]:
    ticks = [
        f'<text x="{_x(tick, first, last):.1f}" y="{HEIGHT - 7}" text-anchor="middle">{_short(tick)}</text>'
        for tick in nice_ticks(first, last)
        if _x(tick, first, last) < WIDTH - 70
    ]
    rule = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
    return [rule, *ticks, f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 7}" text-anchor="end">{last:,.0f} updates</text>']


def _phases(phases: Mapping[str, float], first: float, last: float) -> list[str]:
    """A line where each phase but the first begins, with its name."""
    return [
        f'<line class="phase" x1="{_x(start, first, last):.1f}" x2="{_x(start, first, last):.1f}" '
        f'y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="phase" x="{_x(start, first, last) + 4:.1f}" y="{TOP + 9}">{escape(name)}</text>'
        for name, start in phases.items()
        if first < start < last
    ]
