"""`ocbench push RUN PLACE`."""

from __future__ import annotations

import click

from ocbench.cli.options import Common, common, dry_run


@click.command("push")
@click.argument("run")
@click.argument("place")
@click.option(
    "-s", "--set", "instead", multiple=True, metavar="KEY=VALUE",
    help="What others can find in the place of a folder that a setting names, such as weights=ORG/NAME.",
)  # fmt: skip
@click.option("--license", "licence", metavar="ID", help="Of the weights, such as cc-by-4.0.  [default: the model's]")
@click.option("--private", "hidden", is_flag=True, help="A new repository only you can see.")
@click.option("--overwrite", is_flag=True, help="Replace another run that is published there.")
@dry_run
@common
def command(
    common: Common, run: str, place: str, instead: tuple[str, ...], licence: str | None, hidden: bool,
    overwrite: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Publish a finished run with its model card.

    RUN is a run directory, its name, or "last". PLACE is hf:ORG/NAME, a model repository of the Hugging Face hub
    ($HF_TOKEN must be able to write there), or folder:DIR. Sent are the final weights, settings, scores with their
    rows, log, pictures and the card; no optimiser state, no path or name of this machine. -n shows it all first.
    """
    from ocbench.hub import push
    from ocbench.hub.places import place_of
    from ocbench.runs import RunConfig, find_run

    target = place_of(place)
    run_dir = find_run(run, common.runs_dir)
    common.line("run", f"{run_dir}   (trained on {RunConfig.load(run_dir).trained_on})")
    what = push.publication(run_dir, target, instead=instead, licence=licence)
    for note in what.notes:
        common.line("note", note)
    sizes = {entry.path: entry.size for entry in what.manifest.files}
    for path, size in sizes.items():
        common.line("file", f"{path}   {size:,} bytes")
    record = {"run": str(run_dir), "place": target.word, "files": sizes, "weights": what.manifest.weights_digest}
    record |= {"notes": list(what.notes)}
    if dry_run:
        common.line("plan", f"{len(what.files)} files, {what.manifest.size / 1e6:,.1f} MB to {target.word}: not sent")
        common.result(what.card, {**record, "card": what.card, "sent": False})
        return
    address = push.push(what, target, overwrite=overwrite, hidden=hidden)
    common.line("sent", f"{len(what.files)} files, {what.manifest.size / 1e6:,.1f} MB to {target.word}")
    common.line("next", f"ocbench pull {target.word}")
    common.result(address, {**record, "address": address, "sent": True})
