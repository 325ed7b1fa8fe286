"""One of WORLD_SIZE ranks that train a toy model in float64, where Adam cannot blow rounding up; for test_ranks.py.

KILL=N ends this rank, as kill -9 does, after its N-th update.

python exact_rank.py RUNS DATA MODEL NAME SETTING...
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ocbench import loading, registry
from ocbench.prepared import PreparedSplit, split_directory
from ocbench.recipe import resolve, run_config
from ocbench.runner import train as loop

runs, data_dir, model, name, *settings = sys.argv[1:]
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
loading.as_floats = lambda images: images.double().div_(255)
update = loop.update


def update_and_perhaps_die(state: Any, *rest: Any) -> Any:
    found = update(state, *rest)
    if state.updates == int(os.environ.get("KILL", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
    return found


loop.update = update_and_perhaps_die
plugin = registry.model(model)
data = PreparedSplit(split_directory(data_dir, "squares", "native", "train"))
recipe = resolve(plugin, "squares", None, None, settings)
options = loop.Options("cpu", save_every="2", phase_cache=False)
run = run_config(recipe, data, seed=0)
loop.train(plugin, recipe.config, data, run, Path(runs) / name, data_dir=data_dir, options=options)
