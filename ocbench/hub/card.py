"""The model card of a published run: README.md, whose front matter the hub reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocbench import registry
from ocbench.errors import OcbenchError
from ocbench.runs import MetricResult, RunConfig, ScoreSheet, short
from ocbench.tables import NOTHING, heading, markdown_table, shown

if TYPE_CHECKING:
    from ocbench.hub.manifest import Manifest
    from ocbench.plugin import ModelPlugin

TASK = "image-segmentation"
TAGS = ("ocbench", "object-centric-learning", "unsupervised-segmentation", "instance-segmentation")


def card(
    run: RunConfig, sheets: Sequence[ScoreSheet], plugin: ModelPlugin, manifest: Manifest, where: str, licence: str
) -> str:
    """The card as text; `where` is what to type after `ocbench pull`, `manifest` is without the card itself."""
    parts = [
        f"---\n{_front(run, sheets, manifest, licence)}\n---",
        f"# {manifest.run}",
        f"`{run.model}` ({plugin.summary}), trained without labels on `{run.trained_on}`: it segments a picture of "
        f"{run.size[0]} x {run.size[1]} pixels into at most {run.max_objects} objects"
        f"{' and a background' if run.has_background else ''}. Trained, scored and published with ocbench.",
        _use(run, manifest, where),
        "## Results",
        *([_results(sheet) for sheet in sheets] or ["Not scored yet: `ocbench evaluate` does."]),
        f"## Training\n\n{_training(run)}",
        f"## Licence and citation\n\n{_rights(run, plugin, licence)}",
        f"## Files\n\n{_files(manifest)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front(run: RunConfig, sheets: Sequence[ScoreSheet], manifest: Manifest, licence: str) -> str:
    """The front matter, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=TASK, dataset_type=sheet.dataset, dataset_name=f"{sheet.dataset}:{sheet.split}@{sheet.protocol}",
            dataset_config=sheet.protocol, dataset_split=sheet.split, dataset_args={"fingerprint": sheet.fingerprint},
            metric_type=result.metric, metric_name=result.label,
            metric_value=float(f"{result.mean * result.scale:.6g}"),
        )
        for sheet in sheets for result in sheet.results if result.mean == result.mean
    ]  # fmt: skip
    known = re.fullmatch(r"[A-Za-z0-9.-]+", licence)
    return ModelCardData(
        license=licence.lower() if known else "other" if licence else None,
        license_name=licence if licence and not known else None,
        library_name="ocbench", pipeline_tag=TASK, tags=[*TAGS, run.model], datasets=[run.dataset],
        model_name=manifest.run, eval_results=results or None,
    ).to_yaml()  # fmt: skip


def _use(run: RunConfig, manifest: Manifest, where: str) -> str:
    name = re.split("[:/]", where)[-1]
    needed = "" if manifest.distribution == "ocbench" else f" {manifest.distribution}=={manifest.version}"
    lines = [
        f"pip install ocbench{needed}", f"ocbench pull {where}",
        f"ocbench prepare {run.dataset} --protocol {run.protocol}", f"ocbench evaluate {name}",
        f"ocbench predict {name} my-pictures/ --out found/",
    ]  # fmt: skip
    return "## Use\n\n```bash\n" + "\n".join(lines) + "\n```"


def _results(sheet: ScoreSheet) -> str:
    """A table of one sheet, and what it is about."""
    level = sheet.settings.get("level")
    headings = ["metric", "value", f"{level:g} % interval" if level else "interval", "published"]
    rows = [[heading(r), shown(r, r.mean), _interval(r), _published(r)] for r in sheet.results]
    kept = [column for column in range(4) if any(row[column] != NOTHING for row in rows)]
    table = markdown_table([headings[i] for i in kept], [[row[i] for i in kept] for row in rows])
    protocol = f"{sheet.protocol}/{sheet.protocol_version}"
    notes = [f"{sheet.scenes:,} scenes, protocol `{protocol}`, fingerprint `{sheet.fingerprint}`"]
    partial, seen = sheet.special.get("partial"), sheet.special.get("seen_in_training")
    notes += [f"NOT THE WHOLE SPLIT: {short(partial)}"] if partial else []
    notes += [f"{seen:,} of these scenes were in the training split"] if seen else []
    return f"### {sheet.dataset}:{sheet.split}@{sheet.protocol}\n\n{'; '.join(notes)}.\n\n{table}"


def _interval(result: MetricResult) -> str:
    return NOTHING if result.interval is None else " – ".join(shown(result, bound) for bound in result.interval)


def _published(result: MetricResult) -> str:
    if result.published is None:
        return NOTHING
    mean, std = result.published["mean"], result.published.get("std")
    return f"{mean:g}" if std is None else f"{mean:g} ± {std:g}"


def _training(run: RunConfig) -> str:
    cost = run.cost
    rows = [
        ("data", f"{run.trained_on}, fingerprint {run.fingerprint}"),
        ("short of the protocol", short(run.partial) if run.partial else ""),
        ("scenario, preset", f"{run.scenario}, {run.preset}"),
        ("settings changed", ", ".join(run.overrides)),
        ("trial", f"at most {run.steps:,} updates a phase" if run.steps else ""),
        ("began with", run.init_from or ""),
        ("phases of other runs", ", ".join(f"{phase} of {whose}" for phase, whose in run.shared.items())),
        ("seed", str(run.seed)),
        ("precision", run.precision + (", compiled" if run.compile else "")),
        ("cost", f"{cost['seconds']:,.0f} s on {cost['ranks']} x {cost['device']}" if cost else ""),
        ("versions", ", ".join(f"{name} {number}" for name, number in run.versions.items())),
    ]
    told = "\n".join(f"* {word}: {text}" for word, text in rows if text)
    return f"{told}\n\nAll settings are in `run.json`, the curves in `log.jsonl`."


def _rights(run: RunConfig, plugin: ModelPlugin, licence: str) -> str:
    lines = [f"Weights: {licence or 'no licence stated'}. Model `{run.model}`: {plugin.license or 'see its package'}."]
    data = _dataset(run.dataset)
    if data is not None and data[0]:
        lines.append(f"Data `{run.dataset}`: {data[0]}")
    for text in (plugin.citation, data[1] if data else ""):
        if text:
            lines.append(f"```\n{text.strip()}\n```")
    return "\n\n".join(lines)


def _dataset(name: str) -> tuple[str, str] | None:
    """Licence and citation of a dataset; None where none of that name is installed."""
    try:
        spec = registry.dataset(name)
    except OcbenchError:
        return None
    return spec.license, spec.citation


def _files(manifest: Manifest) -> str:
    rows = [[f"`{entry.path}`", f"{entry.size:,}", f"`{entry.sha256[:16]}…`"] for entry in manifest.files]
    return (
        f"{markdown_table(('file', 'bytes', 'SHA-256'), rows)}\n\n`ocbench.json` holds all sizes and digests, which "
        f"`ocbench pull` checks; nothing here is code or a pickle. Published by ocbench {manifest.ocbench} with "
        f"{manifest.distribution} {manifest.version}; weights digest `{manifest.weights_digest}`."
    )
