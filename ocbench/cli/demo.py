"""`ocbench demo`."""

from __future__ import annotations

import time

import click

from ocbench.cli.options import Common, common, device


@click.command("demo")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides all that is random.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="A trial: only N scenes of each split.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="A trial: at most N updates in each phase.")
@device
@common
def command(common: Common, seed: int, limit: int | None, steps: int | None, device: str) -> None:
    """See the whole job run on built-in data.

    Prepare, train, evaluate and report, with no download, in minutes on a CPU. Run again, it goes on where it stopped.
    """
    from ocbench import plans, report

    plan, began = plans.DEMO, time.monotonic()
    common.line("demo", f"{plan.model} on {plan.dataset}, beside {', '.join(plan.references)}, which learn nothing")
    means = plans.Means(
        common.data_dir, common.runs_dir, common.progress, common.line, device, {"steps": steps}
    )  # fmt: skip
    found = plans.demo(plan, means, seed=seed, executor="local", limit=limit)
    record = {
        **report.record(found.sections),
        "run": str(found.run_dir),
        "panel": str(found.panel),
        "page": str(found.page),
    }
    common.result(f"\n{report.markdown(found.sections)}\n\n{plan.note}\n", record)
    common.line("took", f"{time.monotonic() - began:,.0f} s")
    common.line("picture", f"{found.panel}   input, truth, prediction, reconstruction, background")
    common.line("page", f"{found.page}   tables, curves, best and worst scenes, slot by slot: open it in a browser")
    common.line("next", f"ocbench prepare {plan.harder}, then: ocbench train {plan.model} --data {plan.harder}")
