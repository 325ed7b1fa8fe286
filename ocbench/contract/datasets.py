"""The rules for datasets, tried with the functions that `prepare` uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from ocbench import ranges
from ocbench.contract import Rule, source
from ocbench.errors import PluginError
from ocbench.ranges import Range
from ocbench.scene import DatasetSpec, Part, Protocol, Scene, check_scene

READ = 4  # scenes of each part


@dataclass
class Subject:
    """A dataset under test; without a source, only its record can be tried."""

    spec: DatasetSpec
    raw: str | None

    @property
    def readable(self) -> bool:
        return self.raw is not None or not self.spec.needs_source

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        return self.spec.parts(self.raw, partial=True)

    def ranges(self, protocol: Protocol) -> list[Range]:
        return ranges.resolve(protocol, self.parts, partial=True)[0] if self.readable else []

    def scenes(self, protocol: Protocol, part: str, start: int, stop: int) -> list[Scene]:
        return list(self.spec.read(self.raw, part, start, stop, **protocol.reading))


NO_SOURCE = "left out: the source is needed (--raw)"


def sound_protocols(subject: Subject) -> str:
    """Names once, sizes that can be cut out, a train split first."""
    names = [(each.name, each.version) for each in subject.spec.protocols]
    if not names or len(set(names)) < len(names):
        raise PluginError("protocols have one name and version twice" if names else "the record has no protocol")
    for protocol in subject.spec.protocols:
        splits = [split.name for split in protocol.splits]
        if not splits or len(set(splits)) < len(splits):
            raise PluginError(f"protocol '{protocol.name}' has no split, or one twice: {', '.join(splits)}")
        if min(protocol.size) < 1 or not 1 <= protocol.max_objects <= 254:
            raise PluginError(f"protocol '{protocol.name}' has size {protocol.size} and K = {protocol.max_objects}")
        if not protocol.summary:
            raise PluginError(f"protocol '{protocol.name}' does not say whose choice it is: `summary` is empty")
    return ", ".join(protocol.name for protocol in subject.spec.protocols)


def disjoint_splits(subject: Subject) -> str:
    """No scene that is trained on is in another split."""
    if not subject.readable:
        return NO_SOURCE
    for protocol in subject.spec.protocols:
        for one, other in combinations(subject.ranges(protocol), 2):
            shared = min(one.stop, other.stop) - max(one.start, other.start)
            if one.split.part == other.split.part and shared > 0 and "train" in (one.split.name, other.split.name):
                raise PluginError(
                    f"protocol '{protocol.name}': '{one.split.name}' and '{other.split.name}' share {shared} scenes"
                    f" of part '{one.split.part}'"
                )
    return f"parts: {', '.join(f'{name} {part.scenes}' for name, part in sorted(subject.parts.items()))}"


def stable_order(subject: Subject) -> str:
    """Read twice, and from the middle, scenes are the same; keys are unique."""
    if not subject.readable:
        return NO_SOURCE
    seen: dict[str, str] = {}
    protocol = subject.spec.protocols[0]
    for part in dict.fromkeys(each.split.part for each in subject.ranges(protocol)):
        count = min(READ, subject.parts[part].scenes or READ)
        first, again = (subject.scenes(protocol, part, 0, count) for _ in range(2))
        if len(first) != count:
            raise PluginError(f"part '{part}': read(0, {count}) gave {len(first)} scenes")
        _check_same(f"part '{part}': read twice", first, again)
        _check_same(f"part '{part}': read from scene 1 on", first[1:], subject.scenes(protocol, part, 1, count))
        for scene in first:
            if scene.key in seen:
                raise PluginError(f"the key '{scene.key}' is in '{seen[scene.key]}' and in '{part}'")
            seen[scene.key] = part
    return f"{len(seen)} scenes read three times"


def _check_same(what: str, one: list[Scene], other: list[Scene]) -> None:
    if [scene.key for scene in one] != [scene.key for scene in other]:
        found = f"{', '.join(scene.key for scene in one)} and {', '.join(scene.key for scene in other)}"
        raise PluginError(f"{what}, keys differ", found=found)
    for first, second in zip(one, other, strict=True):
        if not (np.array_equal(first.image, second.image) and np.array_equal(first.mask, second.mask)):
            raise PluginError(f"{what}, the pixels of '{first.key}' differ")


def sound_scenes(subject: Subject) -> str:
    """Types, shapes, ids up to the K of the split, and room for the crop."""
    if not subject.readable:
        return NO_SOURCE
    count = 0
    for protocol in subject.spec.protocols:
        for found in subject.ranges(protocol):
            stop = min(found.start + READ, found.stop)
            for scene in subject.scenes(protocol, found.split.part, found.start, stop):
                ids = found.split.max_objects or protocol.max_objects
                check_scene(scene, 254 if protocol.most_objects else ids)
                _check_crop(protocol, scene)
                count += 1
    return f"{count} scenes"


def _check_crop(protocol: Protocol, scene: Scene) -> None:
    if protocol.crop is not None:
        top, left, side = protocol.crop
        height, width = scene.mask.shape
        if top < 0 or left < 0 or top + side > height or left + side > width:
            raise PluginError(
                f"protocol '{protocol.name}' crops {protocol.crop} out of '{scene.key}', {height} x {width}"
            )


RULES = (
    Rule("record", "a citation and a licence", lambda subject: source.named(subject.spec)),
    Rule("imports", "public names of ocbench alone", lambda subject: source.public_imports_only(subject.spec.read)),
    Rule("protocols", "unique names, splits, sizes, whose choice each is", sound_protocols),
    Rule("splits", "no training scene in another split", disjoint_splits),
    Rule("order", "unique keys and the same scenes at every reading, from any start", stable_order),
    Rule("scenes", "uint8 images and masks, ids up to K, room for the crop", sound_scenes),
)
