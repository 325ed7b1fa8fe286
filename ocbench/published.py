"""Published tables as data: what a score is laid beside.

`published.json` holds one record a number, under our names of datasets, splits and metrics. Means and spreads are in
the unit that the source prints (per cent, or the sum of squared errors).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class PublishedRow:
    """One published number."""

    system: str  # as the source calls it: AST-Seg-B3-CT
    dataset: str
    split: str
    metric: str  # miou in AST-Seg's rows, miou_fg in those copied from the ClevrTex benchmark
    mean: float
    unit: str
    source: str
    origin: str  # ast-seg-paper, later or reference-checkpoint
    std: float | None = None  # over runs; None where the source prints none
    runs: int | None = None
    table: int | None = None  # of the AST-Seg paper
    protocol: str | None = None  # ours that the source followed
    note: str = ""

    @property
    def printed(self) -> str:
        """The number as the source prints it, "0.40 ± 0.10", with its trailing zeros."""
        digits = _digits(self)
        mean = f"{self.mean:g}" if digits is None else f"{self.mean:.{digits}f}"
        if self.std is None:
            return mean
        slip = DIGITS_OF_STD.get((self.table, self.system, self.dataset, self.metric), digits)
        return f"{mean} ± {self.std:g}" if slip is None else f"{mean} ± {self.std:.{slip}f}"


DIGITS_OF_STD: dict[tuple[int | None, str, str, str], int] = {
    (2, "AST-Seg-B3-CT", "shapestacks", "msc_fg"): 1,  # the one number that breaks its table's rule
}


def _digits(row: PublishedRow) -> int | None:
    """Digits after the point in the row's source; None: as many as the number has."""
    if row.origin == "later":
        return 1
    if row.table not in (1, 2, 3, 4):
        return None
    if row.metric == "mse":
        return 1 if row.table == 2 else 0
    copied = row.table == 2 and not row.system.startswith("AST-Seg")
    return 0 if copied else 2


@functools.cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Every published number, in the order of the tables."""
    record = json.loads(resources.files("ocbench").joinpath("published.json").read_text(encoding="utf-8"))
    fields = PublishedRow.__dataclass_fields__
    rows = []
    for values in record["records"]:
        known = {name: value for name, value in values.items() if name in fields}
        rows.append(PublishedRow(**(known | {"source": record["sources"][values["source"]]})))
    return tuple(rows)


def published_beside(dataset: str, split: str, protocol: str) -> tuple[PublishedRow, ...]:
    """Every score published of that split under that protocol, in the order of the tables."""
    place = (dataset, split, protocol)
    return tuple(row for row in published_rows() if (row.dataset, row.split, row.protocol) == place)


def published_row(system: str | None, dataset: str, split: str, protocol: str, metric: str) -> PublishedRow | None:
    """The number that the system's authors printed for that metric on that split under that protocol, or None."""
    for row in published_rows():
        if (row.system, row.dataset, row.split, row.protocol, row.metric) == (system, dataset, split, protocol, metric):
            return row
    return None
