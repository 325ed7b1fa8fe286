"""Verb: the contract of a plug-in, rule by rule: what is asked, and where the plug-in breaks it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Literal

from ocbench import registry
from ocbench.errors import OcbenchError, PluginError, UnknownNameError, UsageError

Kind = Literal["model", "dataset", "metric"]
KINDS: tuple[Kind, ...] = ("model", "dataset", "metric")


@dataclass(frozen=True)
class Finding:
    """One rule tried on a plug-in."""

    rule: str
    asks: str  # what the contract asks for
    broken: str = ""  # where the plug-in breaks it; empty: it does not
    note: str = ""  # what was seen, or why the rule was left out


@dataclass(frozen=True)
class Rule:
    """A rule of the contract; `try_on` returns a note, or raises where the plug-in breaks it."""

    name: str
    asks: str
    try_on: Callable[[Any], str | None]


def check(
    name: str,
    kind: Kind | None = None,
    settings: Sequence[str] = (),
    raw: str | None = None,
    entries: Iterable[EntryPoint] | None = None,
) -> list[Finding]:
    """Every rule tried on the registered plug-in; `settings`: KEY=VALUE of a model, `raw`: a dataset's source."""
    known = None if entries is None else tuple(entries)
    kind = kind or kind_of(name, known)
    if settings and kind != "model":
        raise UsageError(f"a {kind} has no settings", hint="leave --set out")
    if raw and kind != "dataset":
        raise UsageError(f"a {kind} reads no source", hint="leave --raw out")
    if kind == "model":
        from ocbench.contract import models

        return tried(models.RULES, models.Subject(registry.model(name, known), tuple(settings)))
    if kind == "dataset":
        from ocbench.contract import datasets

        return tried(datasets.RULES, datasets.Subject(registry.dataset(name, known), raw))
    from ocbench.contract import metrics

    return tried(metrics.RULES, metrics.Subject(registry.metric(name, known)))


def kind_of(name: str, entries: Iterable[EntryPoint] | None = None) -> Kind:
    """The kind under which the name is registered; UsageError where that is more than one."""
    known = {kind: registry.names(kind, entries) for kind in KINDS}
    found = [kind for kind in KINDS if name in known[kind]]
    if not found:
        raise UnknownNameError("model, dataset or metric", name, {each for names in known.values() for each in names})
    if len(found) > 1:
        raise UsageError(f"'{name}' is a {' and a '.join(found)}", hint=f"--kind {found[0]}")
    return found[0]


def check_plugin(
    name: str,
    kind: Kind | None = None,
    settings: Sequence[str] = (),
    raw: str | None = None,
    entries: Iterable[EntryPoint] | None = None,
) -> None:
    """PluginError with every rule of the contract that the plug-in breaks; for the test of a package of one's own.

    `kind` is model, dataset or metric, and may be left out where the name is of one alone; `settings` are KEY=VALUE of
    a model, `raw` is the source of a dataset that needs one. On a CPU, in less than a minute for a model of the size
    that its preset `mini-plain` or `*` has.
    """
    findings = check(name, kind, settings, raw, entries)
    broken = [finding for finding in findings if finding.broken]
    if broken:
        text = "; ".join(f"{each.rule}: {each.broken}" for each in broken)
        raise PluginError(f"'{name}' breaks {len(broken)} of {len(findings)} rules of the contract", found=text)


def tried(rules: Sequence[Rule], subject: Any) -> list[Finding]:
    """One finding a rule; whatever the plug-in raises is a finding, too."""
    findings = []
    for rule in rules:
        try:
            findings.append(Finding(rule.name, rule.asks, note=rule.try_on(subject) or ""))
        except OcbenchError as wrong:
            lines = [wrong.message, *(f"{word} {text}" for word, text in _more(wrong) if text)]
            findings.append(Finding(rule.name, rule.asks, broken="; ".join(lines)))
        except Exception as wrong:
            findings.append(Finding(rule.name, rule.asks, broken=_where(wrong)))
    return findings


def _more(wrong: OcbenchError) -> list[tuple[str, str | None]]:
    return [("expected", wrong.expected), ("found", wrong.found)]


def _where(wrong: Exception) -> str:
    """Kind and first line of an error of the plug-in's, with the last line of its own code on the way there."""
    text = str(wrong).strip().split("\n")[0][:200]
    frames = [frame for frame in traceback.extract_tb(wrong.__traceback__) if "site-packages" not in frame.filename]
    last = frames[-1] if frames else traceback.extract_tb(wrong.__traceback__)[-1]
    return f"{type(wrong).__name__}: {text} (line {last.lineno} of {last.filename.rsplit('/', 1)[-1]})"
