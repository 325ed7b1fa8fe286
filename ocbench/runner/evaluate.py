"""Verb: checkpoint -> predictions -> per-scene rows -> score sheet."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocbench import imaging, registry
from ocbench.errors import RunError, UsageError
from ocbench.panels import Panel, write_panels
from ocbench.prepared import PreparedSplit
from ocbench.published import PublishedRow, published_row
from ocbench.recipe import versions
from ocbench.runner import checkpoint
from ocbench.runner.outcomes import images_of, outcomes, predict
from ocbench.runner.restore import load_model
from ocbench.runner.rows import rows_of
from ocbench.runs import RunConfig, ScoreSheet, sheet_name
from ocbench.scene import Metric, Outcome, Scene
from ocbench.scoring import DEFAULT_METRICS, NanPolicy, scene_rows, summarise

Progress = Callable[[int, int, str], None]
SCORED_AT_ONCE = 64  # scenes


@dataclasses.dataclass(frozen=True)
class Options:
    """How to evaluate."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    batch_size: int = 64
    seed: int = 0
    nan: NanPolicy = "omit"
    level: float | None = 95.0  # of the bootstrap intervals
    masks: str | None = None  # one of the model's alternative sets of masks
    checkpoint: str = "final"
    device: str = "auto"
    panels: int = 0  # scenes drawn
    labels_dir: str | None = None
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, beside weights and data; JSON-able."""
        names = ("metrics", "batch_size", "seed", "nan", "level", "masks")
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the model comes from, as far as a sheet tells."""

    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    system: str | None = None  # of the published tables
    seen: frozenset[str] = frozenset()  # scene keys of the training split


def evaluate(
    model: nn.Module,
    scenes: Sequence[Scene],
    *,
    options: Options = Options(),
    origin: Origin = Origin(),
    rows_path: Path | None = None,
    progress: Progress | None = None,
) -> ScoreSheet:
    """The score sheet of a model on scenes (a `PreparedSplit`, or any sequence of `Scene`).

    `rows_path` receives one JSON line a scene as they come; what it holds of the same evaluation is not computed again.
    """
    metrics = [registry.metric(name) for name in options.metrics]
    digest = checkpoint.weights_digest(model)
    keys = scenes.keys if isinstance(scenes, PreparedSplit) else tuple(scene.key for scene in scenes)
    identity = {"weights": digest, "data": _fingerprint(scenes), **options.identity()}
    began = time.monotonic()
    with rows_of(rows_path, identity, keys, options.batch_size) as rows:
        already = len(rows.found)
        found = _outcomes(model, islice(iter(scenes), already, None), options, already)
        while batch := list(islice(found, SCORED_AT_ONCE)):
            for row in scene_rows(batch, metrics):
                rows.add(row)
            if options.labels_dir is not None:
                for outcome in batch:
                    _save_labels(Path(options.labels_dir), outcome)
            if progress is not None:
                done = len(rows.found)
                speed = (done - already) / max(time.monotonic() - began, 1e-9)
                progress(done, len(keys), f"{speed:,.0f} scenes/s")
    return _sheet(rows.found, metrics, scenes, options, origin, digest, time.monotonic() - began)


def _outcomes(model: nn.Module, scenes: Any, options: Options, first: int = 0) -> Any:
    return outcomes(
        model, scenes, _device_of(model), batch_size=options.batch_size, seed=options.seed, masks=options.masks,
        first=first,
    )  # fmt: skip


def _device_of(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _sheet(
    rows: list[dict[str, Any]], metrics: Sequence[Metric], scenes: Sequence[Scene], options: Options, origin: Origin,
    weights_digest: str, seconds: float,
) -> ScoreSheet:  # fmt: skip
    manifest = scenes.manifest if isinstance(scenes, PreparedSplit) else None
    flags = [flag for row in rows for flag in row["flags"]]
    results = summarise(rows, metrics, nan=options.nan, level=options.level)
    if manifest is not None and manifest.incomplete() is None:
        results = tuple(
            dataclasses.replace(result, published=_beside(published_row(
                origin.system, manifest.dataset, manifest.split, manifest.protocol, result.metric
            )))
            for result in results
        )  # fmt: skip
    return ScoreSheet(
        run=dict(origin.run),
        dataset=manifest.dataset if manifest else "scenes",
        split=manifest.split if manifest else "all",
        protocol=manifest.protocol if manifest else "none",
        protocol_version=manifest.version if manifest else 0,
        fingerprint=_fingerprint(scenes),
        weights_digest=weights_digest,
        scenes=len(rows),
        results=results,
        special={
            "no_foreground": flags.count("no_foreground"),
            "one_object": flags.count("one_object"),
            "seen_in_training": sum(row["key"] in origin.seen for row in rows),
            "partial": manifest.incomplete() if manifest else None,
        },
        environment={**versions(), "machine": platform.machine(), "threads": torch.get_num_threads()},
        cost={"seconds": seconds},
        settings=options.identity(),
    )


def _beside(row: PublishedRow | None) -> dict[str, Any] | None:
    """What a sheet keeps of a published number."""
    if row is None:
        return None
    return {"system": row.system, "mean": row.mean, "std": row.std, "runs": row.runs, "source": row.source}


def evaluate_run(
    run_dir: Path, scenes: PreparedSplit, options: Options, progress: Progress | None = None
) -> tuple[ScoreSheet, bool]:
    """The sheet of a run on a prepared split, written to its scores/; and whether it was there already.

    A complete sheet of the same weights, data and settings is read, not computed again; one of others is replaced only
    with `overwrite` (RunError).
    """
    run = RunConfig.load(run_dir)
    if tuple(scenes.manifest.size) != tuple(run.size):
        raise UsageError(
            f"'{scenes.name}' has images of another size than the run was trained on",
            expected="{} x {}".format(*run.size),
            found="{} x {}".format(*scenes.manifest.size),
        )
    model = load_model(run_dir, checkpoint_name=options.checkpoint, device_name=options.device)
    stem = sheet_name(scenes.dataset, scenes.split, scenes.manifest.protocol)
    path = run_dir / "scores" / f"{stem}.json"
    before = None if options.overwrite else _sheet_before(path, model, scenes, options)
    sheet = before or evaluate(
        model, scenes, options=options, origin=_origin(run_dir, run, scenes), rows_path=path.with_suffix(".jsonl"),
        progress=progress,
    )  # fmt: skip
    if before is None:
        sheet.save(path)
    if options.panels:
        _draw(run_dir / "panels" / f"{stem}.png", model, scenes, options, run.has_background)
    return sheet, before is not None


def _sheet_before(path: Path, model: nn.Module, scenes: PreparedSplit, options: Options) -> ScoreSheet | None:
    if not path.is_file():
        return None
    sheet = ScoreSheet.load(path)
    now = {
        "weights": checkpoint.weights_digest(model), "data": scenes.fingerprint, **options.identity(),
    }  # fmt: skip
    then = {"weights": sheet.weights_digest, "data": sheet.fingerprint, **sheet.settings}
    differing = [name for name in now if now[name] != then.get(name)]
    if not differing:
        return sheet
    raise RunError(
        f"'{path}' holds another evaluation",
        found="; ".join(f"{name}: there {then.get(name)}, now {now[name]}" for name in differing),
        hint="add --overwrite to replace it",
    )


def _origin(run_dir: Path, run: RunConfig, scenes: PreparedSplit) -> Origin:
    identity = {name: getattr(run, name) for name in ("model", "scenario", "preset", "seed", "steps")}
    identity |= {"name": run_dir.name, "overrides": list(run.overrides)}
    identity |= {"trained_on": f"{run.dataset}:{run.split}@{run.protocol}"}
    keys = run_dir / "scenes.txt"
    comparable = run.dataset == scenes.dataset and run.partial is None
    return Origin(
        identity, run.published if comparable else None, frozenset(keys.read_text().split() if keys.is_file() else ())
    )


def _fingerprint(scenes: Sequence[Scene]) -> str:
    return scenes.fingerprint if isinstance(scenes, PreparedSplit) else ""


def _save_labels(folder: Path, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{outcome.scene.key}.png").write_bytes(imaging.encode_labels(outcome.labels))


def _draw(path: Path, model: nn.Module, scenes: PreparedSplit, options: Options, has_background: bool) -> None:
    """Draws the first scenes: input, truth, prediction, reconstruction and, where slot 0 is it, the background."""
    shown = list(islice(iter(scenes), options.panels))
    metrics = [registry.metric(name) for name in ("miou", "ari_fg")]
    drawn = predict(model, images_of(shown, _device_of(model)), options.seed, 0, detail=True)
    behind: list[Any] = [None] * len(shown)
    if has_background and drawn.layers is not None:
        behind = list(drawn.layers[:, 0].float().cpu().numpy().transpose(0, 2, 3, 1))
    panels = [
        Panel(outcome, {m.label: 100 * m.score(outcome) for m in metrics}, background)
        for outcome, background in zip(_outcomes(model, shown, options), behind, strict=True)
    ]
    write_panels(path, panels)
