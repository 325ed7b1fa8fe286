"""Four models that learn nothing: the floor under every table.

`blank` calls everything background, `grid` cuts the image into cells, `kmeans` groups colours, `median` subtracts the
median of some training images and splits what remains. They have no phase but `start`, draw no random numbers, and
label in NumPy and SciPy, one image at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ocbench import ModelPlugin, Phase

if TYPE_CHECKING:
    from ocbench import Protocol
    from ocbench_models.reference_model import Labelling


@dataclass(frozen=True)
class BlankConfig:
    """One label everywhere."""

    sample: int = 1000  # training scenes whose mean is the reconstruction


@dataclass(frozen=True)
class GridConfig:
    """A blind grid."""

    cells: int = 4  # along each axis


@dataclass(frozen=True)
class KMeansConfig:
    """Lloyd's algorithm on the colours of each image alone."""

    clusters: int = 5
    rounds: int = 20  # at most


@dataclass(frozen=True)
class MedianConfig:
    """Background subtraction with a shadow rule and a watershed split; colours in [0, 1]."""

    sample: int = 1000  # training scenes of the median
    threshold: float = 0.08  # largest channel difference of a background pixel
    shadow_darkest: float = 0.5  # a shadow keeps at least this share of the background's light
    shadow_tint: float = 0.03  # largest channel deviation of a shadow from an even darkening
    smallest: int = 16  # pixels of a piece; smaller ones are background
    radius: int = 4  # pixels within which a component has at most one centre
    pieces: int = 24  # most pieces of a scene


def blank_labels(image: np.ndarray, picture: np.ndarray, config: BlankConfig) -> tuple[np.ndarray, np.ndarray]:
    """Zeros [H, W] and the picture."""
    return np.zeros(image.shape[:2], np.int64), picture


def grid_labels(image: np.ndarray, picture: np.ndarray, config: GridConfig) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each pixel, row by row, and the mean colour of each cell."""
    rows, columns = (np.arange(side) * config.cells // side for side in image.shape[:2])
    labels = rows[:, None] * config.cells + columns[None]
    return labels, mean_colours(image, labels)


def kmeans_labels(image: np.ndarray, picture: np.ndarray, config: KMeansConfig) -> tuple[np.ndarray, np.ndarray]:
    """The colour group of each pixel, the largest group first, and the mean colour of each group.

    Starts from the mean colour and, in turn, the colour farthest from all centres so far.
    """
    pixels = image.reshape(-1, 3).astype(np.float64)
    centres = pixels.mean(axis=0)[None]
    while len(centres) < config.clusters:
        farthest = _square_distances(pixels, centres).min(axis=1).argmax()
        centres = np.concatenate((centres, pixels[farthest][None]))
    groups = np.zeros(len(pixels), np.int64)
    for _ in range(config.rounds):
        nearest = _square_distances(pixels, centres).argmin(axis=1)
        if (nearest == groups).all():
            break
        groups = nearest
        counts = np.bincount(groups, minlength=len(centres))
        sums = np.stack([np.bincount(groups, pixels[:, c], len(centres)) for c in range(3)], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    order = np.argsort(-np.bincount(groups, minlength=len(centres)), kind="stable")
    labels = np.argsort(order)[groups].reshape(image.shape[:2])
    return labels, mean_colours(image, labels)


def median_labels(image: np.ndarray, picture: np.ndarray, config: MedianConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pieces that differ from the picture, largest first from 1, and the picture with each piece in its mean colour."""
    from scipy import ndimage

    strange = np.abs(image - picture).max(axis=2) > config.threshold
    strange &= ~shadow(image, picture, config)
    strange = ndimage.binary_fill_holes(ndimage.binary_opening(strange))
    labels = split(strange, config.radius)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] >= config.smallest][: config.pieces]
    new = np.zeros(len(sizes), np.int64)
    new[order] = np.arange(1, len(order) + 1)
    labels = new[labels]
    return labels, np.where((labels > 0)[:, :, None], mean_colours(image, labels), picture)


def shadow(image: np.ndarray, picture: np.ndarray, config: MedianConfig) -> np.ndarray:
    """bool [H, W]: pixels that are the picture's, evenly darkened."""
    share = (image * picture).sum(axis=2) / np.maximum((picture * picture).sum(axis=2), 1e-6)
    tint = np.abs(image - share[:, :, None] * picture).max(axis=2)
    return (share >= config.shadow_darkest) & (share < 1) & (tint <= config.shadow_tint)


def split(strange: np.ndarray, radius: int) -> np.ndarray:
    """int [H, W], 0 outside `strange` (bool [H, W]): its components, cut by a watershed of the distance to their edge.

    Centres are the maxima of the smoothed distance within `radius` pixels.
    """
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(strange)
    smooth = ndimage.gaussian_filter(distance, 1.0) * strange
    peaks = strange & (smooth == ndimage.maximum_filter(smooth, size=2 * radius + 1))
    centres, count = ndimage.label(peaks, structure=np.ones((3, 3)))
    components, _ = ndimage.label(strange)
    for component in range(1, components.max(initial=0) + 1):  # none without a centre
        inside = components == component
        if not centres[inside].any():
            count += 1
            centres[inside & (smooth == smooth[inside].max())] = count
    depth = (np.iinfo(np.uint16).max * (1 - smooth / max(float(smooth.max()), 1e-6))).astype(np.uint16)
    markers = np.where(strange, centres, -1).astype(np.int32)
    flooded = ndimage.watershed_ift(depth, markers, structure=np.ones((3, 3)))
    return np.where(strange, np.maximum(flooded, 0), 0)


def mean_colours(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 [H, W, 3]: each pixel in the mean colour of its label."""
    flat = labels.ravel()
    counts = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, image[:, :, c].ravel().astype(np.float64)) / counts for c in range(3)], axis=1)
    return means[labels]


def _square_distances(pixels: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((pixels[:, None] - centres[None]) ** 2).sum(axis=2)


def _build(label: Labelling, slots: Callable[[Any], int], median: bool = False) -> Callable[[Any, Protocol], Any]:
    def build(config: Any, protocol: Protocol) -> Any:
        from ocbench_models.reference_model import Reference

        return Reference(label, config, protocol.size, slots(config), median)

    return build


def _sampled(config: Any) -> tuple[Phase, ...]:
    return (Phase("fit", steps=0, sample=config.sample),)


def _nothing(config: Any) -> tuple[Phase, ...]:
    return (Phase("fit", steps=0),)


ORIGIN = {"citation": "ocbench, a reference that learns nothing", "license": "Apache-2.0"}
BLANK = ModelPlugin(
    name="blank",
    summary="learns nothing: everything is background",
    presets={"*": BlankConfig()},
    scenarios={"fit": _sampled},
    build=_build(blank_labels, lambda _: 1),
    **ORIGIN,
)
GRID = ModelPlugin(
    name="grid",
    summary="learns nothing: a blind grid",
    presets={"*": GridConfig()},
    scenarios={"fit": _nothing},
    build=_build(grid_labels, lambda config: config.cells**2),
    has_background=False,
    **ORIGIN,
)
KMEANS = ModelPlugin(
    name="kmeans",
    summary="learns nothing: the colours of each image in groups",
    presets={"*": KMeansConfig()},
    scenarios={"fit": _nothing},
    build=_build(kmeans_labels, lambda config: config.clusters),
    has_background=False,
    **ORIGIN,
)
MEDIAN = ModelPlugin(
    name="median",
    summary="learns nothing: median image, threshold, shadow rule, watershed split",
    presets={"*": MedianConfig()},
    scenarios={"fit": _sampled},
    build=_build(median_labels, lambda config: config.pieces + 1, median=True),
    **ORIGIN,
)
