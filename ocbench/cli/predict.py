"""`ocbench predict RUN IMAGES --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ocbench.cli.options import Common, common, device, dry_run


@click.command("predict")
@click.argument("run")
@click.argument("images")
@click.option("--out", required=True, metavar="DIR", help="A new folder for what is found.")
@click.option(
    "--fit", type=click.Choice(["crop", "pad", "none"]), default="crop", show_default=True,
    help="How a picture gets the model's size: its middle, all of it on a ground of its mean colour, or it has it.",
)  # fmt: skip
@click.option("--checkpoint", default="final", show_default=True, metavar="final/last/STEP", help="Which weights.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Pictures at a time.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For models that draw.")
@click.option("--masks", metavar="NAME", help="Another of the model's sets of masks.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N pictures.")
@click.option("--skip-unreadable", is_flag=True, help="Go on without pictures that cannot be read.")
@click.option("--overwrite", is_flag=True, help="Replace the predictions that DIR holds.")
@device
@dry_run
@common
def command(
    common: Common, run: str, images: str, out: str, limit: int | None, dry_run: bool, **kept: Any,
) -> None:  # fmt: skip
    """Find the objects of your own pictures.

    RUN is a run directory, its name, or "last"; IMAGES a folder of pictures, or one. DIR gets masks, overlays,
    reconstructions and slots, a PNG a picture each; sheet.png shows the first twelve, predictions.json lists all.
    """
    from ocbench.runner.predict import Options, find_pictures, predict_pictures
    from ocbench.runs import RunConfig, find_run

    run_dir = find_run(run, common.runs_dir)
    config = RunConfig.load(run_dir)
    options = Options(**kept)
    common.line("run", f"{run_dir}   (trained on {config.trained_on})")
    pictures = find_pictures(images, config.size, options, limit)
    size = "{}x{}".format(*config.size)
    common.line("pictures", f"{len(pictures.paths):,} from {images}   {size}, fit {options.fit}")
    for fault in pictures.unreadable:
        common.line("skipped", fault)
    if dry_run:
        common.result("", {"pictures": [path.name for path in pictures.paths]})
        return
    with common.progress("predicting") as progress:
        records = predict_pictures(run_dir, pictures, Path(out), options, progress)
    live = sum(len(record["segments"]) for record in records) / len(records)
    covered = sum(record["foreground"] for record in records) / len(records)
    common.line("found", f"{live:.1f} segments a picture beside the background; they cover {covered:.0%}")
    common.line("picture", f"{out}/sheet.png")
    common.line("wrote", f"{out}/masks, overlays, slots, …")
    common.result(out, {"out": out, "run": str(run_dir), "pictures": records})
