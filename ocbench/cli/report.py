"""`ocbench report RUN…`."""

from __future__ import annotations

import click

from ocbench.cli.options import Common, common


@click.command("report")
@click.argument("runs", nargs=-1)
@common
def command(common: Common, runs: tuple[str, ...]) -> None:
    """Lay runs side by side in Markdown tables.

    One table a split; runs that differ in nothing but the seed are one row. RUN as for evaluate; without any, every run
    that has scores.
    """
    from ocbench import report
    from ocbench.errors import RunError
    from ocbench.runs import all_runs, find_run

    found = [find_run(word, common.runs_dir) for word in runs]
    found = found or [path for path in all_runs(common.runs_dir) if any((path / "scores").glob("*.json"))]
    if not found:
        raise RunError(f"no run under '{common.runs_dir}' has scores", hint="ocbench evaluate, or ocbench demo")
    sections = report.sections(found)
    common.result(report.markdown(sections), report.record(sections))
