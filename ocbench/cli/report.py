"""`ocbench report RUN…`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ocbench.cli.options import Common, common
from ocbench.errors import RunError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ocbench.report.sections import Section

WORSE = 7  # exit code of --tolerance
WRITERS = {"md": "markdown", "csv": "csv_text", "latex": "latex", "json": "record"}


@click.command("report")
@click.argument("runs", nargs=-1)
@click.option("--against", type=click.Choice(["paper"]), help="Lay the published rows of the same split beside ours.")
@click.option("--table", type=click.Choice(["1", "2", "3"]), help="That table of the AST-Seg paper, RUN below it.")
@click.option("--paired", is_flag=True, help="Each run less the first, scene by scene.")
@click.option(
    "--format", "written", type=click.Choice([*WRITERS]), default="md", show_default=True, help="How to write it."
)
@click.option("--ddof", type=click.IntRange(0, 1), default=0, show_default=True, help="Of the spread over seeds.")
@click.option(
    "--tolerance",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Exit 7 where a run is worse than the first, or than published, by more, in the unit shown.",
)
@click.option("--html", metavar="FILE", help="One page that opens offline: tables, curves, galleries, slices.")
@click.option("--split", metavar="SPLIT", help="With --html: that split alone.")
@click.option("--allow-unlike", is_flag=True, help="Pair runs scored under unlike protocols, dialects or pixels.")
@click.option("--allow-partial", is_flag=True, help="Pair runs trained or scored on a part of a split.")
@common
def command(
    common: Common, runs: tuple[str, ...], against: str | None, table: str | None, paired: bool, written: str,
    ddof: int, tolerance: tuple[str, ...], html: str | None, split: str | None, allow_unlike: bool,
    allow_partial: bool,
) -> None:  # fmt: skip
    """Lay runs side by side, beside published rows, or scene by scene.

    One table a split; runs that differ in nothing but the seed are one row. RUN as for evaluate; without any, every run
    that has scores. With --against paper and no scores, the published tables themselves.
    """
    _check_words(
        table=table, paired=paired, against=against, tolerance=tolerance, allowed=allow_unlike or allow_partial
    )
    if html is not None and (table or paired or against or tolerance):
        raise UsageError("--html stands alone", hint="leave out the other options; the page has published rows, too")
    if split is not None and html is None:
        raise UsageError("--split is about --html")
    common = dataclasses.replace(common, json=common.json or written == "json")
    words = "json" if common.json else written
    found = _runs(common, runs)
    if html is not None and found:
        from pathlib import Path

        from ocbench.html import write_report

        write_report(found, Path(html), split=split)
        common.result(html, {"report": html, "runs": [str(path) for path in found]})
    elif table or (against and not found and not tolerance):
        _paper_tables(common, words, table, found if runs else [], ddof)
    elif not found:
        raise RunError(f"no run under '{common.runs_dir}' has scores", hint="ocbench evaluate, or ocbench demo")
    elif paired:
        from ocbench.report import paired as pairing
        from ocbench.report import paired_formats

        pairs = pairing.pairs(found, pairing.Allowed(allow_unlike, allow_partial))
        _result(common, words, paired_formats, pairs)
    else:
        _sections(common, words, found, against is not None, ddof, tolerance)


def _check_words(
    *, table: str | None, paired: bool, against: str | None, tolerance: Sequence[str], allowed: bool
) -> None:
    """Refuses options that answer different questions."""
    if paired and (table or against or tolerance):
        raise UsageError("--paired stands alone", hint="leave out --against, --table and --tolerance")
    if table and tolerance:
        raise UsageError("--table has no --tolerance", hint="ocbench report RUN --against paper --tolerance …")
    if allowed and not paired:
        raise UsageError("--allow-unlike and --allow-partial are about --paired", hint="add --paired")


def _runs(common: Common, words: Sequence[str]) -> list[Path]:
    """The run directories named, or all that have scores."""
    from ocbench.runs import all_runs, find_run

    if words:
        return [find_run(word, common.runs_dir) for word in words]
    return [path for path in all_runs(common.runs_dir) if any((path / "scores").glob("*.json"))]


def _paper_tables(common: Common, words: str, table: str | None, run_dirs: Sequence[Path], ddof: int) -> None:
    from ocbench.report import paper, sections

    plans = [plan for plan in paper.TABLES if table in (None, str(plan.number))]
    ours = sections(run_dirs)
    _result(common, words, paper, plans, *([ours, ddof] if ours else []))


def _sections(
    common: Common, words: str, run_dirs: Sequence[Path], paper: bool, ddof: int, tolerance: Sequence[str]
) -> None:
    from ocbench import report
    from ocbench.report.tolerance import judged, tolerances_of

    limits = tolerances_of(tolerance)
    found: Sequence[Section] = report.sections(run_dirs)
    judgements = judged(found, run_dirs, limits, paper) if limits else []
    more = {"judgements": [{**dataclasses.asdict(one), "worse": one.worse} for one in judgements]} if limits else {}
    _result(common, words, report, found, report.Options(paper, ddof), more=more)
    for one in judgements:
        common.line("worse" if one.worse else "within", str(one))
    if any(one.worse for one in judgements):
        raise SystemExit(WORSE)


def _result(common: Common, words: str, writers: Any, *arguments: Any, more: Mapping[str, Any] | None = None) -> None:
    """Prints what the writer of that format makes of the arguments."""
    written = getattr(writers, WRITERS[words])(*arguments)
    if words == "json":
        common.result("", {**written, **(more or {})})
    else:
        common.result(written, {})
