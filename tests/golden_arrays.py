"""Where the golden arrays lie: tests/golden, or the folder that OCBENCH_GOLDEN names."""

import os
from pathlib import Path

import numpy as np


def golden(name: str) -> "np.lib.npyio.NpzFile":
    folder = os.environ.get("OCBENCH_GOLDEN") or Path(__file__).parent / "golden"
    return np.load(Path(folder) / name)
