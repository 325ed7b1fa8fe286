"""Sections as tables, as CSV (one number a line) and as one JSON-able object."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocbench.published import PublishedRow
from ocbench.report import layout
from ocbench.report.layout import Table, column_texts
from ocbench.report.sections import Row, Section
from ocbench.report.standing import beside, nothing_beside, reasons, system_of
from ocbench.runs import MetricResult
from ocbench.statistics import gap_in_deviations, spread_over_seeds
from ocbench.tables import gap_shown, heading, shown

CSV_FIELDS = (
    "dataset", "split", "protocol", "fingerprint", "scenes", "system", "origin", "seeds", "metric", "unit", "mean",
    "std", "ddof", "interval_low", "interval_high", "gap_to", "gap_in_std",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What a report shows beside the runs' own numbers."""

    paper: bool = False  # published rows beside ours
    ddof: int = 0  # of the spread over seeds


def markdown(found: Sequence[Section], options: Options = Options()) -> str:
    """The sections as Markdown: mean over seeds, and ± the spread over them where there are several."""
    return "\n\n".join(layout.markdown(section_table(section, options)) for section in found)


def latex(found: Sequence[Section], options: Options = Options()) -> str:
    """The same tables as LaTeX."""
    return layout.latex(section_table(section, options) for section in found)


def section_table(section: Section, options: Options) -> Table:
    """Our rows, each with its gap to the published system that it stands for; below them the published rows."""
    metrics = section.metrics()
    published = beside(section, metrics) if options.paper else {}
    rows: list[tuple[str, ...]] = []
    for row in section.rows:
        cells = column_texts(_cell(row, name, options.ddof) for name in metrics)
        rows.append((row.name, ", ".join(str(seed) for seed in row.seeds), *cells))
        system = system_of(row)
        if system in published:
            gaps = column_texts(_gap(row, name, published[system].get(name)) for name in metrics)
            rows.append((f"gap to {system}", "", *gaps))
    rules = frozenset({len(rows)}) if published else frozenset()
    for system, numbers in published.items():
        first = next(iter(numbers.values()))
        cells = column_texts(numbers[name].printed if name in numbers else None for name in metrics)
        rows.append((f"{system}, Table {first.table}", f"{first.runs} runs" if first.runs else "", *cells))
    headings = ("", "seeds", *(heading(result) for result in metrics.values()))
    return Table(section.title, headings, tuple(rows), rules=rules, notes=_notes(section, options, bool(published)))


def _cell(row: Row, metric: str, ddof: int) -> str | None:
    result = row.result(metric)
    if result is None:
        return None
    values = row.values(metric)
    spread = spread_over_seeds(values, ddof)
    return shown(result, float(values.mean())) + (f" ± {shown(result, spread)}" if spread is not None else "")


def _gap(row: Row, metric: str, published: PublishedRow | None) -> str | None:
    result = row.result(metric)
    if result is None or published is None:
        return None
    return gap_shown(float(row.values(metric).mean()) * result.scale, published.mean, published.std)


def _notes(section: Section, options: Options, published: bool) -> tuple[str, ...]:
    notes = []
    if any(len(row.seeds) > 1 for row in section.rows):
        notes.append(spread_note(options.ddof))
    notes += [note for row in section.rows for note in row.shared_phases()]
    if options.paper and not published:
        notes.append(nothing_beside(section))
    if published:
        notes += [f"{row.name} stands for no published system: {'; '.join(why)}." for row in section.rows
                  if (why := reasons(row))]  # fmt: skip
        notes.append("mIoU counts the pair of the background, mIoU-FG does not; what the paper copies is mIoU-FG.")
    return tuple(notes)


def spread_note(ddof: int) -> str:
    """What ± means."""
    kind = "of the population" if ddof == 0 else "estimated from a sample"
    return f"± is the standard deviation over seeds, {kind} (ddof={ddof})."


def csv_text(found: Sequence[Section], options: Options = Options()) -> str:
    """One number a line, in the unit of the screen and with all digits; published numbers as printed."""
    lines = []
    for section in found:
        metrics = section.metrics()
        published = beside(section, metrics) if options.paper else {}
        place = {name: getattr(section, name) for name in ("dataset", "split", "protocol")}
        ours = {**place, "fingerprint": section.fingerprint, "scenes": section.scenes, "origin": "run"}
        lines += [{**ours, **line} for row in section.rows for line in _csv_lines(row, metrics, published, options)]
        lines += [
            {**place, "origin": f"Table {number.table}", **_csv_published(number)}
            for numbers in published.values() for number in numbers.values()
        ]  # fmt: skip
    return csv_of(CSV_FIELDS, lines)


def _csv_lines(
    row: Row, metrics: Iterable[str], published: Mapping[str, Mapping[str, PublishedRow]], options: Options
) -> Iterable[dict[str, Any]]:
    system = system_of(row)
    for name in metrics:
        if (result := row.result(name)) is None:
            continue
        numbers = _numbers(row, result, published.get(system or "", {}).get(name), options.ddof)
        low, high = result.interval if result.interval and len(row.seeds) == 1 else (None, None)
        std = numbers["std"]
        yield {
            "system": row.name, "seeds": " ".join(str(seed) for seed in row.seeds), "metric": name,
            "unit": "%" if result.scale == 100 else "", "mean": numbers["mean"] * result.scale,
            "std": None if std is None else std * result.scale, "ddof": options.ddof,
            "interval_low": None if low is None else low * result.scale,
            "interval_high": None if high is None else high * result.scale,
            "gap_to": numbers.get("gap_to"), "gap_in_std": numbers.get("gap_in_std"),
        }  # fmt: skip


def _csv_published(row: PublishedRow) -> dict[str, Any]:
    mean, _, std = row.printed.partition(" ± ")
    unit = "%" if row.unit == "%" else ""
    return {"system": row.system, "metric": row.metric, "unit": unit, "mean": mean, "std": std}


def csv_of(fields: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a line of headings; empty where there is nothing, no newline at the end."""
    file = io.StringIO()
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue().rstrip("\n")


def record(found: Sequence[Section], options: Options = Options()) -> dict[str, Any]:
    """The sections as one JSON-able object: per system and metric the value of every seed, their mean and spread.

    Ours are fractions, or in the metric's own unit; published numbers are in the unit that they name.
    """
    return {"ddof": options.ddof, "sections": [_section_record(section, options) for section in found]}


def _section_record(section: Section, options: Options) -> dict[str, Any]:
    metrics = section.metrics()
    published = beside(section, metrics) if options.paper else {}
    rows = []
    for row in section.rows:
        system = system_of(row)
        own = [result for name in metrics if (result := row.result(name))]
        numbers = {
            result.metric: _numbers(row, result, published.get(system or "", {}).get(result.metric), options.ddof)
            for result in own
        }
        stands = {"stands_for": system, "why_none": reasons(row)} if options.paper else {}
        names = {"system": row.name, "seeds": list(row.seeds), "runs": [path.name for path in row.run_dirs]}
        rows.append({**names, "metrics": numbers, **stands})
    kept = ("dataset", "split", "protocol", "fingerprint", "scenes", "incomplete")
    found: dict[str, Any] = {**{name: getattr(section, name) for name in kept}, "rows": rows}
    if options.paper:
        found["published"] = [published_record(row) for numbers in published.values() for row in numbers.values()]
        found["notes"] = list(_notes(section, options, bool(published)))
    return json.loads(json.dumps(found), parse_constant=lambda undefined: None)


def _numbers(row: Row, result: MetricResult, published: PublishedRow | None, ddof: int) -> dict[str, Any]:
    values = row.values(result.metric)
    mean = float(values.mean())
    numbers: dict[str, Any] = {"values": values.tolist(), "mean": mean, "std": spread_over_seeds(values, ddof)}
    if published is not None:
        shown_mean = mean * result.scale
        numbers |= {
            "gap_to": published.system, "gap": shown_mean - published.mean,
            "gap_in_std": gap_in_deviations(shown_mean, published.mean, published.std),
        }  # fmt: skip
    return numbers


def published_record(row: PublishedRow) -> dict[str, Any]:
    """One published number as JSON."""
    kept = ("system", "dataset", "split", "metric", "mean", "std", "runs", "unit", "table", "protocol", "source")
    return {name: getattr(row, name) for name in kept} | {"printed": row.printed}
