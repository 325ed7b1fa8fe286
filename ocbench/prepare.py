"""Verb: source -> verified shards, resumable, whose bytes depend on nothing but source and protocol.

A shard is the unit of work. What a killed call leaves is whole shards with their records; the same command goes on from
there. While a split is unfinished, `plan.json` in its folder says what it is going to be; at the end, `manifest.json`
takes the place of that and of the records.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from ocbench import storage
from ocbench.errors import DataError
from ocbench.jobs import PLAN, Job, Plan, passes, settle, stream, write_scenes, write_seekable
from ocbench.ranges import Range
from ocbench.shards import MANIFEST, Manifest, ShardRecord, recorded

Progress = Callable[[int, int, str], None]
Say = Callable[[str, str], None]
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
        _run(todo, plan.options.workers, note)
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
    return sorted(name for name in os.listdir(directory) if not name.startswith(".") and not name.endswith(".part"))


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
        if record is None or not os.path.exists(job.path):
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
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise DataError(
            f"the disk is too full for the shards in '{directory}'",
            expected=f"at least {needed / 1e6:,.0f} MB",
            found=f"{free / 1e6:,.0f} MB free",
            hint="free some space, or name another --data-dir",
        )


def _run(todo: Sequence[Job], workers: int, note: Callable[[Job, ShardRecord], None]) -> None:
    seekable = [job for job in todo if job.range.part.seekable]
    streamed = [job for job in todo if not job.range.part.seekable]
    with _pool(min(workers, len(todo))) as pool:
        _drain(pool, ((job, (write_seekable, job)) for job in seekable), workers, note)
        for jobs in passes(streamed):
            _drain(pool, ((streamed[0], (write_scenes, *streamed)) for streamed in stream(jobs)), workers, note)


@contextmanager
def _pool(workers: int) -> Iterator[Executor | None]:
    """Spawned processes, or None: one worker is this process."""
    if workers <= 1:
        yield None
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_follow_parent)
    try:
        yield pool
    except BrokenProcessPool as wrong:
        raise DataError(
            "a worker process died", found=str(wrong), hint="run the same command again, perhaps with fewer workers"
        ) from wrong
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Makes this worker end with the process that started it, however that ends, and at once when interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


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
