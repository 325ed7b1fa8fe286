"""Verb: score sheets -> one table per split, runs that differ in nothing but the seed together. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocbench.errors import RunError
from ocbench.runs import MetricResult, RunConfig, ScoreSheet
from ocbench.tables import heading, markdown_table, shown


@dataclass(frozen=True)
class Row:
    """The sheets of one system on one split, one a seed."""

    name: str
    seeds: tuple[int, ...]
    sheets: tuple[ScoreSheet, ...]

    def values(self, metric: str) -> np.ndarray:
        """float64 [seeds]: the metric's means, as fractions or in its own unit."""
        return np.array([sheet[metric].mean for sheet in self.sheets])


@dataclass(frozen=True)
class Section:
    """All systems on one split under one protocol: numbers that may be laid side by side."""

    dataset: str
    split: str
    protocol: str
    fingerprint: str
    scenes: int
    incomplete: bool
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """`dataset:split@protocol`, and how many scenes."""
        mark = ", not the whole split" if self.incomplete else ""
        return f"{self.dataset}:{self.split}@{self.protocol}   {self.scenes:,} scenes{mark}"


def sections(run_dirs: Iterable[Path]) -> tuple[Section, ...]:
    """What the runs' sheets say, by split, protocol and fingerprint; RunError where a run has no complete sheet."""
    groups: dict[tuple[Any, ...], dict[str, list[ScoreSheet]]] = {}
    for run_dir in run_dirs:
        sheets = [ScoreSheet.load(path) for path in sorted((run_dir / "scores").glob("*.json"))]
        if not sheets:
            raise RunError(f"'{run_dir}' has no scores", hint=f"ocbench evaluate {run_dir}")
        system = _system(RunConfig.load(run_dir), run_dir)
        for sheet in sheets:
            place = (sheet.dataset, sheet.split, sheet.protocol, sheet.fingerprint)
            groups.setdefault(place, {}).setdefault(system, []).append(sheet)
    return tuple(_section(place, systems) for place, systems in groups.items())


def _system(run: RunConfig, run_dir: Path) -> str:
    """What runs have in common that differ in the seed alone, as words: model, scenario, and what was changed."""
    named = run_dir.name.removesuffix(f"-s{run.seed}")
    usual = f"{run.model}-{run.scenario}-{run.dataset}"
    trial = [f"{name}={value}" for name, value in (("steps", run.steps), ("batch_size", run.batch_size)) if value]
    preset = [] if run.preset in (run.dataset, "*") else [f"preset={run.preset}"]
    changes = ", ".join([*preset, *run.overrides, *trial])
    return (
        f"{run.model} {run.scenario}" + (f" [{changes}]" if changes else "") + ("" if named == usual else f" ({named})")
    )


def _section(place: tuple[Any, ...], systems: Mapping[str, list[ScoreSheet]]) -> Section:
    rows = []
    for name, sheets in systems.items():
        ordered = sorted(sheets, key=lambda sheet: sheet.run["seed"])
        rows.append(Row(name, tuple(sheet.run["seed"] for sheet in ordered), tuple(ordered)))
    first = rows[0].sheets[0]
    dataset, split, protocol, fingerprint = place
    incomplete = first.special.get("partial") is not None
    return Section(dataset, split, protocol, fingerprint, first.scenes, incomplete, tuple(rows))


def markdown(found: Sequence[Section]) -> str:
    """The sections as Markdown: mean over seeds, and ± the spread over them (population) where there are several."""
    return "\n\n".join(_section_markdown(section) for section in found)


def _section_markdown(section: Section) -> str:
    metrics = _metrics(section)
    headings = ["", "seeds", *(heading(result) for result in metrics.values())]
    rows = []
    for row in section.rows:
        cells = [_cell(row, result) for result in metrics.values()]
        rows.append([row.name, ", ".join(str(seed) for seed in row.seeds), *cells])
    return f"### {section.title}\n\n{markdown_table(headings, rows)}"


def _metrics(section: Section) -> dict[str, MetricResult]:
    """Every metric that any sheet of the section has, in the order first met."""
    found: dict[str, MetricResult] = {}
    for row in section.rows:
        for result in row.sheets[0].results:
            found.setdefault(result.metric, result)
    return found


def _cell(row: Row, result: MetricResult) -> str:
    if any(result.metric not in [r.metric for r in sheet.results] for sheet in row.sheets):
        return "–"
    values = row.values(result.metric)
    spread = f" ± {shown(result, float(values.std()))}" if len(values) > 1 else ""
    return shown(result, float(values.mean())) + spread


def record(found: Sequence[Section]) -> dict[str, Any]:
    """The sections as one JSON-able object: per system and metric the value of every seed, their mean and spread."""
    return {"sections": [_section_record(section) for section in found]}


def _section_record(section: Section) -> dict[str, Any]:
    rows = []
    for row in section.rows:
        metrics = {}
        for result in row.sheets[0].results:
            values = row.values(result.metric)
            metrics[result.metric] = {
                "values": values.tolist(),
                "mean": float(values.mean()),
                "std": float(values.std()),
            }
        rows.append({"system": row.name, "seeds": list(row.seeds), "metrics": metrics})
    kept = ("dataset", "split", "protocol", "fingerprint", "scenes", "incomplete")
    return json.loads(json.dumps({**{name: getattr(section, name) for name in kept}, "rows": rows}))
