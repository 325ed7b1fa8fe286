"""Entry-point lookup: names without loading, records on demand.

A plug-in that fails to import breaks only itself; two distributions that offer one name are an error that names both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from ocbench.errors import PluginError, UnknownNameError

if TYPE_CHECKING:
    from ocbench.plugin import ModelPlugin
    from ocbench.scene import DatasetSpec, Metric

INSTALL_HINT = "a bare checkout has no entry points: pip install -c constraints.txt -e ."


def names(kind: str, entries: Iterable[EntryPoint] | None = None) -> list[str]:
    """Sorted names registered for `kind` (dataset, metric or model); nothing is loaded."""
    return sorted({offer.entry.name for offer in _offers(kind, entries)})


def distribution(kind: str, name: str, entries: Iterable[EntryPoint] | None = None) -> str:
    """The distribution that offers the name, from metadata alone."""
    return _find(kind, name, entries).owner


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


@dataclass(frozen=True)
class _Offer:
    """An entry point and the distribution that it is of."""

    entry: EntryPoint
    owner: str


def _offers(kind: str, entries: Iterable[EntryPoint] | None) -> tuple[_Offer, ...]:
    group = f"ocbench.{kind}s"
    if entries is None:
        return _installed(group, tuple(sys.path))
    return _unique(entry for entry in entries if entry.group == group)


@lru_cache
def _installed(group: str, path: tuple[str, ...]) -> tuple[_Offer, ...]:
    """What is found on `path`, which is sys.path; kept, because the files of every distribution there are read."""
    return _unique(entry_points(group=group))


def _unique(entries: Iterable[EntryPoint]) -> tuple[_Offer, ...]:
    found = {}
    for entry in entries:  # one distribution seen twice on sys.path is no clash
        owner = entry.dist.name if entry.dist is not None else "an unnamed distribution"
        found[entry.name, entry.value, owner] = _Offer(entry, owner)
    return tuple(found.values())


def _find(kind: str, name: str, entries: Iterable[EntryPoint] | None) -> _Offer:
    known = _offers(kind, entries)
    matching = [offer for offer in known if offer.entry.name == name]
    if not matching:
        raise UnknownNameError(kind, name, {offer.entry.name for offer in known}, hint=None if known else INSTALL_HINT)
    if len(matching) > 1:
        owners = " and ".join(sorted(f"'{offer.owner}' ({offer.entry.value})" for offer in matching))
        raise PluginError(f"two plug-ins offer the {kind} '{name}': {owners}", hint="uninstall one of them")
    return matching[0]


def _record_type(kind: str) -> Any:
    from ocbench.plugin import ModelPlugin
    from ocbench.scene import DatasetSpec, Metric

    return {"dataset": DatasetSpec, "metric": Metric, "model": ModelPlugin}[kind]


def _load(kind: str, name: str, entries: Iterable[EntryPoint] | None) -> Any:
    offer = _find(kind, name, entries)
    entry, who = offer.entry, f"{kind} '{name}' of '{offer.owner}'"
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
