"""Verb: the runs behind a table, planned as data, carried out or handed to a cluster, and laid out as that table.

The runs of a published table follow from the published numbers and from what registered models say they stand for, so
a new model's rows need nothing here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocbench import registry, report
from ocbench.errors import DataError, OcbenchError, UnknownNameError
from ocbench.plans import Means, Training, trained_and_scored
from ocbench.plugin import ModelPlugin
from ocbench.prepared import open_dataset
from ocbench.published import published_rows
from ocbench.recipe import ANY, resolve
from ocbench.report import paper
from ocbench.runner.stopping import hours_left
from ocbench.runs import is_finished, read_log, sheet_name

MINI = "mini"
REFERENCES = ("blank", "grid", "kmeans", "median")


@dataclass(frozen=True)
class Plan:
    """The trainings behind a table; every one has a run for each seed."""

    table: str
    title: str
    trainings: tuple[Training, ...]
    number: int | None = None  # of the table in the AST-Seg paper


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan, how far it is, and what is left of it."""

    training: Training
    seed: int
    run_dir: Path
    updates: int  # in all
    done: int
    seconds_an_update: float | None  # by its own log, or by that of a run like it; None: nobody knows
    unscored: tuple[str, ...]  # splits

    @property
    def state(self) -> str:
        """In one word or two."""
        if self.done < self.updates or not is_finished(self.run_dir):
            return f"{self.done:,} of {self.updates:,}" if self.done else "to do"
        return f"to be scored on {', '.join(self.unscored)}" if self.unscored else "done"

    @property
    def hours(self) -> float | None:
        """What its updates still take."""
        left = self.updates - self.done
        if left == 0:
            return 0.0
        return None if self.seconds_an_update is None else left * self.seconds_an_update / 3600


def plan_of(table: str) -> Plan:
    """The plan behind `mini` or a table of the AST-Seg paper, by its number; UnknownNameError for others."""
    if table == MINI:
        scenarios = registry.model("ast-seg").scenarios
        ours = [Training("ast-seg", "mini-plain", scenario) for scenario in scenarios]
        others = [Training(model, "mini-plain") for model in REFERENCES]
        return Plan(MINI, "AST-Seg in its scenarios, beside references that learn nothing", (*others, *ours))
    numbers = sorted({row.table for row in published_rows() if row.table in (1, 2, 3, 4)})
    if table not in map(str, numbers):
        raise UnknownNameError("table", table, [MINI, *map(str, numbers)])
    number = int(table)
    found: dict[tuple[str, str], Training] = {}
    for name in registry.names("model"):  # the first that stands for a system is enough
        for system, training in _trainings(registry.model(name), number):
            found.setdefault((system, training.data), training)
    return Plan(table, f"Table {table} of the AST-Seg paper", tuple(found.values()), number)


def _trainings(plugin: ModelPlugin, number: int) -> list[tuple[str, Training]]:
    """What of a model stands for a system in that table: system and training, one a dataset."""
    splits: dict[tuple[str, str], dict[str, list[str]]] = {}  # system, dataset -> protocol -> splits
    for row in published_rows():
        if row.table == number and row.protocol:
            splits.setdefault((row.system, row.dataset), {}).setdefault(row.protocol, []).append(row.split)
    ways: list[tuple[str, str, tuple[str, ...], str]]
    ways = [(system, scenario, (), "") for scenario, system in plugin.published.items()]
    usual = next(iter(plugin.scenarios))
    ways += [(v.published, v.scenario or usual, v.settings, v.summary) for v in plugin.variants if v.published]
    made = []
    for system, scenario, settings, summary in ways:
        for (theirs, dataset), protocols in splits.items():
            preset = dataset if dataset in plugin.presets else ANY
            if theirs != system or preset not in plugin.presets:
                continue
            if settings and not resolve(plugin, dataset, None, scenario, settings).changed:
                continue  # the preset has it already: the unchanged run stands for that row
            slug = "-".join(summary.lower().replace("+", "plus").split())
            name = f"{plugin.name}-{slug}-{dataset}" if slug else None
            for protocol, names in protocols.items():
                data = f"{dataset}@{protocol}"
                judged = tuple(dict.fromkeys(names))
                made.append((system, Training(plugin.name, data, scenario, settings, judged, name)))
    return made


def planned(plan: Plan, seeds: Sequence[int], means: Means, pace: float | None = None) -> list[PlannedRun]:
    """Every run of the plan as it stands, seed by seed; `pace`: seconds an update, where no log tells."""
    trial = means.fields.get("steps")
    runs = []
    for seed in seeds:
        for training in plan.trainings:
            if trial is not None:  # a trial is another run
                usual = training.run_dir(means.runs_dir, seed).name.rpartition("-s")[0]
                training = replace(training, name=f"{usual}-trial")
            run = _planned_run(training, seed, seeds, means, trial)
            runs.append(replace(run, seconds_an_update=run.seconds_an_update or pace))
    return runs


def _planned_run(
    training: Training, seed: int, seeds: Sequence[int], means: Means, trial: int | None
) -> PlannedRun:  # fmt: skip
    plugin = registry.model(training.model)
    recipe = resolve(plugin, training.dataset, None, training.scenario, training.settings)
    phases = plugin.scenarios[recipe.scenario](recipe.config)
    updates = sum(phase.steps if trial is None else min(phase.steps, trial) for phase in phases)
    run_dir = training.run_dir(means.runs_dir, seed)
    logs = [_last(training.run_dir(means.runs_dir, other)) for other in (seed, *seeds)]
    paces = [line["seconds"] / line["updates"] for line in logs if line.get("updates") and line.get("seconds")]
    protocol = registry.dataset(training.dataset).protocol(training.protocol).name
    sheets = {name: f"{sheet_name(training.dataset, name, protocol)}.json" for name in training.splits}
    unscored = tuple(name for name, sheet in sheets.items() if not (run_dir / "scores" / sheet).is_file())
    pace = paces[0] if paces else None
    done = updates if is_finished(run_dir) else logs[0].get("updates", 0)
    return PlannedRun(training, seed, run_dir, updates, done, pace, unscored)


def _last(run_dir: Path) -> dict[str, Any]:
    """The last line of a log that tells how long the updates took."""
    lines = [line for line in read_log(run_dir / "log.jsonl") if "seconds" in line]
    return lines[-1] if lines else {}


def provide(plan: Plan, means: Means, limit: int | None = None) -> None:
    """Prepares built-in data; DataError that names every other set that is not prepared."""
    missing: dict[str, str] = {}  # dataset -> what is not there
    for training in {training.data: training for training in plan.trainings}.values():
        if not registry.dataset(training.dataset).needs_source:
            means.prepare(training.dataset, training.protocol, "local", limit)
            continue
        splits = {name for other in plan.trainings if other.data == training.data for name in other.splits}
        try:
            for split in ("train", *sorted(splits)):
                open_dataset(training.dataset, split, training.protocol, means.data_dir)
        except OcbenchError as wrong:
            missing[training.dataset] = wrong.message
    if missing:
        raise DataError(
            f"{len(missing)} datasets of table {plan.table} are not ready", found="; ".join(missing.values()),
            hint="; ".join(f"ocbench prepare {name}" for name in missing),
        )  # fmt: skip


def carry_out(runs: Sequence[PlannedRun], means: Means) -> None:
    """Trains and scores what is not done, in turn; Stopped, with all saved, where it is asked to stop."""
    began = time.monotonic()
    for run in runs:
        if run.state != "done":
            left = hours_left(means.max_hours, began)
            trained_and_scored(run.training, run.seed, replace(means, max_hours=left))


def filled(plan: Plan, runs: Sequence[PlannedRun]) -> str:
    """The table, with what is scored so far, in Markdown."""
    sections = report.sections([run.run_dir for run in runs if any((run.run_dir / "scores").glob("*.json"))])
    tables = [table for table in paper.TABLES if table.number == plan.number]
    if tables:
        return paper.markdown(tables, sections)
    return report.markdown(sections, report.Options(paper=plan.number is not None))


def slurm_array(runs: Sequence[PlannedRun], words: str, hours: float) -> str:
    """A batch script with a task for each run that is not done."""
    names = " ".join(run.run_dir.name for run in runs if run.state != "done")
    last = sum(run.state != "done" for run in runs) - 1
    limit = f"{int(hours):02d}:{round(hours % 1 * 60):02d}:00"
    return (
        "#!/bin/bash\n"
        f"#SBATCH --array=0-{last} --gpus=1 --time={limit} --requeue\n"
        "# The same script goes on where its tasks stopped; afterwards the command without --only lays out the table.\n"
        f"runs=({names})\n"
        f'exec {words} --only "${{runs[$SLURM_ARRAY_TASK_ID]}}" --max-hours {hours * 0.97:.2f}\n'
    )
