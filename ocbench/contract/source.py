"""What every plug-in is asked for: who made it, under which licence, and no way around the public names."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from ocbench import __all__ as public_names
from ocbench.errors import PluginError


def named(record: Any) -> str:
    """Refuses a record without a citation or a licence."""
    lacking = [word for word in ("citation", "license") if not getattr(record, word).strip()]
    if lacking:
        raise PluginError(f"the record has no {' and no '.join(lacking)}")
    return record.license


def public_imports_only(function: Any) -> str:
    """Refuses imports of the core's inner rooms, in any module of the package that `function` is from."""
    package = function.__module__.split(".")[0]
    if package == "ocbench":
        return "the core's own"
    files = _files(package)
    inner = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
            inner += [f"{name} ({file.name}, line {node.lineno})" for name in _inner(node)]  # type: ignore[attr-defined]
    if inner:
        raise PluginError(f"imports an inner room of the core: {', '.join(inner[:3])}")
    return f"{len(files)} files read"


def _files(package: str) -> list[Path]:
    place = Path(str(sys.modules[package].__file__))
    return sorted(place.parent.rglob("*.py")) if place.name == "__init__.py" else [place]


def _inner(node: ast.AST) -> list[str]:
    """Names under `ocbench` that a statement imports and that are not public."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.startswith("ocbench.")]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        if node.module.startswith("ocbench."):
            return [node.module]
        if node.module == "ocbench":
            return [f"ocbench.{alias.name}" for alias in node.names if alias.name not in public_names]
    return []
