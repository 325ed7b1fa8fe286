"""Results as text: how a number is written, and tables in plain text and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ocbench.runs import MetricResult, ScoreSheet
from ocbench.statistics import gap_in_deviations

HEADINGS = ("metric", "", "value", "95 % interval", "published", "gap")
NOTHING = "–"


def shown(result: MetricResult, value: float) -> str:
    """A value in the unit of the screen: per cent with two digits, other units with four significant ones."""
    if math.isnan(value):
        return "undefined"
    value = value * result.scale + 0.0  # no -0
    if result.scale == 100 or not math.isfinite(value):
        return f"{value:.2f}".replace("-0.00", "0.00")
    digits = 3 - math.floor(math.log10(abs(value))) if value else 3
    return f"{value:,.{min(max(digits, 0), 6)}f}"


def heading(result: MetricResult) -> str:
    """Label, direction and unit: "mIoU ↑ %"."""
    return f"{result.label} {'↑' if result.higher_is_better else '↓'}{' %' if result.scale == 100 else ''}"


def sheet_table(sheet: ScoreSheet) -> str:
    """Every metric of a sheet with its interval and, where one exists, the published number and the gap to it."""
    rows = [_row(result) for result in sheet.results]
    level = sheet.settings.get("level", 95.0)
    headings = [h.replace("95", f"{level:g}") if level else h for h in HEADINGS]
    return text_table(headings, rows)


def _row(result: MetricResult) -> list[str]:
    direction = "↑" if result.higher_is_better else "↓"
    low_high = NOTHING
    if result.interval is not None:
        low_high = " – ".join(shown(result, bound) for bound in result.interval)
    published = gap = NOTHING if result.published is None else ""
    if result.published is not None:
        mean, std = result.published["mean"], result.published.get("std")
        published = f"{mean:g}" if std is None else f"{mean:g} ± {std:g}"
        gap = gap_shown(result.mean * result.scale, mean, std)
    value = shown(result, result.mean) + (f" ({result.undefined} undefined)" if result.undefined else "")
    return [result.label, direction + (" %" if result.scale == 100 else ""), value, low_high, published, gap]


def gap_shown(value: float, mean: float, std: float | None) -> str:
    """How far a value lies from a published mean, both in the unit of the screen: in its deviations if any."""
    gap = gap_in_deviations(value, mean, std)
    return f"{value - mean:+.2f}" if gap is None else f"{gap:+.1f} σ"


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their headings, three blanks apart; columns that are empty or "–" throughout are left out."""
    kept = [i for i in range(len(headings)) if i == 0 or any(row[i] not in ("", NOTHING) for row in rows)]
    lines = [[headings[i] for i in kept], *([row[i] for i in kept] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(kept))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column left, the others right, padded so that it also reads as text."""
    lines = [list(headings), *(list(row) for row in rows)]
    lines = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(headings))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]

    def written(line: Sequence[str]) -> str:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        return "| " + " | ".join(cells) + " |"

    return "\n".join([written(lines[0]), written(rule), *(written(line) for line in lines[1:])])
