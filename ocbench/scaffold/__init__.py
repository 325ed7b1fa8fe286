"""Verb: a small package with a model, a dataset or a metric, for its author to change into their own.

The texts lie under templates/, one module for each kind; `{{WORD}}` stands for what differs.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from ocbench import __version__, registry
from ocbench.contract import KINDS
from ocbench.errors import UnknownNameError, UsageError

TEMPLATES = Path(__file__).parent / "templates"
PATTERN = {"model": "[a-z][a-z0-9-]*", "dataset": "[a-z][a-z0-9-]*", "metric": "[a-z][a-z0-9_]*"}


@dataclass(frozen=True)
class Package:
    """A package as written."""

    folder: Path
    files: tuple[Path, ...]


def write(kind: str, name: str, out: str | Path = ".") -> Package:
    """Writes the package `out`/NAME; UsageError where the name cannot be had or the folder is there."""
    _check(kind, name)
    module = name.replace("-", "_")
    folder = Path(out) / name.replace("_", "-")
    if folder.exists():
        raise UsageError(f"'{folder}' is there already", hint="another NAME or --out; nothing was replaced")
    words = {
        "NAME": name, "KIND": kind, "MODULE": module, "RECORD": module.upper(), "PROJECT": folder.name,
        "CLASS": "".join(part.capitalize() for part in module.split("_")), "VERSION": __version__.rsplit(".", 1)[0],
    }  # fmt: skip
    files = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": f"README_{kind}.md.txt",
        f"{module}.py": f"{kind}.py.txt",
        f"tests/test_{module}.py": "test.py.txt",
    }
    for place, template in files.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"\{\{([A-Z]+)\}\}", lambda found: words[found[1]], text), encoding="utf-8")
    return Package(folder, tuple(folder / place for place in files))


def _check(kind: str, name: str) -> None:
    if kind not in KINDS:
        raise UnknownNameError("kind of plug-in", kind, KINDS)
    if not re.fullmatch(PATTERN[kind], name) or keyword.iskeyword(name.replace("-", "_")):
        between = "underscores" if kind == "metric" else "hyphens"
        raise UsageError(f"'{name}' cannot be the name of a {kind}", expected=f"lower case, digits and {between}")
    if name in registry.names(kind):
        raise UsageError(f"the {kind} '{name}' is there already, of '{registry.distribution(kind, name)}'")
