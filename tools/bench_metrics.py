"""Measures the metrics against the usual code for them, all in one run on one thread.

    python tools/bench_metrics.py        prints a table and writes benchmarks/metrics.json

64 images of 128x128 with 11 segments: ten ellipses and boxes over a background, the prediction a shifted copy under
other names; float32 reconstructions. CPU time of the whole batch, least of several interleaved rounds. "Literal" is the
definition written with NumPy pixel by pixel and segment by segment, as most repositories have it. scikit-learn and
torchmetrics take part where they are installed.
"""

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: one core

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from ocbench import Outcome, Scene, contingency_table, labels_of, registry
from ocbench.scoring import scores_of

RESULT = Path(__file__).parents[1] / "benchmarks" / "metrics.json"
IMAGES, SIDE, OBJECTS, ROUNDS = 64, 128, 10, 15
TABLE = ("miou", "ari_fg", "mse")
REST = ("msc_fg", "ari", "dice", "f1", "pq")


def drawn(random: np.random.Generator) -> np.ndarray:
    """uint8 [SIDE, SIDE]: ellipses and boxes over a background, labels 0..OBJECTS."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for label in range(1, OBJECTS + 1):
        down, right = (rows - random.integers(SIDE)) / 14, (columns - random.integers(SIDE)) / 11
        mask[np.hypot(down, right) < 1 if label % 2 else np.maximum(abs(down), abs(right)) < 1] = label
    return mask


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Masks, labels (uint8 [B, H, W]), images (uint8 [B, H, W, 3]) and reconstructions (float32 [B, H, W, 3])."""
    random = np.random.default_rng(0)
    masks = np.stack([drawn(random) for _ in range(IMAGES)])
    names = np.stack([random.permutation(OBJECTS + 1) for _ in range(IMAGES)]).astype(np.uint8)
    labels = np.stack([name[np.roll(mask, (2, 3), (0, 1))] for name, mask in zip(names, masks, strict=True)])
    images = random.integers(0, 256, (*masks.shape, 3), np.uint8)
    rebuilt = (images / np.float32(255) + random.normal(0, 0.05, images.shape)).astype(np.float32)
    return masks, labels, images, rebuilt


def literal_miou(mask: np.ndarray, labels: np.ndarray) -> float:
    iou = np.zeros((OBJECTS + 1, OBJECTS + 1))
    for t in range(OBJECTS + 1):
        for p in range(OBJECTS + 1):
            union = ((mask == t) | (labels == p)).sum()
            iou[t, p] = ((mask == t) & (labels == p)).sum() / union if union else 0
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return float(iou[rows, columns].sum() / (OBJECTS + 1))


def literal_ari_fg(mask: np.ndarray, labels: np.ndarray) -> float:
    kept = mask > 0
    true = np.eye(OBJECTS + 1)[mask[kept]]
    predicted = np.eye(OBJECTS + 1)[labels[kept]]
    pairs = predicted.T @ true
    together, by_label, by_id = ((x * (x - 1) / 2).sum() for x in (pairs, pairs.sum(1), pairs.sum(0)))
    expected = by_label * by_id / (len(true) * (len(true) - 1) / 2)
    return float((together - expected) / ((by_label + by_id) / 2 - expected))


def literal_mse(image: np.ndarray, rebuilt: np.ndarray) -> float:
    return float(((rebuilt - image / 255) ** 2).sum())


def works() -> dict[str, Callable[[], object]]:
    """What is timed, by name; every call scores the whole batch anew."""
    masks, labels, images, rebuilt = batch()
    metrics = {name: registry.metric(name) for name in (*TABLE, *REST)}
    scenes = [Scene(str(i), image, mask) for i, (image, mask) in enumerate(zip(images, masks, strict=True))]

    def ours(*names: str) -> Callable[[], object]:
        def score() -> object:
            outcomes = [Outcome(*each) for each in zip(scenes, labels, rebuilt, strict=True)]
            return scores_of(outcomes, [metrics[name] for name in names])

        return score

    soft = [np.moveaxis(np.eye(OBJECTS + 1, dtype=np.float32)[each], -1, 0).copy() for each in labels]

    def from_masks() -> object:
        outcomes = [Outcome(s, labels_of(w), r) for s, w, r in zip(scenes, soft, rebuilt, strict=True)]
        return scores_of(outcomes, [metrics[name] for name in TABLE])

    pairs = list(zip(masks, labels, strict=True))
    found: dict[str, Callable[[], object]] = {
        "miou, ari_fg, mse": ours(*TABLE),
        "the same from one-hot float32 masks": from_masks,
        "the same and msc_fg, ari, dice, f1, pq": ours(*TABLE, *REST),
        "contingency tables alone": lambda: [contingency_table(p, t) for t, p in pairs],
        "literal miou": lambda: [literal_miou(t, p) for t, p in pairs],
        "literal ari_fg": lambda: [literal_ari_fg(t, p) for t, p in pairs],
        "literal mse": lambda: [literal_mse(i, r) for i, r in zip(images, rebuilt, strict=True)],
    }
    with contextlib.suppress(ImportError):
        from sklearn.metrics import adjusted_rand_score

        found["scikit-learn ari_fg"] = lambda: [adjusted_rand_score(t[t > 0], p[t > 0]) for t, p in pairs]
    with contextlib.suppress(ImportError):
        from torchmetrics.functional.clustering import adjusted_rand_score as torch_ari

        tensors = [(torch.from_numpy(p[t > 0]), torch.from_numpy(t[t > 0])) for t, p in pairs]
        found["torchmetrics ari_fg"] = lambda: [torch_ari(p, t) for p, t in tensors]
    return found


def main() -> None:
    torch.set_num_threads(1)
    todo = works()
    spent = dict.fromkeys(todo, float("inf"))
    for _ in range(ROUNDS):
        for name, work in todo.items():
            began = time.process_time()
            work()
            spent[name] = min(spent[name], time.process_time() - began)
    for name, seconds in spent.items():
        print(f"{name:<42} {1000 * seconds:9.2f} ms   {IMAGES / seconds:9,.0f} images/s")
    record = {
        "command": "python tools/bench_metrics.py",
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "load": os.getloadavg()[0]},
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "milliseconds_per_64_images": {name: round(1000 * seconds, 2) for name, seconds in spent.items()},
        "images_per_second": {name: round(IMAGES / seconds) for name, seconds in spent.items()},
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
