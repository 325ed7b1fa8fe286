"""From the words of a command to a run: which preset, scenario, settings and data. Once, before anything heavy."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from importlib.metadata import version
from typing import Any

from ocbench import __version__, registry, settings, storage
from ocbench.errors import OcbenchError, UnknownNameError, UsageError
from ocbench.plugin import ModelPlugin
from ocbench.prepared import PreparedSplit, open_word, split_directory
from ocbench.runs import RunConfig
from ocbench.shards import MANIFEST

ANY = "*"  # the preset for datasets that have none of their own


@dataclass(frozen=True)
class Recipe:
    """A model with its settings resolved."""

    plugin: ModelPlugin
    scenario: str
    preset: str
    config: Any
    changed: tuple[str, ...]  # key=value of every setting that --set moved away from the preset

    @property
    def published(self) -> str | None:
        """The system of the published tables that preset, scenario and settings make; None where they make none."""
        if not self.changed and self.scenario in self.plugin.published:
            return self.plugin.published[self.scenario]
        for variant in self.plugin.variants:
            scenario = variant.scenario or next(iter(self.plugin.scenarios))
            meant = settings.override(self.plugin.presets[self.preset], variant.settings)
            if (scenario, meant) == (self.scenario, self.config):
                return variant.published
        return None


def default_dataset(plugin: ModelPlugin) -> str:
    """The dataset that the model's first preset is named after."""
    first = next(iter(plugin.presets))
    if first == ANY:
        raise UsageError(f"'{plugin.name}' has no default dataset", hint="name one: --data DATASET")
    return first


def training_splits(word: str, data_dir: str, limit: int | None = None) -> tuple[PreparedSplit, PreparedSplit | None]:
    """The split that a DATA word means for training ("train" where it names none), and "val" where that is prepared."""
    found = open_word(word, data_dir, ("train",))
    if len(found) != 1:
        raise UsageError(f"'{word}' names {len(found)} splits", expected="one split to train on")
    split = found[0].first(limit)
    directory = split_directory(data_dir, split.dataset, split.manifest.protocol, "val")
    return split, PreparedSplit(directory) if storage.exists(f"{directory}/{MANIFEST}") else None


def resolve(
    plugin: ModelPlugin, dataset: str, preset: str | None, scenario: str | None, overrides: Sequence[str]
) -> Recipe:
    """The preset (named, else the dataset's, else "*"), the scenario (named, else the first), and the settings."""
    if preset is None:
        preset = dataset if dataset in plugin.presets else ANY
        if preset not in plugin.presets:
            raise UnknownNameError(
                f"preset of {plugin.name}", dataset, plugin.presets, hint="choose one for this dataset: --preset NAME"
            )
    if preset not in plugin.presets:
        raise UnknownNameError(f"preset of {plugin.name}", preset, plugin.presets)
    scenario = scenario or next(iter(plugin.scenarios))
    if scenario not in plugin.scenarios:
        raise UnknownNameError(f"scenario of {plugin.name}", scenario, plugin.scenarios)
    config = settings.override(plugin.presets[preset], overrides)
    return Recipe(plugin, scenario, preset, config, tuple(settings.differences(plugin.presets[preset], config)))


def run_config(recipe: Recipe, data: PreparedSplit, *, seed: int, device: str = "", **options: Any) -> RunConfig:
    """Everything needed to repeat the run; `options` are the further fields of RunConfig."""
    m = data.manifest
    return RunConfig(
        model=recipe.plugin.name, scenario=recipe.scenario, preset=recipe.preset, dataset=m.dataset, split=m.split,
        protocol=m.protocol, protocol_version=m.version, size=m.size, max_objects=data.protocol.max_objects,
        fingerprint=m.fingerprint, seed=seed, config=settings.to_json(recipe.config), overrides=recipe.changed,
        published=recipe.published,
        has_background=recipe.plugin.has_background, partial=m.incomplete(), versions=versions(), device=device,
        **options,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """The versions that may decide a number."""
    found = {"ocbench": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in ("torch", "numpy", "scipy", "transformers", "pillow")}


def with_later_settings(run: RunConfig) -> RunConfig:
    """The run with every setting that its model got since, at its default, which is what the model did before.

    As it is where the model does not load here: its runs can still be read.
    """
    try:
        preset = next(iter(registry.model(run.model).presets.values()))
    except OcbenchError:
        return run
    if not is_dataclass(preset):
        return run
    later = {field.name: field.default for field in fields(preset) if field.default is not MISSING}
    return replace(run, config={**later, **run.config})
