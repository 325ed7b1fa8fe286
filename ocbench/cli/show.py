"""`ocbench show NAME`: a prepared dataset, a model, a run, or a metric."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocbench.cli.options import COLUMN, Common, common, described, device, limit
from ocbench.errors import RunError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from ocbench.accounts import Account

WIDTH = 100  # characters of a line of text


@click.command("show")
@click.argument("name")
@click.option("--sheet", metavar="PNG", help="Dataset: draw the first scenes with their masks, and the counts.")
@click.option("--scenes", type=click.IntRange(min=1), default=24, show_default=True, help="Scenes on the sheet.")
@click.option("--preset", metavar="NAME", help="Model: whose settings.  [default: the first]")
@click.option("--scene", metavar="KEY", help="Run: draw what it makes of this scene, slot by slot.")
@click.option("--split", metavar="NAME", help="Where that scene is.  [default: looked for in all that are prepared]")
@click.option("--drop-slot", type=int, multiple=True, metavar="K", help="Draw it once more without slot K.")
@click.option(
    "--move-slot", type=(int, str), multiple=True, metavar="K DX,DY", help="With slot K elsewhere; 2 is a side."
)
@click.option("--out", default="scene.png", show_default=True, metavar="PNG", help="Where the scene is drawn.")
@device
@limit
@common
def command(
    common: Common, name: str, sheet: str | None, scenes: int, preset: str | None, scene: str | None,
    limit: int | None, **drawing: Any,
) -> None:  # fmt: skip
    """Show a prepared dataset, a model, a run, or a metric.

    NAME is METRIC[@DIALECT]; or a model: settings, phases, options with their published numbers; or a run ("last", its
    name or directory), where --scene KEY draws a scene, and --drop-slot and --move-slot draw it changed; or
    DATASET[:SPLIT,…][@PROTOCOL] or a folder: scenes, objects a scene, sizes, what the crop removed.
    """
    from ocbench import accounts, registry

    given = {"sheet": sheet, "limit": limit, "preset": preset, "scene": scene, **drawing}
    if name.partition("@")[0] in registry.names("metric"):
        refuse(given, "metric")
        tell(common, accounts.of_metric(name))
    elif name in registry.names("model"):
        refuse(given, "model")
        tell(common, accounts.of_model(name, preset))
    elif (run_dir := run_of(name, common.runs_dir)) is not None:
        refuse(given, "run")
        if scene is None:
            refuse(given, "run without --scene")
            tell(common, accounts.of_run(run_dir))
        else:
            show_scene(common, run_dir, scene, **drawing)
    else:
        refuse(given, "dataset")
        known_or_refused(name, common.runs_dir)
        show_data(common, name, sheet, scenes, limit)


def known_or_refused(name: str, runs_dir: str) -> None:
    """UnknownNameError for a word that is neither a dataset nor like a folder: it may have meant anything."""
    from ocbench import registry
    from ocbench.runs import all_runs

    dataset = name.partition("@")[0].partition(":")[0]
    if "/" in name or dataset in registry.names("dataset"):
        return
    kinds = [known for kind in ("dataset", "model", "metric") for known in registry.names(kind)]
    known = [*kinds, *(path.name for path in all_runs(runs_dir))]
    raise UnknownNameError("dataset, model, metric or run", name, known)


def refuse(given: Mapping[str, Any], kind: str) -> None:
    """UsageError where an option was given that says nothing of that kind of thing."""
    allowed = {
        "metric": (), "model": ("preset",), "dataset": ("sheet", "limit"), "run without --scene": (),
        "run": ("scene", "split", "drop_slot", "move_slot"),
    }  # fmt: skip
    for name in ("sheet", "limit", "preset", "scene", "split", "drop_slot", "move_slot"):
        if given[name] and name not in allowed[kind]:
            raise UsageError(f"--{name.replace('_', '-')} says nothing of a {kind}", hint="ocbench show --help")


def tell(common: Common, account: Account) -> None:
    """The account on stdout."""
    lines = [
        textwrap.fill(f"{word:<{COLUMN}}{text}", WIDTH, subsequent_indent=" " * COLUMN) for word, text in account.lines
    ]
    tables = [f"\n{heading}\n\n{table}" for heading, table in account.tables]
    common.result("\n".join([*lines, *tables]), account.record)


def run_of(name: str, runs_dir: str) -> Path | None:
    """The run directory that the word means, or None where it means none."""
    from ocbench.runs import find_run

    try:
        return find_run(name, runs_dir)
    except RunError:
        if name == "last":
            raise
        return None


def show_scene(
    common: Common, run_dir: Path, key: str, *, split: str | None, drop_slot: tuple[int, ...],
    move_slot: tuple[tuple[int, str], ...], out: str, device: str,
) -> None:  # fmt: skip
    """Draws a scene of a run into a picture, as it is and perhaps changed."""
    from ocbench.runner.scene_picture import draw_scene

    moves = {slot: shift_of(text) for slot, text in move_slot}
    found = draw_scene(
        run_dir, key, Path(out), data_dir=common.data_dir, split=split, drop=drop_slot, move=moves, device=device
    )
    for number, text in enumerate(found.slots):
        common.line("slots" if number == 0 else "", text)
    common.line("picture", out)
    common.result(out, {"run": str(run_dir), "scene": key, "split": found.split, "out": out, "slots": found.slots})


def shift_of(text: str) -> tuple[float, float]:
    """DX,DY as two numbers."""
    try:
        across, down = (float(piece) for piece in text.split(","))
    except ValueError:
        raise UsageError(f"cannot move a slot by '{text}'", expected="K DX,DY such as 3 0.2,-0.1") from None
    return across, down


def show_data(common: Common, name: str, sheet: str | None, scenes: int, limit: int | None) -> None:
    """The numbers of prepared splits, and a sheet of each."""
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
