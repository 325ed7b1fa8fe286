"""`ocbench verify [DATA]`."""

from __future__ import annotations

import click

from ocbench.cli.options import Common, common
from ocbench.errors import DataError


@click.command("verify")
@click.argument("data", required=False)
@click.option("--deep", is_flag=True, help="Decode every scene and compare its pixels, too.")
@click.option("--repair", is_flag=True, help="Write the broken shards anew from their source.")
@click.option("--raw", metavar="PATH", help="Where the raw distribution lies, for --repair.")
@common
def command(common: Common, data: str | None, deep: bool, repair: bool, raw: str | None) -> None:
    """Check prepared shards against their manifest; DATA is DATASET[:SPLIT,…][@PROTOCOL] or a folder (default: all)."""
    from ocbench import verify

    report, broken = [], 0
    for split in opened(common, data):
        with common.progress("checking") as progress:
            findings = verify.verify(split, deep=deep, progress=progress)
        for finding in findings:
            common.line("broken", f"{split.directory}/{finding.shard}: {finding.fault}")
        if findings and repair:
            verify.repair(split, findings, raw=raw, data_dir=common.data_dir)
            findings = verify.verify(split, deep=True)
            common.line("repaired", split.directory)
        broken += len(findings)
        report.append(
            {"split": split.name, "directory": split.directory, "scenes": len(split), "fingerprint": split.fingerprint,
             "incomplete": split.manifest.incomplete(), "broken": [f.__dict__ for f in findings]}
        )  # fmt: skip
    lines = [
        f"{r['split']}  {r['scenes']:,} scenes  {'BROKEN' if r['broken'] else 'ok'}  {r['fingerprint']}" for r in report
    ]
    common.result("\n".join(lines), {"splits": report})
    if broken:
        raise DataError(f"{broken} of the shards are not what their manifest says", hint="ocbench verify --repair")


def opened(common: Common, data: str | None) -> list:
    """The prepared splits that the word means; every split under the data directory without one."""
    from ocbench import registry
    from ocbench.prepared import PreparedSplit, open_dataset, parse_data, prepared_splits, split_directory

    found = []
    names = [data] if data else [name for name in registry.names("dataset")]
    for name in names:
        word = parse_data(name)
        if word.folder:
            return [PreparedSplit(word.folder)]
        spec = registry.dataset(str(word.dataset))
        protocols = spec.protocols if data is None else (spec.protocol(word.protocol),)
        for protocol in protocols:
            splits = word.splits or prepared_splits(common.data_dir, spec.name, protocol)
            if word.splits:
                found += [open_dataset(spec.name, split, protocol.name, common.data_dir) for split in splits]
            else:
                found += [PreparedSplit(split_directory(common.data_dir, spec.name, protocol.name, s)) for s in splits]
    if not found:
        raise DataError(f"nothing is prepared under '{common.data_dir}'", hint=f"ocbench prepare {data or 'DATASET'}")
    return found
