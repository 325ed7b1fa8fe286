"""`ocbench verify [DATA]`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from ocbench.cli.options import COLUMN, Common, common, described
from ocbench.errors import DataError

if TYPE_CHECKING:
    from ocbench.prepared import PreparedSplit


@click.command("verify")
@click.argument("data", required=False)
@click.option("--deep", is_flag=True, help="Decode every scene and compare its pixels, too.")
@click.option("--repair", is_flag=True, help="Write the broken shards anew from their source.")
@click.option("--raw", metavar="PATH", help="Where the raw distribution lies, for --repair.")
@common
def command(common: Common, data: str | None, deep: bool, repair: bool, raw: str | None) -> None:
    """Check prepared shards against their manifest.

    DATA is DATASET[:SPLIT,…][@PROTOCOL] or a folder; without it, all that is prepared.
    """
    from ocbench import verify

    lines, records, broken = [], [], 0
    for split in opened(common, data):
        with common.progress("checking") as progress:
            findings = verify.verify(split, deep=deep, progress=progress)
        for finding in findings:
            common.line("broken", f"{split.directory}/{finding.name}: {finding.fault}")
        if findings and repair:
            split = verify.repair(split, findings, raw=raw, data_dir=common.data_dir)
            findings = verify.verify(split, deep=deep)
            common.line("repaired", split.directory)
        broken += len(findings)
        lines.append(f"{'BROKEN' if findings else 'ok':<{COLUMN}}{described(split)}")
        records.append({
            "split": split.name, "directory": split.directory, "scenes": len(split), "fingerprint": split.fingerprint,
            "incomplete": split.manifest.incomplete(), "broken": [dataclasses.asdict(f) for f in findings],
        })  # fmt: skip
    common.result("\n".join(lines), {"splits": records})
    if broken:
        raise DataError(
            f"{broken} of the files are not what their manifest says",
            hint="add --repair to write them anew from their source",
        )


def opened(common: Common, data: str | None) -> list[PreparedSplit]:
    """The prepared splits that the word means; without one, every split under the data directory."""
    from ocbench import storage
    from ocbench.prepared import PreparedSplit, open_word
    from ocbench.shards import MANIFEST

    if data is not None:
        return open_word(data, common.data_dir)
    there = sorted(folder for folder, names in storage.walk(f"{common.data_dir}/shards") if MANIFEST in names)
    if not there:
        raise DataError(f"nothing is prepared under '{common.data_dir}'", hint="ocbench prepare DATASET")
    return [PreparedSplit(folder) for folder in there]
