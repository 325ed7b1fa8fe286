"""Verb: does a prepared split still hold what its manifest says?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ocbench import registry, storage
from ocbench.errors import DataError
from ocbench.jobs import Options, plan, settle, write
from ocbench.prepared import PreparedSplit
from ocbench.scene import check_scene
from ocbench.shards import MANIFEST, ShardRecord, read_shard, scene_digest

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Finding:
    """One file that is not what the manifest says."""

    name: str
    fault: str


def verify(split: PreparedSplit, *, deep: bool = False, progress: Progress | None = None) -> list[Finding]:
    """What is wrong, shard by shard: presence, size and digest; with `deep`, every scene decoded and compared, too."""
    findings = []
    for number, shard in enumerate(split.manifest.shards, 1):
        fault = _fault(split, shard, deep)
        if fault is not None:
            findings.append(Finding(shard.name, fault))
        if progress is not None:
            progress(number, len(split.manifest.shards), "")
    if split.manifest.holding(split.manifest.shards) != split.manifest:
        findings.append(Finding(MANIFEST, "its fingerprint is not that of its keys and digests"))
    return findings


def _fault(split: PreparedSplit, shard: ShardRecord, deep: bool) -> str | None:
    path = f"{split.directory}/{shard.name}"
    if not storage.exists(path):
        return "missing"
    try:
        if storage.sha256_of(path) != shard.sha256:
            return f"other bytes than the {shard.size:,} that were written"
        scenes = [check_scene(scene, split.manifest.max_objects) for scene in read_shard(path)] if deep else None
    except DataError as wrong:
        return wrong.message
    if scenes is None:
        return None
    if tuple(scene.key for scene in scenes) != shard.keys:
        return "other scenes than the manifest lists"
    wrong_pixels = [s.key for s, digest in zip(scenes, shard.digests, strict=True) if scene_digest(s) != digest]
    return f"other pixels in {', '.join(wrong_pixels[:3])}" if wrong_pixels else None


def repair(split: PreparedSplit, findings: list[Finding], *, raw: str | None, data_dir: str) -> PreparedSplit:
    """The split with its broken shards written anew from the source; DataError where they do not come out as before."""
    m = split.manifest
    broken = {finding.name for finding in findings}
    if MANIFEST in broken:
        raise _beyond_repair(split, "a damaged manifest")
    spec = registry.dataset(m.dataset)
    options = Options(
        image_format=m.image_format, limit=m.limit, partial=bool(m.partial or m.missing),
        skip_unreadable=bool(m.unreadable),
    )  # fmt: skip
    planned = plan(spec, spec.protocol(m.protocol), data_dir, raw=raw, splits=[m.split], options=options)
    (found,) = planned.ranges
    if planned.head(found) != m.head():
        raise _beyond_repair(split, "another source or protocol than it was made from")
    jobs = {os.path.basename(job.path): job for job in planned.jobs(found, split.directory)}
    records = {name: write(jobs[name]) for name in sorted(broken)}
    settle(split.directory, m.holding(records.get(shard.name, shard) for shard in m.shards))
    return PreparedSplit(split.directory)


def _beyond_repair(split: PreparedSplit, found: str) -> DataError:
    m = split.manifest
    return DataError(
        f"'{split.directory}' cannot be repaired shard by shard",
        found=found,
        hint=f"ocbench prepare {m.dataset} --protocol {m.protocol} --splits {m.split} --overwrite",
    )
