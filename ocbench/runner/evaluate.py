"""Verb: checkpoint -> predictions -> per-scene rows -> score sheet."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocbench import imaging, registry
from ocbench.errors import RunError, UsageError
from ocbench.panels import Panel, write_panels
from ocbench.prepared import PreparedSplit
from ocbench.recipe import versions
from ocbench.runner import checkpoint
from ocbench.runner.device import Place, place
from ocbench.runner.gallery import save_gallery
from ocbench.runner.outcomes import device_of, predicted, with_backgrounds
from ocbench.runner.restore import load_model
from ocbench.runner.rows import Rows
from ocbench.runs import RunConfig, ScoreSheet, json_lines, sheet_name
from ocbench.scene import Outcome, Scene
from ocbench.scoring import DEFAULT_METRICS, Columns, NanPolicy, scene_rows
from ocbench.sheets import Origin, fingerprint, score_sheet
from ocbench.standing import with_published

Progress = Callable[[int, int, str], None]


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
    gallery: int = 0  # scenes kept for the HTML report: best, worst and random ones
    labels_dir: str | None = None
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, beside weights and data; JSON-able."""
        names = ("metrics", "batch_size", "seed", "nan", "level", "masks")
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))


def evaluate(
    model: nn.Module,
    scenes: Sequence[Scene],
    *,
    options: Options = Options(),
    origin: Origin | None = None,
    rows_path: Path | None = None,
    where: Place | None = None,
    progress: Progress | None = None,
) -> ScoreSheet:
    """The score sheet of a model on scenes (a `PreparedSplit`, or any sequence of `Scene`).

    `rows_path` receives one JSON line a scene as they come; what it holds of the same evaluation is not computed again,
    and where there are several ranks (`where`), each scores its share. Without it, every rank scores everything.
    """
    origin = origin or Origin()
    work, began = _Work(model, scenes, options), time.monotonic()
    where = where or Place(work.device)
    columns, seen = Columns(work.metrics), 0
    for row in work.all_rows(progress) if rows_path is None else _through(rows_path, work, where, progress):
        columns.add(row)
        seen += row["key"] in origin.seen
    return score_sheet(
        columns, seen, scenes, dataclasses.replace(origin, digest=work.digest), settings=options.identity(),
        environment={**versions(), "threads": torch.get_num_threads()}, seconds=time.monotonic() - began,
    )  # fmt: skip


class _Work:
    """The batches of an evaluation. The rows of one depend on the scenes in it, the model and the options alone."""

    def __init__(self, model: nn.Module, scenes: Sequence[Scene], options: Options) -> None:
        self.model, self.scenes, self.options = model, scenes, options
        self.metrics = [registry.metric(name) for name in options.metrics]
        self.device, self.digest = device_of(model), checkpoint.weights_digest(model)
        self.keys = scenes.keys if isinstance(scenes, PreparedSplit) else tuple(scene.key for scene in scenes)

    def identity(self) -> dict[str, Any]:
        """What decides the rows; JSON-able."""
        return {"weights": self.digest, "data": fingerprint(self.scenes), **self.options.identity()}

    def rows(self, batches: Sequence[range]) -> Iterator[list[dict[str, Any]]]:
        """The rows of each batch, which is given as the places of its scenes; its label maps are saved before."""
        self.model.eval()
        places = [place for batch in batches for place in batch]
        whole = self.scenes
        scenes = whole.at(places) if isinstance(whole, PreparedSplit) else (whole[place] for place in places)
        for batch in batches:
            group = list(islice(scenes, len(batch)))
            options = self.options
            found = list(predicted(self.model, group, self.device, options.seed, batch.start, options.masks))
            if options.labels_dir is not None:
                for outcome in found:
                    _save_labels(Path(options.labels_dir), outcome)
            yield scene_rows(found, self.metrics)

    def all_rows(self, progress: Progress | None) -> Iterator[dict[str, Any]]:
        """Every row in scene order, as it would be read back from a file."""
        size, count = self.options.batch_size, len(self.keys)
        batches = [range(start, min(start + size, count)) for start in range(0, count, size)]
        for found in _watched(self.rows(batches), 0, count, 1, progress):
            yield from json.loads(json.dumps(found))


def _through(path: Path, work: _Work, where: Place, progress: Progress | None) -> Iterator[dict[str, Any]]:
    """Every row in scene order, by way of a file, in which those of an interrupted evaluation are taken up."""
    anew = work.options.overwrite or work.options.labels_dir is not None  # label maps are made of what is scored
    rows = Rows(path, work.identity(), work.keys, work.options.batch_size, anew)
    if anew:
        if where.writes:
            rows.clear_parts()
        where.wait()
    there = rows.found()
    where.wait()  # until every rank has seen what was there
    todo = [rows.scenes(batch) for batch in range(rows.batches) if batch not in there][where.rank :: where.world]
    already = sum(len(rows.scenes(batch)) for batch in there)
    with rows.new_part(where.rank) as part:
        for found in _watched(work.rows(todo), already, len(work.keys), where.world, progress):
            part.add(found)
    where.wait()
    if where.writes:
        rows.join()
    where.wait()
    return rows.joined()


def _watched(
    batches: Iterator[list[dict[str, Any]]], already: int, total: int, world: int, progress: Progress | None
) -> Iterator[list[dict[str, Any]]]:
    """The batches, telling how far this rank, and so probably all, have come."""
    done, began = 0, time.monotonic()
    for batch in batches:
        yield batch
        done += len(batch) * world
        if progress is not None:
            speed = f"{done / max(time.monotonic() - began, 1e-9):,.0f} scenes/s"
            progress(min(already + done, total), total, speed)


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
    where = place(options.device)
    model = load_model(run_dir, checkpoint_name=options.checkpoint, device_name=options.device)
    stem = sheet_name(scenes.dataset, scenes.split, scenes.manifest.protocol)
    path = run_dir / "scores" / f"{stem}.json"
    before = None if options.overwrite else _sheet_before(path, model, scenes, options)
    known = before is not None and options.labels_dir is None
    origin = _origin(run_dir, run, options)
    sheet = before if before is not None and known else evaluate(
        model, scenes, options=options, origin=origin, rows_path=path.with_suffix(".jsonl"), where=where,
        progress=progress,
    )  # fmt: skip
    if not known:
        sheet = with_published(sheet, run)
        if where.writes:
            sheet.save(path)
    if options.gallery and where.writes and not (known and (run_dir / "gallery" / stem).is_dir()):
        rows = (row for _, row in json_lines(path.with_suffix(".jsonl")) if "key" in row)
        save_gallery(
            run_dir / "gallery" / stem, model, scenes, rows, count=options.gallery, seed=options.seed,
            masks=options.masks, batch_size=options.batch_size,
        )  # fmt: skip
    if options.panels and where.writes:
        _draw(run_dir / "panels" / f"{stem}.png", model, scenes, options, run.has_background)
    return sheet, known


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


def _origin(run_dir: Path, run: RunConfig, options: Options) -> Origin:
    identity = {name: getattr(run, name) for name in ("model", "scenario", "preset", "seed", "steps")}
    identity |= {"name": run_dir.name, "overrides": list(run.overrides), "checkpoint": options.checkpoint}
    identity |= {"trained_on": run.trained_on}
    keys = run_dir / "scenes.txt"
    return Origin(identity, frozenset(keys.read_text().split() if keys.is_file() else ()))


def _save_labels(folder: Path, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{outcome.scene.key}.png").write_bytes(imaging.encode_labels(outcome.labels))


def _draw(path: Path, model: nn.Module, scenes: PreparedSplit, options: Options, has_background: bool) -> None:
    """Draws the first scenes: input, truth, prediction, reconstruction and, where slot 0 is it, the background."""
    shown = list(islice(iter(scenes), options.panels))
    metrics = [registry.metric(name) for name in ("miou", "ari_fg")]
    found = with_backgrounds(
        model, shown, device_of(model), batch_size=options.batch_size, has_background=has_background,
        seed=options.seed, masks=options.masks,
    )  # fmt: skip
    panels = [
        Panel(outcome, {m.label: 100 * m.score(outcome) for m in metrics}, background) for outcome, background in found
    ]
    write_panels(path, panels)
