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

from ocbench import imaging, registry, settings
from ocbench.errors import RunError, UsageError
from ocbench.prepared import PreparedSplit
from ocbench.published import row as published_row
from ocbench.recipe import default_dataset, resolve, versions
from ocbench.runner import checkpoint, device
from ocbench.runner.outcomes import images_of, outcomes, predict
from ocbench.runs import RunConfig, ScoreSheet, read_log, sheet_name
from ocbench.scene import Metric, Outcome, Protocol, Scene
from ocbench.scoring import DEFAULT_METRICS, NanPolicy, scene_row, summarise

Progress = Callable[[int, int, str], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to evaluate."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    batch_size: int = 64
    seed: int = 0
    nan: NanPolicy = "omit"
    level: float | None = 95.0  # of the bootstrap intervals
    masks: str | None = None
    checkpoint: str = "final"
    device: str = "auto"
    panels: int = 0
    labels_dir: str | None = None
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, beside weights and data."""
        return {name: getattr(self, name) for name in ("metrics", "batch_size", "seed", "nan", "level", "masks")}


def load_model(where: str | Path, *, checkpoint_name: str = "final", device_name: str = "auto") -> nn.Module:
    """The model of a run directory, of a checkpoint folder, or of a registered name (untrained), in eval mode.

    UnknownNameError, RunError or PluginError where there is none, or where its weights are not whole.
    """
    path = Path(where)
    folder = path / "checkpoints" / checkpoint_name
    if (path / checkpoint.WEIGHTS).is_file():
        path, folder = path.parents[1], path
    target = device.torch_device(device_name)
    if not (path / "run.json").is_file():
        plugin = registry.model(str(where))
        dataset = registry.dataset(default_dataset(plugin))
        recipe = resolve(plugin, dataset.name, None, None, [])
        return plugin.build(recipe.config, dataset.protocol()).to(target).eval()
    run = RunConfig.load(path)
    if not folder.is_dir():
        there = ", ".join(p.name for p in sorted((path / "checkpoints").glob("*"))) or "none"
        raise RunError(
            f"'{path}' has no checkpoint '{checkpoint_name}'", found=there, hint="train on: the same command again"
        )
    model = build(run)
    checkpoint.load_weights(folder, model)
    return model.to(target).eval()


def build(run: RunConfig) -> nn.Module:
    """The untrained model of a run, from run.json alone."""
    plugin = registry.model(run.model)
    config = settings.from_json(type(next(iter(plugin.presets.values()))), run.config)
    if "pretrained" in run.config:  # the run's own weights follow: nothing may be fetched for them
        config = dataclasses.replace(config, pretrained=False)  # type: ignore[type-var]
    protocol = Protocol(run.protocol, run.protocol_version, run.size, run.max_objects, splits=())
    return plugin.build(config, protocol)


def evaluate(
    model: nn.Module,
    scenes: Sequence[Scene],
    *,
    options: Options = Options(),
    run: Mapping[str, Any] | None = None,
    system: str | None = None,
    seen: frozenset[str] = frozenset(),
    rows_path: Path | None = None,
    progress: Progress | None = None,
) -> ScoreSheet:
    """The score sheet of a model on scenes (a `PreparedSplit`, or any sequence of `Scene`).

    `rows_path` receives one JSON line a scene as they come; what it holds of the same evaluation is not computed again.
    `system` names the row of the published tables, `seen` the scene keys of the training split.
    """
    metrics = [registry.metric(name) for name in options.metrics]
    weights_digest = checkpoint.weights_digest(model)
    identity = {"weights": weights_digest, "data": _fingerprint(scenes), **json.loads(json.dumps(options.identity()))}
    rows = _rows_so_far(rows_path, identity, scenes, options.batch_size)
    target = next((p.device for p in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    began, already = time.monotonic(), len(rows)
    following = outcomes(
        model, islice(iter(scenes), already, None), target, batch_size=options.batch_size, seed=options.seed,
        masks=options.masks, first=already,
    )  # fmt: skip
    with _appended(rows_path, identity, already) as write:
        for outcome in following:
            rows.append(json.loads(json.dumps(scene_row(outcome, metrics))))
            write(rows[-1])
            if options.labels_dir is not None:
                _save_labels(Path(options.labels_dir), outcome)
            if progress is not None:
                speed = (len(rows) - already) / max(time.monotonic() - began, 1e-9)
                progress(len(rows), len(scenes), f"{speed:,.0f} scenes/s")
    seconds = time.monotonic() - began
    return _sheet(rows, metrics, scenes, options, dict(run or {}), system, seen, weights_digest, seconds)


def _sheet(
    rows: list[dict[str, Any]], metrics: Sequence[Metric], scenes: Sequence[Scene], options: Options, run: dict[str, Any],
    system: str | None, seen: frozenset[str], weights_digest: str, seconds: float,
) -> ScoreSheet:  # fmt: skip
    split = scenes if isinstance(scenes, PreparedSplit) else None
    dataset, name = (split.dataset, split.split) if split else ("scenes", "all")
    published = {m.name: found for m in metrics if (found := published_row(system, dataset, name, m.name)) is not None}
    flags = [flag for row in rows for flag in row["flags"]]
    return ScoreSheet(
        run=run,
        dataset=dataset,
        split=name,
        protocol=split.manifest.protocol if split else "none",
        protocol_version=split.manifest.version if split else 0,
        fingerprint=_fingerprint(scenes),
        weights_digest=weights_digest,
        scenes=len(rows),
        results=summarise(rows, metrics, nan=options.nan, level=options.level, published=published),
        special={
            "no_foreground": flags.count("no_foreground"),
            "one_object": flags.count("one_object"),
            "seen_in_training": sum(row["key"] in seen for row in rows),
            "partial": split.manifest.incomplete() if split else None,
        },
        environment={**versions(), "machine": platform.machine(), "threads": torch.get_num_threads()},
        cost={"seconds": seconds},
        settings=json.loads(json.dumps(options.identity())),
    )


def evaluate_run(
    run_dir: Path, scenes: PreparedSplit, options: Options, progress: Progress | None = None
) -> tuple[ScoreSheet, bool]:
    """The sheet of a run on a prepared split, written to its scores/; and whether it was there already.

    A complete sheet of the same weights, data and settings is read, not computed again; one of others is replaced only
    with `overwrite` (RunError).
    """
    run = RunConfig.load(run_dir)
    if scenes.manifest.size != run.size:
        raise UsageError(
            f"'{scenes.name}' has another size than the run's training set",
            expected=str(run.size),
            found=str(scenes.manifest.size),
        )
    model = load_model(
        run_dir, checkpoint_name=_checkpoint_name(run_dir, options.checkpoint), device_name=options.device
    )
    stem = sheet_name(scenes.dataset, scenes.split, scenes.manifest.protocol)
    path = run_dir / "scores" / f"{stem}.json"
    before = ScoreSheet.load(path) if path.is_file() and not options.overwrite else None
    if before is not None:
        same = (before.weights_digest, before.fingerprint, before.settings) == (
            checkpoint.weights_digest(model), scenes.fingerprint, json.loads(json.dumps(options.identity())),
        )  # fmt: skip
        if not same:
            raise RunError(
                f"'{path}' holds scores of other weights, data or settings", hint="add --overwrite to replace it"
            )
    rows_path = path.with_suffix(".jsonl")
    if options.overwrite:
        rows_path.unlink(missing_ok=True)
    sheet = before
    if sheet is None:
        keys = run_dir / "scenes.txt"
        seen = frozenset(keys.read_text().split()) if keys.is_file() else frozenset()
        identity = {
            "name": run_dir.name,
            **{f: getattr(run, f) for f in ("model", "scenario", "preset", "seed", "steps")},
        }
        identity |= {"trained_on": f"{run.dataset}:{run.split}@{run.protocol}", "overrides": list(run.overrides)}
        sheet = evaluate(
            model, scenes, options=options, run=identity, system=run.published, seen=seen, rows_path=rows_path, progress=progress
        )  # fmt: skip
        sheet.save(path)
    if options.panels:
        _panel(run_dir / "panels" / f"{stem}.png", model, scenes, options, run.has_background)
    return sheet, before is not None


def _checkpoint_name(run_dir: Path, word: str) -> str:
    """The folder that final, last or a number of updates means."""
    if word == "final":
        return word
    found = checkpoint.numbered(run_dir)
    if word == "last" and found:
        return found[-1].name
    match = [path.name for path in found if word.isdigit() and int(path.name) == int(word)]
    if not match:
        there = ", ".join(str(int(path.name)) for path in found) or "none"
        raise RunError(f"'{run_dir}' has no checkpoint '{word}'", expected="final, last or a number", found=there)
    return match[0]


def _fingerprint(scenes: Sequence[Scene]) -> str:
    return scenes.fingerprint if isinstance(scenes, PreparedSplit) else ""


def _rows_so_far(
    path: Path | None, identity: Mapping[str, Any], scenes: Sequence[Scene], batch_size: int
) -> list[dict[str, Any]]:
    """The rows that an interrupted evaluation of the same kind left: whole batches of the first scenes."""
    if path is None or not path.is_file():
        return []
    records = read_log(path)
    if not records or records[0].get("evaluation") != dict(identity):
        path.unlink()
        return []
    rows = records[1:]
    keys = scenes.keys if isinstance(scenes, PreparedSplit) else [scene.key for scene in scenes]
    if [row["key"] for row in rows] != list(keys[: len(rows)]):
        path.unlink()
        return []
    whole = len(rows) if len(rows) == len(keys) else len(rows) - len(rows) % batch_size
    lines = [records[0], *rows[:whole]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return rows[:whole]


class _appended:
    """Opens the file of rows, begins it with what is being evaluated, and gives the function that adds one."""

    def __init__(self, path: Path | None, identity: Mapping[str, Any], already: int) -> None:
        self.path, self.identity, self.already = path, identity, already

    def __enter__(self) -> Callable[[Mapping[str, Any]], None]:
        if self.path is None:
            return lambda row: None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a", encoding="utf-8")
        if self.file.tell() == 0:
            self._write({"evaluation": dict(self.identity)})
        return self._write

    def _write(self, row: Mapping[str, Any]) -> None:
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def __exit__(self, *_: object) -> None:
        if self.path is not None:
            self.file.close()


def _save_labels(folder: Path, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{outcome.scene.key}.png").write_bytes(imaging.encode_labels(outcome.labels))


def _panel(path: Path, model: nn.Module, scenes: PreparedSplit, options: Options, has_background: bool) -> None:
    """Draws the first scenes: one prediction with detail, for what each slot draws."""
    from ocbench.panels import write_panel

    shown = list(islice(iter(scenes), options.panels))
    target = next((p.device for p in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    found = list(outcomes(model, shown, target, batch_size=options.batch_size, seed=options.seed, masks=options.masks))
    detail = predict(model, images_of(shown, target), options.seed, 0, detail=True)
    layers = None if detail.layers is None else detail.layers.float().cpu().numpy().transpose(0, 1, 3, 4, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_panel(str(path), found, layers[:, 0] if layers is not None and has_background else None)
