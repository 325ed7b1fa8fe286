"""The report: one file that opens offline, asks for nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ocbench import __version__, storage
from ocbench.gallery import ERRORS
from ocbench.html.collect import Found, collect
from ocbench.html.curves import curves
from ocbench.html.cuts import cut_tables
from ocbench.html.payload import embedded, payload
from ocbench.html.pictures import shown_scenes
from ocbench.html.scores import gap_tables, score_tables

STYLES = ("base.css", "text.css", "charts.css", "tables.css", "filters.css", "scenes.css")
SCRIPTS = ("core.js", "tables.js", "charts.js", "lightbox.js", "gallery.js", "scenes.js", "compare.js", "start.js")


def write_report(run_dirs: Sequence[Path], path: Path, *, split: str | None = None) -> None:
    """Writes the report of the runs, on all their splits or on that one, to `path`, whole or not at all.

    RunError where a run has no scores, or a file of it is damaged; what a run lacks besides is named on the page.
    """
    storage.make_folder(str(Path(path).parent))
    storage.write_atomic(str(path), report(collect(run_dirs, split)).encode())


def report(found: Found) -> str:
    """The page."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    shown, left_out = shown_scenes(found)
    notes = [*found.notes]
    if left_out:
        notes.append(f"{left_out:,} scenes of the galleries are left out, to keep this file small.")
    style, script = "\n".join(map(asset, STYLES)), _script()
    environment = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        version=__version__, policy=policy(script), style=style, script=script,
        data=embedded(payload(found, shown)), found=found, notes=notes, shown=shown,
        scores=score_tables(found), gaps=gap_tables(found), curves=curves(found.runs),
        cuts=cut_tables(found), manifests=manifests(found), errors=ERRORS,
        scenes=sum(len(each.rows) for each in found.scored),
    )  # fmt: skip


def asset(name: str) -> str:
    """The text of a file of the page."""
    return resources.files("ocbench.html").joinpath("assets", name).read_text(encoding="utf-8")


def _script() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(map(asset, SCRIPTS)) + "\n})();\n"


def policy(script: str) -> str:
    """The content security policy: that script by its digest, inline styles, data: pictures, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def manifests(found: Found) -> list[dict[str, Any]]:
    """For each run what it was, and for each of its sheets what was scored and how, as named texts."""
    blocks = []
    for run in found.runs:
        record = {name: value for name, value in vars(run.config).items() if name not in ("config", "versions")}
        parts = [("Run", _flat({"folder": run.name, **record})), ("Settings", _flat(dict(run.config.config)))]
        parts.append(("Versions", _flat(dict(run.config.versions))))
        for each in found.scored:
            if each.run is run:
                sheet = {name: value for name, value in each.sheet.to_json().items() if name not in ("run", "results")}
                parts.append((f"Scores on {each.place}", _flat(sheet)))
        blocks.append({"name": run.name, "colour": run.colour, "parts": [part for part in parts if part[1]]})
    return blocks


def _flat(record: Any, before: str = "") -> list[tuple[str, str]]:
    """Dotted names and texts."""
    found: list[tuple[str, str]] = []
    for name, value in record.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{before}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found.append((f"{before}{name}", text))
    return found
