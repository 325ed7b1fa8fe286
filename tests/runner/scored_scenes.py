"""Scores many synthetic scenes for test_evaluate_storm.py, and prints the sheet's results and this process's peak.

python scored_scenes.py ROWS SCENES        ranks as torchrun sets them
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ocbench import Prediction, Scene
from ocbench.runner import device
from ocbench.runner.evaluate import Options, evaluate

SIDE = 12


class Scenes(Sequence):
    """A sequence of scenes that takes no memory: each is made when it is asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place):
        if not 0 <= place < self.count:
            raise IndexError(place)
        image = np.full((SIDE, SIDE, 3), place % 251, np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2:6, 1 + place % 7 : 5 + place % 7], mask[7:11, 2:8] = 1, 2
        return Scene(f"scene-{place:06d}", image, mask)


class Drawn(nn.Module):
    def predict(self, images, detail=False):
        noise = torch.rand(len(images), 3, SIDE, SIDE)
        return Prediction(noise / noise.sum(dim=1, keepdim=True), images * 0.5)


torch.set_num_threads(1)
where = device.place("cpu")
rows = Path(sys.argv[1])
sheet = evaluate(Drawn(), Scenes(int(sys.argv[2])), options=Options(level=None), rows_path=rows, where=where)
device.leave()
status = Path("/proc/self/status").read_text()
peak = status.partition("VmHWM:")[2].split()[0]
print(json.dumps({"sheet": [sheet.scenes, *[result.mean for result in sheet.results]], "peak_mb": int(peak) // 1024}))
