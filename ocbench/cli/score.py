"""`ocbench score LABELS --data DATA`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ocbench.cli.evaluate import BELOW, floors_of, level_of, misses
from ocbench.cli.options import Common, common, described, limit
from ocbench.errors import UsageError

if TYPE_CHECKING:
    from ocbench.runs import ScoreSheet


@click.command("score")
@click.argument("labels")
@click.option("--data", required=True, metavar="DATA", help="What they are label maps of: DATASET:SPLIT, or a folder.")
@click.option("--name", metavar="NAME", help="What they are called in tables.  [default: the name of LABELS]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the run that made them.")
@click.option("--reconstructions", metavar="DIR", help="Reconstructions, stored in one of the same ways.")
@click.option("--map", "mapping", metavar="CSV", help="Two columns: scene key, name of its label map.")
@click.option("--resize", type=click.Choice(["nearest-centre", "nearest-floor"]), help="For another size.")
@click.option("--allow", default="", metavar="A,B", help="Go on with what is missing, extra, unreadable, size, range.")
@click.option("--metrics", metavar="A,B", help="METRIC[@DIALECT], …  [default: those of the published tables]")
@click.option("--nan", type=click.Choice(["omit", "propagate", "zero"]), default="omit", show_default=True)
@click.option("--ci", default="95", show_default=True, metavar="LEVEL/none", help="Bootstrap interval over scenes.")
@click.option("--fail-under", multiple=True, metavar="METRIC=VALUE", help="Exit 7 where a score, as shown, is lower.")
@click.option("--overwrite", is_flag=True, help="Replace scores of other label maps, data or settings.")
@limit
@common
def command(
    common: Common, labels: str, data: str, name: str | None, seed: int, allow: str, metrics: str | None, ci: str,
    fail_under: tuple[str, ...], limit: int | None, **kept: Any,
) -> None:  # fmt: skip
    """Score label maps made by any tool.

    LABELS is a folder of NAME.png (palette, grey or colour-coded), NAME.npy or NAME.npz, a tar of these, or one .npz or
    .npy for all scenes; NAME is the scene key. Floats [S, H, W] are soft masks. The sheet and a row a scene are stored
    as those of a run, for `ocbench report`.
    """
    from pathlib import Path

    from ocbench import registry, score_labels
    from ocbench.prepared import open_word
    from ocbench.runs import run_directory
    from ocbench.scoring import DEFAULT_METRICS

    names = tuple(metrics.split(",")) if metrics else DEFAULT_METRICS
    for metric in names:
        registry.metric(metric)
    floors, allowed = floors_of(fail_under, names), tuple(filter(None, allow.split(",")))
    if unknown := [fault for fault in allowed if fault not in score_labels.FAULTS]:
        raise UsageError(f"--allow '{unknown[0]}' is no fault", expected=", ".join(score_labels.FAULTS))
    splits = open_word(data, common.data_dir, ("test",))
    if len(splits) != 1:
        raise UsageError(f"'{data}' names {len(splits)} splits", expected="one: DATASET:SPLIT")
    scenes = splits[0].scored().first(limit)
    common.line("data", described(scenes))
    name = name or Path(labels).name.partition(".")[0]
    run = score_labels.run_of(name, seed, scenes)
    run_dir = run_directory(common.runs_dir, name, run.scenario, scenes.dataset, seed)
    options = score_labels.Options(names, level=level_of(ci), allow=allowed, **kept)
    with common.progress("scoring") as progress:
        sheet = score_labels.score_labels(labels, scenes, run, run_dir, options, progress)
    _tell(common, sheet, str(run_dir), floors)


def _tell(common: Common, sheet: ScoreSheet, run_dir: str, floors: dict[str, float]) -> None:
    from ocbench.tables import sheet_table

    common.result(sheet_table(sheet), {"run": run_dir, "sheets": [sheet.to_json()]})
    special = sheet.special
    counts = f"{special['no_foreground']:,} without foreground, {special['one_object']:,} with one object"
    common.line("scenes", f"{sheet.scenes:,} scored, {counts}")
    if special["partial"]:
        short = ", ".join(f"{name} {value}" for name, value in special["partial"].items())
        common.line("warning", f"not the whole split: {short}")
    common.line("wrote", f"{run_dir}/scores/{sheet.name}.json, .jsonl")
    common.line("next", f"ocbench report {run_dir}")
    if below := misses(sheet, floors):
        common.line("below", "; ".join(below))
        raise SystemExit(BELOW)
