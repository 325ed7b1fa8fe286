"""Entry-point lookup: names without loading, records on demand.

A plug-in that fails to import breaks only itself; two distributions that offer one name are an error that names both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from ocbench.errors import PluginError, UnknownNameError

if TYPE_CHECKING:
    from ocbench.plugin import ModelPlugin
    from ocbench.scene import DatasetSpec, Metric

INSTALL_HINT = "a bare checkout has no entry points: pip install -c constraints.txt -e ."


def names(kind: str, entries: Iterable[EntryPoint] | None = None) -> list[str]:
    """Sorted names registered for `kind` (dataset, metric or model); nothing is loaded."""
    return sorted({entry.name for entry in _entries(kind, entries)})


def distribution(kind: str, name: str, entries: Iterable[EntryPoint] | None = None) -> str:
    """The distribution that offers the name, from metadata alone."""
    return _owner(_find(kind, name, entries))


def dataset(name: str, entries: Iterable[EntryPoint] | None = None) -> DatasetSpec:
    """The dataset registered under the name."""
    return _load("dataset", name, entries)


def model(name: str, entries: Iterable[EntryPoint] | None = None) -> ModelPlugin:
    """The model plug-in registered under the name."""
    return _load("model", name, entries)


def metric(name: str, entries: Iterable[EntryPoint] | None = None) -> Metric:
    """The metric registered under the name, or its dialect where the name is `NAME@DIALECT`."""
    plain, at, dialect = name.partition("@")
    found: Metric = _load("metric", plain, entries)
    if not at:
        return found
    if dialect not in found.dialects:
        raise UnknownNameError(f"dialect of {plain}", dialect, found.dialects)
    return replace(found, name=name, label=f"{found.label} ({dialect})", score=found.dialects[dialect], dialects={})


def _entries(kind: str, entries: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    group = f"ocbench.{kind}s"
    found = entry_points(group=group) if entries is None else [e for e in entries if e.group == group]
    unique: dict[tuple[str, str, str], EntryPoint] = {}
    for entry in found:  # one distribution seen twice on sys.path is no clash
        unique[entry.name, entry.value, _owner(entry)] = entry
    return list(unique.values())


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unnamed distribution"


def _find(kind: str, name: str, entries: Iterable[EntryPoint] | None) -> EntryPoint:
    known = _entries(kind, entries)
    matching = [entry for entry in known if entry.name == name]
    if not matching:
        raise UnknownNameError(kind, name, {e.name for e in known}, hint=None if known else INSTALL_HINT)
    if len(matching) > 1:
        owners = " and ".join(sorted(f"'{_owner(e)}' ({e.value})" for e in matching))
        raise PluginError(f"two plug-ins offer the {kind} '{name}': {owners}", hint="uninstall one of them")
    return matching[0]


def _record_type(kind: str) -> Any:
    from ocbench.plugin import ModelPlugin
    from ocbench.scene import DatasetSpec, Metric

    return {"dataset": DatasetSpec, "metric": Metric, "model": ModelPlugin}[kind]


def _load(kind: str, name: str, entries: Iterable[EntryPoint] | None) -> Any:
    entry = _find(kind, name, entries)
    who = f"{kind} '{name}' of '{_owner(entry)}'"
    try:
        record = entry.load()
    except Exception as cause:
        raise PluginError(
            f"{who} does not load from '{entry.value}'",
            found=f"{type(cause).__name__}: {cause}",
            hint="--traceback shows where",
        ) from cause
    promised = _record_type(kind)
    if not isinstance(record, promised):
        raise PluginError(
            f"{who} is of the wrong type", expected=f"an ocbench.{promised.__name__}", found=repr(record)[:120]
        )
    if record.name != name:
        raise PluginError(
            f"{who} calls itself '{record.name}'", expected=f"name='{name}' in '{entry.value}', as in the entry point"
        )
    return record
