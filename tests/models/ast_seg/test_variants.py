"""Every row of the ablation table (Table 4) and every scenario as a user types it: trained, resumed, scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ocbench.recipe import resolve
from ocbench_models.ast_seg import AST_SEG

SMALL = (
    "backbone_depths=(1,1,1,1)", "backbone_widths=(8,8,16,16)", "backbone_heads=(1,1,2,2)", "decoder_width=16",
    "unet_widths=(8,8,8,8,8,8)", "refiner_layers=1", "refiner_width=16", "refiner_feed_forward=16",
    "background_width=0.05", "glimpse_widths=(16,8,8,8)",
)  # fmt: skip
QUICK = ("ct", "no transformer", "frozen background")  # the others take turns with the long tests
OPTIONS = {variant.summary: variant for variant in AST_SEG.variants}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pretrained weights of the small backbone."""
    from transformers import SegformerConfig, SegformerForImageClassification

    path = tmp_path_factory.mktemp("weights")
    sizes = {"depths": [1] * 4, "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
    SegformerForImageClassification(SegformerConfig(**sizes)).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    "option",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in ("ct", "bt", *OPTIONS)],
)
def test_an_option_trains_resumes_and_is_scored(
    ocbench: Callable, tmp_path: Path, weights: Path, mini_plain: Path, option: str
) -> None:
    variant = OPTIONS.get(option)
    scenario = variant.scenario or "ct" if variant else option
    words = ["train", "ast-seg", "--data-dir", mini_plain, "--data", "mini-plain", "--preset", "clevrtex"]
    words += ["--scenario", scenario, "--batch-size", 4, "--steps", 20, "--save-every", 10, "--device", "cpu", "-q"]
    words += ["--no-phase-cache"]  # each option trains every phase
    for setting in (f"weights={weights}", *SMALL, *(variant.settings if variant else ())):
        words += ["-s", setting]
    trained = ocbench(*words)
    assert trained.code == 0, trained.err
    run = tmp_path / "runs" / f"ast-seg-{scenario}-mini-plain-s0"
    finished = load_file(run / "checkpoints" / "final" / "model.safetensors")

    numbered = sorted(path for path in (run / "checkpoints").iterdir() if path.name.isdigit())
    assert int(numbered[-2].name) == int(numbered[-1].name) - 10
    for gone in (numbered[-1], run / "checkpoints" / "final"):  # as if killed ten updates before the end
        shutil.rmtree(gone)
    resumed = ocbench(*words)
    assert resumed.code == 0, resumed.err
    again = load_file(run / "checkpoints" / "final" / "model.safetensors")
    assert all((again[name] == value).all() for name, value in finished.items())

    scored = ocbench("evaluate", run, "--data-dir", mini_plain, "--json", "-q", "--gallery", 0)
    assert scored.code == 0, scored.err
    [sheet] = json.loads(scored.out)["sheets"]
    assert sheet["scenes"] == 8


@pytest.mark.parametrize(("dataset", "rows"), [("clevrtex", 8), ("clevr", 8), ("shapestacks", 8), ("objectsroom", 8)])
def test_a_run_of_an_option_stands_for_its_row_of_table_4(dataset: str, rows: int) -> None:
    stands = set()
    for variant in AST_SEG.variants:
        recipe = resolve(AST_SEG, dataset, None, variant.scenario, variant.settings)
        if recipe.changed or variant.scenario:
            assert recipe.published == variant.published
            stands.add(recipe.published)
    assert len(stands - {None}) == rows
    assert resolve(AST_SEG, dataset, None, None, ["refiner=none", "extra_slots=1"]).published is None
    assert resolve(AST_SEG, dataset, None, "bt", ["refiner=none"]).published is None
    assert resolve(AST_SEG, dataset, None, "bt", []).published == "AST-Seg-B3-BT"


@pytest.mark.parametrize(
    ("dataset", "objects", "settings", "slots"),
    [
        (dataset, objects, settings, count)
        for dataset, objects, more, double in (
            ("clevrtex", 10, 11, 20), ("clevr", 10, 11, 20), ("shapestacks", 6, 7, 12), ("objectsroom", 3, 4, 6),
        )
        for settings, count in (([], objects), (["extra_slots=1"], more), (["slots_per_object=2"], double))
    ],
)  # fmt: skip
def test_slots_of_table_4(dataset: str, objects: int, settings: list[str], slots: int) -> None:
    assert resolve(AST_SEG, dataset, None, None, settings).config.object_slots(objects) == slots
    assert resolve(AST_SEG, dataset, None, None, ["slots=5"]).config.object_slots(objects) == 5


def test_the_table_of_options_has_the_published_numbers(ocbench: Callable) -> None:
    shown = ocbench("show", "ast-seg")
    lines = {line.split("  ")[0]: line.split() for line in shown.out.splitlines()}
    assert lines["as it is (ct)"][4:7] == ["79.58", "/", "94.77"]
    numbers = "62.10 / 89.96 90.56 / 98.29 54.88 / 65.16 66.78 / 78.58"
    assert " ".join(lines["2 K slots"][3:]) == f"-s slots_per_object=2 {numbers}"
    counts = [len(one["numbers"]) for one in json.loads(ocbench("show", "ast-seg", "--json").out)["options"]]
    assert counts == [8, 8, 8, 8, 8, 8, 8, 4, 4, 0]  # Table 4: 4 datasets, 2 metrics
