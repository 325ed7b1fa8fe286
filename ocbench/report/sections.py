"""Which numbers share a table, and which runs share a row: those that differ in nothing but the seed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocbench.errors import RunError
from ocbench.recipe import with_later_settings
from ocbench.runs import MetricResult, RunConfig, ScoreSheet, short


@dataclass(frozen=True)
class Row:
    """The sheets of one system on one split, one a seed."""

    name: str
    seeds: tuple[int, ...]
    sheets: tuple[ScoreSheet, ...]
    runs: tuple[RunConfig, ...]
    run_dirs: tuple[Path, ...]

    def result(self, metric: str) -> MetricResult | None:
        """The first seed's result, or None where a seed lacks the metric: then there is no mean over seeds."""
        if any(metric not in [result.metric for result in sheet.results] for sheet in self.sheets):
            return None
        return self.sheets[0][metric]

    def shared_phases(self) -> list[str]:
        """What some seeds took from another run, as sentences: no seed of their own decides it."""
        taken: dict[tuple[str, str], list[int]] = {}
        for seed, run in zip(self.seeds, self.runs, strict=True):
            for phase, origin in run.shared.items():
                taken.setdefault((phase, origin), []).append(seed)
        return [
            f"{self.name}: phase '{phase}' of seed {', '.join(map(str, seeds))} is that of {origin}, "
            "whose spread ± does not hold."
            for (phase, origin), seeds in taken.items()
        ]

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
    def place(self) -> str:
        """`dataset:split@protocol`."""
        return f"{self.dataset}:{self.split}@{self.protocol}"

    @property
    def title(self) -> str:
        """The place, and how many scenes."""
        mark = ", not the whole split" if self.incomplete else ""
        return f"{self.place}   {self.scenes:,} scenes{mark}"

    def metrics(self) -> dict[str, MetricResult]:
        """Every metric that any sheet of the section has, in the order first met."""
        found: dict[str, MetricResult] = {}
        for row in self.rows:
            for sheet in row.sheets:
                for result in sheet.results:
                    found.setdefault(result.metric, result)
        return found


@dataclass(frozen=True)
class _Entry:
    """One sheet of one run."""

    run_dir: Path
    run: RunConfig
    sheet: ScoreSheet

    @property
    def named(self) -> str:
        return self.run_dir.name.removesuffix(f"-s{self.run.seed}")

    def identity(self) -> str:
        """What must be equal for two runs to be one row: all but the seed, the versions and the device."""
        run = {k: v for k, v in dataclasses.asdict(self.run).items() if k not in ("seed", *RunConfig.FREE)}
        return json.dumps([run, dict(self.sheet.settings)], sort_keys=True, default=str)


def sheets_of(run_dir: Path) -> list[ScoreSheet]:
    """Every score sheet of a run, or RunError where it has none."""
    sheets = [ScoreSheet.load(path) for path in sorted((run_dir / "scores").glob("*.json"))]
    if not sheets:
        raise RunError(f"'{run_dir}' has no scores", hint=f"ocbench evaluate {run_dir}")
    return sheets


def sections(run_dirs: Iterable[Path]) -> tuple[Section, ...]:
    """What the runs' sheets say, by split, protocol and fingerprint; RunError where a run has no complete sheet."""
    groups: dict[tuple[Any, ...], dict[tuple[str, str], list[_Entry]]] = {}
    for run_dir in {path.resolve(): path for path in run_dirs}.values():
        run = with_later_settings(RunConfig.load(run_dir))
        for sheet in sheets_of(run_dir):
            entry = _Entry(run_dir, run, sheet)
            place = (sheet.dataset, sheet.split, sheet.protocol, sheet.protocol_version, sheet.fingerprint)
            systems = groups.setdefault(place, {})
            systems.setdefault((_label(entry), entry.identity()), []).append(entry)
    return tuple(_section(systems) for systems in groups.values())


def _label(entry: _Entry) -> str:
    """What runs have in common that differ in the seed alone, as words: model, scenario, and what was changed."""
    run = entry.run
    usual = f"{run.model}-{run.scenario}-{run.dataset}"
    changes = ", ".join(_changes(run, entry.sheet))
    named = "" if entry.named == usual else f" ({entry.named})"
    return f"{run.model} {run.scenario}" + (f" [{changes}]" if changes else "") + named


def _changes(run: RunConfig, sheet: ScoreSheet) -> list[str]:
    """Whatever keeps the run from being the model's own recipe on the data that it is scored on."""
    preset = [] if run.preset in (run.dataset, "*") else [f"preset={run.preset}"]
    trial = [f"{name}={value}" for name, value in (("steps", run.steps), ("batch_size", run.batch_size)) if value]
    here = f"{sheet.dataset}:train@{sheet.protocol}"
    elsewhere = [] if run.trained_on == here else [f"trained on {run.trained_on}"]
    part = [f"trained on a part: {short(run.partial)}"] if run.partial else []
    scoring = [
        f"{name}={sheet.settings[name]}" for name, usual in (("masks", None), ("nan", "omit"))
        if sheet.settings.get(name, usual) != usual
    ]  # fmt: skip
    return [*preset, *run.overrides, *trial, *elsewhere, *part, *scoring]


def _section(systems: Mapping[tuple[str, str], Sequence[_Entry]]) -> Section:
    labels = [label for label, _ in systems]
    rows = []
    for (label, _), entries in systems.items():
        ordered = sorted(entries, key=lambda entry: entry.run.seed)
        name = label if labels.count(label) == 1 else f"{label} ({ordered[0].run_dir.name})"
        rows.append(_row(name, ordered))
    first = rows[0].sheets[0]
    return Section(
        first.dataset, first.split, first.protocol, first.fingerprint, first.scenes,
        first.special.get("partial") is not None, tuple(rows),
    )  # fmt: skip


def _row(name: str, entries: Sequence[_Entry]) -> Row:
    return Row(
        name, tuple(entry.run.seed for entry in entries), tuple(entry.sheet for entry in entries),
        tuple(entry.run for entry in entries), tuple(entry.run_dir for entry in entries),
    )  # fmt: skip
