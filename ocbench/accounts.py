"""Verb: what a metric, a model or a run says of itself, as lines (word, text), tables and a JSON-able record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from ocbench import registry, settings
from ocbench.errors import UnknownNameError
from ocbench.plugin import ModelPlugin, Phase, Variant
from ocbench.published import PublishedRow, published_beside, published_rows
from ocbench.runs import RunConfig, ScoreSheet, is_finished, pulled_from, read_log
from ocbench.standing import why_none
from ocbench.tables import NOTHING, sheet_table, text_table


@dataclass(frozen=True)
class Account:
    """Lines and tables for the eye, a record for machines."""

    lines: list[tuple[str, str]]
    tables: list[tuple[str, str]] = field(default_factory=list)  # heading, text
    record: dict[str, Any] = field(default_factory=dict)


def of_metric(name: str) -> Account:
    """Definition, range, dialects and sources of METRIC[@DIALECT]."""
    metric = registry.metric(name)
    facts = {
        "name": metric.name, "label": metric.label, "what": metric.summary, "formula": metric.formula,
        "range": metric.range + (", shown in per cent" if metric.scale == 100 else ""),
        "better": "higher" if metric.higher_is_better else "lower",
        "over scenes": "mean" if metric.pool is None else "pooled over the whole set", "special": metric.degenerate,
        "dialects": ", ".join(f"@{dialect}" for dialect in metric.dialects), "reported": metric.reported_by,
    }  # fmt: skip
    told = {word: str(text) for word, text in facts.items() if text}
    return Account(list(told.items()), record=dict(told))


def of_model(name: str, preset: str | None = None) -> Account:
    """Settings of a preset (by default the first), phases of every scenario, and what its authors changed."""
    plugin = registry.model(name)
    first = next(iter(plugin.presets))
    preset = preset or first
    if preset not in plugin.presets:
        raise UnknownNameError(f"preset of {name}", preset, plugin.presets)
    config, usual = plugin.presets[preset], settings.to_json(plugin.presets[first])
    chosen = settings.to_json(config)
    lines = [
        ("model", f"{name}   {plugin.summary}"),
        ("from", registry.distribution("model", name)),
        ("presets", ", ".join(plugin.presets)),
        ("scenarios", ", ".join(plugin.scenarios)),
        ("slot 0", "the background" if plugin.has_background else "like any other"),
        ("cite", plugin.citation),
        ("licence", plugin.license),
    ]
    values = [
        [key, settings.written(value), "" if value == usual[key] else settings.written(usual[key])]
        for key, value in chosen.items()
    ]
    phases = {scenario: plan(config) for scenario, plan in plugin.scenarios.items()}
    tables = [
        (f"Settings of preset {preset} (--set KEY=VALUE)", text_table(("setting", "value", f"in {first}"), values)),
        *((f"Phases of scenario {scenario}", phase_table(plan)) for scenario, plan in phases.items()),
    ]
    if plugin.variants:
        tables.append(variant_table(plugin))
    record = {
        "model": name, "preset": preset, "presets": list(plugin.presets), "settings": chosen,
        "scenarios": {scenario: [phase.name for phase in plan] for scenario, plan in phases.items()},
        "options": [_variant_record(variant) for variant in plugin.variants],
    }  # fmt: skip
    return Account([(word, text) for word, text in lines if text], tables, record)


def phase_table(plan: tuple[Phase, ...]) -> str:
    """The phases of a scenario, a line each."""
    rows = [
        [
            phase.name, f"{phase.steps:,}", str(phase.batch_size) if phase.steps else NOTHING,
            ", ".join(f"{o.kind} {o.learning_rate:g}" for o in phase.optimizers) if phase.steps else NOTHING,
            ", ".join(phase.trains) or "everything", f"{phase.clock_start:,}" if phase.clock_start else "",
            f"{phase.sample:,} scenes" if phase.sample else "",
        ]
        for phase in plan
    ]  # fmt: skip
    return text_table(("phase", "updates", "batch", "rate", "trains", "from update", "looks at"), rows)


def variant_table(plugin: ModelPlugin) -> tuple[str, str]:
    """Heading and table of the variants: what to type, and the published numbers beside the unchanged model's."""
    scenario = next(iter(plugin.scenarios))
    usual = Variant(f"as it is ({scenario})", published=plugin.published.get(scenario))
    known = [row for variant in plugin.variants for row in _numbers(variant)]
    metrics, datasets = (list(dict.fromkeys(getattr(row, name) for row in known)) for name in ("metric", "dataset"))
    rows = []
    for variant in (usual, *plugin.variants):
        words = [f"-s {setting}" for setting in variant.settings]
        words += [f"--scenario {variant.scenario}"] if variant.scenario else []
        printed = {(row.dataset, row.metric): row.printed.partition(" ")[0] for row in _numbers(variant)}
        cells = [[printed.get((dataset, metric), NOTHING) for metric in metrics] for dataset in datasets]
        texts = [" / ".join(cell) if set(cell) != {NOTHING} else NOTHING for cell in cells]
        rows.append([variant.summary, " ".join(words), *texts])
    heading = "Options that the authors report"
    if known:
        heading += f", with their {' / '.join(registry.metric(name).label for name in metrics)} on test"
    return heading, text_table(("option", "to type", *datasets), rows)


def _numbers(variant: Variant) -> list[PublishedRow]:
    """What is published of the variant on test splits."""
    return [row for row in published_rows() if row.split == "test" and row.system == variant.published]


def _variant_record(variant: Variant) -> dict[str, Any]:
    numbers = [{"dataset": row.dataset, "metric": row.metric, "mean": row.mean} for row in _numbers(variant)]
    return {**dataclasses.asdict(variant), "numbers": numbers}


def state_of(run_dir: Path) -> str:
    """How far a run has come; of one that is not finished also how fast it was, and when it last said so."""
    path = run_dir / "log.jsonl"
    log = [line for line in read_log(path) if "updates" in line]
    updates = log[-1]["updates"] if log else 0
    if is_finished(run_dir):
        return f"finished, {updates:,} updates"
    if not log:
        return "not begun"
    planned = [line["of"] for line in log if "of" in line]
    words = [f"{updates:,} of {planned[-1]:,} updates" if planned else f"{updates:,} updates, not finished"]
    if log[-1].get("event") == "stopped":
        return f"stopped ({log[-1]['reason']}) at {words[0]}"
    words += _pace([line for line in log if "of" in line and "phase" in line])
    return ", ".join([*words, f"written {timedelta(seconds=max(0, round(time.time() - path.stat().st_mtime)))} ago"])


def cost_of(run: RunConfig) -> str:
    """What the run took, in words; empty where no call has ended yet."""
    cost = run.cost
    if not cost:
        return ""
    where = f"{cost['ranks']} x {cost['device']}" if cost["ranks"] > 1 else cost["device"]
    time_taken = timedelta(seconds=round(cost["seconds"]))
    return f"{time_taken} on {where}, {cost['images']:,} images, at most {cost['peak_bytes'] / 1e9:.1f} GB"


def _pace(trained: Sequence[Mapping[str, Any]]) -> list[str]:
    """Speed at the last line of the log and the time left at the pace of the phase in it; nothing before two lines."""
    if not trained:
        return []
    last = trained[-1]
    speed = f"{last['scenes_per_second']:,.0f} scenes/s"
    first = next(line for line in trained if line["phase"] == last["phase"])
    updates, seconds = last["updates"] - first["updates"], last["seconds"] - first["seconds"]
    if updates <= 0 or seconds <= 0:
        return [speed]
    return [speed, f"{timedelta(seconds=round((last['of'] - last['updates']) * seconds / updates))} left"]


def of_run(run_dir: Path) -> Account:
    """What a run is, how far it has come, its scores, and which published system it stands for."""
    run = RunConfig.load(run_dir)
    lines = [
        ("run", str(run_dir)),
        ("model", f"{run.model}   preset {run.preset}, scenario {run.scenario}, seed {run.seed}"),
        ("set", ", ".join(run.overrides)),
        ("trial", f"at most {run.steps:,} updates a phase" if run.steps else ""),
        ("data", f"{run.trained_on}   fingerprint {run.fingerprint[:8]}"),
        ("state", state_of(run_dir)),
        ("pulled", pulled_from(run_dir) or ""),
        ("device", f"{run.device}   {run.precision}"),
        ("cost", cost_of(run)),
        ("versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]
    tables, scores = [], []
    for path in sorted((run_dir / "scores").glob("*.json")):
        sheet = ScoreSheet.load(path)
        why = why_none(run, sheet)
        beside = published_beside(sheet.dataset, sheet.split, sheet.protocol)
        if not why and run.published not in [row.system for row in beside]:
            why = [f"{run.published} was not scored on this split"]
        stands = f"stands for no published row: {'; '.join(why)}" if why else f"stands for {run.published}"
        heading = f"{sheet.dataset}:{sheet.split}@{sheet.protocol}   {sheet.scenes:,} scenes"
        tables.append((heading, f"{sheet_table(sheet)}\n{stands}"))
        scores.append(sheet.to_json())
    record = {"run": str(run_dir), "config": dict(run.config), "finished": is_finished(run_dir), "sheets": scores}
    return Account([(word, text) for word, text in lines if text], tables, record)
