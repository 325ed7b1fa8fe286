"""Verb: label maps made by any tool -> rows and a score sheet, as of a run. No torch."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ocbench import imaging, label_maps, registry, storage
from ocbench.errors import DataError, RunError
from ocbench.label_maps import Found, Stored
from ocbench.prepared import PreparedSplit
from ocbench.runs import RunConfig, ScoreSheet, sheet_name
from ocbench.scene import Metric, Outcome, Scene
from ocbench.scoring import DEFAULT_METRICS, Columns, NanPolicy, scene_rows
from ocbench.sheets import Origin, score_sheet

Progress = Callable[[int, int, str], None]
SCORED_AT_ONCE = 64  # scenes
SCENARIO = "labels"  # in the names of runs and tables
FAULTS = ("missing", "extra", "unreadable", "size", "range")  # that a user may allow


@dataclass(frozen=True)
class Options:
    """How to score label maps that lie on disk."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    nan: NanPolicy = "omit"
    level: float | None = 95.0  # of the bootstrap intervals
    reconstructions: str | None = None  # where they lie
    mapping: str | None = None  # a CSV file: scene key, name of the label map
    resize: str | None = None  # nearest-centre or nearest-floor: label maps of another size are brought to the scene's
    allow: tuple[str, ...] = ()  # of FAULTS: told, and gone on from
    overwrite: bool = False

    def identity(self) -> dict[str, Any]:
        """What decides the numbers, beside label maps and data; JSON-able."""
        names = ("metrics", "nan", "level", "resize", "allow")
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))


def score_labels(
    labels: str, scenes: PreparedSplit, run: RunConfig, run_dir: Path, options: Options,
    progress: Progress | None = None,
) -> ScoreSheet:  # fmt: skip
    """The sheet of label maps against a prepared split, written to `run_dir`/scores/ with a row a scene.

    DataError, and nothing is written, where label maps lack, are too many or cannot be read, unless `options.allow`
    names that fault: such scenes are then left out, and the sheet is marked partial.
    """
    began, columns = time.monotonic(), Columns([registry.metric(name) for name in options.metrics])
    path = run_dir / "scores" / f"{sheet_name(scenes.dataset, scenes.split, scenes.manifest.protocol)}.json"
    with ExitStack() as stack:
        batch = _Batch(labels, scenes, options, stack)
        storage.make_folder(str(path.parent))
        rows = stack.enter_context(storage.replacing(str(path.with_suffix(".jsonl"))))
        identity = {"labels": os.path.abspath(labels), "data": scenes.fingerprint, **options.identity()}
        rows.write(json.dumps({"evaluation": identity}).encode() + b"\n")
        for row in batch.rows(columns.metrics, progress):
            rows.write(json.dumps(row).encode() + b"\n")
            columns.add(row)
        who = {"name": run_dir.name, "model": run.model, "scenario": run.scenario, "seed": run.seed}
        sheet = score_sheet(
            columns, 0, scenes, Origin(who | {"labels": identity["labels"]}, digest=batch.digest.hexdigest()),
            settings=options.identity(), environment={"python": platform.python_version()},
            seconds=time.monotonic() - began, partial=batch.shortfall(),
        )  # fmt: skip
        _refuse_other(path, sheet, options)
    run.save(run_dir)
    sheet.save(path)
    return sheet


def run_of(name: str, seed: int, scenes: PreparedSplit) -> RunConfig:
    """What stands in the place of a run for label maps: a system and a seed, and nothing of how they were made."""
    manifest = scenes.manifest
    return RunConfig(
        model=name, scenario=SCENARIO, preset="*", dataset=manifest.dataset, split="train", protocol=manifest.protocol,
        protocol_version=manifest.version, size=manifest.size, max_objects=manifest.max_objects, fingerprint="",
        seed=seed, config={},
    )  # fmt: skip


def _refuse_other(path: Path, sheet: ScoreSheet, options: Options) -> None:
    if options.overwrite or not path.is_file():
        return
    before = ScoreSheet.load(path)
    if (before.weights_digest, before.fingerprint, dict(before.settings)) != (
        sheet.weights_digest, sheet.fingerprint, dict(sheet.settings),
    ):  # fmt: skip
        raise RunError(
            f"'{path}' holds scores of other label maps, data or settings",
            hint="add --overwrite to replace it, or another --name",
        )


class _Batch:
    """Label maps matched with the scenes of a split, and what is wrong with them."""

    def __init__(self, labels: str, scenes: PreparedSplit, options: Options, stack: ExitStack) -> None:
        self.scenes, self.options, self.digest = scenes, options, hashlib.sha256()
        names = _mapping(options.mapping) if options.mapping else {}
        self.labels = _matched(label_maps.found(labels, stack), labels, scenes, names, options)
        self.pictures: Mapping[str, Stored] = {}
        if options.reconstructions is not None:
            there = label_maps.found(options.reconstructions, stack)
            self.pictures = _matched(there, options.reconstructions, scenes, names, options)
        self.faults: dict[str, list[str]] = {"unreadable": [], "size": [], "range": []}

    def rows(self, metrics: Sequence[Metric], progress: Progress | None) -> Iterator[dict[str, Any]]:
        """A row of every scene that has a label map, in scene order; DataError at the end where some are faulty."""
        places = [place for place, key in enumerate(self.scenes.keys) if key in self.labels]
        left, done, began = self.scenes.at(places), 0, time.monotonic()
        while scenes := list(islice(left, SCORED_AT_ONCE)):
            outcomes = [outcome for scene in scenes if (outcome := self._outcome(scene)) is not None]
            yield from scene_rows(outcomes, metrics) if outcomes else ()
            done += len(scenes)
            if progress is not None:
                progress(done, len(places), f"{done / max(time.monotonic() - began, 1e-9):,.0f} scenes/s")
        self._refuse_faulty(done)

    def shortfall(self) -> dict[str, Any] | None:
        """How the label maps fall short of the split, or None."""
        short = {"missing_labels": len(self.scenes) - len(self.labels)}
        short |= {f"labels_of_{fault}": len(names) for fault, names in self.faults.items()}
        return {name: count for name, count in short.items() if count} or None

    def _outcome(self, scene: Scene) -> Outcome | None:
        try:
            labels = label_maps.label_map(self.labels[scene.key], "range" in self.options.allow)
            rebuilt = label_maps.reconstruction(self.pictures[scene.key]) if scene.key in self.pictures else None
        except DataError as wrong:
            fault = "range" if isinstance(wrong, label_maps.LabelsOutOfRange) else "unreadable"
            self.faults[fault].append(f"{wrong.message}" + (f" ({wrong.found})" if wrong.found else ""))
            return None
        if labels.shape != scene.mask.shape and self.options.resize is not None:
            labels = imaging.resize_labels(labels, scene.mask.shape, self.options.resize)
        if labels.shape != scene.mask.shape or (rebuilt is not None and rebuilt.shape[:2] != scene.mask.shape):
            shape = labels.shape if rebuilt is None else rebuilt.shape[:2]
            self.faults["size"].append(f"'{self.labels[scene.key].name}' has {'x'.join(map(str, shape))}")
            return None
        self.digest.update(f"\n{scene.key} ".encode() + labels.tobytes())
        if rebuilt is not None:
            self.digest.update(rebuilt.tobytes())
        return Outcome(scene, labels, rebuilt)

    def _refuse_faulty(self, scenes: int) -> None:
        refused = {fault: names for fault, names in self.faults.items() if names and fault not in self.options.allow}
        for fault, names in refused.items():
            height, width = self.scenes.manifest.size
            raise DataError(
                f"{len(names)} of {scenes:,} label maps are faulty: {names[0]}",
                expected={"size": f"{height}x{width}", "range": "labels 0..255"}.get(fault, "label maps"),
                found="; ".join(names[1:3]) or None,
                hint={"size": "--resize nearest-centre"}.get(fault) or f"--allow {fault} "
                + ("renumbers them" if fault == "range" else "leaves these scenes out"),
            )  # fmt: skip
        if len(refused) == 0 and scenes == sum(map(len, self.faults.values())):
            raise DataError("not one label map could be scored")


def _mapping(path: str) -> dict[str, str]:
    """Scene key -> name of the label map, of a CSV file of two columns."""
    text = storage.read_bytes(path).decode("utf-8-sig", errors="replace")
    rows = [row for row in csv.reader(text.splitlines()) if row]
    names = {row[0].strip(): os.path.basename(row[1].strip()).partition(".")[0] for row in rows if len(row) == 2}
    if len(names) < len(rows):
        raise DataError(f"'{path}' is no mapping", expected="two columns, scene key and file; each key once")
    return names


def _matched(
    there: Found, where: str, scenes: PreparedSplit, names: Mapping[str, str], options: Options
) -> dict[str, Stored]:
    """Scene key -> its label map; DataError for missing and extra ones that are not allowed."""
    if isinstance(there, list):
        if len(there) != len(scenes):
            raise DataError(
                f"'{where}' cannot be matched with the scenes: it has no names, and another number",
                expected=f"{len(scenes):,} in the order of '{scenes.name}'", found=f"{len(there):,}",
                hint="an .npz with 'keys', or files named by scene key, need not be whole",
            )  # fmt: skip
        return dict(zip(scenes.keys, there, strict=True))
    wanted = {key: names.get(key, key) for key in scenes.keys}
    matched = {key: there[name] for key, name in wanted.items() if name in there}
    missing = [key for key in scenes.keys if key not in matched]
    extra = sorted(set(there) - set(wanted.values()))
    for fault, which, hint in (
        ("missing", missing, "leaves these scenes out"), ("extra", extra, "passes them over")
    ):  # fmt: skip
        if which and (fault not in options.allow or not matched):
            raise DataError(
                f"{len(which):,} label maps in '{where}' are {fault}: " + ", ".join(f"'{key}'" for key in which[:3]),
                expected=f"one named by each of the {len(scenes):,} scene keys of '{scenes.name}'",
                found=f"{len(matched):,} that match, {len(missing):,} missing, {len(extra):,} extra",
                hint=f"--map CSV where they have other names; --allow {fault} {hint}",
            )
    return matched
