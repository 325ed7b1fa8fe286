"""The errors that a user may see: one family, each with its exit code.

    OcbenchError
    ├── UsageError         2   a value or a combination of options that cannot be meant
    ├── UnknownNameError   3   no such dataset, split, model, scenario, metric or setting
    ├── PluginError        4   an entry point does not load, clashes, or breaks its contract
    ├── DataError          5   source or shards missing, unreadable, of the wrong shape or count
    └── RunError           6   run or checkpoint missing or not matching; loss not finite

A message says what went wrong and where; `expected` and `found` are lines of their own; the hint is the next thing to
type. Anything that is not an OcbenchError is a bug.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OcbenchError(Exception):
    """An error with a message, optional `expected` and `found` lines, a hint and an exit code."""

    exit_code = 1

    def __init__(
        self, message: str, *, expected: str | None = None, found: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.expected, self.found, self.hint = message, expected, found, hint

    def __str__(self) -> str:
        lines = [self.message]
        for word in ("expected", "found", "hint"):
            text = getattr(self, word)
            if text:
                lines.append(f"  {word:<8}  {text}")
        return "\n".join(lines)


class UsageError(OcbenchError):
    """A value or a combination of options that cannot be meant, where the parser of options cannot see it."""

    exit_code = 2


class UnknownNameError(OcbenchError):
    """No such name; carries the near names and the full list."""

    exit_code = 3

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str | None = None) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = difflib.get_close_matches(name, self.known, n=3, cutoff=0.5)
        super().__init__(
            f"no {kind} named '{name}'",
            expected="one of: " + ", ".join(self.known) if self.known else f"a {kind}, but none is registered",
            hint=hint or ("did you mean " + " or ".join(f"'{n}'" for n in near) + "?" if near else None),
        )

    def __reduce__(self) -> tuple:
        return type(self), (self.kind, self.name, self.known), self.__dict__


class PluginError(OcbenchError):
    """An entry point that does not load, clashes with another, or breaks its contract."""

    exit_code = 4


class DataError(OcbenchError):
    """Source or shards missing, damaged or not as promised."""

    exit_code = 5


class RunError(OcbenchError):
    """Run or checkpoint missing or not matching, or a loss that is not finite."""

    exit_code = 6
