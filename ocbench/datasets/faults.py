"""In what words a reader lists all that is wrong with a source: counts first, then a few names."""

from __future__ import annotations

from collections.abc import Sequence

from ocbench.errors import DataError

SHOWN = 6  # names in a message before it only counts


def few(items: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    return [*items[:SHOWN], f"and {len(items) - SHOWN:,} more"] if len(items) > SHOWN else list(items)


def counted(what: str, items: Sequence[str]) -> list[str]:
    """One line that counts and names them; none where there are none."""
    return [f"{len(items):,} {what}: " + ", ".join(few(items))] if items else []


def refuse(faults: Sequence[str], message: str, *, expected: str, hint: str) -> None:
    """Raises one DataError that lists the faults of a source, if there are any."""
    if faults:
        shown = [*faults[: 2 * SHOWN], *([f"and {len(faults) - 2 * SHOWN} more"] if len(faults) > 2 * SHOWN else [])]
        raise DataError(message, expected=expected, found=("\n" + " " * 12).join(shown), hint=hint)
