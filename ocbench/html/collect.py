"""What the runs of a report hold: sheets, rows of scenes, galleries; and what is missing, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocbench.errors import RunError
from ocbench.gallery import Gallery, load_gallery
from ocbench.report import Section, sections
from ocbench.runs import RunConfig, ScoreSheet, read_log


@dataclass(frozen=True)
class Run:
    """A run of the report."""

    name: str  # of its directory, with its parent's where two have the same
    colour: int  # place in the palette
    run_dir: Path
    config: RunConfig
    log: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Scored:
    """One run on one split."""

    run: Run
    place: str  # dataset:split@protocol
    section: int  # place among the report's sections
    sheet: ScoreSheet
    rows: Sequence[Mapping[str, Any]]  # one a scene; none where the file is missing
    gallery: Gallery | None


@dataclass(frozen=True)
class Found:
    """All that a report shows."""

    runs: tuple[Run, ...]
    sections: tuple[Section, ...]
    scored: tuple[Scored, ...]
    notes: tuple[str, ...]  # what is missing


def collect(run_dirs: Iterable[Path], split: str | None = None) -> Found:
    """Everything of the runs, or of that split alone; RunError where there is no score, or a file is damaged."""
    directories = list({path.resolve(): path for path in run_dirs}.values())
    chosen = tuple(sorted((section for section in sections(directories) if split in (None, section.split)), key=_order))
    if not chosen:
        raise RunError(f"no scores on the split '{split}'" if split else "no run to report", hint="ocbench evaluate")
    used = {path for section in chosen for row in section.rows for path in row.run_dirs}
    runs = {path: _run(path, directories, place) for place, path in enumerate(p for p in directories if p in used)}
    notes: list[str] = []
    scored = tuple(
        _scored(runs[path], place, section, sheet, notes)
        for place, section in enumerate(chosen)
        for row in section.rows
        for path, sheet in zip(row.run_dirs, row.sheets, strict=True)
    )
    return Found(tuple(runs.values()), chosen, scored, tuple(notes))


def _order(section: Section) -> tuple[object, ...]:
    """By data, and of its splits `test` before all others."""
    return section.dataset, section.protocol, section.split != "test", section.split


def _run(path: Path, everything: Sequence[Path], colour: int) -> Run:
    resolved = path.resolve()
    same = [other for other in everything if other.resolve().name == resolved.name]
    name = resolved.name if len(same) == 1 else f"{resolved.parent.name}/{resolved.name}"
    return Run(name, colour, path, RunConfig.load(path), read_log(path / "log.jsonl"))


def _scored(run: Run, place: int, section: Section, sheet: ScoreSheet, notes: list[str]) -> Scored:
    rows = _rows(run, sheet)
    again = f"ocbench evaluate {run.name} --split {sheet.split} --overwrite"
    if not rows and sheet.scenes:
        notes.append(f"{run.name} has no rows of {section.place}: no scene of it is shown ({again}).")
    gallery = load_gallery(run.run_dir / "gallery" / sheet.name)
    if gallery is not None and (gallery.weights_digest, gallery.fingerprint) != (
        sheet.weights_digest, sheet.fingerprint,
    ):  # fmt: skip
        notes.append(
            f"The gallery of {run.name} on {section.place} is of other weights or data, and left out ({again})."
        )
        gallery = None
    elif gallery is None:
        notes.append(f"{run.name} has no gallery of {section.place} ({again}).")
    elif gallery.by is None:
        notes.append(
            f"The gallery of {run.name} on {section.place} has random scenes only: there was no mIoU to rank by."
        )
    return Scored(run, section.place, place, sheet, rows, gallery)


def _rows(run: Run, sheet: ScoreSheet) -> Sequence[Mapping[str, Any]]:
    """The rows beside a sheet, none where the file is missing; RunError where they are of another evaluation."""
    path = run.run_dir / "scores" / f"{sheet.name}.jsonl"
    if not path.is_file():
        return []
    records = read_log(path)
    told: Mapping[str, Any] = next((record["evaluation"] for record in records if "evaluation" in record), {})
    rows = [record for record in records if "key" in record]
    if (told.get("weights"), told.get("data")) != (sheet.weights_digest, sheet.fingerprint):
        hint = f"ocbench evaluate {run.run_dir} --split {sheet.split} --overwrite"
        raise RunError(f"the rows '{path}' are of another evaluation than the sheet beside them", hint=hint)
    if len(rows) != sheet.scenes:
        raise RunError(f"the rows '{path}' are not whole", expected=f"{sheet.scenes:,}", found=f"{len(rows):,}")
    return rows
