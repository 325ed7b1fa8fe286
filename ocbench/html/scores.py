"""Score tables with intervals beside published rows, and the gap between a run's splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ocbench.html.collect import Found, Scored
from ocbench.published import PublishedRow
from ocbench.report.sections import Row, Section
from ocbench.report.standing import beside, nothing_beside, system_of
from ocbench.runs import MetricResult
from ocbench.slices import gap_interval
from ocbench.statistics import gap_in_deviations, spread_over_seeds
from ocbench.tables import heading, shown

GAP_FROM = "test"  # the split that the others are laid against
LEVEL = 95.0


@dataclass(frozen=True)
class Cell:
    """A number on screen."""

    text: str
    value: float | None  # to sort by
    below: str = ""  # its interval or spread
    bar: tuple[float, float, float] | None = None  # low, value, high in per cent of the way from 0 to 100 %
    gap: str = ""  # to the published number


@dataclass(frozen=True)
class Line:
    """One row: a run, the mean over seeds, or a published system."""

    name: str
    kind: str  # run, seeds or published
    colour: int | None
    note: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class ScoreTable:
    """One split under one protocol."""

    title: str
    scenes: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def score_tables(found: Found) -> tuple[ScoreTable, ...]:
    """One table a section, in the order of the sections."""
    return tuple(_table(found, place, section) for place, section in enumerate(found.sections))


def _table(found: Found, place: int, section: Section) -> ScoreTable:
    metrics = section.metrics()
    published = {} if section.incomplete else beside(section, metrics)
    mine = {id(each.sheet): each for each in found.scored if each.section == place}
    lines: list[Line] = []
    for row in section.rows:
        system = system_of(row)
        theirs = published.get(system or "", {})
        lines += [_run_line(mine[id(sheet)], metrics, row, theirs) for sheet in row.sheets]
        if len(row.sheets) > 1:
            lines.append(_seeds_line(row, metrics, theirs))
    lines += [_published_line(system, rows, metrics) for system, rows in published.items()]
    sources = dict.fromkeys(row.source for rows in published.values() for row in rows.values())
    notes = [f"Published: {source}." for source in sources] or [nothing_beside(section)]
    if section.incomplete:
        notes = ["Not the whole split was scored: no published number may be laid beside these."]
    headings = tuple(heading(result) for result in metrics.values())
    return ScoreTable(section.place, f"{section.scenes:,} scenes", headings, tuple(lines), tuple(notes))


def _run_line(scored: Scored, metrics: dict[str, MetricResult], row: Row, published: dict[str, PublishedRow]) -> Line:
    results = {result.metric: result for result in scored.sheet.results}
    cells = tuple(_result_cell(results[name], published.get(name)) if name in results else None for name in metrics)
    note = row.name if len(row.sheets) == 1 else f"{row.name}, seed {scored.run.config.seed}"
    return Line(scored.run.name, "run", scored.run.colour, note, cells)


def _result_cell(result: MetricResult, published: PublishedRow | None) -> Cell:
    below, bar = "", None
    if result.interval is not None:
        low, high = result.interval
        below = f"{shown(result, low)} – {shown(result, high)}"
        if result.scale == 100 and math.isfinite(result.mean):
            bar = (_per_cent(low), _per_cent(result.mean), _per_cent(high))
    if result.undefined:
        below += f" ({result.undefined} undefined)"
    return Cell(shown(result, result.mean), _number(result.mean), below, bar, _gap(result, result.mean, published))


def _per_cent(value: float) -> float:
    """Where it lies on a bar from 0 to 100."""
    return round(100 * min(max(value, 0.0), 1.0), 2)


def _gap(result: MetricResult, value: float, published: PublishedRow | None) -> str:
    if published is None or not math.isfinite(value):
        return ""
    deviations = gap_in_deviations(value * result.scale, published.mean, published.std)
    return f"{value * result.scale - published.mean:+.2f}" if deviations is None else f"{deviations:+.1f} σ"


def _seeds_line(row: Row, metrics: dict[str, MetricResult], published: dict[str, PublishedRow]) -> Line:
    cells: list[Cell | None] = []
    for name in metrics:
        result = row.result(name)
        if result is None:
            cells.append(None)
            continue
        values = row.values(name)
        spread, mean = spread_over_seeds(values), float(values.mean())
        below = "" if spread is None else f"± {shown(result, spread)}"
        cells.append(Cell(shown(result, mean), _number(mean), below, None, _gap(result, mean, published.get(name))))
    seeds = ", ".join(str(seed) for seed in row.seeds)
    return Line(row.name, "seeds", None, f"mean over the seeds {seeds}, ± their spread", tuple(cells))


def _published_line(system: str, rows: dict[str, PublishedRow], metrics: dict[str, MetricResult]) -> Line:
    cells = tuple(_published_cell(rows[name], metrics[name]) if name in rows else None for name in metrics)
    return Line(system, "published", None, "", cells)


def _published_cell(row: PublishedRow, result: MetricResult) -> Cell:
    below = "" if row.std is None else f"± {row.std:g}"
    return Cell(f"{row.mean:g}", row.mean / result.scale, below)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class GapTable:
    """How much worse a model is on other splits of the same data and protocol than on `test`."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


def gap_tables(found: Found) -> tuple[GapTable, ...]:
    """One table for each split that lies beside `test`: the value there less the value on `test`."""
    base = {_family(each): each for each in found.scored if each.sheet.split == GAP_FROM}
    tables: dict[str, list[tuple[Scored, Scored]]] = {}
    for each in found.scored:
        if each.sheet.split != GAP_FROM and _family(each) in base:
            tables.setdefault(each.place, []).append((base[_family(each)], each))
    return tuple(_gap_table(place, pairs) for place, pairs in tables.items())


def _family(scored: Scored) -> tuple[object, ...]:
    sheet = scored.sheet
    return scored.run.run_dir, sheet.dataset, sheet.protocol, sheet.protocol_version, sheet.weights_digest


def _gap_table(place: str, pairs: Sequence[tuple[Scored, Scored]]) -> GapTable:
    metrics = {
        result.metric: result for _, there in pairs for result in there.sheet.results
        if any(result.metric == other.metric for here, _ in pairs for other in here.sheet.results)
    }  # fmt: skip
    lines = [
        Line(there.run.name, "run", there.run.colour, f"less {here.place}", tuple(
            _gap_cell(here, there, result) for result in metrics.values()
        ))
        for here, there in pairs
    ]  # fmt: skip
    return GapTable(f"{place} less {GAP_FROM}", tuple(heading(result) for result in metrics.values()), tuple(lines))


def _gap_cell(here: Scored, there: Scored, result: MetricResult) -> Cell | None:
    try:
        difference = there.sheet[result.metric].mean - here.sheet[result.metric].mean
    except KeyError:
        return None
    values = [_values(each, result.metric) for each in (there, here)]
    interval = gap_interval(values[0], values[1], LEVEL) if all(len(each) for each in values) else None
    below = "" if interval is None else f"{_signed(result, interval[0])} to {_signed(result, interval[1])}"
    return Cell(_signed(result, difference), _number(difference), below)


def _values(scored: Scored, metric: str) -> np.ndarray:
    """float64 [scenes]: the defined scores; none where the metric is pooled."""
    values = np.array([row[metric] for row in scored.rows if isinstance(row.get(metric), float)], np.float64)
    return values[np.isfinite(values)]


def _signed(result: MetricResult, value: float) -> str:
    text = shown(result, value)
    return text if text.startswith("-") or not math.isfinite(value) else f"+{text}"
