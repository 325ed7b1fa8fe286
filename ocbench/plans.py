"""Several verbs in a row, as data; a step whose result is there is skipped, so a plan goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocbench import jobs, prepare, registry, report
from ocbench.html import write_report
from ocbench.recipe import resolve, run_config, training_splits
from ocbench.runs import run_directory

Progress = Callable[[int, int, str], None]
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Demo:
    """A model beside references that learn nothing, on one dataset."""

    dataset: str
    model: str
    references: tuple[str, ...]
    harder: str  # the dataset to go on with
    panels: int = 12  # scenes drawn
    gallery: int = 24  # scenes on the page
    note: str = ""  # how to read the numbers


DEMO = Demo(
    dataset="mini-plain",
    model="ast-seg",
    references=("blank", "grid", "kmeans", "median"),
    harder="mini-fixed",
    note=(
        "How to read this: ARI-FG alone is a weak witness (a blind grid gets 40 %), so look at mIoU too. On this\n"
        "plain set the ground hardly changes, so that it can also be solved without learning: `median` subtracts\n"
        "the median image and needs no network. The set shows that the whole job runs; it is no evidence that\n"
        "learning is needed. `mini-fixed` (textured objects) and `mini-tex` (textured grounds, too) are harder."
    ),
)


@dataclass(frozen=True)
class DemoResult:
    """What a demo ends in."""

    sections: tuple[report.Section, ...]
    run_dir: Path
    panel: Path
    page: Path  # the HTML report


def demo(
    plan: Demo,
    *,
    data_dir: str,
    runs_dir: str,
    seed: int = 0,
    device: str = "auto",
    executor: str = "local:1",
    limit: int | None = None,
    steps: int | None = None,
    say: Say = lambda word, text: None,
    progress: Callable[[str], AbstractContextManager[Progress]],
) -> DemoResult:
    """Prepares the dataset, trains and scores the references and the model, draws, and lays all side by side.

    `limit` and `steps` make a trial of it: fewer scenes of each split, fewer updates in each phase.
    """
    spec = registry.dataset(plan.dataset)
    say("prepare", f"{spec.name}: rendered here, nothing is downloaded")
    with progress("shards") as update:
        shards = jobs.plan(spec, spec.protocol(), data_dir, options=jobs.Options(executor=executor, limit=limit))
        prepare.prepare(shards, progress=update, say=say)
    runs = [
        _trained_and_scored(plan, model, data_dir, runs_dir, seed, device, steps, say, progress)
        for model in (*plan.references, plan.model)
    ]
    (panel,) = (runs[-1] / "panels").glob("*-test@*.png")
    page = Path(runs_dir) / f"demo-s{seed}.html"
    write_report([runs[-1], *runs[:-1]], page)
    return DemoResult(report.sections(runs), runs[-1], panel, page)


def _trained_and_scored(
    plan: Demo, model: str, data_dir: str, runs_dir: str, seed: int, device: str, steps: int | None, say: Say,
    progress: Callable[[str], AbstractContextManager[Progress]],
) -> Path:  # fmt: skip
    from ocbench.prepared import open_dataset
    from ocbench.runner import evaluate, phases, probe, train

    plugin = registry.model(model)
    split, validation = training_splits(plan.dataset, data_dir)
    recipe = resolve(plugin, plan.dataset, None, None, [])
    run = run_config(recipe, split, seed=seed, device=device, steps=steps)
    run_dir = run_directory(runs_dir, model, recipe.scenario, plan.dataset, seed)
    plan_of_phases = phases.planned(plugin, recipe.config, run)
    options: dict[str, Any] = {"device": device, "eval_every": probe.interval(plan_of_phases)}
    say("train", f"{model}   {plugin.summary}")
    with progress("training") as update:
        train.train(
            plugin, recipe.config, split, run, run_dir, data_dir=data_dir, options=train.Options(**options),
            validation=validation, progress=update, say=say,
        )  # fmt: skip
    panels = plan.panels if model == plan.model else 0
    test = open_dataset(plan.dataset, "test", data_dir=data_dir)
    with progress("scoring") as update:
        evaluate.evaluate_run(
            run_dir, test, evaluate.Options(device=device, panels=panels, gallery=plan.gallery), update
        )
    return run_dir
