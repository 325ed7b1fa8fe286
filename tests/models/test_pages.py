"""The pages of the models say what the models are now, and their rows stand beside the published ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scored_runs import scored

from ocbench import Protocol, registry
from ocbench.published import published_rows
from ocbench.recipe import resolve
from ocbench.report import Options, markdown, sections

PAGES = Path(__file__).parents[2] / "docs" / "models"
PAGE_OF = {
    "slot-attention": "slot-attention",
    "monet": "monet",
    "monet-g": "monet",
    "genesis-v2": "genesis-v2",
    "gnm": "gnm",
}
METRICS = ("miou_fg", "ari_fg", "msc_fg", "mse")
SIZES = {"clevrtex": (128, 10), "shapestacks": (64, 6)}  # side, most objects
OPTIONS = [("slot-attention", ()), ("monet", ()), ("monet-g", ()), ("genesis-v2", ()), ("gnm", ())]
OPTIONS += [("genesis-v2", ("reference=true",)), ("gnm", ("reference=true",))]


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def parameters(name: str, preset: str) -> int:
    """How many the model has under that preset, counted without a number of it being drawn."""
    plugin, (side, objects) = registry.model(name), SIZES[preset]
    config = plugin.presets[preset]
    if hasattr(config, "pretrained"):
        config = replace(config, pretrained=False)
    with torch.device("meta"):
        model = plugin.build(config, Protocol("any", 1, size=(side, side), max_objects=objects, splits=()))
    return sum(parameter.numel() for parameter in model.parameters())


def published(system: str) -> dict[tuple[str, str], dict[str, str]]:
    """Dataset and split -> metric -> the number as printed, and the table under "table"."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in published_rows():
        if row.system == system:
            found.setdefault((row.dataset, row.split), {"table": str(row.table)})[row.metric] = row.printed
    return found


@pytest.mark.parametrize("name", ["ast-seg", "ast-seg-unet", *PAGE_OF])
def test_the_table_of_models_tells_parameters_and_background(name: str) -> None:
    [line] = [line for line in page("index").splitlines() if line.startswith(f"| [`{name}`]")]
    count, slot = (cell.strip() for cell in line.strip("|").split("|")[2:])
    assert count == f"{parameters(name, 'clevrtex'):,}"
    assert slot == ("background" if registry.model(name).has_background else "like any other")


@pytest.mark.parametrize(("name", "where"), PAGE_OF.items())
def test_a_page_tells_the_parameters_at_both_sizes(name: str, where: str) -> None:
    assert all(f"{parameters(name, preset):,}" in page(where) for preset in SIZES)


@pytest.mark.parametrize("where", sorted(set(PAGE_OF.values())))
def test_a_page_has_the_published_numbers_and_no_others(where: str) -> None:
    systems = {name: registry.model(name).published["default"] for name, its in PAGE_OF.items() if its == where}
    expected = []
    for system in systems.values():
        before = f"{system}, " if len(systems) > 1 else ""
        for (dataset, split), numbers in published(system).items():
            cells = [f"{before}`{dataset}:{split}`", *(numbers.get(m, "–") for m in METRICS), numbers["table"]]
            expected.append(f"| {' | '.join(cells)} |")
    assert sorted(re.findall(r"^\| .*`\w+:\w+` .*\|$", page(where), re.MULTILINE)) == sorted(expected)


@pytest.mark.parametrize(("name", "settings"), OPTIONS)
def test_a_run_has_its_published_row_beside_it(tmp_path: Path, name: str, settings: tuple[str, ...]) -> None:
    plugin = registry.model(name)
    system = plugin.published["default"]
    assert published(system)
    for (dataset, split), numbers in published(system).items():
        recipe = resolve(plugin, dataset, None, None, settings)
        run_dir = scored(
            tmp_path, f"{dataset}-{split}", dict.fromkeys(METRICS, 0.5), split=split, dataset=dataset, model=name,
            scenario=recipe.scenario, preset=recipe.preset, published=recipe.published, overrides=recipe.changed,
        )  # fmt: skip
        text = markdown(sections([run_dir]), Options(paper=True))
        [shown] = [line for line in text.splitlines() if line.startswith(f"| {system}, Table {numbers['table']} ")]
        assert all(printed in shown for metric, printed in numbers.items() if metric in METRICS)
        [gap] = [line for line in text.splitlines() if line.startswith("| gap to ")]
        assert gap.startswith(f"| gap to {system} ")
