"""Slices of objects, the runs of one split side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocbench.html.collect import Found, Scored
from ocbench.html.scores import Cell
from ocbench.slices import Slice, Slicing, object_slices


@dataclass(frozen=True)
class CutLine:
    """One slice: how many objects it has, and the mean best IoU of every run."""

    label: str
    objects: int
    scenes: int
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class CutTable:
    """All slices by one fact."""

    title: str
    note: str
    runs: tuple[tuple[str, int], ...]  # name and colour
    lines: tuple[CutLine, ...]


@dataclass(frozen=True)
class Cuts:
    """The slices of one split."""

    place: str
    tables: tuple[CutTable, ...]


def cut_tables(found: Found) -> tuple[Cuts, ...]:
    """One block a section whose rows tell of objects."""
    blocks = []
    for place, section in enumerate(found.sections):
        mine = [each for each in found.scored if each.section == place and each.rows]
        if tables := _tables(mine):
            blocks.append(Cuts(section.place, tables))
    return tuple(blocks)


def _tables(scored: Sequence[Scored]) -> tuple[CutTable, ...]:
    cut = [{one.name: one for one in object_slices(each.rows, _pixels(each))} for each in scored]
    named: dict[str, Slicing] = {}
    for slicings in cut:
        for name, slicing in slicings.items():
            named.setdefault(name, slicing)
    runs = tuple((each.run.name, each.run.colour) for each in scored)
    return tuple(
        CutTable(first.title, first.note, runs, _lines([slicings.get(name) for slicings in cut]))
        for name, first in named.items()
    )


def _pixels(scored: Scored) -> int:
    height, width = scored.run.config.size
    return height * width


def _lines(slicings: Sequence[Slicing | None]) -> tuple[CutLine, ...]:
    """The slices of the run that has most of them, and of the others what they have."""
    by_label = [{one.label: one for one in slicing.slices} if slicing else {} for slicing in slicings]
    longest = max(by_label, key=len)
    return tuple(
        CutLine(label, one.objects, one.scenes, tuple(_cell(slices.get(label)) for slices in by_label))
        for label, one in longest.items()
    )


def _cell(one: Slice | None) -> Cell | None:
    if one is None:
        return None
    low, high = one.interval or (one.mean, one.mean)
    below = "" if one.interval is None else f"{100 * low:.1f} – {100 * high:.1f}"
    bar = (round(100 * low, 2), round(100 * one.mean, 2), round(100 * high, 2))
    return Cell(f"{100 * one.mean:.1f}", one.mean, below, bar)
