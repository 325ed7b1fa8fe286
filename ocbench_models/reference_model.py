"""The module behind the references: nothing learns, images leave the device, are labelled in NumPy, and come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ocbench import Prediction, UsageError

# image and picture float32 [H, W, 3] in [0, 1], config -> labels int [H, W], reconstruction float32 [H, W, 3]
Labelling = Callable[[np.ndarray, np.ndarray, Any], tuple[np.ndarray, np.ndarray]]


class Reference(nn.Module):
    """Implements `ocbench.Model` for a labelling of single images."""

    picture: Tensor

    def __init__(self, label: Labelling, config: Any, size: tuple[int, int], slots: int, median: bool) -> None:
        super().__init__()
        self.label, self.config, self.slots, self.median = label, config, slots, median
        self.register_buffer("picture", torch.full((3, *size), 0.5))  # grey until `start`

    def start(self, phase: str, images: Tensor) -> None:
        """Keeps the median, or the mean, of `images`, float32 [N, 3, H, W] in [0, 1]."""
        self.picture.copy_(images.median(dim=0).values if self.median else images.mean(dim=0))

    def loss(
        self, images: Tensor, phase: str, clock: Tensor, precomputed: Tensor | None = None
    ) -> Mapping[str, Tensor]:
        """Never part of a phase: always a UsageError."""
        raise UsageError("a reference learns nothing, so that it has no loss")

    def predict(self, images: Tensor, detail: bool = False) -> Prediction:
        """One-hot shares float32 [B, S, H, W] and the reconstruction, each image by itself."""
        picture = self.picture.permute(1, 2, 0).cpu().numpy()
        found = [self.label(image, picture, self.config) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
        labels = torch.from_numpy(np.stack([labels for labels, _ in found]).astype(np.int64))
        weights = nn.functional.one_hot(labels, self.slots).permute(0, 3, 1, 2).float()
        drawn = torch.from_numpy(np.stack([drawn for _, drawn in found]).astype(np.float32)).permute(0, 3, 1, 2)
        prediction = Prediction(weights=weights.to(images.device), reconstruction=drawn.to(images.device))
        if detail:
            layers = torch.stack([_layers(w, d) for w, d in zip(weights, drawn, strict=True)])
            prediction.layers = layers.to(images.device)
        return prediction


def _layers(weights: Tensor, drawn: Tensor) -> Tensor:
    """float32 [S, 3, H, W]: what each segment draws, black elsewhere."""
    return weights[:, None] * drawn[None]
