"""`ocbench prepare DATASET`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from ocbench.cli.options import COLUMN, Common, common, dry_run, limit
from ocbench.errors import PluginError, UsageError

if TYPE_CHECKING:
    from ocbench.jobs import Plan
    from ocbench.scene import DatasetSpec, Part, Protocol
    from ocbench.shards import Manifest

SHOWN = 10  # unreadable scenes named on the screen


@click.command("prepare")
@click.argument("dataset")
@click.option("--raw", metavar="PATH", help="Where the raw distribution lies.  [default: DATA-DIR/raw/DATASET]")
@click.option("--protocol", metavar="NAME", help="Crop, filters, ranges and rules.  [default: the dataset's first]")
@click.option("--splits", metavar="A,B", help="Only these splits.  [default: all whose source is there]")
@click.option(
    "--executor", default="local", show_default=True, metavar="local[:N]/dask://HOST:PORT",
    help="N processes, or one per core; or a Dask cluster whose workers all see source and output.",
)  # fmt: skip
@click.option("--download", is_flag=True, help="First fetch the public files that are not there, and check the rest.")
@click.option("--image-format", type=click.Choice(["webp", "png"]), default="webp", show_default=True, help="Lossless.")
@click.option("--overwrite", is_flag=True, help="Start over, in the place of what was prepared there.")
@click.option("--partial", is_flag=True, help="Accept fewer scenes than expected: ranges scaled, the set marked.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out scenes that cannot be read, and list them.")
@limit
@dry_run
@common
def command(
    common: Common, dataset: str, raw: str | None, protocol: str | None, splits: str | None, executor: str,
    download: bool, image_format: str, overwrite: bool, partial: bool, skip_unreadable: bool, limit: int | None,
    dry_run: bool,
) -> None:  # fmt: skip
    """Turn a raw distribution into verified shards.

    The same bytes on any number of cores; the same command goes on where a call before stopped.
    """
    from ocbench import jobs, prepare, registry

    spec = registry.dataset(dataset)
    chosen = spec.protocol(protocol)
    options = jobs.Options(executor, image_format, limit, partial, skip_unreadable, overwrite)
    wanted = [name.strip() for name in splits.split(",") if name.strip()] if splits else None
    if download and not fetched(common, spec, chosen, wanted, raw, dry_run):
        return
    plan = jobs.plan(spec, chosen, common.data_dir, raw=raw, splits=wanted, options=options)
    show_plan(common, plan)
    if dry_run:
        common.result("nothing was written", {"plan": counts(plan), "absent": plan.missing})
        return
    with common.progress("shards") as progress:
        manifests = prepare.prepare(plan, progress=progress, say=common.line)
    show_result(common, plan, manifests)


def fetched(
    common: Common, spec: DatasetSpec, protocol: Protocol, splits: Sequence[str] | None, raw: str | None, dry_run: bool
) -> bool:
    """Whether the public files of the splits are there, now that they were fetched or, in a dry run, only listed."""
    from ocbench import download, storage
    from ocbench.prepared import raw_directory

    if raw or storage.is_remote(common.data_dir):
        raise UsageError(
            "--download fetches into DATA-DIR/raw/DATASET on a local disk",
            found=raw or common.data_dir,
            hint="leave --raw out" if raw else "fetch with a local --data-dir first; then name the files by --raw",
        )
    files, folder = download.needed(spec, protocol, splits), raw_directory(common.data_dir, spec.name)
    if not dry_run:
        with common.progress("download") as progress:
            download.fetch(files, folder, progress=progress, say=common.line)
        return True
    to_come = download.absent(files, folder)
    for note in dict.fromkeys(file.license_note for file in to_come if file.license_note):
        common.line("licence", note)
    for file in to_come:
        size = f"{file.size / 1e9:,.1f} GB" if file.size else "size unknown"
        common.line("to fetch", f"{file.name}   {size}   {file.urls[0]}")
    if to_come:
        total = f"{sum(file.size or 0 for file in to_come) / 1e9:,.1f} GB"
        unknown = sum(file.size is None for file in to_come)
        common.line("in all", f"{total} and {unknown} files of unknown size" if unknown else total)
        record = [{"name": file.name, "bytes": file.size, "urls": file.urls} for file in to_come]
        common.result("nothing was fetched or written", {"to_fetch": record})
    return not to_come


def counts(plan: Plan) -> dict[str, tuple[int, int]]:
    """Scenes and shards of each split to come."""
    return {found.split.name: (found.stop - found.start, len(plan.jobs(found))) for found in plan.ranges}


def show_plan(common: Common, plan: Plan) -> None:
    """Says what is there and what will be made of it."""
    parts = {found.split.part: found for found in plan.ranges}
    there = "   ".join(f"{name} {scenes_of(found.part)}" for name, found in parts.items())
    common.line("raw", f"{plan.source}   {there}" if plan.source else "none needed: scenes are rendered")
    common.line("protocol", described(plan.protocol))
    splits = [f"{name} {scenes:,} in {shards:,}" for name, (scenes, shards) in counts(plan).items()]
    splits[0] += " shard" if splits[0].endswith(" 1") else " shards"
    common.line("plan", " | ".join(splits))
    if aside := max(found.part.aside for found in plan.ranges):
        show_aside(common, aside)
    if plan.missing:
        common.line("absent", f"{', '.join(plan.missing)}: the source lacks their part")
    for name, found in parts.items():
        if found.partial:
            common.line("partial", f"{name}: {found.part.scenes:,} of {found.part.expected:,} scenes, ranges scaled")


def show_aside(common: Common, most: int) -> None:
    """Says how much may have to wait where temporary files go, and whether it would fit."""
    from ocbench import storage

    folder = tempfile.gettempdir()
    free = storage.free_space(folder)
    text = f"what the archives hold out of order waits in '{folder}': at worst {most / 1e6:,.1f} MB"
    if free < most:
        text += f", BUT {free / 1e6:,.1f} MB ARE FREE: point TMPDIR to a larger disk, or unpack the archives"
    common.line("aside", text)


def scenes_of(part: Part) -> str:
    """The count of a part, where it is known before all is read."""
    return "packed" if part.scenes is None else f"{part.scenes:,}"


def described(protocol: Protocol) -> str:
    """A protocol in one line."""
    crop = f"crop {protocol.crop[2]} at {protocol.crop[0]}, {protocol.crop[1]}, " if protocol.crop else ""
    size = "x".join(str(side) for side in protocol.size)
    filters = f"images {protocol.image_filter}, masks {protocol.mask_filter}"
    return f"{protocol.name}/{protocol.version}   {crop}{size}, {filters}"


def show_result(common: Common, plan: Plan, manifests: Mapping[str, Manifest]) -> None:
    """Says what was written, where, and what to type next; the splits go to stdout."""
    directories = {found.split.name: plan.directory(found) for found in plan.ranges}
    unreadable = [line for m in manifests.values() for line in m.unreadable]
    flagged = sum(len(m.flagged) for m in manifests.values())
    common.line(
        "checked",
        f"{sum(m.scenes for m in manifests.values()):,} scenes, {len(unreadable)} unreadable, {flagged} with an object "
        "that the crop removed (kept, flagged)",
    )
    for line in [*unreadable[:SHOWN], *([f"and {len(unreadable) - SHOWN} more"] if len(unreadable) > SHOWN else [])]:
        common.line("", line)
    lines, records = [], []
    for name, m in manifests.items():
        size = sum(shard.size for shard in m.shards)
        content = f"{m.scenes:,} scenes   {size / 1e6:,.1f} MB   fingerprint {m.fingerprint}"
        lines.append(f"{'wrote':<{COLUMN}}{directories[name]}   {content}")
        records.append({
            "split": name, "directory": directories[name], "scenes": m.scenes, "bytes": size,
            "fingerprint": m.fingerprint, "flagged": len(m.flagged), "unreadable": m.unreadable,
            "incomplete": m.incomplete(), "shards": [shard.sha256 for shard in m.shards],
        })  # fmt: skip
    common.result("\n".join(lines), {"dataset": plan.spec.name, "protocol": plan.protocol.name, "splits": records})
    elsewhere = common.data_dir != os.environ.get("OCBENCH_DATA", "data")
    common.line(
        "next", next_command(plan, "train" in manifests) + (f" --data-dir {common.data_dir}" if elsewhere else "")
    )


def next_command(plan: Plan, trainable: bool) -> str:
    """What to type next: a model with settings for the dataset trained on it, or one scored on the new splits."""
    from ocbench import registry

    word = plan.spec.name
    if plan.protocol != plan.spec.protocols[0]:
        word += f"@{plan.protocol.name}"
    if not trainable:
        return f"ocbench evaluate --data {word} --split {','.join(found.split.name for found in plan.ranges)}"
    for name in registry.names("model"):
        try:
            presets = list(registry.model(name).presets)
        except PluginError:  # `ocbench list models --check` is the place to hear of that
            continue
        if plan.spec.name in presets:
            return f"ocbench train {name}" + (f" --data {word}" if word != presets[0] else "")
    return f"ocbench train MODEL --data {word}"
