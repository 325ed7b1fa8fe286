"""`ocbench bridge SCRIPT --data DATA --out DIR`."""

from __future__ import annotations

import click

from ocbench.cli.options import Common, common, described, limit
from ocbench.errors import UsageError


@click.command("bridge")
@click.argument("script")
@click.option("--data", required=True, metavar="DATA", help="What it is to draw label maps for: DATASET:SPLIT.")
@click.option("--out", required=True, metavar="DIR", help="Where labels/ and reconstructions/ go.")
@click.option("--python", default="python3", show_default=True, metavar="PATH", help="The model's own Python.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Scenes at a time.")
@limit
@common
def command(
    common: Common, script: str, data: str, out: str, python: str, batch_size: int, limit: int | None
) -> None:  # fmt: skip
    """Run a model in a Python of its own, for `ocbench score`.

    SCRIPT defines predict(images): uint8 [B, H, W, 3] to integers [B, H, W] or soft masks [B, S, H, W], or to a tuple
    of these and reconstructions [B, H, W, 3]. Its Python needs NumPy, is 3.6 or newer, and never sees a true mask.
    """
    from ocbench import bridge
    from ocbench.prepared import open_word

    splits = open_word(data, common.data_dir, ("test",))
    if len(splits) != 1:
        raise UsageError(f"'{data}' names {len(splits)} splits", expected="one: DATASET:SPLIT")
    scenes = splits[0].scored().first(limit)
    common.line("data", described(scenes))
    with common.progress("drawing") as progress:
        done = bridge.draw(script, scenes, out, python=python, batch_size=batch_size, progress=progress)
    rebuilt = str(done.reconstructions) if done.reconstructions else None
    common.result(str(done.labels), {"labels": str(done.labels), "reconstructions": rebuilt, "made": done.made})
    more = f" --reconstructions {rebuilt}" if rebuilt else ""
    limited = "" if limit is None else f" --limit {limit}"
    common.line("next", f"ocbench score {done.labels} --data {data}{more}{limited}")
