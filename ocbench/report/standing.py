"""Which published systems stand beside a section of runs, and which one a row of seeds stands for."""

from __future__ import annotations

from collections.abc import Iterable

from ocbench.published import PublishedRow, published_beside, published_rows
from ocbench.report.sections import Row, Section
from ocbench.standing import why_none

PAPER_TABLES = (1, 2, 3)


def beside(section: Section, metrics: Iterable[str]) -> dict[str, dict[str, PublishedRow]]:
    """The paper's numbers of the section's split and protocol: system -> metric -> row.

    Of the ablations (Table 4) those alone that a run of the section stands for.
    """
    wanted = {system_of(row) for row in section.rows}
    found: dict[str, dict[str, PublishedRow]] = {}
    for row in published_beside(section.dataset, section.split, section.protocol):
        if row.metric in set(metrics) and (row.table in PAPER_TABLES or row.system in wanted):
            found.setdefault(row.system, {})[row.metric] = row
    return found


def nothing_beside(section: Section) -> str:
    """Why the section has no published row, in words."""
    others = sorted({
        f"@{row.protocol}" for row in published_rows()
        if (row.dataset, row.split) == (section.dataset, section.split) and row.protocol
    })  # fmt: skip
    known = f"; there are numbers under {', '.join(others)}" if others and f"@{section.protocol}" not in others else ""
    return f"The paper has no number under {section.place} for these metrics{known}."


def system_of(row: Row) -> str | None:
    """The published system that every seed of the row stands for, or None."""
    systems = {run.published for run in row.runs}
    if len(systems) != 1 or any(why_none(run, sheet) for run, sheet in zip(row.runs, row.sheets, strict=True)):
        return None
    return systems.pop()


def reasons(row: Row) -> list[str]:
    """Why the row stands for no published system; empty where it stands for one."""
    found = [why for run, sheet in zip(row.runs, row.sheets, strict=True) for why in why_none(run, sheet)]
    return list(dict.fromkeys(found))
