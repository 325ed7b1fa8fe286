"""The built-in datasets: the same scene from any process in any order, splits apart, every object to be seen."""

import hashlib
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from ocbench import DataError, check_scene, score_scene
from ocbench.datasets.mini import MINI_FIXED, MINI_PLAIN, MINI_TEX, SEEDS
from ocbench.datasets.rendering import materials, sampling

DATASETS = {spec.name: spec for spec in (MINI_PLAIN, MINI_FIXED, MINI_TEX)}
SOLIDS, STRANGE = {"sphere", "cube", "cylinder"}, {"cone", "torus", "icosahedron", "pyramid"}
STYLES = [
    ("mini-plain", "train"),
    ("mini-fixed", "train"),
    ("mini-tex", "train"),
    ("mini-tex", "ood"),
    ("mini-tex", "camo"),
]


def scenes(name, part, start, stop):
    return list(DATASETS[name].read(None, part, start, stop))


def digest(scene):
    return hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes()).hexdigest()


# -- records -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", DATASETS.values(), ids=DATASETS)
def test_both_protocols_promise_sizes_counts_and_splits(spec):
    quick, full = spec.protocols
    names = ["train", "val", "test", *(["ood", "camo"] if spec is MINI_TEX else [])]
    assert (quick.name, quick.size, quick.max_objects) == ("quick", (64, 64), 4)
    assert {s.name: s.scenes for s in quick.splits} == dict.fromkeys(names, 500) | {"train": 2000}
    assert (full.name, full.size, full.max_objects) == ("full", (128, 128), 10)
    assert {s.name: s.scenes for s in full.splits} == dict.fromkeys(names, 1000) | {"train": 10_000}
    parts = spec.parts(None)
    for split in (*quick.splits, *full.splits):
        assert (split.start, split.stop) == (0, split.scenes)
        assert parts[split.part].scenes == parts[split.part].expected == split.scenes
        assert parts[split.part].seekable
    assert not spec.needs_source


def test_a_part_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(DataError, match="mini-plain has no part 'quick-ood'\n  expected  quick-train, quick-val"):
        scenes("mini-plain", "quick-ood", 0, 1)


# -- determinism -------------------------------------------------------------------------------------------------------

ELSEWHERE = """
import hashlib, sys
from ocbench.registry import dataset
for scene in dataset(sys.argv[1]).read(None, sys.argv[2], 2, 5):
    print(hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes()).hexdigest())
"""


@pytest.mark.parametrize("word", ["mini-tex:quick-ood", "mini-plain:full-train"])
def test_a_scene_does_not_depend_on_what_was_drawn_before_or_in_which_process(word):
    name, part = word.split(":")
    forwards = [digest(scene) for scene in scenes(name, part, 0, 5)]
    backwards = [digest(scene) for index in range(4, -1, -1) for scene in scenes(name, part, index, index + 1)]
    assert forwards == backwards[::-1]
    command = [sys.executable, "-c", ELSEWHERE, name, part]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == forwards[2:]


def test_splits_share_no_scene():
    assert len(set(SEEDS.values())) == len(SEEDS)
    stages = [
        json.dumps(scene.meta["objects"])
        for part in ("quick-train", "quick-val", "quick-test", "quick-ood", "quick-camo")
        for scene in scenes("mini-tex", part, 0, 6)
    ]
    assert len(set(stages)) == len(stages) == 30


# -- what is in a scene ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "split"), STYLES)
@pytest.mark.parametrize(("layout", "side", "counts", "least"), [("quick", 64, (2, 4), 17), ("full", 128, (3, 10), 66)])
def test_every_object_is_counted_told_of_and_to_be_seen(name, split, layout, side, counts, least):
    for index, scene in enumerate(scenes(name, f"{layout}-{split}", 0, 4)):
        objects = scene.meta["objects"]
        pixels = np.bincount(scene.mask.ravel())
        assert scene.key == f"{name}-{layout}-{split}-{index:06d}"
        assert scene.image.shape == (side, side, 3)
        assert counts[0] <= len(objects) <= counts[1]
        assert len(pixels) == len(objects) + 1
        assert pixels[1:].min() >= least
        assert pixels[0] > 0.4 * side * side
        assert check_scene(scene, counts[1]) is scene
        assert json.loads(json.dumps(scene.meta)) == scene.meta


@pytest.mark.parametrize(("layout", "low", "high"), [("quick", 2, 4), ("full", 3, 10)])
def test_all_numbers_of_objects_are_drawn_alike(layout, low, high):
    plan, draws = {"quick": sampling.QUICK, "full": sampling.FULL}[layout], 400
    found = Counter()
    for index in range(draws):
        stage = sampling.sample(sampling.STYLES["tex"], plan, np.random.default_rng(index), (64, 64))
        found[0 if stage is None else len(stage.bodies)] += 1
    assert found.pop(0, 0) < 0.02 * draws
    assert sorted(found) == list(range(low, high + 1))
    assert min(found.values()) > 0.6 * draws / len(found)


def test_objects_stand_apart_and_within_the_frame():
    for index in range(60):
        stage = sampling.sample(sampling.STYLES["ood"], sampling.FULL, np.random.default_rng(index), (128, 128))
        for number, body in enumerate(stage.bodies):
            assert np.abs(stage.camera.project(np.array(body.centre))).max() <= 0.86
            for other in stage.bodies[:number]:
                distance = np.hypot(body.centre[0] - other.centre[0], body.centre[1] - other.centre[1])
                reach = sum(sampling.SHAPES[b.shape].footprint * b.radius for b in (body, other))
                assert distance - reach >= 0.08 - 1e-9


def used(name, split):
    """Shapes, materials of objects, and grounds over some scenes."""
    metas = [scene.meta for scene in scenes(name, f"quick-{split}", 0, 12)]
    objects = [thing for meta in metas for thing in meta["objects"]]
    return {o["shape"] for o in objects}, {o["material"] for o in objects}, {meta["ground"] for meta in metas}


def test_styles_use_their_shapes_and_materials():
    shapes, finishes, grounds = used("mini-plain", "test")
    assert (shapes, grounds) == (SOLIDS, {"plane"})
    assert finishes <= set(materials.PLAIN)
    shapes, surfaces, grounds = used("mini-fixed", "train")
    assert (shapes, grounds) == (SOLIDS, {"brick-1"})
    assert surfaces <= set(materials.TRAINING_NAMES)
    shapes, surfaces, grounds = used("mini-tex", "train")
    assert shapes == SOLIDS
    assert surfaces | grounds <= set(materials.TRAINING_NAMES)
    assert len(grounds) > 6


def test_ood_shows_nothing_that_training_showed():
    shapes, surfaces, grounds = used("mini-tex", "ood")
    assert shapes == STRANGE
    assert surfaces | grounds <= set(materials.UNSEEN_NAMES)
    assert set(materials.UNSEEN_NAMES) & set(materials.TRAINING_NAMES) == set()
    assert (len(materials.TRAINING_NAMES), len(materials.UNSEEN_NAMES)) == (36, 10)


def test_camo_lays_one_material_on_everything():
    grounds = set()
    for scene in scenes("mini-tex", "quick-camo", 0, 8):
        assert {thing["material"] for thing in scene.meta["objects"]} == {scene.meta["ground"]}
        grounds.add(scene.meta["ground"])
    assert len(grounds) > 3


def test_predicting_nothing_earns_what_the_specification_says():
    found = [
        score_scene(scene.mask, np.zeros_like(scene.mask), metrics=["ari_fg", "miou@tight"])
        for scene in scenes("mini-plain", "quick-test", 0, 60)
    ]
    assert {scores["ari_fg"] for scores in found} == {0.0}  # never a single object
    assert 0.19 < np.mean([scores["miou@tight"] for scores in found]) < 0.27
