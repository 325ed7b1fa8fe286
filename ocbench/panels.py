"""Pictures of what a model made of scenes: one row a scene, as PNG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ocbench.scene import Outcome, Scene

BACKGROUND = (38, 38, 42)
COLOURS = (
    (230, 57, 70), (46, 134, 222), (255, 195, 0), (42, 157, 90), (155, 93, 229), (251, 133, 0), (0, 187, 206),
    (255, 105, 180), (140, 98, 57), (168, 218, 60), (241, 241, 241), (94, 96, 206),
)  # fmt: skip
SHEET_COLUMNS = 6  # scenes side by side, each with its mask
CURVES = 4  # side by side
SLOT_SIDE = 128  # pixels, of a slot's picture, about
INCHES = 1.35  # of one picture's side


@dataclass(frozen=True)
class Panel:
    """One row: an outcome, what to write beside it, and what its slot 0 draws."""

    outcome: Outcome
    scores: Mapping[str, float]  # by label, per cent
    background: np.ndarray | None = None  # float32 [H, W, 3] in [0, 1]


def coloured(labels: np.ndarray, places: Mapping[int, int]) -> np.ndarray:
    """uint8 [H, W, 3] of a label map: each label of `places` in the colour of its place, all others dark."""
    colours = np.full((256, 3), BACKGROUND, np.uint8)
    for label, place in places.items():
        colours[label] = COLOURS[place % len(COLOURS)]
    return colours[labels]


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """uint8 of floats in [0, 1] of any shape, clipped and rounded; NaN is black."""
    return np.rint(np.clip(np.nan_to_num(picture), 0, 1) * 255).astype(np.uint8)


def heat_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 [S, H, W, 3] in [0, 1] of maps float [S, h, w] >= 0: black at 0, by red and yellow to white at the most.

    Each map has its own scale. Cells stay squares: their colours are not mixed.
    """
    highest = maps.max(axis=(1, 2), keepdims=True)
    heat = np.nan_to_num(maps / np.where(highest > 0, highest, 1)).astype(np.float32)
    rows, columns = (np.arange(large) * small // large for large, small in zip(size, maps.shape[1:], strict=True))
    large = heat[:, rows][:, :, columns, None]
    return np.clip(3 * large - np.arange(3, dtype=np.float32), 0, 1)


def places(outcome: Outcome) -> tuple[dict[int, int], dict[int, int]]:
    """The colour of each true id and of each predicted label: a pair gets one colour, the largest overlaps first.

    The predicted segment that covers most of the true background has none, so that it is dark like the truth's.
    """
    table = outcome.table
    true = {int(t): place for place, t in enumerate(t for t in np.flatnonzero(table.sum(axis=0)) if t > 0)}
    predicted = [int(p) for p in np.flatnonzero(table.sum(axis=1)) if p != table[:, 0].argmax()]
    pairs = sorted((-int(table[p, t]), t, p) for t in true for p in predicted if table[p, t])
    partners: dict[int, int] = {}  # predicted -> true
    for _, t, p in pairs:
        if p not in partners and t not in partners.values():
            partners[p] = t
    spare = [p for p in predicted if p not in partners]
    found = {p: true[t] for p, t in partners.items()}
    return true, found | {p: len(true) + extra for extra, p in enumerate(spare)}


def overlay(image: np.ndarray, labels: np.ndarray, background: int) -> np.ndarray:
    """uint8 [H, W, 3]: the picture, uint8 [H, W, 3], each segment tinted and outlined but that label.

    `labels` uint8 [h, w] may be smaller; its cells are then drawn as they are.
    """
    rows, columns = (np.arange(large) * small // large for large, small in zip(image.shape, labels.shape, strict=False))
    labels = labels[rows][:, columns]
    others = [int(label) for label in np.unique(labels) if label != background]
    colours = coloured(labels, {label: place for place, label in enumerate(others)}).astype(np.float32)
    inside = (labels != background)[..., None]
    drawn = np.where(inside, 0.5 * image + 0.5 * colours, image)
    edge = np.zeros(labels.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    drawn[edge] = 255
    return np.rint(drawn).astype(np.uint8)


def slot_pictures(
    weights: np.ndarray, layers: np.ndarray | None, attention: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Float pictures [S, H, W, 3] of slots by name, as far as they are there: what each draws, its mask, its attention.

    `weights` are float32 [S, H, W], `layers` float32 [S, 3, H, W] in [0, 1], `attention` float32 [S, h, w].
    """
    found = {} if layers is None else {"draws": layers.transpose(0, 2, 3, 1)}
    found["mask"] = np.repeat(weights[..., None], 3, axis=3)
    return found if attention is None else found | {"looked at": heat_maps(attention, weights.shape[1:])}


def slot_rows(rows: Sequence[np.ndarray], gap: int = 2) -> np.ndarray:
    """uint8 [h, w, 3]: pictures of slots, float [S, H, W, 3] in [0, 1] each row, side by side, row below row.

    Small pictures are drawn larger, by a whole number.
    """
    lines = []
    times = max(1, SLOT_SIDE // max(rows[0].shape[1:3]))
    for row in (row.repeat(times, axis=1).repeat(times, axis=2) for row in rows):
        framed = np.pad(row, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1.0)
        lines.append(np.concatenate(list(framed), axis=1))
    return as_bytes(np.concatenate(lines)[:-gap, :-gap])


def write_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Writes the picture: input, truth, prediction, reconstruction and background, as far as they are there."""
    columns = {name: [draw(panel) for panel in panels] for name, draw in COLUMNS.items() if draw(panels[0]) is not None}
    texts = ["\n".join(f"{label} {value:.0f}" for label, value in panel.scores.items()) for panel in panels]
    write_rows(path, columns, texts)


def write_rows(path: Path, columns: Mapping[str, Sequence[Any]], texts: Sequence[str]) -> None:
    """Writes pictures, uint8 [h, w, 3] or float in [0, 1], in columns under their names; a text beside each row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(texts), len(columns), squeeze=False, layout="constrained",
        figsize=(INCHES * len(columns) + 0.9, INCHES * len(texts) + 0.35), facecolor="white",
    )  # fmt: skip
    for place, (row, text) in enumerate(zip(axes, texts, strict=True)):
        for axis, (name, pictures) in zip(row, columns.items(), strict=True):
            axis.imshow(pictures[place], interpolation="nearest")
            _bare(axis)
            if place == 0:
                axis.set_title(name, fontsize=9)
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8, color="#444444")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write_scene(
    path: Path, pictures: Mapping[str, np.ndarray], titles: Sequence[str], rows: Mapping[str, np.ndarray]
) -> None:
    """Writes one scene: pictures under their names; below, a column a slot, named rows of float [S, H, W, 3]."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = INCHES + 0.4, INCHES * len(rows) + 0.5
    width = INCHES * max(len(pictures), len(titles))
    figure = pyplot.figure(figsize=(width, sum(heights)), layout="constrained", facecolor="white")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).ravel()
    axes = [*top.subplots(1, len(pictures), squeeze=False)[0]]
    for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name, fontsize=8)
    grid = bottom.subplots(len(rows), len(titles), squeeze=False)
    for line, (name, drawn) in zip(grid, rows.items(), strict=True):
        axes += [*line]
        line[0].set_ylabel(name, fontsize=8)
        for axis, picture in zip(line, drawn, strict=True):
            axis.imshow(picture.clip(0, 1), interpolation="nearest")
    for axis, title in zip(grid[0], titles, strict=True):
        axis.set_title(title, fontsize=7)
    for axis in axes:
        _bare(axis)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write_sheet(
    path: Path, title: str, scenes: Sequence[Scene], objects: Mapping[int, int], areas: Sequence[int]
) -> None:
    """Writes a contact sheet: scenes beside their masks, above them objects a scene and pixels an object."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = -(-len(scenes) // SHEET_COLUMNS)
    heights = 2.2, 0.95 * lines  # inches: the counts, the scenes
    figure = pyplot.figure(figsize=(1.8 * SHEET_COLUMNS, sum(heights)), layout="constrained", facecolor="white")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).ravel()
    figure.suptitle(title, fontsize=10)
    left, right = top.subplots(1, 2)
    left.bar(list(objects), list(objects.values()), color="#2e86de")
    left.set_xticks(sorted(objects))
    left.set_xlabel("objects in a scene", fontsize=8)
    right.hist(areas, bins=40, color="#2e86de")
    right.set_xlabel("pixels of an object", fontsize=8)
    for axis in (left, right):
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for place, axis in enumerate(bottom.subplots(lines, 2 * SHEET_COLUMNS, squeeze=False).ravel()):
        axis.set_axis_off()
        if place // 2 < len(scenes):
            scene = scenes[place // 2]
            colours = {int(label): int(label) - 1 for label in np.unique(scene.mask) if label}
            axis.imshow(coloured(scene.mask, colours) if place % 2 else scene.image, interpolation="nearest")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def write_curves(path: Path, title: str, log: Sequence[Mapping[str, Any]], note: str = "") -> None:
    """Writes the curves of a training log: every term by updates, and what the probe saw; phases apart by colour."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for line in log for name, value in line.items() if isinstance(value, float)))
    if not names:
        return
    phases = list(dict.fromkeys(line["phase"] for line in log if "phase" in line))
    rows = -(-len(names) // CURVES)
    figure, axes = pyplot.subplots(
        rows, CURVES, squeeze=False, layout="constrained", figsize=(2.9 * CURVES, 1.9 * rows + 0.4), facecolor="white"
    )
    figure.suptitle(f"{title}   {note}".rstrip(), fontsize=9)
    for axis, name in zip(axes.ravel(), [*names, *[None] * (rows * CURVES - len(names))], strict=True):
        if name is None:
            axis.set_axis_off()
            continue
        for phase in phases:
            points = [(line["updates"], line[name]) for line in log if line.get("phase") == phase and name in line]
            axis.plot(*zip(*points, strict=True), linewidth=1, label=phase) if points else None
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(fontsize=6, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bare(axis: Any) -> None:
    """Nothing but the picture and its words."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


COLUMNS: Mapping[str, Callable[[Panel], np.ndarray | None]] = {
    "input": lambda panel: panel.outcome.scene.image,
    "truth": lambda panel: coloured(panel.outcome.scene.mask, places(panel.outcome)[0]),
    "prediction": lambda panel: coloured(panel.outcome.labels, places(panel.outcome)[1]),
    "reconstruction": lambda panel: _clipped(panel.outcome.reconstruction),
    "background": lambda panel: _clipped(panel.background),
}


def _clipped(picture: np.ndarray | None) -> np.ndarray | None:
    return None if picture is None else picture.clip(0, 1)
