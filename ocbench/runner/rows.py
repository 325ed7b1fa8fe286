"""The rows of an evaluation on disk: one JSON line a scene, written as they come, taken up again after an interruption.

While it runs, every rank writes the batches that it scores to a part of its own, `<name>.jsonl.<n>-<rank>.part`; then
one rank joins the parts in scene order. The first line of a file says what was evaluated and how; rows of anything
else are not gone on from. What is taken up are whole batches: random draws are seeded by the batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ocbench.errors import RunError
from ocbench.runs import json_lines

EVALUATION = "evaluation"
PART = ".part"


class Rows:
    """The rows at `path`, of the evaluation called `identity` (JSON-able) over the scenes `keys` in their batches.

    `anew`: what is there is not taken up; it stays until the new rows are whole.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], keys: Sequence[str], batch_size: int, anew: bool = False
    ) -> None:
        self.path, self.identity, self.batch_size, self.anew = path, dict(identity), batch_size, anew
        self._keys, self._places = keys, {key: place for place, key in enumerate(keys)}
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def batches(self) -> int:
        """How many batches there are in all."""
        return -(-len(self._keys) // self.batch_size)

    def scenes(self, batch: int) -> range:
        """The places of a batch's scenes."""
        start = batch * self.batch_size
        return range(start, min(start + self.batch_size, len(self._keys)))

    def found(self) -> dict[int, tuple[Path, int]]:
        """Each batch that is there whole: the file and the byte at which its first row begins."""
        whole: dict[int, tuple[Path, int]] = {}
        for path in [*([] if self.anew else [self.path]), *self._parts()]:
            wanted: tuple[int, int] | None = None  # batch, and the byte at which it began
            place = None  # of the scene that must come next for the batch to be whole
            for start, row in self._records(path):
                here = self._places.get(row["key"])
                if here is not None and here % self.batch_size == 0:
                    wanted, place = (here // self.batch_size, start), here
                if wanted is None or here is None or here != place:
                    wanted = place = None
                    continue
                place = here + 1
                if place == self.scenes(wanted[0]).stop:
                    whole.setdefault(wanted[0], (path, wanted[1]))
                    wanted = place = None
        return whole

    def new_part(self, rank: int) -> Part:
        """A file for more rows, of which nobody else knows."""
        taken = [int(path.name.split(".")[-2].partition("-")[0]) for path in self._parts()]
        # With its rank in the name: whichever of the others' new parts a rank sees, no two ranks take one name.
        name = f"{self.path.name}.{max(taken, default=-1) + 1}-{rank}{PART}"
        return Part(self.path.with_name(name), self.identity)

    def join(self) -> None:
        """Makes one file of the parts, in scene order; RunError where a batch lacks."""
        whole = self.found()
        if lacking := [batch for batch in range(self.batches) if batch not in whole]:
            raise RunError(
                f"'{self.path}' lacks rows of {len(lacking)} batches", hint="evaluate again: what is there is kept"
            )
        beside = self.path.with_name(f"{self.path.name}.joined{PART}")
        with ExitStack() as stack:
            out = stack.enter_context(open(beside, "wb"))
            files = {path: stack.enter_context(open(path, "rb")) for path in {path for path, _ in whole.values()}}
            out.write(_line({EVALUATION: self.identity}))
            for batch in range(self.batches):
                path, start = whole[batch]
                files[path].seek(start)
                for _ in self.scenes(batch):
                    out.write(files[path].readline().rstrip(b"\n") + b"\n")
        os.replace(beside, self.path)
        self.clear_parts()

    def joined(self) -> Iterator[dict[str, Any]]:
        """Every row of the joined file, in scene order."""
        return (row for _, row in self._records(self.path))

    def clear_parts(self) -> None:
        """Removes what is not joined."""
        for path in self.path.parent.glob(f"{_escaped(self.path.name)}.*{PART}"):
            path.unlink()

    def _parts(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{_escaped(self.path.name)}.[0-9]*{PART}"))

    def _records(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Where each row begins, and the row; none of a file of another evaluation."""
        records = json_lines(path)
        if next(records, (0, {}))[1].get(EVALUATION) == self.identity:
            yield from records


class Part:
    """A file that rows are added to."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 (closed at exit)
        self.add([{EVALUATION: dict(identity)}])

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """The rows of a batch; they are with the system when this returns."""
        self._file.write(b"".join(map(_line, rows)))
        self._file.flush()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _escaped(name: str) -> str:
    return name.replace("[", "[[]")
