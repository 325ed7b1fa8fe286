"""From the rows of an evaluation to its score sheet, whoever made the predictions. No torch."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from ocbench.prepared import PreparedSplit
from ocbench.runs import ScoreSheet
from ocbench.scene import Scene
from ocbench.scoring import Columns


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where predictions come from, as far as a sheet tells."""

    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seen: frozenset[str] = frozenset()  # scene keys of the training split
    digest: str = ""  # of the weights, or of what was scored in their place


def fingerprint(scenes: Sequence[Scene]) -> str:
    """That of a prepared split; "" for any other sequence."""
    return scenes.fingerprint if isinstance(scenes, PreparedSplit) else ""


def score_sheet(
    columns: Columns, seen: int, scenes: Sequence[Scene], origin: Origin, *, settings: Mapping[str, Any],
    environment: Mapping[str, Any], seconds: float, partial: Mapping[str, Any] | None = None,
) -> ScoreSheet:  # fmt: skip
    """The sheet of all rows in `columns`, of which `seen` were in the training split.

    `partial` says how the predictions fall short of the scenes, where they do.
    """
    manifest = scenes.manifest if isinstance(scenes, PreparedSplit) else None
    short = {**((manifest.incomplete() or {}) if manifest else {}), **(partial or {})} or None
    return ScoreSheet(
        run=dict(origin.run),
        dataset=manifest.dataset if manifest else "scenes",
        split=manifest.split if manifest else "all",
        protocol=manifest.protocol if manifest else "none",
        protocol_version=manifest.version if manifest else 0,
        fingerprint=fingerprint(scenes),
        weights_digest=origin.digest,
        scenes=columns.scenes,
        results=columns.results(settings["nan"], settings["level"]),
        special={
            "no_foreground": columns.flags["no_foreground"],
            "one_object": columns.flags["one_object"],
            "seen_in_training": seen,
            "partial": short,
        },
        environment={**environment, "machine": platform.machine()},
        cost={"seconds": seconds},
        settings=settings,
    )
