"""`ocbench plugin new` and `ocbench plugin check`."""

from __future__ import annotations

import click

from ocbench.cli.options import CONTEXT, Common, common
from ocbench.errors import PluginError

KINDS = click.Choice(["model", "dataset", "metric"])


@click.group("plugin", context_settings=CONTEXT)
def command() -> None:
    """Make a package with a model, dataset or metric; check one."""


@command.command("new")
@click.argument("kind", type=KINDS)
@click.argument("name")
@click.option("--out", default=".", show_default=True, help="Folder in which the package's folder is made.")
@common
def new(kind: str, name: str, out: str, common: Common) -> None:
    """Write a small package that installs, passes its test and the check."""
    from ocbench import scaffold

    made = scaffold.write(kind, name, out)
    common.result(
        "\n".join(str(path) for path in made.files), {"package": str(made.folder), "files": [*map(str, made.files)]}
    )
    common.line("next", f"pip install -e {made.folder} && ocbench plugin check {name}")


@command.command("check")
@click.argument("name")
@click.option("--kind", type=KINDS, help="Where one name is of several kinds.")
@click.option("-s", "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the model.")
@click.option("--raw", help="The source of a dataset that needs one: a folder, an archive or a URL.")
@common
def check(name: str, kind: str | None, settings: tuple[str, ...], raw: str | None, common: Common) -> None:
    """Try the contract on an installed plug-in, rule by rule.

    Under a minute on a CPU; exit code 4 where a rule is broken.
    """
    from ocbench import contract
    from ocbench.tables import text_table

    findings = contract.check(name, kind, settings, raw)  # type: ignore[arg-type]
    rows = [[each.rule, "ok", each.note] for each in findings if not each.broken]
    rows += [[each.rule, "BROKEN", f"{each.broken}   (asked for: {each.asks})"] for each in findings if each.broken]
    record = {"name": name, "rules": [each.__dict__ for each in findings]}
    common.result(text_table(("rule", "", "found"), rows), record)
    broken = [each.rule for each in findings if each.broken]
    if broken:
        raise PluginError(f"'{name}' breaks {len(broken)} of {len(findings)} rules: {', '.join(broken)}")
