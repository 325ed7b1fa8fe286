"""`ocbench show NAME`: a prepared dataset, or a metric."""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from ocbench.cli.options import COLUMN, Common, common, described, limit


@click.command("show")
@click.argument("name")
@click.option("--sheet", metavar="PNG", help="Draw the first scenes with their masks, and the counts, into a picture.")
@click.option("--scenes", type=click.IntRange(min=1), default=24, show_default=True, help="Scenes on the sheet.")
@limit
@common
def command(common: Common, name: str, sheet: str | None, scenes: int, limit: int | None) -> None:
    """Show what a prepared dataset holds, or how a metric is defined.

    NAME is DATASET[:SPLIT,…][@PROTOCOL] or a folder: scenes, objects a scene, their sizes, what the crop removed; a
    sheet of several splits is a picture each, NAME-SPLIT.png. Or it is METRIC[@DIALECT].
    """
    from ocbench import registry

    if name.partition("@")[0] in registry.names("metric"):
        common.result(*metric_account(name))
        return
    from ocbench.contents import contents, rows
    from ocbench.prepared import open_word

    splits = [split.first(limit) for split in open_word(name, common.data_dir)]
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


def metric_account(name: str) -> tuple[str, dict[str, object]]:
    """Everything that a metric says of itself, as text and as a record."""
    from ocbench import registry

    metric = registry.metric(name)
    dialects = ", ".join(f"@{dialect}" for dialect in metric.dialects)
    facts = {
        "name": metric.name, "label": metric.label, "what": metric.summary, "formula": metric.formula,
        "range": metric.range + (", shown in per cent" if metric.scale == 100 else ""),
        "better": "higher" if metric.higher_is_better else "lower",
        "over scenes": "mean" if metric.pool is None else "pooled over the whole set", "special": metric.degenerate,
        "dialects": dialects, "reported": metric.reported_by,
    }  # fmt: skip
    told = {word: str(text) for word, text in facts.items() if text}
    lines = [
        textwrap.fill(f"{word:<{COLUMN}}{text}", 100, subsequent_indent=" " * COLUMN) for word, text in told.items()
    ]
    return "\n".join(lines), dict(told)
