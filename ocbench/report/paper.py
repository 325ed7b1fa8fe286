"""Tables 1 to 3 of the AST-Seg paper from the published numbers, in the paper's own layout; ours may stand below.

One thing is not as in the paper: its column "mIoU" of Tables 1 and 3 holds two metrics, and each has a column here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocbench import registry
from ocbench.errors import UsageError
from ocbench.published import PublishedRow, published_rows
from ocbench.report import layout
from ocbench.report.formats import Options, csv_of, published_record, spread_note
from ocbench.report.formats import record as sections_record
from ocbench.report.layout import Table
from ocbench.report.sections import Row, Section
from ocbench.report.standing import reasons
from ocbench.statistics import spread_over_seeds
from ocbench.tables import NOTHING, shown

PROTOCOL = "ast-paper"
SOURCE = "Sauvalle and de La Fortelle, Unsupervised multi-object segmentation using attention and soft-argmax"
CSV_FIELDS = ("table", "system", "dataset", "split", "metric", "unit", "mean", "std", "runs", "source")


@dataclass(frozen=True)
class PaperTable:
    """How the paper lays a table out."""

    number: int
    title: str
    blocks: tuple[tuple[str, str, str], ...]  # heading, dataset, split
    metrics: tuple[str, ...]  # columns of each block
    names: Mapping[str, str]  # system -> as this table calls it
    missing: str = NOTHING
    notes: tuple[str, ...] = ()


TWO_MIOU = (
    "The paper prints mIoU and mIoU-FG in one column headed mIoU: mIoU in AST-Seg's rows, which counts the pair of the "
    "background, and mIoU-FG, which does not, in the rows copied from the ClevrTex benchmark (Karazija et al. 2021)."
)
BENCHMARK = ("miou", "miou_fg", "ari_fg", "mse")
TABLES = (
    PaperTable(
        1, "Benchmark results on CLEVR and CLEVRTEX, ± σ over 3 runs",
        (("CLEVR", "clevr", "test"), ("CLEVRTEX", "clevrtex", "test")), BENCHMARK, {"GENESIS-V2": "Gen-V2"},
        notes=(TWO_MIOU,),
    ),
    PaperTable(
        2, "Benchmark results on ObjectsRoom and ShapeStacks, ± σ",
        (("ObjectsRoom", "objectsroom", "test"), ("ShapeStacks", "shapestacks", "test")),
        ("ari_fg", "msc_fg", "miou", "mse"), {"GENESIS-V2": "Gen-v2"}, missing="n/a",
        notes=("MONet-g, Gen-v2 and SA are copied from the GENESIS-V2 paper (Engelcke et al. 2021).",),
    ),
    PaperTable(
        3, "Benchmark generalization results on CAMO and OOD for a model trained on CLEVRTEX, ± σ over 3 runs",
        (("OOD", "clevrtex", "ood"), ("CAMO", "clevrtex", "camo")), BENCHMARK, {"GENESIS-V2": "Gen-V2"},
        notes=(TWO_MIOU,),
    ),
)  # fmt: skip


def paper_table(plan: PaperTable, found: Sequence[Section] = (), ddof: int = 0) -> Table:
    """The table as published, digit for digit; below a line the rows of ours that were scored on one of its splits."""
    systems: dict[str, dict[tuple[str, str, str], PublishedRow]] = {}
    for row in numbers_of(plan):
        systems.setdefault(row.system, {})[row.dataset, row.split, row.metric] = row
    places = [(dataset, split, metric) for _, dataset, split in plan.blocks for metric in plan.metrics]
    rows = [
        (plan.names.get(system, system), *(cells[at].printed if at in cells else plan.missing for at in places))
        for system, cells in systems.items()
    ]
    ours = _ours(plan, found)
    below = [
        (name, *(_cell(cells.get((dataset, split)), metric, ddof) for dataset, split, metric in places))
        for name, cells in ours.items()
    ]
    headings = ("Model", *(_heading(metric) for _, _, metric in places))
    groups = tuple((text, len(plan.metrics)) for text, _, _ in plan.blocks)
    notes = (*plan.notes, f"Source: {SOURCE}, Table {plan.number}.", *_notes(ours, ddof))
    rules = frozenset({len(rows)}) if below else frozenset()
    return Table(f"Table {plan.number}. {plan.title}", headings, (*rows, *below), groups, rules, notes)


def numbers_of(plan: PaperTable) -> list[PublishedRow]:
    """The published numbers of the table, in its order."""
    return [row for row in published_rows() if row.table == plan.number]


def _heading(metric: str) -> str:
    """As the paper writes it: "↑ mIoU (%)"."""
    record = registry.metric(metric)
    return f"{'↑' if record.higher_is_better else '↓'} {record.label}{' (%)' if record.scale == 100 else ''}"


def _ours(plan: PaperTable, found: Sequence[Section]) -> dict[str, dict[tuple[str, str], Row]]:
    """Name of a row -> (dataset, split) -> its sheets under the paper's protocol."""
    ours: dict[str, dict[tuple[str, str], Row]] = {}
    splits = {(dataset, split) for _, dataset, split in plan.blocks}
    for section in found:
        at = (section.dataset, section.split)
        if section.protocol == PROTOCOL and at in splits:
            for row in section.rows:
                seeds = f"seed{'s' if len(row.seeds) > 1 else ''} {', '.join(map(str, row.seeds))}"
                ours.setdefault(f"ours: {row.name}, {seeds}", {})[at] = row
    return ours


def _cell(row: Row | None, metric: str, ddof: int) -> str:
    result = row.result(metric) if row is not None else None
    if row is None or result is None:
        return NOTHING
    values = row.values(metric)
    spread = spread_over_seeds(values, ddof)
    return shown(result, float(values.mean())) + ("" if spread is None else f" ± {shown(result, spread)}")


def _notes(ours: Mapping[str, Mapping[tuple[str, str], Row]], ddof: int) -> list[str]:
    several = any(len(row.seeds) > 1 for cells in ours.values() for row in cells.values())
    notes = [f"In our rows {spread_note(ddof)}"] if several else []
    notes += dict.fromkeys(note for cells in ours.values() for row in cells.values() for note in row.shared_phases())
    for name, cells in ours.items():
        why = dict.fromkeys(reason for row in cells.values() for reason in reasons(row))
        notes += [f"{name.removeprefix('ours: ')} stands for no published system: {'; '.join(why)}."] if why else []
    return notes


def markdown(plans: Sequence[PaperTable], found: Sequence[Section] = (), ddof: int = 0) -> str:
    """The tables in Markdown."""
    return "\n\n".join(layout.markdown(paper_table(plan, found, ddof)) for plan in plans)


def latex(plans: Sequence[PaperTable], found: Sequence[Section] = (), ddof: int = 0) -> str:
    """The tables in LaTeX."""
    return layout.latex(paper_table(plan, found, ddof) for plan in plans)


def csv_text(plans: Sequence[PaperTable], found: Sequence[Section] = (), ddof: int = 0) -> str:
    """One published number a line, mean and spread as printed; ours have a CSV of their own."""
    if found:
        raise UsageError("the CSV of --table holds published numbers alone", hint="--against paper without --table")
    lines = []
    for row in (row for plan in plans for row in numbers_of(plan)):
        mean, _, std = row.printed.partition(" ± ")
        kept = {name: getattr(row, name) for name in CSV_FIELDS if name not in ("mean", "std")}
        lines.append({**kept, "unit": "%" if row.unit == "%" else "", "mean": mean, "std": std})
    return csv_of(CSV_FIELDS, lines)


def record(plans: Sequence[PaperTable], found: Sequence[Section] = (), ddof: int = 0) -> dict[str, Any]:
    """The published numbers of the tables as one JSON-able object, and the sections of ours."""
    tables = [
        {"table": plan.number, "title": plan.title, "numbers": [published_record(row) for row in numbers_of(plan)]}
        for plan in plans
    ]
    return {"tables": tables, **(sections_record(found, Options(paper=True, ddof=ddof)) if found else {})}
