"""Which published system a run stands for on a score sheet, or why for none: one rule for sheets, tables and pages."""

from __future__ import annotations

import dataclasses
from typing import Any

from ocbench.published import PublishedRow, published_row
from ocbench.runs import RunConfig, ScoreSheet, short


def why_none(run: RunConfig, sheet: ScoreSheet) -> list[str]:
    """Every reason why a run, scored on that sheet, stands for no published system; none where it stands for one.

    `run.published` is the plug-in's word on preset, scenario and settings; the rest is decided here.
    """
    masks = sheet.settings.get("masks")
    nan = sheet.settings.get("nan", "omit")
    partial = sheet.special.get("partial")
    seen = sheet.special.get("seen_in_training")
    found = [
        run.preset not in (run.dataset, "*") and f"preset '{run.preset}', not '{run.dataset}'",
        run.published is None and run.overrides and f"settings changed: {', '.join(run.overrides)}",
        run.steps and f"a trial of {run.steps:,} updates a phase",
        run.batch_size and f"batch size changed to {run.batch_size}",
        run.partial and f"trained on a part of its split ({short(run.partial or {})})",
        run.trained_on != f"{sheet.dataset}:train@{sheet.protocol}" and f"trained on {run.trained_on}",
        partial and f"scored on a part of the split ({short(partial or {})})",
        seen and f"{seen:,} of the scenes were seen in training",
        sheet.run.get("checkpoint", "final") != "final" and f"scored at checkpoint {sheet.run['checkpoint']}",
        masks and f"scored with the masks '{masks}'",
        nan != "omit" and f"undefined scores counted by the rule '{nan}'",
    ]
    why = [str(reason) for reason in found if reason]
    if not why and run.published is None:
        why = [f"no published system is {run.model} {run.scenario}"]
    return why


def with_published(sheet: ScoreSheet, run: RunConfig) -> ScoreSheet:
    """The sheet of a run, with what was published of the system that it stands for beside each result."""
    if why_none(run, sheet):
        return sheet
    place = sheet.dataset, sheet.split, sheet.protocol
    results = tuple(
        dataclasses.replace(result, published=_kept(published_row(run.published, *place, result.metric)))
        for result in sheet.results
    )
    return dataclasses.replace(sheet, results=results)


def _kept(row: PublishedRow | None) -> dict[str, Any] | None:
    """What a sheet keeps of a published number."""
    if row is None:
        return None
    return {"system": row.system, "mean": row.mean, "std": row.std, "runs": row.runs, "source": row.source}
