"""The command line: words only. Each verb is one file here that parses, calls one function of the core, and prints."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from ocbench import __version__
from ocbench.cli import (
    bridge,
    demo,
    doctor,
    evaluate,
    list_,
    plugin,
    predict,
    prepare,
    pull,
    push,
    report,
    reproduce,
    score,
    show,
    train,
    verify,
)
from ocbench.cli.options import CONTEXT
from ocbench.errors import OcbenchError
from ocbench.runner.stopping import Stopped

EPILOG = "A newcomer starts with `ocbench demo`: no download, objects found in minutes."


@click.group(context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(__version__, prog_name="ocbench")
def cli() -> None:
    """Prepare, train and score unsupervised multi-object segmentation."""


for module in (
    prepare,
    verify,
    train,
    evaluate,
    predict,
    score,
    bridge,
    report,
    reproduce,
    show,
    list_,
    plugin,
    push,
    pull,
    demo,
    doctor,
):
    cli.add_command(module.command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and exits with the code that cli.md promises; a foreseen error is one clear message."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(args=words, prog_name="ocbench", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as wrong:
        wrong.show()
        code = wrong.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except Stopped as stop:
        click.echo(f"stopped: {stop}", err=True)
        code = stop.exit_code
    except BrokenPipeError:
        code = 0
    except OcbenchError as error:
        if "--traceback" in words:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except Exception:
        traceback.print_exc()
        click.echo("error: this is a bug in ocbench or a plug-in; the lines above say where", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
