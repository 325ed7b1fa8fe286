"""`ocbench pull PLACE`."""

from __future__ import annotations

import click

from ocbench.cli.options import Common, common, dry_run


@click.command("pull")
@click.argument("place")
@click.option("--name", metavar="NAME", help="The run directory's name.  [default: that of the repository or folder]")
@dry_run
@common
def command(common: Common, place: str, name: str | None, dry_run: bool) -> None:
    """Fetch a published run and check it.

    PLACE is hf:ORG/NAME, hf:ORG/NAME@REVISION (a branch, tag or commit), folder:DIR, or the path of such a folder.
    Every file is checked against its published digest; nothing that could run is fetched. Then evaluate, predict,
    show and report take it like any finished run.
    """
    from ocbench.hub.places import place_of
    from ocbench.hub.pull import look, pull

    found = look(place_of(place))
    manifest, commit = found.manifest, found.place.commit
    common.line("from", found.place.word + (f"   commit {commit}" if commit else ""))
    common.line("model", f"{manifest.model}   of {manifest.distribution} {manifest.version}")
    size = f"{len(manifest.files)} files, {manifest.size / 1e6:,.1f} MB"
    record = {"place": found.place.word, "commit": commit, "files": {e.path: e.size for e in manifest.files}}
    if dry_run:
        common.line("plan", f"{size}: not fetched")
        common.result("", record)
        return
    with common.progress("fetching") as progress:
        run_dir, known = pull(found, common.runs_dir, name, progress)
    common.line("checked", f"{size}, weights {manifest.weights_digest[:16]}…")
    common.line("there" if known else "wrote", f"{run_dir}" + ("   the same, file by file" if known else ""))
    common.line("next", f"ocbench evaluate {run_dir.name}   or: ocbench show {run_dir.name}")
    common.result(str(run_dir), {**record, "run": str(run_dir), "known": known})
