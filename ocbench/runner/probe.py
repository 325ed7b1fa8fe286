"""A look at a few validation scenes while training: it goes to the log and decides nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ocbench import registry
from ocbench.panels import Panel
from ocbench.plugin import Phase
from ocbench.prepared import PreparedSplit
from ocbench.runner.outcomes import with_backgrounds
from ocbench.scene import Outcome

log = logging.getLogger(__name__)
SCENES = 64
SHOWN = 6  # of them, in pictures


def interval(plan: Sequence[Phase]) -> int:
    """Updates between looks where nobody says: about twenty in the longest phase, at least 500 apart."""
    return max(500, max((phase.steps for phase in plan), default=0) // 20)


class Probe:
    """mIoU and ARI-FG of the first validation scenes, live slots, the share of pixels that are not slot 0.

    And, where the model draws its background, how far that is from the true background's pixels.
    """

    def __init__(self, split: PreparedSplit, has_background: bool) -> None:
        self.scenes = [scene for scene, _ in zip(split, range(SCENES), strict=False)]
        self.has_background, self.note = has_background, ""
        self.shown: list[Panel] = []  # what the last look made of the first scenes

    def look(self, model: nn.Module, device: torch.device) -> dict[str, Any]:
        """The figures now; torch is seeded anew and the model put into eval mode."""
        miou, ari_fg = registry.metric("miou"), registry.metric("ari_fg")
        scores, used, errors = [], np.zeros(256, bool), []
        foreground, self.shown = 0.0, []
        found = with_backgrounds(model, self.scenes, device, batch_size=32, has_background=self.has_background)
        for outcome, background in found:
            scores.append((miou.score(outcome), ari_fg.score(outcome)))
            used[np.unique(outcome.labels)] = True
            self.shown += [Panel(outcome, {}, background)] if len(self.shown) < SHOWN else []
            errors += background_error(outcome, background) if background is not None else []
            foreground += float((outcome.labels > 0).mean()) / len(self.scenes)
        values = np.mean(scores, axis=0)
        live = int(used[1:].sum()) if self.has_background else int(used.sum())
        self.note = f"probe mIoU {100 * values[0]:.1f}   live slots {live}"
        return {
            "probe_miou": float(values[0]), "probe_ari_fg": float(values[1]), "live_slots": live,
            "foreground": foreground, **({"background_error": float(np.mean(errors))} if errors else {}),
        }  # fmt: skip


def background_error(outcome: Outcome, background: np.ndarray) -> list[float]:
    """Mean distance, 0 to 255, of a drawn background from the pixels that are background; none where none are."""
    behind = outcome.scene.mask == 0
    distance = np.abs(background - outcome.scene.image / np.float32(255))[behind]
    return [255 * float(distance.mean())] if distance.size else []
