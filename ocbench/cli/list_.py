"""`ocbench list WHAT`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ocbench.cli.options import Common, common
from ocbench.errors import OcbenchError, UnknownNameError

Table = tuple[Sequence[str], list[list[str]]]


@click.command("list")
@click.argument(
    "what",
    type=click.Choice(
        ["datasets", "protocols", "splits", "models", "scenarios", "metrics", "runs", "published"], case_sensitive=False
    ),
)
@click.argument("name", required=False)
@click.option("--check", is_flag=True, help="Load each plug-in and say what it is, or why it does not load.")
@common
def command(common: Common, what: str, name: str | None, check: bool) -> None:
    """List what exists and what is prepared.

    NAME narrows it to one dataset, model or system.
    """
    headings, rows = TABLES[what](common, name, check)
    from ocbench.tables import text_table

    keys = [heading or "note" for heading in headings]
    record = {what: [dict(zip(keys, row, strict=True)) for row in rows]}
    common.result(text_table(headings, rows) if rows else f"no {what}", record)


def plugins(kind: str) -> Callable[[Common, str | None, bool], Table]:
    """The table of one kind of plug-in: name and distribution from metadata, its summary with --check."""

    def table(common: Common, name: str | None, check: bool) -> Table:
        from ocbench import registry

        rows = []
        for found in registry.names(kind) if name is None else [name]:
            row = [found, registry.distribution(kind, found)]
            rows.append([*row, state(kind, found)] if check else row)
        return (kind, "from", "state") if check else (kind, "from"), rows

    return table


def state(kind: str, name: str) -> str:
    """What the plug-in says of itself, or in one line why it does not load."""
    from ocbench import registry

    try:
        record: Any = getattr(registry, kind)(name)
    except OcbenchError as wrong:
        return "BROKEN: " + " ".join(str(wrong).split())
    return str(getattr(record, "title", None) or record.summary)


def datasets(common: Common, name: str | None, check: bool) -> Table:
    """Every dataset, who ships it, and what of it is prepared here."""
    from ocbench import registry
    from ocbench.prepared import prepared_splits

    rows = []
    for found in registry.names("dataset") if name is None else [name]:
        row = [found, registry.distribution("dataset", found)]
        try:
            spec = registry.dataset(found)
            there = [
                f"{protocol.name}: {', '.join(splits)}"
                for protocol in spec.protocols
                if (splits := prepared_splits(common.data_dir, found, protocol))
            ]
            rows.append([*row, spec.title, "; ".join(there) or "–"])
        except OcbenchError as wrong:
            rows.append([*row, "BROKEN: " + " ".join(str(wrong).split()), "–"])
    return ("dataset", "from", "title", "prepared"), rows


def protocols(common: Common, name: str | None, check: bool) -> Table:
    """Every protocol of every dataset."""
    from ocbench import registry

    rows = []
    for found in registry.names("dataset") if name is None else [name]:
        for protocol in registry.dataset(found).protocols:
            size = "x".join(str(side) for side in protocol.size)
            rows.append(
                [found, f"{protocol.name}/{protocol.version}", size, str(protocol.max_objects), protocol.summary]
            )
    return ("dataset", "protocol", "size", "K", "summary"), rows


def splits(common: Common, name: str | None, check: bool) -> Table:
    """Every split of every default protocol, and how much of it is prepared."""
    from ocbench import registry
    from ocbench.prepared import prepared_splits, split_directory

    rows = []
    for found in registry.names("dataset") if name is None else [name]:
        protocol = registry.dataset(found).protocols[0]
        there = prepared_splits(common.data_dir, found, protocol)
        for split in protocol.splits:
            expected = f"{split.scenes:,}" if split.scenes is not None else "?"
            directory = split_directory(common.data_dir, found, protocol.name, split.name)
            prepared = scenes_in(directory) if split.name in there else "–"
            rows.append([f"{found}:{split.name}@{protocol.name}", split.part, expected, prepared])
    return ("split", "part", "scenes", "prepared"), rows


def scenes_in(directory: str) -> str:
    """How many scenes a prepared split has, or that its manifest cannot be read."""
    from ocbench.prepared import PreparedSplit

    try:
        ready = PreparedSplit(directory)
    except OcbenchError as wrong:
        return f"BROKEN: {wrong.message}"
    return f"{len(ready):,}" + (" (not whole)" if ready.manifest.incomplete() else "")


def scenarios(common: Common, name: str | None, check: bool) -> Table:
    """The scenarios of every model with their phases under its first preset."""
    from ocbench import registry

    rows = []
    for found in registry.names("model") if name is None else [name]:
        plugin = registry.model(found)
        preset, config = next(iter(plugin.presets.items()))
        for scenario, plan in plugin.scenarios.items():
            phases = " → ".join(f"{phase.name} {phase.steps:,}" for phase in plan(config))
            rows.append([found, scenario, preset, phases])
    return ("model", "scenario", "preset", "phases and updates"), rows


def metrics(common: Common, name: str | None, check: bool) -> Table:
    """Every metric with its dialects and definition."""
    from ocbench import registry

    rows = []
    for found in registry.names("metric") if name is None else [name]:
        metric = registry.metric(found)
        rows.append([found, metric.label, ", ".join(metric.dialects) or "–", metric.summary])
    return ("metric", "label", "dialects", "definition"), rows


def runs(common: Common, name: str | None, check: bool) -> Table:
    """Every run with its state, and the first score on each split that it was scored on."""
    from ocbench.accounts import state_of
    from ocbench.runs import RunConfig, ScoreSheet, all_runs
    from ocbench.tables import shown

    def first_score(path: Path) -> str:
        try:
            results = ScoreSheet.load(path).results
        except OcbenchError:
            return f"{path.stem} BROKEN"
        return " ".join([path.stem, *(f"{one.label} {shown(one, one.mean)}" for one in results[:1])])

    rows = []
    for path in all_runs(common.runs_dir):
        run = RunConfig.load(path)
        state = state_of(path) + "".join(f", {phase} of {origin}" for phase, origin in run.shared.items())
        scored = ", ".join(first_score(sheet) for sheet in sorted((path / "scores").glob("*.json")))
        rows.append([path.name, f"{run.model} {run.scenario}", run.trained_on, state, scored or "–"])
    return ("run", "model", "trained on", "state", "scored on"), rows


def published(common: Common, name: str | None, check: bool) -> Table:
    """The published numbers as printed; NAME, or its beginning, narrows them to a system, dataset or split."""
    from ocbench.published import PublishedRow, published_rows

    def words(row: PublishedRow) -> list[str]:
        return [word.lower() for word in (row.system, row.dataset, f"{row.dataset}:{row.split}")]

    wanted = (name or "").lower()
    found = [row for row in published_rows() if name is None or wanted in words(row)]
    found = found or [row for row in published_rows() if any(word.startswith(wanted) for word in words(row))]
    if not found:
        known = {word for row in published_rows() for word in (row.system, row.dataset)}
        raise UnknownNameError("published system or dataset", name or "", known)
    rows = [
        [f"Table {row.table}" if row.table else row.origin, row.system, row.dataset, row.split, row.metric,
         row.printed, row.unit, row.protocol or "–", row.source, row.note]
        for row in found
    ]  # fmt: skip
    return ("table", "system", "dataset", "split", "metric", "value", "unit", "protocol", "source", "remark"), rows


TABLES: dict[str, Callable[[Common, str | None, bool], Table]] = {
    "datasets": datasets, "protocols": protocols, "splits": splits, "models": plugins("model"), "scenarios": scenarios,
    "metrics": metrics, "runs": runs, "published": published,
}  # fmt: skip
