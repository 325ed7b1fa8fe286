"""Verb: source -> verified shards, resumable, whose bytes depend on nothing but source and protocol.

A shard is the unit of work. A part that can be entered anywhere is read shard by shard on every worker; one that can only
be read from its beginning is read once, by one reader that feeds the encoding workers. What a killed call leaves is whole
shards with their records; the same command goes on from there.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ocbench import imaging, storage
from ocbench.errors import DataError, UsageError
from ocbench.prepared import split_directory
from ocbench.ranges import Range, resolve
from ocbench.scene import DatasetSpec, Protocol, Scene, check_scene
from ocbench.shards import MANIFEST, SCENES_PER_SHARD, Manifest, ShardRecord, fingerprint, write_shard

PLAN = "plan.json"
Progress = Callable[[int, int, str], None]
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Options:
    """How to prepare."""

    workers: int = 1
    image_format: str = "webp"
    limit: int | None = None
    partial: bool = False
    skip_unreadable: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Job:
    """One shard to be written."""

    spec: DatasetSpec
    protocol: Protocol
    source: str | None
    range: Range
    directory: str
    name: str
    start: int
    stop: int
    options: Options

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)


def source_of(spec: DatasetSpec, raw: str | None, data_dir: str) -> str | None:
    """Where the raw distribution lies; None for a dataset that needs none."""
    return (raw or os.path.join(data_dir, "raw", spec.name)) if spec.needs_source else None


def plan(
    spec: DatasetSpec, protocol: Protocol, source: str | None, splits: Sequence[str] | None, options: Options
) -> tuple[list[Range], list[str]]:
    """The range of each split, and the splits whose part is not there."""
    where = "the renderer" if source is None else f"'{source}'"
    parts = spec.parts(source, partial=options.partial)
    return resolve(protocol, parts, splits, limit=options.limit, partial=options.partial, where=where)


def prepare(
    spec: DatasetSpec,
    protocol: Protocol,
    *,
    source: str | None,
    data_dir: str,
    splits: Sequence[str] | None = None,
    options: Options = Options(),
    progress: Progress | None = None,
    say: Say = lambda word, text: None,
) -> dict[str, Manifest]:
    """The manifest of every split that the source allows, prepared under `<data_dir>/shards/<dataset>/<protocol>/`.

    DataError where the source is not as promised or a folder holds something else; nothing whole is ever damaged.
    """
    ranges, _ = plan(spec, protocol, source, splits, options)
    jobs: list[Job] = []
    for found in ranges:
        directory = split_directory(data_dir, spec.name, protocol.name, found.split.name)
        _claim(directory, spec, protocol, found, options)
        jobs += [
            Job(spec, protocol, source, found, directory, name, start, stop, options)
            for name, start, stop in found.shards(SCENES_PER_SHARD)
        ]
    done = {job.path: record for job in jobs if (record := existing(job)) is not None}
    if done:
        say("resume", f"{len(done)} of {len(jobs)} shards already verified")
    todo = [job for job in jobs if job.path not in done]
    if todo:
        _check_space(todo, data_dir)
        done |= _run(todo, options.workers, progress)
    return {found.split.name: _finish(jobs, found, done) for found in ranges}


def _claim(directory: str, spec: DatasetSpec, protocol: Protocol, found: Range, options: Options) -> None:
    """Makes the split's folder ours, or refuses where it holds another preparation."""
    mine = {
        "dataset": spec.name, "split": found.split.name, "protocol": protocol.name, "version": protocol.version,
        "image_format": options.image_format, "limit": options.limit, "partial": found.partial,
        "range": [found.start, found.stop], "skip_unreadable": options.skip_unreadable,
    }  # fmt: skip
    path = os.path.join(directory, PLAN)
    if os.path.isdir(directory) and os.listdir(directory):
        theirs = json.loads(storage.read_bytes(path)) if os.path.exists(path) else {}
        differing = [f"{key} {theirs.get(key)}, now {mine[key]}" for key in mine if theirs.get(key) != mine[key]]
        if not differing:
            return
        if not options.overwrite:
            raise DataError(
                f"'{directory}' holds another preparation",
                found="; ".join(differing) if theirs else "files that `ocbench prepare` did not write",
                hint="add --overwrite to replace it",
            )
        shutil.rmtree(directory)
    os.makedirs(directory, exist_ok=True)
    storage.write_atomic(path, json.dumps(mine).encode())


def existing(job: Job) -> ShardRecord | None:
    """The record of a shard that is there, whole and as recorded; else None."""
    try:
        record = ShardRecord.from_json(json.loads(storage.read_bytes(f"{job.path}.json")))
    except (DataError, ValueError, TypeError):
        return None
    if not os.path.exists(job.path) or os.path.getsize(job.path) != record.bytes:
        return None
    return record if storage.sha256_of(job.path) == record.sha256 else None


def _check_space(jobs: Sequence[Job], data_dir: str) -> None:
    """Refuses to begin where even a quarter of the raw pixels would not fit: lossless shards have never been smaller."""
    height, width = jobs[0].protocol.size
    needed = sum(job.stop - job.start for job in jobs) * height * width * 3 // 16
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        raise DataError(
            f"the disk is too full for the shards in '{data_dir}'",
            expected=f"at least {needed / 1e6:,.0f} MB",
            found=f"{free / 1e6:,.0f} MB free",
            hint="free some space, or name another --data-dir",
        )


def _run(jobs: Sequence[Job], workers: int, progress: Progress | None) -> dict[str, ShardRecord]:
    records: dict[str, ShardRecord] = {}
    total, scenes, began = len(jobs), 0, time.monotonic()

    def note(job: Job, record: ShardRecord) -> None:
        nonlocal scenes
        records[job.path] = record
        scenes += len(record.keys)
        if progress is not None:
            progress(len(records), total, f"{scenes / max(time.monotonic() - began, 1e-9):,.0f} scenes/s")

    seekable = [job for job in jobs if job.range.part.seekable]
    streamed = [job for job in jobs if not job.range.part.seekable]
    with _pool(min(workers, len(jobs))) as pool:
        tasks = ((job, (write_seekable, job)) for job in seekable)
        _drain(pool, tasks, workers, note)
        for mine in _passes(streamed):
            batches = ((job, (write_scenes, job, scenes)) for job, scenes in stream(mine))
            _drain(pool, batches, workers, note)
    return records


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    """Spawned processes, or None: one worker is this process."""
    if workers <= 1:
        yield None
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BrokenProcessPool as wrong:
        raise DataError(
            "a worker process died", found=str(wrong), hint="run the same command again, perhaps with fewer workers"
        ) from wrong
    finally:
        pool.shutdown(cancel_futures=True)


def _drain(
    pool: Executor | None, tasks: Iterable[tuple[Job, tuple]], workers: int, note: Callable[[Job, ShardRecord], None]
) -> None:
    """Runs the tasks, at most one more in flight than there are workers, so that memory stays bounded."""
    waiting: dict[Future, Job] = {}
    for job, (function, *arguments) in tasks:
        if pool is None:
            note(job, function(*arguments))
            continue
        waiting[pool.submit(function, *arguments)] = job
        if len(waiting) > workers:
            _collect(waiting, note)
    while waiting:
        _collect(waiting, note)


def _collect(waiting: dict[Future, Job], note: Callable[[Job, ShardRecord], None]) -> None:
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        note(waiting.pop(future), future.result())


def write_seekable(job: Job) -> ShardRecord:
    """Reads, fits and writes one shard of a part that can be entered anywhere."""
    unreadable: list[str] = []
    scenes = _scenes(job, unreadable) if job.options.skip_unreadable else _read(job, job.start, job.stop)
    flagged: list[str] = []
    return write_shard(
        job.path, _fitted(scenes, job, flagged), job.options.image_format, flagged=flagged, unreadable=unreadable
    )


def write_scenes(job: Job, scenes: Sequence[tuple[Scene, bool]]) -> ShardRecord:
    """Writes one shard from scenes that the reader has fitted, each with whether the crop removed an object."""
    flagged = [scene.key for scene, lost in scenes if lost]
    return write_shard(job.path, (scene for scene, _ in scenes), job.options.image_format, flagged=flagged)


def _read(job: Job, start: int, stop: int) -> Iterator[Scene]:
    return job.spec.read(job.source, job.range.split.part, start, stop, **job.protocol.reading)


def _scenes(job: Job, unreadable: list[str]) -> Iterator[Scene]:
    """Scene by scene, so that one that cannot be read ends nothing but itself."""
    for index in range(job.start, job.stop):
        try:
            yield from list(_read(job, index, index + 1))
        except DataError as wrong:
            unreadable.append(f"{job.range.split.part}-{index:06d}: {wrong.message}")


def _fitted(scenes: Iterable[Scene], job: Job, flagged: list[str]) -> Iterator[Scene]:
    count = 0
    for scene in scenes:
        count += 1
        fitted, lost = fit(scene, job.protocol, job.range.split.max_objects)
        if lost:
            flagged.append(scene.key)
        yield fitted
    _check_count(job, count)


def _check_count(job: Job, scenes: int) -> None:
    """A source that was taken for whole must give every scene, where the protocol fixes their number."""
    tolerated = job.options.partial or job.options.skip_unreadable or job.range.split.scenes is None
    if scenes < job.stop - job.start and not tolerated:
        part = job.range.part
        raise DataError(
            f"the source has {scenes:,} of the {job.stop - job.start:,} scenes "
            f"{job.start:,} to {job.stop - 1:,} of '{job.range.split.part}'",
            expected=f"{part.expected:,} scenes in the part" if part.expected else None,
            hint="complete the download, or --partial to prepare what is there (ranges scaled, the set marked)",
        )


def fit(scene: Scene, protocol: Protocol, max_objects: int | None = None) -> tuple[Scene, bool]:
    """The scene at the protocol's size, checked, and whether an object is no longer to be seen."""
    check_scene(scene, max_objects or protocol.max_objects)
    parts = scene.background_parts
    fitted = replace(
        scene,
        image=imaging.fit_image(scene.image, protocol),
        mask=imaging.fit_mask(scene.mask, protocol),
        background_parts=None if parts is None else imaging.fit_mask(parts, protocol),
    )
    shown, there = (np.count_nonzero(np.bincount(mask.ravel())) for mask in (fitted.mask, scene.mask))
    return fitted, bool(shown < there)


def _passes(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in as few passes over each part as possible: within a pass, in order and without overlap."""
    passes: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: (job.range.split.part, job.start)):
        for earlier in passes:
            if earlier[-1].range.split.part == job.range.split.part and earlier[-1].stop <= job.start:
                earlier.append(job)
                break
        else:
            passes.append([job])
    return passes


def stream(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[tuple[Scene, bool]]]]:
    """One pass over a part: the fitted scenes of each job, jobs in order of their ranges."""
    if any(job.options.skip_unreadable for job in jobs):
        raise UsageError("--skip-unreadable needs a source that can be entered anywhere", hint="unpack the archives")
    stream = _read(jobs[0], jobs[0].start, max(job.stop for job in jobs))
    later = iter(jobs)
    job, batch = next(later), []
    for scene in stream:
        index = int(scene.key.rsplit("-", 1)[1])
        while index >= job.stop:
            _check_count(job, len(batch))
            yield job, batch
            job, batch = next(later), []
        if index >= job.start:
            batch.append(fit(scene, job.protocol, job.range.split.max_objects))
    _check_count(job, len(batch))
    yield job, batch
    for job in later:  # a partial source ended before its last range
        _check_count(job, 0)
        yield job, []


def _finish(jobs: Sequence[Job], found: Range, done: dict[str, ShardRecord]) -> Manifest:
    """Writes the split's manifest from the records of its shards, and drops the records that it now holds."""
    mine = [job for job in jobs if job.range is found]
    job, records = mine[0], tuple(done[job.path] for job in mine)
    keys = [key for record in records for key in record.keys]
    if not keys:
        raise DataError(f"not one scene was found for split '{found.split.name}'")
    rule: dict[str, Any] = {
        "crop": job.protocol.crop and list(job.protocol.crop), "image_filter": job.protocol.image_filter, "mask_filter": job.protocol.mask_filter,
        "reading": dict(job.protocol.reading), "part": found.split.part, "range": [found.start, found.stop],
    }  # fmt: skip
    manifest = Manifest(
        dataset=job.spec.name, split=found.split.name, protocol=job.protocol.name, version=job.protocol.version,
        size=job.protocol.size, max_objects=found.split.max_objects or job.protocol.max_objects,
        image_format=job.options.image_format, rule=rule, shards=records,
        fingerprint=fingerprint(
            job.protocol.name, job.protocol.version, keys, [d for record in records for d in record.digests]
        ),
        partial=_shortage(job, keys, records), limit=job.options.limit, source=(asdict(found.part),),
    )  # fmt: skip
    path = os.path.join(job.directory, MANIFEST)
    if not os.path.exists(path) or Manifest.load(job.directory) != manifest:
        manifest.save(job.directory)
    return manifest


def _shortage(job: Job, keys: Sequence[str], records: Sequence[ShardRecord]) -> dict[str, Any] | None:
    """How the part falls short, and the indices that --partial missed within the range; None where it is whole."""
    found = job.range
    there = {key.rpartition("-")[2] for key in keys} | {
        name.partition(":")[0].rpartition("-")[2] for r in records for name in r.unreadable
    }
    if not job.options.partial or found.split.scenes is None or len(there) >= found.stop - found.start:
        return dict(found.partial) if found.partial else None
    missing = [index for index in range(found.start, found.stop) if f"{index:06d}" not in there]
    counts = {"part": found.split.part, "expected": found.part.expected, "found": found.part.scenes}
    return {**counts, **(found.partial or {}), "missing": missing}
