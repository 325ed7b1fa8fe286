"""Frozen dataclasses to JSON and back, and `key=value` overrides parsed by the field's annotated type.

Types understood: int, float, bool, str, Literal[...], X | None, tuple[X, ...] and tuple[X, Y]. Whole numbers may be
written with underscores or as 5e5, tuples with or without brackets.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ocbench.errors import UnknownNameError, UsageError

C = TypeVar("C")


def to_json(config: Any) -> dict[str, Any]:
    """The fields of a flat dataclass as JSON-able values (tuples become lists)."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def from_json(kind: type[C], values: Mapping[str, Any]) -> C:
    """A `kind` made from the values that `to_json` wrote; unknown fields are an UnknownNameError."""
    hints = _hints(kind)
    _check_known(values, hints)
    return kind(**{name: _typed(hints[name], value) for name, value in values.items()})


def override(config: C, assignments: Iterable[str]) -> C:
    """The config with each `key=value` applied; unknown keys list the near ones, bad values name the type."""
    hints = _hints(type(config))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = (piece.strip() for piece in assignment.partition("="))
        if not equals:
            raise UsageError(f"setting '{assignment}' has no value", expected="KEY=VALUE")
        _check_known([key], hints)
        changes[key] = _parse(hints[key], text, key)
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def differences(before: Any, after: Any) -> list[str]:
    """`key=value`, as `override` reads it, of every field of `after` that is not the one of `before`."""
    old, new = to_json(before), to_json(after)
    return [f"{key}={written(value)}" for key, value in new.items() if old[key] != value]


def _hints(kind: type) -> dict[str, Any]:
    """Field name -> annotated type."""
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _check_known(keys: Iterable[str], hints: Mapping[str, Any]) -> None:
    for key in keys:
        if key not in hints:
            raise UnknownNameError("setting", key, hints)


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def written(value: Any) -> str:
    """A value of `to_json` as `override` reads it."""
    return f"({','.join(written(v) for v in value)})" if isinstance(value, list) else str(value)


def _typed(hint: Any, value: Any) -> Any:
    inner = _without_none(hint)
    if isinstance(value, list):
        return tuple(_typed(h, v) for h, v in zip(_members(inner, len(value)), value, strict=True))
    return float(value) if inner is float and isinstance(value, int) else value


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [h for h in typing.get_args(hint) if h is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _members(hint: Any, count: int) -> list[Any]:
    """The types of the members of a tuple; those of tuple[X, ...] are repeated to `count`."""
    arguments = typing.get_args(hint)
    return [arguments[0]] * count if arguments[-1] is Ellipsis else list(arguments)


def _parse(hint: Any, text: str, key: str) -> Any:
    inner = _without_none(hint)
    if inner is not hint and text.lower() in ("none", "null", ""):
        return None
    if typing.get_origin(inner) is typing.Literal:
        choices = {str(choice): choice for choice in typing.get_args(inner)}
        if text not in choices:
            raise UnknownNameError(f"value of '{key}'", text, choices)
        return choices[text]
    if typing.get_origin(inner) is tuple:
        return _parse_tuple(inner, text, key)
    return _parse_scalar(inner, text, key)


def _parse_tuple(hint: Any, text: str, key: str) -> tuple[Any, ...]:
    bare = text.strip("()[] ").removesuffix(",")
    pieces = [piece.strip() for piece in bare.split(",")] if bare else []
    hints = _members(hint, len(pieces))
    if len(hints) != len(pieces):
        raise _bad(key, text, f"{len(hints)} values")
    return tuple(_parse(h, piece, key) for h, piece in zip(hints, pieces, strict=True))


def _parse_scalar(kind: Any, text: str, key: str) -> Any:
    if kind not in SCALARS:
        raise UsageError(f"setting '{key}' cannot be given as text", found=f"a field of type {kind}")
    parse, expected = SCALARS[kind]
    try:
        return parse(text)
    except (KeyError, ValueError):
        raise _bad(key, text, expected) from None


def _whole(text: str) -> int:
    number = float(text)
    if not number.is_integer():
        raise ValueError(text)
    return int(number) if "e" in text.lower() or "." in text else int(text)  # the latter is exact above 2^53


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _bad(key: str, text: str, expected: str) -> UsageError:
    return UsageError(f"setting '{key}' cannot be '{text}'", expected=expected)


BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
SCALARS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_finite, "a finite number"),
    bool: (lambda text: BOOLS[text.lower()], "true or false"),
    str: (str, "text"),
}
