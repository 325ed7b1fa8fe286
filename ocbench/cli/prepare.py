"""`ocbench prepare DATASET`."""

from __future__ import annotations

import os

import click

from ocbench.cli.options import Common, common, dry_run, limit
from ocbench.errors import UsageError


def workers_of(executor: str) -> int:
    """The number of worker processes that `local` or `local:N` means."""
    kind, _, count = executor.partition(":")
    if kind != "local" or (count and (not count.isdigit() or int(count) < 1)):
        raise UsageError(f"no executor '{executor}'", expected="local or local:N")
    return int(count) if count else os.cpu_count() or 1


@click.command("prepare")
@click.argument("dataset")
@click.option("--raw", metavar="PATH", help="Where the raw distribution lies.  [default: DATA-DIR/raw/DATASET]")
@click.option("--protocol", metavar="NAME", help="Crop, filters, ranges and rules.  [default: the dataset's first]")
@click.option("--splits", metavar="A,B", help="Only these splits.  [default: all whose source is there]")
@click.option(
    "--executor", default="local", show_default=True, metavar="local[:N]", help="N processes, or one per core."
)
@click.option("--image-format", type=click.Choice(["webp", "png"]), default="webp", show_default=True, help="Lossless.")
@click.option("--overwrite", is_flag=True, help="Replace what another preparation left in the same place.")
@click.option("--partial", is_flag=True, help="Accept fewer scenes than expected: ranges scaled, the set marked.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out scenes that cannot be read, and list them.")
@limit
@dry_run
@common
def command(
    common: Common, dataset: str, raw: str | None, protocol: str | None, splits: str | None, executor: str,
    image_format: str, overwrite: bool, partial: bool, skip_unreadable: bool, limit: int | None, dry_run: bool,
) -> None:  # fmt: skip
    """Turn a raw distribution into verified shards: resumable, and the same bytes on any number of cores."""
    from ocbench import prepare, registry
    from ocbench.prepared import split_directory
    from ocbench.shards import SCENES_PER_SHARD

    spec = registry.dataset(dataset)
    chosen = spec.protocol(protocol)
    options = prepare.Options(workers_of(executor), image_format, limit, partial, skip_unreadable, overwrite)
    source = prepare.source_of(spec, raw, common.data_dir)
    wanted = [name.strip() for name in splits.split(",") if name.strip()] if splits else None
    common.line("raw", f"{source}" if source else "none needed: scenes are rendered")
    common.line("protocol", describe(chosen))
    ranges, missing = prepare.plan(spec, chosen, source, wanted, options)
    shards = {r.split.name: (r.stop - r.start, len(r.shards(SCENES_PER_SHARD))) for r in ranges}
    common.line("plan", " | ".join(f"{n} {scenes:,} in {count}" for n, (scenes, count) in shards.items()))
    if missing:
        common.line("absent", f"{', '.join(missing)}: the source lacks their part")
    for r in {r.split.part: r for r in ranges if r.partial}.values():
        common.line("partial", f"{r.split.part}: {r.part.scenes:,} of {r.part.expected:,} scenes, ranges scaled")
    if dry_run:
        common.result("", {"plan": shards, "absent": missing})
        return
    with common.progress("shards") as progress:
        manifests = prepare.prepare(
            spec, chosen, source=source, data_dir=common.data_dir, splits=wanted, options=options, progress=progress,
            say=common.line,
        )  # fmt: skip
    report = [
        {
            "split": name, "directory": split_directory(common.data_dir, dataset, chosen.name, name), "scenes": m.scenes,
            "fingerprint": m.fingerprint, "bytes": sum(s.bytes for s in m.shards), "flagged": len(m.flagged),
            "unreadable": list(m.unreadable), "incomplete": m.incomplete(), "shards": [s.sha256 for s in m.shards],
        }
        for name, m in manifests.items()
    ]  # fmt: skip
    flagged, unreadable = sum(r["flagged"] for r in report), [u for r in report for u in r["unreadable"]]
    common.line(
        "checked",
        f"{sum(r['scenes'] for r in report):,} scenes, {len(unreadable)} unreadable, {flagged} with an object that the "
        "crop removed (kept, flagged)",
    )
    for line in unreadable[:10]:
        common.line("", line)
    common.line("next", f"ocbench train MODEL --data {dataset}" + (f"@{protocol}" if protocol else ""))
    lines = [
        f"{r['directory']}  {r['scenes']:,} scenes  {r['bytes'] / 1e6:,.1f} MB  {r['fingerprint']}" for r in report
    ]
    common.result("\n".join(lines), {"dataset": dataset, "protocol": chosen.name, "splits": report})


def describe(protocol) -> str:  # type: ignore[no-untyped-def]
    """A protocol in one line."""
    crop = f"crop {protocol.crop[2]} at {protocol.crop[0]},{protocol.crop[1]}, " if protocol.crop else ""
    size = "x".join(str(side) for side in protocol.size)
    return f"{protocol.name}/{protocol.version}   {crop}{size}, images {protocol.image_filter}, masks {protocol.mask_filter}"
