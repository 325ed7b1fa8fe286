"""Verb: source -> verified shards, resumable, whose bytes depend on nothing but source and protocol.

A shard is the unit of work. What a killed call leaves is whole shards with their records; the same command goes on from
there. While a split is unfinished, `plan.json` in its folder says what it is going to be; at the end, `manifest.json`
takes the place of that and of the records.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

from ocbench import executors, storage
from ocbench.errors import DataError
from ocbench.jobs import PLAN, Job, Plan, passes, settle, stream, write_scenes, write_seekable
from ocbench.ranges import Range
from ocbench.shards import MANIFEST, Manifest, ShardRecord, recorded

log = logging.getLogger(__name__)
PATIENCE = 30  # seconds
Progress = Callable[[int, int, str], None]
Say = Callable[[str, str], None]
Note = Callable[[Job, ShardRecord], None]  # called with each shard that is done
OURS = re.compile(r"\d{6,}\.tar(\.json)?|(manifest|plan)\.json")  # the only files that --overwrite removes


@dataclass(frozen=True)
class _Target:
    """A split to be filled."""

    head: Manifest  # without shards
    directory: str
    jobs: Sequence[Job]


def prepare(plan: Plan, *, progress: Progress | None = None, say: Say = lambda word, text: None) -> dict[str, Manifest]:
    """The manifest of every split of the plan, each written as soon as its shards are.

    DataError where the source is not as promised or a folder holds something else; nothing whole is ever damaged.
    """
    targets = [_claimed(plan, found) for found in plan.ranges]
    done = {job.path: record for target in targets for job, record in _existing(target)}
    todo = [job for target in targets for job in target.jobs if job.path not in done]
    if done:
        say("resume", f"{len(done)} of {len(done) + len(todo)} shards already verified")
    manifests = _finished(targets, done)
    total, scenes, began = len(done) + len(todo), 0, time.monotonic()

    def note(job: Job, record: ShardRecord) -> None:
        nonlocal scenes
        done[job.path] = record
        scenes += len(record.keys)
        manifests.update(_finished([target for target in targets if target.head.split not in manifests], done))
        if progress is not None:
            progress(len(done), total, f"{scenes / max(time.monotonic() - began, 1e-9):,.0f} scenes/s")

    try:
        _refuse_full_disk(todo, targets[0].directory)
        _run(todo, plan.options.executor, note)
    finally:
        for target in targets:
            storage.clear_parts(target.directory)
    return {target.head.split: manifests[target.head.split] for target in targets}


def _claimed(plan: Plan, found: Range) -> _Target:
    """Makes the split's folder ours, or refuses where it holds another preparation or anything else."""
    head, directory = plan.head(found), plan.directory(found)
    storage.make_folder(directory)
    storage.clear_parts(directory)
    if plan.options.overwrite:
        _clear(directory)
    if not _names(directory):
        head.save(directory, PLAN)
    elif differing := _differences(directory, head):
        raise DataError(
            f"'{directory}' holds another preparation",
            found="; ".join(differing),
            hint="add --overwrite to replace it, or name another --data-dir",
        )
    return _Target(head, directory, plan.jobs(found))


def _names(directory: str) -> list[str]:
    """The files in the folder, but for hidden ones and those that another prepare has in hand."""
    return [name for name in storage.names(directory) if not name.startswith(".") and not name.endswith(".part")]


def _clear(directory: str) -> None:
    """Removes an earlier preparation; DataError, and nothing is removed, where the folder holds anything else."""
    foreign = [name for name in _names(directory) if not OURS.fullmatch(name)]
    if foreign:
        raise DataError(
            f"'{directory}' holds files that `ocbench prepare` did not write",
            found=", ".join(f"'{name}'" for name in foreign[:3]),
            hint="move them away, or name another --data-dir",
        )
    for name in _names(directory):
        storage.remove(os.path.join(directory, name))


def _differences(directory: str, mine: Manifest) -> list[str]:
    """How the preparation in a folder, finished or not, differs from the one to come."""
    names = _names(directory)
    name = next((name for name in (MANIFEST, PLAN) if name in names), None)
    if name is None:
        return [f"files of unknown origin, such as '{names[0]}'"]
    theirs = Manifest.load(directory, name).head()
    pairs = {key: (value, getattr(mine, key)) for key, value in vars(theirs).items() if key != "rule"}
    pairs |= {key: (theirs.rule.get(key), value) for key, value in mine.rule.items()}
    return [f"{key} {there or 'none'}, now {here or 'none'}" for key, (there, here) in pairs.items() if there != here]


def _existing(target: _Target) -> Iterator[tuple[Job, ShardRecord]]:
    """The jobs whose shard is there, whole and as recorded, each with the record.

    One that a less strict call left short of scenes is not taken up.
    """
    records = recorded(target.directory)
    for job in target.jobs:
        record = records.get(os.path.basename(job.path))
        if record is None or not storage.exists(job.path):
            continue
        listed = [*record.filtered, *(record.unreadable if job.options.skip_unreadable else ())]
        if not job.lacks(len(record.keys) + len(listed)) and storage.sha256_of(job.path) == record.sha256:
            yield job, record


def _finished(targets: Sequence[_Target], done: Mapping[str, ShardRecord]) -> dict[str, Manifest]:
    """The manifests, now written, of those targets whose every shard is done."""
    manifests = {}
    for target in targets:
        if all(job.path in done for job in target.jobs):
            manifest = target.head.holding(done[job.path] for job in target.jobs)
            _refuse_unusable(manifest)
            settle(target.directory, manifest)
            manifests[target.head.split] = manifest
    return manifests


def _refuse_unusable(manifest: Manifest) -> None:
    if not manifest.scenes:
        raise DataError(f"not one scene was found for split '{manifest.split}'")
    if len(set(manifest.keys)) < manifest.scenes:
        raise DataError(f"split '{manifest.split}' has scenes of one key", expected="each key once")


def _refuse_full_disk(todo: Sequence[Job], directory: str) -> None:
    """Refuses to begin where not even a sixteenth of the raw pixels would fit: no lossless shards are that small."""
    needed = sum((job.stop - job.start) * job.protocol.size[0] * job.protocol.size[1] * 3 // 16 for job in todo)
    free = storage.free_space(directory)
    if free < needed:
        raise DataError(
            f"the disk is too full for the shards in '{directory}'",
            expected=f"at least {needed / 1e6:,.0f} MB",
            found=f"{free / 1e6:,.0f} MB free",
            hint="free some space, or name another --data-dir",
        )


def _run(todo: Sequence[Job], executor: str, note: Note) -> None:
    seekable = [job for job in todo if job.range.part.seekable]
    streamed = [job for job in todo if not job.range.part.seekable]
    with executors.opened(executor, len(todo)) as (pool, most):
        _drain(pool, most, ((job, (write_seekable, job)) for job in seekable), note)
        for jobs in passes(streamed):
            _drain(pool, most, ((scenes[0], (write_scenes, *scenes)) for scenes in stream(jobs)), note)


def _drain(pool: Executor, most: Callable[[], int], tasks: Iterable[tuple[Job, tuple]], note: Note) -> None:
    """Runs the tasks, at most so many in flight, so that memory stays bounded."""
    waiting: dict[Future, Job] = {}
    for job, (function, *arguments) in tasks:
        waiting[pool.submit(function, *arguments)] = job
        if len(waiting) >= most():
            _collect(waiting, most, note)
    while waiting:
        _collect(waiting, most, note)


def _collect(waiting: dict[Future, Job], most: Callable[[], int], note: Note) -> None:
    while not (done := wait(waiting, PATIENCE, FIRST_COMPLETED).done):
        if most() <= 1:  # a cluster whose workers have all gone; others may join it
            log.warning("no worker is left; waiting for one to join")
    for future in done:
        note(waiting.pop(future), future.result())
