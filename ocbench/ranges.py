"""Which scenes of the source make up each split, and how they fall into shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ocbench.errors import DataError
from ocbench.scene import Part, Protocol, Split


@dataclass(frozen=True)
class Range:
    """The scenes of one split: [start, stop) of the part's indices."""

    split: Split
    part: Part
    start: int
    stop: int
    partial: Mapping[str, Any] | None = None  # expected and found counts of the part, where they differ

    def shards(self, scenes_per_shard: int) -> list[tuple[str, int, int]]:
        """Name, start and stop of each shard."""
        starts = range(self.start, self.stop, scenes_per_shard)
        return [(f"{n:06d}.tar", at, min(at + scenes_per_shard, self.stop)) for n, at in enumerate(starts)]


def resolve(
    protocol: Protocol,
    parts: Mapping[str, Part],
    splits: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    partial: bool = False,
    where: str = "the source",
) -> tuple[list[Range], list[str]]:
    """The range of every split whose part is there, and the names of the splits whose part is not.

    A split that was asked for and whose part is missing is a DataError; so is a count that differs from the expected
    one, unless `partial`: then ranges are scaled to the scenes found.
    """
    chosen = [protocol.split(name) for name in dict.fromkeys(splits)] if splits else list(protocol.splits)
    missing = [split.name for split in chosen if split.part not in parts]
    if missing and (splits or len(missing) == len(chosen)):
        absent = sorted({split.part for split in chosen if split.name in missing})
        raise DataError(
            f"{where} lacks '{absent[0]}', which split '{missing[0]}' is made of",
            expected=f"parts: {', '.join(absent)}",
            found=f"parts: {', '.join(sorted(parts)) or 'none'}",
            hint="download what is missing, or name a --protocol that is made of the parts found",
        )
    there = [split for split in chosen if split.part in parts]
    if not partial:
        _refuse_wrong_counts(there, parts, where)
    return [_range(split, parts[split.part], limit, partial) for split in there], missing


def _refuse_wrong_counts(splits: Sequence[Split], parts: Mapping[str, Part], where: str) -> None:
    used = {split.part: parts[split.part] for split in splits}
    wrong = {
        name: part
        for name, part in used.items()
        if None not in (part.scenes, part.expected) and part.scenes != part.expected
    }
    if wrong:
        raise DataError(
            f"{where} does not hold the scenes that the protocol expects",
            expected=", ".join(f"{name} {part.expected:,}" for name, part in wrong.items()),
            found=", ".join(f"{name} {part.scenes:,}" for name, part in wrong.items()),
            hint="complete the download, or --partial to prepare what is there (ranges scaled, the set marked)",
        )


def _range(split: Split, part: Part, limit: int | None, partial: bool) -> Range:
    count = part.expected if part.expected is not None else part.scenes
    if count is None:
        raise DataError(f"nobody knows how many scenes part '{split.part}' has", hint="its Part needs `expected`")
    start, stop = _index(split.start, count), count if split.stop is None else _index(split.stop, count)
    short = None
    if partial and part.scenes is not None and part.scenes != count:
        short = {"part": split.part, "expected": count, "found": part.scenes}
        start, stop = (bound * part.scenes // count for bound in (start, stop))
    if limit is not None:
        stop = min(stop, start + limit)
    if stop <= start:
        raise DataError(
            f"no scene is left for split '{split.name}'",
            found=f"{part.scenes} scenes in part '{split.part}'",
            hint="leave it out: --splits A,B",
        )
    return Range(split, part, start, stop, short)


def _index(bound: int | float, count: int) -> int:
    return int(bound * count) if isinstance(bound, float) else bound
