"""`ocbench train MODEL`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ocbench.cli.options import Common, common, described, device, dry_run, limit, seed_list
from ocbench.errors import UsageError
from ocbench.launch import this_rank
from ocbench.runner.stopping import hours_left

if TYPE_CHECKING:
    from ocbench.plugin import Phase


@click.command("train")
@click.argument("model")
@click.option(
    "--data", metavar="DATA", help="DATASET[:SPLIT][@PROTOCOL] or a folder.  [default: the model's first preset]"
)
@click.option("--scenario", metavar="NAME", help="How it is trained.  [default: the model's first]")
@click.option("--preset", metavar="NAME", help="Its settings.  [default: those named like the dataset]")
@click.option("-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one setting of the preset.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides all that is random.")
@click.option("--seeds", callback=seed_list, metavar="A,B,C", help="One run a seed, in turn, instead of --seed.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="A trial: at most N updates in each phase.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Scenes per update, over all ranks.")
@click.option(
    "--micro-batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Scenes in work at a time on each rank: same updates, but for BatchNorm.",
)
@click.option("--init-from", metavar="RUN", help="Begin with the final weights of that run, of the same settings.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), default="fp32", show_default=True)
@click.option("--compile", is_flag=True, help="Compile the training step.")
@click.option("--deterministic", is_flag=True, help="Ask torch for deterministic kernels.")
@click.option(
    "--resume", default="auto", show_default=True, metavar="auto/never/PATH", help="Go on where the same run stopped."
)
@click.option("--stream", is_flag=True, help="Read shards directly, without the decoded cache.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that stream.")
@click.option("--eval-every", type=click.IntRange(min=0), metavar="N", help="Updates between looks at `val`; 0: never.")
@click.option("--save-every", default="60s", show_default=True, metavar="N/Ns", help="Updates or seconds.")
@click.option(
    "--max-hours", type=click.FloatRange(min=0, min_open=True), metavar="H", help="Save and exit 75 after H hours."
)
@click.option("--stop-on-collapse", is_flag=True, help="Save and end with 6 where the probe leaves the healthy bands.")
@click.option("--no-phase-cache", is_flag=True, help="Train the first phase even where another run has.")
@click.option("--name", metavar="NAME", help="Of the run directory, before -s<seed>.")
@device
@limit
@dry_run
@common
def command(common: Common, seed: int, seeds: tuple[int, ...], max_hours: float | None, **words: Any) -> None:
    """Train a registered model.

    On a CPU, a GPU, or many: torchrun --nproc-per-node N -m ocbench train … The same command goes on where it stopped.
    SIGTERM and SIGUSR1 save and end with exit code 75.
    """
    given = click.get_current_context().get_parameter_source("seed")
    if seeds and given is click.core.ParameterSource.COMMANDLINE:
        raise UsageError("--seed and --seeds both say which", hint="leave one of them out")
    if len(seeds) > 1 and this_rank().world > 1:
        raise UsageError("several ranks train one seed at a time", hint="one call a seed: --seed N")
    began, made = time.monotonic(), []
    for one in seeds or (seed,):
        made.append(_trained(common, one, max_hours=hours_left(max_hours, began), **words))
    text = "\n".join(run["checkpoint"] for run in made if "checkpoint" in run)
    common.result(text, made[0] if len(made) == 1 else {"runs": made})


def _trained(
    common: Common, seed: int, *, model: str, data: str | None, scenario: str | None, preset: str | None,
    overrides: tuple[str, ...], resume: str, workers: int, eval_every: int | None, save_every: str,
    max_hours: float | None, stop_on_collapse: bool, no_phase_cache: bool, init_from: str | None, name: str | None,
    device: str, limit: int | None, dry_run: bool,
    **kept: Any,
) -> dict[str, Any]:  # fmt: skip
    """Trains one seed; what is to be said of it."""
    from ocbench import recipe, registry, runs
    from ocbench.runner import checkpoint, phases, probe, train

    plugin = registry.model(model)
    split, validation = recipe.training_splits(data or recipe.default_dataset(plugin), common.data_dir, limit)
    chosen = recipe.resolve(plugin, split.dataset, preset, scenario, overrides)
    first = None if init_from is None else checkpoint.final(runs.find_run(init_from, common.runs_dir))
    run = recipe.run_config(  # the other options are fields of run.json
        chosen, split, seed=seed, device=device, init_from=first and checkpoint.identity(first), **kept
    )
    run_dir = runs.run_directory(common.runs_dir, model, chosen.scenario, split.dataset, seed, name)
    plan = phases.planned(plugin, chosen.config, run)
    common.line("model", f"{model}   preset {chosen.preset}, scenario {chosen.scenario}, seed {seed}")
    for change in chosen.changed:
        common.line("set", change)
    common.line("data", described(split))
    if run.init_from:
        common.line("begins", f"with the weights of {run.init_from}")
    for number, phase in enumerate(plan, 1):
        common.line("phases" if number == 1 else "", f"{number} {in_words(phase)}")
    common.line("run", str(run_dir))
    if dry_run:
        return {"run": str(run_dir), "config": run.config, "phases": [phase.name for phase in plan]}
    options = train.Options(
        device=device, resume=resume, save_every=save_every, workers=workers, max_hours=max_hours,
        eval_every=probe.interval(plan) if eval_every is None else eval_every, phase_cache=not no_phase_cache,
        init_from=first, stop_on_collapse=stop_on_collapse,
    )  # fmt: skip
    with common.progress("training") as progress:
        final = train.train(
            plugin, chosen.config, split, run, run_dir, data_dir=common.data_dir, options=options,
            validation=validation, progress=progress, say=common.line,
        )  # fmt: skip
    common.line("next", f"ocbench evaluate {run_dir}")
    return {"run": str(run_dir), "checkpoint": str(final)}


def in_words(phase: Phase) -> str:
    """A phase in one line."""
    if phase.steps == 0:
        return f"{phase.name:<12} no updates" + (f"   looks at {phase.sample:,} scenes" if phase.sample else "")
    rates = ", ".join(f"{o.kind} {o.learning_rate:g}" for o in phase.optimizers)
    trains = ", ".join(phase.trains) or "everything"
    clock = f"   from update {phase.clock_start:,}" if phase.clock_start else ""
    return f"{phase.name:<12} {phase.steps:,} steps   batch {phase.batch_size}   {rates}   trains {trains}{clock}"
