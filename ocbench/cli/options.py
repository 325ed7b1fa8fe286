"""Options that more than one command has, and the set-up of logging and progress."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ocbench.errors import UsageError
from ocbench.launch import this_rank

if TYPE_CHECKING:
    from ocbench.prepared import PreparedSplit

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
COLUMN = 12  # characters of the word before each line of the account
REPORT_EVERY = 30.0  # seconds between progress lines where there is no terminal

# Called by long work as progress(done, total, note); `note` is a short text such as "1,940 scenes/s".
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Common:
    """What every command knows."""

    data_dir: str
    runs_dir: str
    json: bool
    quiet: bool
    show_progress: bool

    speaks: bool = True  # one of several ranks speaks for all

    def line(self, word: str, text: str) -> None:
        """One line of the account of what happens, on stderr: a word in a column, then the text."""
        if self.speaks and not self.quiet:
            click.echo(f"{word:<{COLUMN}}{text}", err=True)

    def result(self, text: str, record: Mapping[str, Any]) -> None:
        """The result on stdout: the text, or with --json the record as one JSON object."""
        if self.speaks:
            click.echo(json.dumps(record, default=str) if self.json else text)

    @contextmanager
    def progress(self, word: str) -> Iterator[Progress]:
        """A callback that draws a bar on a terminal, and elsewhere one line every 30 s."""
        if self.quiet or not self.show_progress or not self.speaks:
            yield _silent
        elif sys.stderr.isatty():
            with _bar(word) as update:
                yield update
        else:
            yield _lines(word)


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the common options and hands them to the command as `common: Common`."""

    @click.option("-v", "--verbose", is_flag=True, help="Log more, also from the library.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
    @click.option("--no-progress", is_flag=True, help="Draw no progress.")
    @click.option("--data-dir", envvar="OCBENCH_DATA", default="data", show_default=True, help="[$OCBENCH_DATA]")
    @click.option("--runs-dir", envvar="OCBENCH_RUNS", default="runs", show_default=True, help="[$OCBENCH_RUNS]")
    @click.option("--traceback", is_flag=True, help="Show the traceback of an error, too.")
    @functools.wraps(command)
    def wrapped(
        verbose: bool, quiet: bool, as_json: bool, no_progress: bool, data_dir: str, runs_dir: str, traceback: bool,
        **rest: Any,
    ) -> Any:  # fmt: skip
        if "://" in runs_dir:
            raise UsageError(f"runs cannot lie at '{runs_dir}'", expected="a local folder", hint="--runs-dir DIR")
        level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.WARNING
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("ocbench").setLevel(level)
        speaks = this_rank().rank == 0
        return command(common=Common(data_dir, runs_dir, as_json, quiet, not no_progress, speaks), **rest)

    return wrapped


device = click.option(
    "--device", default="auto", show_default=True, metavar="auto/cpu/cuda[:N]/mps", help="Where to compute."
)
limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N scenes of each split.")
dry_run = click.option("-n", "--dry-run", is_flag=True, help="Print the plan, touch nothing.")


def described(split: PreparedSplit) -> str:
    """A prepared split in one line: name, scenes, fingerprint, and how it falls short of its protocol."""
    drawn = f" drawn with seed {split.manifest.subset[1]}" if split.manifest.subset else ""
    line = f"{split.name}   {len(split):,} scenes{drawn}   fingerprint {split.fingerprint[:8]}"
    short = split.manifest.incomplete() or {}
    return line + (f"   NOT THE WHOLE SPLIT: {', '.join(f'{k} {v}' for k, v in short.items())}" if short else "")


def _silent(done: int, total: int, note: str = "") -> None:
    """No progress."""


@contextmanager
def _bar(word: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(f"{{task.description:<{COLUMN - 1}}}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(word, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield update


def _lines(word: str) -> Progress:
    last = began = time.monotonic()
    first = before = 0  # where the count began: a resumed run, or the next phase, does not begin at nothing

    def update(done: int, total: int, note: str = "") -> None:
        nonlocal last, began, first, before
        now = time.monotonic()
        if done < before or before == 0:
            began, first = now, done
        before = done
        if now - last >= REPORT_EVERY:
            last = now
            left = f"{(now - began) / (done - first) * (total - done):,.0f} s left" if done > first else ""
            click.echo(f"{word:<{COLUMN}}{done:,}/{total:,}   {note}   {left}".rstrip(), err=True)

    return update


def seed_list(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """The seeds that a list names; none where there is no list."""
    seeds = [word.strip() for word in text.split(",")] if text else []
    if not all(seed.isdecimal() for seed in seeds) or len(set(map(int, seeds))) != len(seeds):
        raise click.BadParameter(f"'{text}' is no list of different seeds, such as 0,1,2")
    return tuple(map(int, seeds))
