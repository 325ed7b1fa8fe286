"""Paired differences as tables, as CSV and as one JSON-able object."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from ocbench.report import layout
from ocbench.report.formats import csv_of
from ocbench.report.layout import Table, column_texts
from ocbench.report.paired import LEVEL, Pair
from ocbench.runs import MetricResult
from ocbench.statistics import PairedDifference
from ocbench.tables import heading, shown

CSV_FIELDS = (
    "place", "first", "second", "metric", "unit", "first_value", "second_value", "difference", "interval_low",
    "interval_high", "scenes", "won", "lost", "tied", "undefined",
)  # fmt: skip


def markdown(found: Sequence[Pair]) -> str:
    """One table a pair and split."""
    return "\n\n".join(layout.markdown(pair_table(pair)) for pair in found)


def latex(found: Sequence[Pair]) -> str:
    """The same tables as LaTeX."""
    return layout.latex(pair_table(pair) for pair in found)


def pair_table(pair: Pair) -> Table:
    """A metric a row: both values, the second less the first, its interval, and the scenes won, lost and tied."""
    undefined = any(difference.undefined for _, difference in pair.differences)
    headings = ["", pair.first, pair.second, "difference", f"{LEVEL:g} % interval", "won", "lost", "tied"]
    headings += ["undefined"] if undefined else []
    rows = [_row(result, difference)[: len(headings)] for result, difference in pair.differences]
    note = (
        "The difference is taken scene by scene, its interval is a bootstrap over scenes. Won: scenes on which "
        f"{pair.second} is better; tied: equal. What is pooled over scenes has no score of a single scene."
    )
    title = f"{pair.second} less {pair.first}, {pair.place}   {pair.scenes:,} scenes"
    return Table(title, tuple(headings), tuple(rows), notes=(*pair.notes, note))


def _row(result: MetricResult, found: PairedDifference) -> tuple[str, ...]:
    interval = None
    if found.interval is not None:
        interval = " to ".join(signed(result, bound) for bound in found.interval)
    counts = [None if count is None else f"{count:,}" for count in (found.won, found.lost, found.tied)]
    values = (shown(result, found.first), shown(result, found.second), signed(result, found.difference))
    return (heading(result), *column_texts([*values, interval, *counts, f"{found.undefined:,}"]))


def signed(result: MetricResult, value: float) -> str:
    """A difference in the unit of the screen, with its sign."""
    text = shown(result, value)
    return text if math.isnan(value) or text.startswith("-") or not text.strip("0.") else f"+{text}"


def csv_text(found: Sequence[Pair]) -> str:
    """One difference a line, in the unit of the screen and with all digits."""
    return csv_of(CSV_FIELDS, [_csv_line(pair, *both) for pair in found for both in pair.differences])


def _csv_line(pair: Pair, result: MetricResult, found: PairedDifference) -> dict[str, Any]:
    low, high = found.interval or (None, None)
    numbers = {
        "first_value": found.first, "second_value": found.second, "difference": found.difference,
        "interval_low": low, "interval_high": high,
    }  # fmt: skip
    return {
        "place": pair.place, "first": pair.first, "second": pair.second, "metric": result.metric,
        "unit": "%" if result.scale == 100 else "", "scenes": found.scenes, "won": found.won, "lost": found.lost,
        "tied": found.tied, "undefined": found.undefined,
        **{name: None if value is None else value * result.scale for name, value in numbers.items()},
    }  # fmt: skip


def record(found: Sequence[Pair]) -> dict[str, Any]:
    """The pairs as one JSON-able object: fractions, or the metric's own unit; null where there is no number."""
    pairs = [
        {
            "first": pair.first, "second": pair.second, "place": pair.place, "scenes": pair.scenes,
            "level": LEVEL, "notes": list(pair.notes),
            "metrics": {result.metric: dataclasses.asdict(difference) for result, difference in pair.differences},
        }
        for pair in found
    ]  # fmt: skip
    return {"pairs": json.loads(json.dumps(pairs), parse_constant=lambda undefined: None)}
