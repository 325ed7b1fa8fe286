"""`ocbench evaluate [RUN]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ocbench.cli.options import Common, common, described, device, dry_run, limit
from ocbench.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ocbench.prepared import PreparedSplit
    from ocbench.runner.evaluate import Options
    from ocbench.runs import RunConfig, ScoreSheet

BELOW = 7  # exit code of --fail-under


@click.command("evaluate")
@click.argument("run", default="last")
@click.option("--split", metavar="LIST/all", help="Splits of the run's own dataset and protocol.  [default: test]")
@click.option("--data", metavar="DATA", help="Another dataset or protocol of the same size, or a folder.")
@click.option("--metrics", metavar="A,B", help="METRIC[@DIALECT], …  [default: those of the published tables]")
@click.option("--checkpoint", default="final", show_default=True, metavar="final/last/STEP", help="Which weights.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Scenes at a time.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For models that draw.")
@click.option("--masks", metavar="NAME", help="Score another of the model's sets of masks.")
@click.option("--nan", type=click.Choice(["omit", "propagate", "zero"]), default="omit", show_default=True)
@click.option("--ci", default="95", show_default=True, metavar="LEVEL/none", help="Bootstrap interval over scenes.")
@click.option("--panels", type=click.IntRange(min=0), default=0, metavar="N", help="Draw the first N scenes.")
@click.option(
    "--gallery", type=click.IntRange(min=0), default=24, show_default=True, metavar="N",
    help="Keep the best, worst and random scenes, N in all, for the HTML report.",
)  # fmt: skip
@click.option("--save-labels", metavar="DIR", help="Write the predicted label maps as PNG.")
@click.option("--fail-under", multiple=True, metavar="METRIC=VALUE", help="Exit 7 where a score, as shown, is lower.")
@click.option("--overwrite", is_flag=True, help="Replace scores of other weights, data or settings.")
@device
@limit
@dry_run
@common
def command(
    common: Common, run: str, split: str | None, data: str | None, metrics: str | None, ci: str, panels: int,
    save_labels: str | None, fail_under: tuple[str, ...], limit: int | None, dry_run: bool, **kept: Any,
) -> None:  # fmt: skip
    """Score a run on held-out scenes.

    RUN is a run directory, its name, or "last", the newest finished one. On one device, or on many: torchrun
    --nproc-per-node N -m ocbench evaluate … The same command goes on where it stopped, on any number of them.
    """
    from ocbench import registry
    from ocbench.runs import RunConfig, find_run
    from ocbench.scoring import DEFAULT_METRICS

    run_dir = find_run(run, common.runs_dir)
    config = RunConfig.load(run_dir)
    common.line("run", f"{run_dir}   ({'last finished; ' if run == 'last' else ''}trained on {config.trained_on})")
    names = tuple(metrics.split(",")) if metrics else DEFAULT_METRICS
    for name in names:
        registry.metric(name)
    floors = floors_of(fail_under, names)
    splits = [found.scored().first(limit) for found in chosen(common, config, split, data)]
    for found in splits:
        common.line("data", described(found))
    if dry_run:
        common.result("", {"run": str(run_dir), "splits": [found.name for found in splits]})
        return

    from ocbench.runner import device
    from ocbench.runner.evaluate import Options

    options = Options(names, level=level_of(ci), panels=panels, labels_dir=save_labels, **kept)
    with device.together():
        sheets = [scored(common, run_dir, found, options, several=len(splits) > 1) for found in splits]
    common.line("next", f"ocbench report {run_dir}   or, as a page: ocbench report {run_dir} --html report.html")
    if common.json:
        common.result("", {"run": str(run_dir), "sheets": [sheet.to_json() for sheet in sheets]})
    if below := [text for sheet in sheets for text in misses(sheet, floors)]:
        common.line("below", "; ".join(below))
        raise SystemExit(BELOW)


def chosen(common: Common, config: RunConfig, split: str | None, data: str | None) -> Sequence[PreparedSplit]:
    """The prepared splits to score: of --data, or of the run's own dataset and protocol."""
    from ocbench.prepared import open_word

    names = None if split == "all" else tuple((split or "test").split(","))
    if data is not None and split is not None and (":" in data or "/" in data):
        raise UsageError("--split and a --data that names splits say the same thing", hint="leave one out")
    return open_word(data or f"{config.dataset}@{config.protocol}", common.data_dir, names)


def level_of(ci: str) -> float | None:
    """The confidence level in per cent; None for "none"."""
    if ci == "none":
        return None
    try:
        level = float(ci)
    except ValueError:
        level = 0.0
    if not 0 < level < 100:
        raise UsageError(f"no confidence level '{ci}'", expected="a number between 0 and 100, or none")
    return level


def floors_of(words: Sequence[str], metrics: Sequence[str]) -> dict[str, float]:
    """The least value of each metric named by METRIC=VALUE, in the unit of the screen."""
    floors = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in metrics:
            raise UsageError(f"--fail-under '{word}' names no metric of this evaluation", expected=", ".join(metrics))
        try:
            floors[name] = float(value)
        except ValueError:
            raise UsageError(f"--fail-under '{word}' has no number", expected="METRIC=VALUE") from None
    return floors


def misses(sheet: ScoreSheet, floors: dict[str, float]) -> list[str]:
    """The metrics of a sheet that are worse than their floor, as text."""
    found = []
    for name, floor in floors.items():
        value = sheet[name].mean * sheet[name].scale
        good = value >= floor if sheet[name].higher_is_better else value <= floor
        if not good:  # NaN is never good
            found.append(f"{sheet.name}: {sheet[name].label} {value:.4g}, not {floor:g}")
    return found


def scored(common: Common, run_dir: Path, split: PreparedSplit, options: Options, *, several: bool) -> ScoreSheet:
    """The sheet of one split, told: the table on stdout, the rest on stderr."""
    from ocbench.runner.evaluate import evaluate_run
    from ocbench.tables import sheet_table

    with common.progress("scoring") as progress:
        sheet, known = evaluate_run(run_dir, split, options, progress)
    special = sheet.special
    if special["seen_in_training"]:
        common.line("warning", f"{special['seen_in_training']:,} of these scenes were in the training split")
    if not common.json:
        heading = f"{sheet.dataset}:{sheet.split}@{sheet.protocol}\n" if several else ""
        common.result(heading + sheet_table(sheet), {})
    counts = f"{special['no_foreground']:,} without foreground, {special['one_object']:,} with one object"
    again = "   (scored before; --overwrite scores anew)" if known else ""
    common.line("scenes", f"{sheet.scenes:,} scored, {counts}{again}")
    common.line("wrote", f"{run_dir / 'scores' / sheet.name}.json, .jsonl")
    if options.panels:
        common.line("picture", f"{run_dir / 'panels' / sheet.name}.png")
    return sheet
