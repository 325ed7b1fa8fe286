"""What continuous integration asks: is a run worse than what was published, or than the first run, by more than that?

A run that nothing can be held against is an error: it must not pass because it was not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocbench.errors import RunError, UsageError
from ocbench.published import published_row
from ocbench.report.sections import Row, Section
from ocbench.runs import MetricResult
from ocbench.standing import why_none


@dataclass(frozen=True)
class Judgement:
    """One number held against another, both in the unit of the screen."""

    run: str
    place: str
    label: str
    value: float
    against: str
    reference: float
    loss: float  # how much worse than the reference; NaN where there is no value
    tolerance: float

    @property
    def worse(self) -> bool:
        """Whether the loss is larger than the tolerance; a value that is no number always is."""
        return not self.loss <= self.tolerance

    def __str__(self) -> str:
        lost = f"{self.loss:.4g} worse than" if self.loss > 0 else "no worse than" if self.loss <= 0 else "not"
        return (
            f"{self.run} on {self.place}: {self.label} {self.value:.4g}, {lost} {self.reference:.4g} of {self.against} "
            f"({self.tolerance:g} allowed)"
        )


def tolerances_of(words: Sequence[str]) -> dict[str, float]:
    """The tolerance of each metric named by METRIC=VALUE, in the unit of the screen."""
    found = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not name or not 0 <= value < math.inf:
            raise UsageError(
                f"--tolerance '{word}' cannot be meant",
                expected="METRIC=VALUE, such as miou=0.5: not negative, in per cent where the metric is",
            )
        found[name] = value
    return found


def judged(
    found: Sequence[Section], run_dirs: Sequence[Path], tolerances: Mapping[str, float], paper: bool
) -> list[Judgement]:
    """Every run, on every split where that can be, held against the published system that it stands for, or, without
    `paper`, against the first run; RunError for a run and metric that nothing can be held against.
    """
    first = run_dirs[0].resolve()
    held = run_dirs if paper else [path for path in run_dirs if path.resolve() != first]
    if not held:
        raise UsageError(
            "--tolerance needs something to hold the run against", hint="name two runs, or --against paper"
        )
    judgements = []
    for path in held:
        for metric, tolerance in tolerances.items():
            mine = list(_of_run(found, path, metric, tolerance, None if paper else first))
            if not mine:
                raise _nothing(found, path, metric, paper)
            judgements += mine
    return judgements


def _of_run(
    found: Sequence[Section], path: Path, metric: str, tolerance: float, first: Path | None
) -> Iterator[Judgement]:
    for section in found:
        for row, place, result in _results(section, path, metric):
            reference = _published(row, place, metric) if first is None else _first(section, first, metric)
            if reference is None:
                continue
            against, number = reference
            value = result.mean * result.scale
            loss = number - value if result.higher_is_better else value - number
            yield Judgement(path.name, section.place, result.label, value, against, number, loss, tolerance)


def _results(section: Section, path: Path, metric: str) -> Iterator[tuple[Row, int, MetricResult]]:
    """Where the run's result for the metric stands in the section: row, and place in the row."""
    for row in section.rows:
        for place, run_dir in enumerate(row.run_dirs):
            if run_dir.resolve() == path.resolve():
                yield from ((row, place, result) for result in row.sheets[place].results if result.metric == metric)


def _published(row: Row, place: int, metric: str) -> tuple[str, float] | None:
    run, sheet = row.runs[place], row.sheets[place]
    if why_none(run, sheet):
        return None
    number = published_row(run.published, sheet.dataset, sheet.split, sheet.protocol, metric)
    return None if number is None else (number.system, number.mean)


def _first(section: Section, first: Path, metric: str) -> tuple[str, float] | None:
    for _, _, result in _results(section, first, metric):
        return first.name, result.mean * result.scale
    return None


def _nothing(found: Sequence[Section], path: Path, metric: str, paper: bool) -> RunError:
    entries = [
        (run, sheet) for section in found for row in section.rows
        for run_dir, run, sheet in zip(row.run_dirs, row.runs, row.sheets, strict=True)
        if run_dir.resolve() == path.resolve()
    ]  # fmt: skip
    scored = ", ".join(dict.fromkeys(result.metric for _, sheet in entries for result in sheet.results))
    why = "; ".join(dict.fromkeys(reason for entry in entries for reason in why_none(*entry)))
    return RunError(
        f"there is nothing to hold '{metric}' of '{path.name}' against",
        expected="a published number of the system that it stands for" if paper else "the first run's, on one split",
        found=f"scored: {scored}" + (f"; it stands for no published system: {why}" if paper and why else ""),
    )
