"""Which published system a run stands for, or why for none: what run.json and the sheet say, nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from ocbench.published import PublishedRow, published_beside, published_rows
from ocbench.report.sections import Row, Section, short
from ocbench.runs import RunConfig, ScoreSheet

PAPER_TABLES = (1, 2, 3)


def beside(section: Section, metrics: Iterable[str]) -> dict[str, dict[str, PublishedRow]]:
    """The paper's numbers of the section's split and protocol: system -> metric -> row.

    Of the ablations (Table 4) those alone that a run of the section stands for.
    """
    wanted = {run.published for row in section.rows for run in row.runs}
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


def why_none(run: RunConfig, sheet: ScoreSheet) -> list[str]:
    """Every reason why a run, scored on that sheet, stands for no published system."""
    trained = f"{run.dataset}:{run.split}@{run.protocol}"
    masks = sheet.settings.get("masks")
    partial = sheet.special.get("partial")
    seen = sheet.special.get("seen_in_training")
    found = [
        run.preset not in (run.dataset, "*") and f"preset '{run.preset}', not '{run.dataset}'",
        run.overrides and f"settings changed: {', '.join(run.overrides)}",
        run.steps and f"a trial of {run.steps:,} updates a phase",
        run.batch_size and f"batch size changed to {run.batch_size}",
        run.partial and f"trained on a part of its split ({short(run.partial or {})})",
        trained != f"{sheet.dataset}:train@{sheet.protocol}" and f"trained on {trained}",
        partial and f"scored on a part of the split ({short(partial or {})})",
        seen and f"{seen:,} of the scenes were seen in training",
        sheet.run.get("checkpoint", "final") != "final" and f"scored at checkpoint {sheet.run['checkpoint']}",
        masks and f"scored with the masks '{masks}'",
    ]
    why = [str(reason) for reason in found if reason]
    if not why and run.published is None:
        why = [f"no published system is {run.model} {run.scenario}"]
    return why
