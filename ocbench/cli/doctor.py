"""`ocbench doctor`."""

from __future__ import annotations

import click

from ocbench.cli.options import Common, common
from ocbench.errors import RunError


@click.command("doctor")
@common
def command(common: Common) -> None:
    """Say what works here, and what to do about the rest.

    Versions, devices, disk, data, plug-ins and runs; exit code 6 where something is wrong.
    """
    from ocbench import doctor
    from ocbench.tables import text_table

    checks = doctor.checks(common.data_dir, common.runs_dir)
    rows = [[check.name, "ok" if check.ok else "WRONG", check.found, check.hint] for check in checks]
    common.result(
        text_table(("", "", "found", "what to do"), rows), {"checks": [dict(check.__dict__) for check in checks]}
    )
    wrong = [check.name for check in checks if not check.ok]
    if wrong:
        raise RunError(f"{len(wrong)} of {len(checks)} checks failed: {', '.join(wrong)}")
