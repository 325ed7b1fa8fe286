"""`ocbench show DATA`."""

from __future__ import annotations

from pathlib import Path

import click

from ocbench.cli.options import COLUMN, Common, common, described, limit


@click.command("show")
@click.argument("data")
@click.option("--sheet", metavar="PNG", help="Draw the first scenes with their masks, and the counts, into a picture.")
@click.option("--scenes", type=click.IntRange(min=1), default=24, show_default=True, help="Scenes on the sheet.")
@limit
@common
def command(common: Common, data: str, sheet: str | None, scenes: int, limit: int | None) -> None:
    """Show what a prepared dataset holds.

    DATA is DATASET[:SPLIT,…][@PROTOCOL] or a folder: scenes, objects a scene, their sizes, what the crop removed. A
    sheet of several splits is a picture each, NAME-SPLIT.png.
    """
    from ocbench.contents import contents, rows
    from ocbench.prepared import open_word

    splits = [split.first(limit) for split in open_word(data, common.data_dir)]
    texts, records = [], []
    for split in splits:
        with common.progress("reading") as progress:
            found = contents(split, scenes if sheet else 0, progress)
        texts.append("\n".join([described(split), *(f"{word:<{COLUMN}}{text}" for word, text in rows(found))]))
        records.append({"split": split.name, "fingerprint": split.fingerprint, **found.record()})
        if sheet:
            from ocbench.panels import write_sheet

            path = Path(sheet) if len(splits) == 1 else Path(sheet).with_stem(f"{Path(sheet).stem}-{split.split}")
            write_sheet(path, split.name, found.first, found.objects, found.areas)
            common.line("picture", str(path))
    common.result("\n\n".join(texts), {"splits": records})
