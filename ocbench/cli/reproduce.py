"""`ocbench reproduce TABLE`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from ocbench.cli.options import Common, common, device, dry_run, seed_list
from ocbench.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocbench.reproduction import PlannedRun

HEADINGS = ("run", "data", "updates", "state", "hours left")


@click.command("reproduce")
@click.argument("table", metavar="mini/1/2/3/4")
@click.option("--seeds", callback=seed_list, default="0,1,2", show_default=True, metavar="A,B,C", help="One run each.")
@click.option("--share-phases", is_flag=True, help="Let seeds share the first phase, instead of a background each.")
@click.option("--only", metavar="RUN", help="Carry out this run of the plan alone, and lay out no table.")
@click.option(
    "--slurm", "hours", type=click.FloatRange(min=0.1), metavar="H", help="Print a job array of H hours each."
)
@click.option("--price", type=click.FloatRange(min=0), metavar="X", help="Of an hour, to estimate what is left.")
@click.option(
    "--pace", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Updates a second, where no log tells."
)
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), default="fp32", show_default=True)
@click.option("--compile", is_flag=True, help="Compile the training step.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="A trial: at most N updates in each phase.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="A trial: N scenes a split of the built-in sets."
)
@click.option(
    "--max-hours", type=click.FloatRange(min=0, min_open=True), metavar="H", help="Save and exit 75 after H hours."
)
@device
@dry_run
@common
def command(
    common: Common, table: str, seeds: tuple[int, ...], share_phases: bool, only: str | None, hours: float | None,
    price: float | None, pace: float | None, steps: int | None, limit: int | None, max_hours: float | None,
    device: str, dry_run: bool, **fields: Any,
) -> None:  # fmt: skip
    """Train and score the runs behind a table, and fill it.

    Tables 1 to 4 of the AST-Seg paper, or `mini`: a small one on built-in data. The same command goes on where it
    stopped; a run that is done is left alone. -n prints the plan: what is done, and the hours left where a log tells
    the pace.
    """
    from ocbench import reproduction
    from ocbench.plans import Means

    means = Means(
        common.data_dir, common.runs_dir, common.progress, common.line, device, {**fields, "steps": steps},
        phase_cache=share_phases, max_hours=max_hours,
    )  # fmt: skip
    plan = reproduction.plan_of(table)
    runs = reproduction.planned(plan, seeds, means, None if pace is None else 1 / pace)
    if only is not None and only not in (names := [run.run_dir.name for run in runs]):
        raise UnknownNameError("run of the plan", only, names)
    chosen = [run for run in runs if only in (None, run.run_dir.name)]
    if hours is not None:
        common.result(
            reproduction.slurm_array(chosen, _words(common, table, seeds, share_phases, steps, fields), hours), {}
        )
        return
    common.line("table", f"{plan.title}: {len(runs)} runs")
    if dry_run:
        common.result(_table(chosen, price), {"runs": [_record(run) for run in chosen]})
        return
    reproduction.provide(plan, means, limit)
    reproduction.carry_out(chosen, means)
    text = "" if only else reproduction.filled(plan, runs)
    common.result(text, {"runs": [_record(run) for run in reproduction.planned(plan, seeds, means)]})


def _words(
    common: Common, table: str, seeds: Sequence[int], share_phases: bool, steps: int | None, fields: dict[str, Any]
) -> str:
    """The same command again, for a task of an array."""
    words = ["ocbench", "reproduce", table, "--seeds", ",".join(map(str, seeds)), "--precision", fields["precision"]]
    words += ["--data-dir", common.data_dir, "--runs-dir", common.runs_dir]
    words += ["--compile"] * fields["compile"] + ["--share-phases"] * share_phases
    return shlex.join([*words, *(["--steps", str(steps)] if steps else [])])


def _table(runs: Sequence[PlannedRun], price: float | None) -> str:
    """The plan, a line a run, and what is left in all."""
    from ocbench.tables import NOTHING, text_table

    rows = []
    for run in runs:
        left = NOTHING if run.hours is None else f"{run.hours:,.1f}"
        rows.append([run.run_dir.name, run.training.data, f"{run.updates:,}", run.state, left])
    known = [run.hours for run in runs if run.hours is not None]
    told = [f"{sum(known):,.1f} hours left" + ("" if price is None else f", which cost {sum(known) * price:,.2f}")]
    if unknown := len(runs) - len(known):
        told.append(f"{unknown} runs have no log yet that tells their pace: --pace N assumes one")
    return "\n".join([text_table(HEADINGS, rows), *told])


def _record(run: PlannedRun) -> dict[str, Any]:
    return {
        "run": str(run.run_dir), "model": run.training.model, "data": run.training.data, "seed": run.seed,
        "updates": run.updates, "done": run.done, "hours": run.hours, "state": run.state,
    }  # fmt: skip
