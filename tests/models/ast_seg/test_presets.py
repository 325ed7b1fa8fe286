"""Presets and scenarios as exact tables; the records stay light."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ocbench_models.ast_seg import AST_SEG, AST_SEG_UNET
from ocbench_models.ast_seg.presets import (
    BACKGROUND_SETTINGS,
    CLEVR,
    CLEVRTEX,
    MINI_PLAIN,
    curriculum,
    frozen,
    together,
)


def rows(phases):
    return [(p.name, p.steps, p.trains, p.batch_size, p.clock_start, p.sample, p.precompute, p.renew) for p in phases]


def test_curriculum_of_clevrtex():
    assert rows(curriculum(CLEVRTEX)) == [
        ("background", 500_000, ("background",), 128, 0, 1, False, True),
        ("foreground", 30_000, ("foreground",), 64, 0, 1, True, True),
        ("joint", 95_000, (), 64, 30_000, 0, False, True),
    ]


def test_background_trained_and_frozen():
    assert rows(together(CLEVR)) == [("joint", 125_000, (), 64, 0, 1, False, True)]
    assert rows(frozen(CLEVR)) == [
        ("background", 2_500, ("background",), 128, 0, 1, False, True),
        ("foreground", 125_000, ("foreground",), 64, 0, 1, True, True),
    ]


def test_still_background_is_only_a_start():
    steps = MINI_PLAIN.foreground_steps
    assert rows(curriculum(MINI_PLAIN)) == [
        ("background", 0, ("background",), 128, 0, 1000, False, True),
        ("foreground", steps, ("foreground",), 16, 0, 0, False, True),
        ("joint", MINI_PLAIN.joint_steps, (), 16, steps, 0, False, True),
    ]
    assert rows(together(MINI_PLAIN)) == [("joint", MINI_PLAIN.steps, (), 16, 0, 0, False, True)]


def test_optimizers_of_the_paper():
    background, foreground, joint = (phase.optimizers[0] for phase in curriculum(CLEVR))
    assert (background.kind, background.learning_rate, background.weight_decay) == ("adamw", 2e-3, 0.0)
    assert (background.betas, background.eps) == ((0.9, 0.999), 1e-8)
    assert [background.schedule(n) for n in (1, 2000, 2001, 2500)] == [1, 1, 0.1, 0.1]
    assert (foreground.kind, foreground.learning_rate, foreground.betas) == ("adam", 4e-5, (0.9, 0.98))
    assert (foreground.eps, foreground.weight_decay) == (1e-9, 0.0)
    assert foreground == joint
    assert curriculum(CLEVR)[0].depends_on == BACKGROUND_SETTINGS


def test_learning_rate_schedule(golden):
    schedule = curriculum(CLEVRTEX)[1].optimizers[0].schedule
    found = [schedule(int(n)) for n in golden["lr_update_index"]]
    np.testing.assert_allclose(found, golden["lr_multiplier"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clevrtex", ("anisotropic", "complex", 500_000)),
        ("clevr", ("isotropic", "simple", 2_500)),
        ("shapestacks", ("isotropic", "complex", 500_000)),
        ("objectsroom", ("anisotropic", "complex", 500_000)),
    ],
)
def test_settings_per_dataset(name, expected):
    preset = AST_SEG.presets[name]
    assert (preset.scaling, preset.background, preset.background_steps) == expected
    assert AST_SEG_UNET.presets[name] == replace(preset, map_generator="unet")


def test_records():
    assert next(iter(AST_SEG.presets)) == "clevrtex"
    assert list(AST_SEG.presets) == [
        "clevrtex", "clevr", "shapestacks", "objectsroom", "mini-plain", "mini-fixed", "mini-tex",
        "mini-gpu",
    ]  # fmt: skip
    assert list(AST_SEG.scenarios) == ["ct", "bt", "frozen"]
    assert AST_SEG.has_background
    assert set(AST_SEG.published) == {"ct", "bt"}  # frozen is an option of Table 4


def test_plans_need_neither_torch_nor_transformers():
    code = (
        "import sys; from ocbench_models.ast_seg import AST_SEG\n"
        "for plan in AST_SEG.scenarios.values(): [plan(p) for p in AST_SEG.presets.values()]\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
