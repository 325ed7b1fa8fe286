"""Several verbs in a row, as data; a step whose result is there is skipped, so a plan goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocbench import jobs, prepare, registry, report
from ocbench.html import write_report
from ocbench.prepared import open_dataset
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


@dataclass(frozen=True)
class Training:
    """A model that learns from a dataset, and the splits that judge it."""

    model: str
    data: str  # DATASET[@PROTOCOL]
    scenario: str | None = None  # None: the model's first
    settings: tuple[str, ...] = ()  # KEY=VALUE
    splits: tuple[str, ...] = ("test",)
    name: str | None = None  # of the run directory; None: the usual one
    panels: int = 0  # scenes drawn
    gallery: int = 0  # scenes kept for the page

    @property
    def dataset(self) -> str:
        """The name in `data`."""
        return self.data.partition("@")[0]

    @property
    def protocol(self) -> str | None:
        """The protocol in `data`; None: the dataset's default."""
        return self.data.partition("@")[2] or None

    def run_dir(self, runs_dir: str | Path, seed: int) -> Path:
        """Where that seed's run lies."""
        scenario = self.scenario or next(iter(registry.model(self.model).scenarios))
        return run_directory(runs_dir, self.model, scenario, self.dataset, seed, self.name)


@dataclass(frozen=True)
class Means:
    """With what, and how far, a plan is carried out."""

    data_dir: str
    runs_dir: str
    progress: Callable[[str], AbstractContextManager[Progress]]
    say: Say = lambda word, text: None
    device: str = "auto"
    fields: Mapping[str, Any] = field(default_factory=dict)  # of run.json: steps, precision, compile
    phase_cache: bool = True
    max_hours: float | None = None  # of this call

    def prepare(self, dataset: str, protocol: str | None, executor: str, limit: int | None) -> None:
        """Prepares a dataset that needs no source; what is there is only looked at."""
        spec = registry.dataset(dataset)
        self.say("prepare", f"{spec.name}: rendered here, nothing is downloaded")
        with self.progress("shards") as update:
            options = jobs.Options(executor=executor, limit=limit)
            shards = jobs.plan(spec, spec.protocol(protocol), self.data_dir, options=options)
            prepare.prepare(shards, progress=update, say=self.say)


def trained_and_scored(training: Training, seed: int, means: Means) -> Path:
    """Trains and scores, or goes on with it; the run directory. Stopped after `max_hours`."""
    from ocbench.runner import evaluate, phases, probe, train

    plugin = registry.model(training.model)
    split, validation = training_splits(training.data, means.data_dir)
    recipe = resolve(plugin, split.dataset, None, training.scenario, training.settings)
    run = run_config(recipe, split, seed=seed, device=means.device, **means.fields)
    run_dir = training.run_dir(means.runs_dir, seed)
    options = train.Options(
        device=means.device, eval_every=probe.interval(phases.planned(plugin, recipe.config, run)),
        phase_cache=means.phase_cache, max_hours=means.max_hours,
    )  # fmt: skip
    means.say("train", f"{run_dir.name}   {plugin.summary}")
    with means.progress("training") as update:
        train.train(
            plugin, recipe.config, split, run, run_dir, data_dir=means.data_dir, options=options,
            validation=validation, progress=update, say=means.say,
        )  # fmt: skip
    scoring = evaluate.Options(device=means.device, panels=training.panels, gallery=training.gallery)
    for name in training.splits:
        scored = open_dataset(training.dataset, name, training.protocol, means.data_dir)
        with means.progress("scoring") as update:
            evaluate.evaluate_run(run_dir, scored, scoring, update)
    return run_dir


def demo(
    plan: Demo, means: Means, *, seed: int = 0, executor: str = "local:1", limit: int | None = None
) -> DemoResult:  # fmt: skip
    """Prepares the dataset, trains and scores the references and the model, draws, and lays all side by side.

    `limit` makes a trial of it: fewer scenes of each split.
    """
    means.prepare(plan.dataset, None, executor, limit)
    trainings = [Training(model, plan.dataset, gallery=plan.gallery) for model in plan.references]
    trainings.append(Training(plan.model, plan.dataset, gallery=plan.gallery, panels=plan.panels))
    runs = [trained_and_scored(training, seed, means) for training in trainings]
    (panel,) = (runs[-1] / "panels").glob("*-test@*.png")
    page = Path(means.runs_dir) / f"demo-s{seed}.html"
    write_report([runs[-1], *runs[:-1]], page)
    return DemoResult(report.sections(runs), runs[-1], panel, page)
