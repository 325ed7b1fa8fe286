"""The work that makes shards: a plan of ranges, and one job a shard, whose scenes are read, fitted and written.

A part that can be entered anywhere is read job by job, on any worker. One that can only be read from its beginning is
read in passes, each of which feeds many jobs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ocbench import executors, imaging, storage
from ocbench.errors import DataError, PluginError, UsageError
from ocbench.prepared import raw_directory, split_directory
from ocbench.ranges import Range, resolve
from ocbench.scene import DatasetSpec, Protocol, Scene, check_scene
from ocbench.shards import MANIFEST, RECORD, Manifest, ShardRecord, write_shard

PLAN = "plan.json"  # what an unfinished split is going to be: its manifest before there are shards
SCENES_PER_SHARD = 1000


@dataclass(frozen=True)
class Options:
    """How to prepare."""

    executor: str = "local:1"  # as ocbench.executors reads it
    image_format: str = "webp"
    limit: int | None = None
    partial: bool = False
    skip_unreadable: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        executors.parsed(self.executor)  # a wrong word is told before anything is touched


@dataclass(frozen=True)
class Plan:
    """Which scenes of a source become which splits."""

    spec: DatasetSpec
    protocol: Protocol
    source: str | None  # where the raw distribution lies; None for a dataset that needs none
    data_dir: str
    options: Options
    ranges: tuple[Range, ...]
    missing: tuple[str, ...]  # splits whose part is not there

    def directory(self, found: Range) -> str:
        """Where the shards of a range are to lie."""
        return split_directory(self.data_dir, self.spec.name, self.protocol.name, found.split.name)

    def head(self, found: Range) -> Manifest:
        """What a split is going to be: its manifest before there are shards."""
        protocol = self.protocol
        rule = {
            "crop": protocol.crop, "image_filter": protocol.image_filter, "mask_filter": protocol.mask_filter,
            "reading": dict(protocol.reading), "most_objects": protocol.most_objects, "part": found.split.part,
            "range": (found.start, found.stop),
        }  # fmt: skip
        return Manifest(
            dataset=self.spec.name, split=found.split.name, protocol=protocol.name, version=protocol.version,
            size=protocol.size, max_objects=found.split.max_objects or protocol.max_objects,
            image_format=self.options.image_format, rule=json.loads(json.dumps(rule)), partial=found.partial,
            limit=self.options.limit,
        )  # fmt: skip

    def jobs(self, found: Range, directory: str | None = None) -> list[Job]:
        """One job for each shard of a range; the shards may lie in another folder than the usual one."""
        folder = directory or self.directory(found)
        return [
            Job(self.spec, self.protocol, self.source, self.options, found, os.path.join(folder, name), start, stop)
            for name, start, stop in found.shards(SCENES_PER_SHARD)
        ]


@dataclass(frozen=True)
class Job:
    """One shard to be written: the scenes of [start, stop) of its range's part."""

    spec: DatasetSpec
    protocol: Protocol
    source: str | None
    options: Options
    range: Range
    path: str
    start: int
    stop: int

    def lacks(self, scenes: int) -> bool:
        """Whether so many scenes, read or listed as filtered or unreadable, are fewer than the job must give."""
        return scenes < self.stop - self.start and not self.options.partial


def plan(
    spec: DatasetSpec,
    protocol: Protocol,
    data_dir: str,
    *,
    raw: str | None = None,
    splits: Sequence[str] | None = None,
    options: Options = Options(),
) -> Plan:
    """What the source, by default `<data_dir>/raw/<dataset>`, allows; DataError where it is not as promised."""
    data_dir, source = _places(spec, data_dir, raw, options)
    try:
        parts = spec.parts(source, partial=options.partial)
    except OSError as wrong:
        raise DataError(f"cannot read the source of {spec.name} in '{source}'", found=str(wrong)) from wrong
    ranges, missing = resolve(
        protocol, parts, splits, limit=options.limit, partial=options.partial,
        where=f"'{source}'" if source else "the renderer",
    )  # fmt: skip
    if options.skip_unreadable and not all(found.part.seekable for found in ranges):
        fault = "--skip-unreadable needs a source that can be entered anywhere"
        raise UsageError(fault, hint="leave it out, or unpack the archives")
    return Plan(spec, protocol, source, data_dir, options, tuple(ranges), tuple(missing))


def _places(spec: DatasetSpec, data_dir: str, raw: str | None, options: Options) -> tuple[str, str | None]:
    """The data directory and the source (None for a dataset that needs none), as every worker is to name them."""
    workers = executors.parsed(options.executor)
    if data_dir.startswith("memory:") and workers != 1:
        raise UsageError(f"'{data_dir}' is the memory of this process alone", hint="--executor local:1")
    if raw is None and spec.needs_source and storage.is_remote(data_dir):
        raise UsageError(f"raw data are not looked for under '{data_dir}'", hint="name where they lie: --raw PATH")
    source = (raw and raw.rstrip("/")) or raw or raw_directory(data_dir, spec.name)
    if isinstance(workers, str):  # processes of a cluster work in other folders
        data_dir, source = storage.absolute(data_dir), storage.absolute(source)
    return data_dir, source if spec.needs_source else None


@dataclass
class Notes:
    """What is worth telling of the scenes of a job, filled while they pass; the fields of the shard's record."""

    flagged: list[str] = field(default_factory=list)  # keys of scenes with an object that the crop removed
    filtered: list[str] = field(default_factory=list)  # keys of scenes that the protocol leaves out
    unreadable: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)  # indices that a partial source lacks


def write(job: Job) -> ShardRecord:
    """Writes one shard, in a pass of its own where the part can only be read from its beginning."""
    return write_seekable(job) if job.range.part.seekable else write_scenes(*next(stream([job])))


def write_seekable(job: Job) -> ShardRecord:
    """Reads, fits and writes one shard of a part that can be entered anywhere."""
    notes = Notes()
    scenes = _readable(job, notes) if job.options.skip_unreadable else _read(job, job.start, job.stop)
    return write_scenes(job, _fitted(job, scenes, notes), notes)


def write_scenes(job: Job, scenes: Iterable[Scene], notes: Notes) -> ShardRecord:
    """Writes one shard from fitted scenes and what was noted of them."""
    return write_shard(job.path, scenes, job.options.image_format, notes=vars(notes))


def _read(job: Job, start: int, stop: int) -> Iterator[Scene]:
    try:
        yield from job.spec.read(job.source, job.range.split.part, start, stop, **job.protocol.reading)
    except OSError as wrong:
        which = f"scenes {start:,} to {stop - 1:,} of '{job.range.split.part}'"
        raise DataError(f"cannot read {which} in '{job.source}'", found=str(wrong)) from wrong


def _readable(job: Job, notes: Notes) -> Iterator[Scene]:
    """Scene by scene, so that one that cannot be read ends nothing but itself."""
    for index in range(job.start, job.stop):
        try:
            scenes = list(_read(job, index, index + 1))
        except DataError as wrong:
            notes.unreadable.append(f"{job.range.split.part}-{index:06d}: {wrong.message}")
        else:
            yield from scenes


def _fitted(job: Job, scenes: Iterable[Scene], notes: Notes) -> Iterator[Scene]:
    """The scenes of the job's range that the protocol keeps, at its size; DataError at the end where some lack."""
    lacking = set(range(job.start, job.stop))
    for scene in scenes:
        lacking.discard(index_of(scene))
        if job.protocol.most_objects is not None and _objects(scene) > job.protocol.most_objects:
            notes.filtered.append(scene.key)
            continue
        fitted, lost = fit(scene, job.protocol, job.range.split.max_objects)
        if lost:
            notes.flagged.append(scene.key)
        yield fitted
    lacking -= {int(line.partition(":")[0].rpartition("-")[2]) for line in notes.unreadable}
    _refuse_few(job, job.stop - job.start - len(lacking))
    notes.missing += sorted(lacking)


def _refuse_few(job: Job, scenes: int) -> None:
    """A source that was taken for whole must give every scene."""
    if job.lacks(scenes):
        expected = job.range.part.expected
        raise DataError(
            f"the source has {scenes:,} of the {job.stop - job.start:,} scenes "
            f"{job.start:,} to {job.stop - 1:,} of '{job.range.split.part}'",
            expected=f"{expected:,} scenes in the part" if expected else None,
            hint="complete the download, or --partial to prepare what is there (ranges scaled, the set marked)",
        )


def fit(scene: Scene, protocol: Protocol, max_objects: int | None = None) -> tuple[Scene, bool]:
    """The scene at the protocol's size, checked, and whether an object of it is no longer to be seen.

    Its meta counts the objects in the source (`num_objects`) and those still to be seen (`visible_objects`).
    """
    check_scene(scene, max_objects or protocol.max_objects)
    parts = scene.background_parts
    try:
        fitted = replace(
            scene,
            image=imaging.fit_image(scene.image, protocol),
            mask=imaging.fit_mask(scene.mask, protocol),
            background_parts=None if parts is None else imaging.fit_mask(parts, protocol),
        )
    except DataError as wrong:
        raise DataError(f"scene '{scene.key}': {wrong.message}", expected=wrong.expected, found=wrong.found) from wrong
    shown, there = imaging.object_count(fitted.mask), imaging.object_count(scene.mask)
    counts = {"num_objects": scene.meta.get("num_objects", there), "visible_objects": shown}
    return replace(fitted, meta={**scene.meta, **counts}), shown < there


def _objects(scene: Scene) -> int:
    """How many objects the scene has in the source."""
    return (
        int(scene.meta["num_objects"]) if "num_objects" in scene.meta else int(np.count_nonzero(np.unique(scene.mask)))
    )


def settle(directory: str, manifest: Manifest) -> None:
    """Saves the manifest in the place of the plan and the records; DataError where a scene's pixels have changed."""
    before = Manifest.load(directory) if storage.exists(os.path.join(directory, MANIFEST)) else None
    known = dict(zip(before.keys, before.digests, strict=True)) if before else {}
    pixels = zip(manifest.keys, manifest.digests, strict=True)
    changed = [key for key, digest in pixels if known.get(key, digest) != digest]
    if changed:
        raise DataError(
            f"{len(changed)} scenes of '{directory}' came out with other pixels than before, first '{changed[0]}'",
            found="a source or renderer that has changed",
            hint=f"ocbench prepare {manifest.dataset} --protocol {manifest.protocol} --overwrite",
        )
    if before != manifest:
        manifest.save(directory)
    for name in storage.names(directory):
        if name == PLAN or name.endswith(RECORD):
            storage.remove(os.path.join(directory, name))


def passes(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in as few passes over each part as possible: within a pass, in order and without overlap."""
    found: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: (job.range.split.part, job.start)):
        for earlier in found:
            if earlier[-1].range.split.part == job.range.split.part and earlier[-1].stop <= job.start:
                earlier.append(job)
                break
        else:
            found.append([job])
    return found


def stream(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Scene], Notes]]:
    """One pass over a part: the fitted scenes of each job and what was noted of them, jobs in order of their ranges."""
    scenes = _read(jobs[0], jobs[0].start, jobs[-1].stop)
    following = next(scenes, None)

    def up_to(start: int, stop: int) -> Iterator[Scene]:
        nonlocal following
        while following is not None and (index := index_of(following)) < stop:
            if index >= start:
                yield following
            following = next(scenes, None)

    for job in jobs:
        notes = Notes()
        yield job, list(_fitted(job, up_to(job.start, job.stop), notes)), notes


def index_of(scene: Scene) -> int:
    """The scene's place in its part: its index, or what its key ends with."""
    if scene.index is not None:
        return scene.index
    tail = scene.key.rpartition("-")[2]
    if not tail.isdecimal():
        raise PluginError(f"the key '{scene.key}' does not end in '-' and the scene's index, nor has the scene one")
    return int(tail)
