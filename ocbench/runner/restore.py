"""From a run directory, a checkpoint folder or a registered name to a model ready to predict."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from ocbench import registry, settings
from ocbench.errors import RunError
from ocbench.recipe import default_dataset, resolve
from ocbench.runner import checkpoint, device
from ocbench.runs import RunConfig
from ocbench.scene import Protocol


def load_model(where: str | Path, *, checkpoint_name: str = "final", device_name: str = "auto") -> nn.Module:
    """The model of a run directory, of a checkpoint folder, or of a registered name (untrained), in eval mode.

    `checkpoint_name` is final, last or a number of updates. UnknownNameError, RunError or PluginError where there is no
    such model, or where its weights are not whole.
    """
    path = Path(where)
    target = device.torch_device(device_name)
    if (path / checkpoint.WEIGHTS).is_file():
        folder, path = path, path.resolve().parents[1]
    elif (path / "run.json").is_file():
        folder = checkpoint_folder(path, checkpoint_name)
    else:
        return _registered(str(where)).to(target).eval()
    model = build(RunConfig.load(path))
    checkpoint.load_weights(folder, model)
    return model.to(target).eval()


def _registered(name: str) -> nn.Module:
    plugin = registry.model(name)
    dataset = registry.dataset(default_dataset(plugin))
    recipe = resolve(plugin, dataset.name, None, None, [])
    return plugin.build(recipe.config, dataset.protocol())


def build(run: RunConfig) -> nn.Module:
    """The untrained model of a run, from run.json alone."""
    plugin = registry.model(run.model)
    config: Any = settings.from_json(type(next(iter(plugin.presets.values()))), run.config)
    if "pretrained" in run.config:  # the run's own weights follow: nothing may be fetched for them
        config = dataclasses.replace(config, pretrained=False)
    return plugin.build(config, Protocol(run.protocol, run.protocol_version, run.size, run.max_objects, splits=()))


def checkpoint_folder(run_dir: Path, word: str) -> Path:
    """The checkpoint that final, last or a number of updates means; RunError where it is not there."""
    found = {int(path.name): path for path in checkpoint.numbered(run_dir)}
    final = run_dir / "checkpoints" / checkpoint.FINAL
    if word == "final" and final.is_dir():
        return final
    if word == "last" and found:
        return found[max(found)]
    if word.isdigit() and int(word) in found:
        return found[int(word)]
    raise RunError(
        f"'{run_dir}' has no checkpoint '{word}'",
        expected="final, last or a number of updates",
        found=", ".join(["final"] * final.is_dir() + [str(updates) for updates in found]) or "none",
        hint="train on: the same command again",
    )
