"""Verb: does a prepared split still hold what its manifest says?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ocbench import registry, storage
from ocbench.errors import DataError
from ocbench.prepare import Job, Options, plan, source_of, stream, write_scenes, write_seekable
from ocbench.prepared import PreparedSplit
from ocbench.scene import check_scene
from ocbench.shards import SCENES_PER_SHARD, ShardRecord, fingerprint, read_shard, scene_digest

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Finding:
    """One shard that is not what the manifest says."""

    shard: str
    fault: str


def verify(split: PreparedSplit, *, deep: bool = False, progress: Progress | None = None) -> list[Finding]:
    """What is wrong, shard by shard: presence, size and digest; with `deep`, every scene decoded and compared, too."""
    findings = []
    shards = split.manifest.shards
    for number, shard in enumerate(shards, 1):
        fault = _fault(split, shard, deep)
        if fault is not None:
            findings.append(Finding(shard.name, fault))
        if progress is not None:
            progress(number, len(shards), "checked")
    m = split.manifest
    digests = [digest for shard in shards for digest in shard.digests]
    if fingerprint(m.protocol, m.version, m.keys, digests) != m.fingerprint:
        findings.append(Finding("manifest.json", "the fingerprint is not that of its keys and digests"))
    return findings


def _fault(split: PreparedSplit, shard: ShardRecord, deep: bool) -> str | None:
    path = os.path.join(split.directory, shard.name)
    if not storage.exists(path):
        return "missing"
    if storage.sha256_of(path) != shard.sha256:
        return f"other bytes than the {shard.bytes:,} that were written"
    if not deep:
        return None
    try:
        scenes = [check_scene(scene, split.manifest.max_objects) for scene in read_shard(path)]
    except DataError as wrong:
        return wrong.message
    if tuple(scene.key for scene in scenes) != shard.keys:
        return "other scenes than the manifest lists"
    wrong_pixels = [s.key for s, digest in zip(scenes, shard.digests, strict=True) if scene_digest(s) != digest]
    return f"other pixels in {', '.join(wrong_pixels[:3])}" if wrong_pixels else None


def repair(split: PreparedSplit, findings: list[Finding], *, raw: str | None, data_dir: str) -> None:
    """Writes the broken shards anew from the source; DataError where they do not come out as they were."""
    m = split.manifest
    spec = registry.dataset(m.dataset)
    protocol = spec.protocol(m.protocol)
    if any(finding.shard == "manifest.json" for finding in findings) or protocol.version != m.version:
        raise DataError(f"'{split.directory}' cannot be repaired shard by shard", hint="ocbench prepare … --overwrite")
    source = source_of(spec, raw, data_dir)
    options = Options(image_format=m.image_format, limit=m.limit, partial=m.partial is not None)
    found = plan(spec, protocol, source, [m.split], options)[0][0]
    broken = {finding.shard for finding in findings}
    for (name, start, stop), before in zip(found.shards(SCENES_PER_SHARD), m.shards, strict=True):
        if name not in broken:
            continue
        job = Job(spec, protocol, source, found, split.directory, name, start, stop, options)
        storage.remove(job.path)
        after = write_seekable(job) if found.part.seekable else _from_stream(job)
        if after.digests != before.digests or after.keys != before.keys:
            raise DataError(
                f"'{job.path}' came out with other scenes than before",
                found="a source or renderer that has changed",
                hint=f"ocbench prepare {m.dataset} --protocol {m.protocol} --overwrite",
            )


def _from_stream(job: Job) -> ShardRecord:
    return write_scenes(*next(iter(stream([job]))))
