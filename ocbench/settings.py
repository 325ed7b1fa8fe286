"""Frozen dataclasses to JSON and back, and `key=value` overrides parsed by the field's annotated type.

Types understood: int, float, bool, str, Literal[...], X | None, tuple[X, ...] and tuple[X, Y]. Integers may be written
with underscores or as 5e5.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ocbench.errors import UnknownNameError, UsageError

C = TypeVar("C")


def to_json(config: Any) -> dict[str, Any]:
    """The fields of a flat dataclass as JSON-able values (tuples become lists)."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def from_json(kind: type[C], values: Mapping[str, Any]) -> C:
    """A `kind` made from the values that `to_json` wrote; unknown fields are an UnknownNameError."""
    hints = typing.get_type_hints(kind)
    _known(kind, values)
    return kind(**{name: _typed(hints[name], value) for name, value in values.items()})


def override(config: C, assignments: Iterable[str]) -> C:
    """The config with each `key=value` applied; unknown keys list the near ones, bad values name the type."""
    hints = typing.get_type_hints(type(config))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UnknownNameError("setting", assignment, hints, hint=f"write {assignment}=VALUE")
        _known(type(config), [key])
        changes[key] = _parse(hints[key], text.strip(), key)
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def differences(before: Any, after: Any) -> list[str]:
    """`key=value` of every field of `after` that is not the one of `before`."""
    old, new = to_json(before), to_json(after)
    return [f"{key}={value}" for key, value in new.items() if old.get(key) != value]


def _known(kind: type, keys: Iterable[str]) -> None:
    fields = [f.name for f in dataclasses.fields(kind)]
    for key in keys:
        if key not in fields:
            raise UnknownNameError("setting", key, fields)


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(value, list):
        arguments = typing.get_args(_without_none(hint))
        inner = arguments[0] if arguments else Any
        return tuple(_typed(inner, v) for v in value)
    return float(value) if _without_none(hint) is float and isinstance(value, int) else value


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [h for h in typing.get_args(hint) if h is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _parse(hint: Any, text: str, key: str) -> Any:
    inner = _without_none(hint)
    if inner is not hint and text.lower() in ("none", "null", ""):
        return None
    if typing.get_origin(inner) is typing.Literal:
        choices = typing.get_args(inner)
        for choice in choices:
            if str(choice) == text:
                return choice
        raise UnknownNameError(f"value of '{key}'", text, [str(c) for c in choices])
    if typing.get_origin(inner) is tuple:
        arguments = typing.get_args(inner)
        pieces = [p for p in text.strip("()[]").replace(" ", "").split(",") if p]
        hints = [arguments[0]] * len(pieces) if arguments[-1] is Ellipsis else list(arguments)
        if len(hints) != len(pieces):
            raise _bad(key, text, f"{len(hints)} values")
        return tuple(_parse(h, p, key) for h, p in zip(hints, pieces, strict=True))
    return _scalar(inner, text, key)


def _scalar(kind: Any, text: str, key: str) -> Any:
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in words:
            raise _bad(key, text, "true or false")
        return words[text.lower()]
    if kind is str:
        return text
    if kind not in (int, float):
        raise _bad(key, text, f"a {kind}, which cannot be given as text")
    try:
        number = float(text.replace("_", ""))
        if kind is float:
            return number
        if number != int(number):
            raise ValueError(text)
        return int(number)
    except (ValueError, OverflowError):
        raise _bad(key, text, "a whole number" if kind is int else "a number") from None


def _bad(key: str, text: str, expected: str) -> UsageError:
    return UsageError(f"setting '{key}' cannot be '{text}'", expected=expected, found=f"'{text}'")
