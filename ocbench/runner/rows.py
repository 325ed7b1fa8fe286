"""The rows of an evaluation on disk: one JSON line a scene, written as they come, taken up again after an interruption.

The first line says what was evaluated and how; rows of anything else are not gone on from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ocbench.runs import read_log

EVALUATION = "evaluation"


class Rows:
    """The rows so far, in scene order; `add` keeps one more, on disk too where there is a path."""

    def __init__(self, found: list[dict[str, Any]], file: IO[str] | None) -> None:
        self.found, self._file = found, file

    def add(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row)
        self.found.append(json.loads(line))  # as it will be read back
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()


@contextmanager
def rows_of(path: Path | None, identity: Mapping[str, Any], keys: Sequence[str], batch_size: int) -> Iterator[Rows]:
    """The rows of the evaluation called `identity` (JSON-able) over the scenes `keys`, open for more.

    What an interrupted one left is kept in whole batches: random draws are seeded by the batch.
    """
    if path is None:
        yield Rows([], None)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _left(path, identity, keys, batch_size)
    lines = [{EVALUATION: dict(identity)}, *found]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        yield Rows(found, file)


def _left(path: Path, identity: Mapping[str, Any], keys: Sequence[str], batch_size: int) -> list[dict[str, Any]]:
    records = read_log(path)
    if not records or records[0].get(EVALUATION) != dict(identity):
        return []
    rows = records[1:]
    if [row["key"] for row in rows] != list(keys[: len(rows)]):
        return []
    return rows if len(rows) == len(keys) else rows[: len(rows) - len(rows) % batch_size]
