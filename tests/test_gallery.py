"""The gallery on disk: which scenes are chosen, what their pictures show, and that a damaged one is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ocbench import Scene
from ocbench.errors import DataError, RunError
from ocbench.gallery import ERRORS, Gallery, choose, drawn_entry, grid, load_gallery, write_gallery
from ocbench.panels import BACKGROUND, COLOURS
from ocbench.scene import Outcome


def rows(count, name="miou"):
    return [{"key": f"s-{i:03d}", name: float(i) / count, "objects": 1} for i in range(count)]


def kinds(picks):
    return {kind: [pick.row["key"] for pick in picks if pick.kind == kind] for kind in ("best", "worst", "random")}


def test_a_third_each_is_best_worst_and_random():
    picks, by = choose(rows(100), 12, seed=0)
    found = kinds(picks)
    assert by == "miou"
    assert {kind: len(keys) for kind, keys in found.items()} == {"best": 4, "worst": 4, "random": 4}
    others = [row["key"] for row in rows(100) if row["key"] not in found["random"]]
    assert found["worst"] == others[:4]
    assert found["best"] == others[-4:][::-1]


def test_the_random_scenes_do_not_depend_on_the_scores_nor_on_the_order_of_rows():
    worse = [{**row, "miou": 1 - row["miou"]} for row in reversed(rows(100))]
    assert kinds(choose(rows(100), 12, 0)[0])["random"] == kinds(choose(worse, 12, 0)[0])["random"]
    assert kinds(choose(rows(100), 12, 0)[0])["random"] != kinds(choose(rows(100), 12, 1)[0])["random"]


@pytest.mark.parametrize(("scenes", "count"), [(5, 12), (1, 3), (0, 3), (7, 6), (12, 12), (3, 1), (4, 0)])
def test_no_scene_is_shown_twice_where_there_are_few(scenes, count):
    picks, _ = choose(rows(scenes), count, 0)
    assert len({pick.row["key"] for pick in picks}) == len(picks) == min(scenes, count)


def test_scenes_without_a_score_are_neither_good_nor_bad():
    undefined = [{"key": f"n-{i}", "miou": math.nan} for i in range(40)]
    picks, by = choose(undefined + rows(4), 12, 0)
    assert by == "miou"
    assert all(pick.row["key"].startswith("s-") for pick in picks if pick.kind != "random")
    picks, by = choose(rows(20, "ari_fg"), 6, 0)
    assert by is None
    assert [pick.kind for pick in picks] == ["random"] * 6


MASK = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 2], [0, 0, 2, 2]], np.uint8)
LABELS = np.array([[2, 2, 0, 0], [2, 0, 0, 3], [0, 0, 1, 1], [0, 0, 1, 2]], np.uint8)


def entry(number=0, key="a-1", layers=True, row=()):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    weights = (LABELS[None] == np.arange(4)[:, None, None]).astype(np.float32)
    outcome = Outcome(Scene(key, image, MASK), LABELS, np.full((4, 4, 3), 1.5, np.float32) if layers else None)
    per_object = [{"id": 1, "pixels": 4, "best_iou": 0.6}, {"id": 2, "pixels": 4, "best_iou": 0.75}]
    pick = choose(
        [{"key": key, "miou": 0.5, "mse": math.nan, "objects": 2, "per_object": per_object, **dict(row)}], 1, 0
    )
    drawn = np.full((4, 3, 4, 4), 0.5, np.float32) if layers else None
    centres = np.array([[0, 0], [0.5, -1], [-1, 1], [0, 0.12345678]], np.float32) if layers else None
    return drawn_entry(number, pick[0][0], outcome, weights, drawn, centres)


def test_pictures_show_pairs_in_one_colour_and_errors_by_kind():
    _, pictures = entry()
    assert tuple(pictures["truth"][0, 0]) == tuple(pictures["prediction"][0, 0]) == COLOURS[0]
    assert tuple(pictures["truth"][2, 2]) == tuple(pictures["prediction"][2, 2]) == COLOURS[1]
    assert tuple(pictures["truth"][0, 3]) == tuple(pictures["prediction"][0, 3]) == BACKGROUND
    wrong = {tuple(place): name for name in ERRORS for place in np.argwhere((pictures["error"] == ERRORS[name]).all(2))}
    assert wrong == {(1, 1): "missed", (1, 3): "false", (3, 3): "confused"}


def test_an_entry_says_which_slot_found_which_object():
    made, pictures = entry()
    assert [(slot.slot, slot.pixels, slot.object) for slot in made.slots] == [
        (0, 8, None), (1, 3, 2), (2, 4, 1), (3, 1, None),
    ]  # fmt: skip
    assert [slot.iou for slot in made.slots] == [None, 0.75, 0.6, None]
    assert made.slots[3].centre == (0.0, 0.1235)
    assert made.scores == {"miou": 0.5}  # mse is undefined
    assert [(one["id"], one["colour"], one["border"]) for one in made.objects] == [
        (1, "#e63946", True), (2, "#2e86de", True),
    ]  # fmt: skip
    assert pictures["reconstruction"].max() == 255  # clipped for the screen only


def test_slots_lie_row_by_row_in_a_grid():
    tiles = np.linspace(0, 1, 5)[:, None, None, None] * np.ones((5, 2, 3, 3))
    found = grid(tiles)
    assert found.shape == (4, 9, 3)
    assert [int(found[y, x, 0]) for y, x in ((0, 0), (0, 3), (0, 6), (2, 0), (2, 3), (2, 6))] == [
        0,
        64,
        128,
        191,
        255,
        0,
    ]
    assert grid(tiles[:1]).shape == (2, 3, 3)


def saved(folder, *made):
    gallery = Gallery((4, 4), 2, "digest", "data", "miou", [each for each, _ in made])
    write_gallery(folder, gallery, [pictures for _, pictures in made])


def test_what_is_written_is_read_back(tmp_path):
    made, pictures = entry()
    bare, few = entry(1, "b-2", layers=False)
    saved(tmp_path / "g", (made, pictures), (bare, few))
    found = load_gallery(tmp_path / "g")
    assert found.entries == (made, bare)
    assert (found.size, found.columns, found.by, found.weights_digest) == ((4, 4), 2, "miou", "digest")
    for name, picture in pictures.items():
        assert np.array_equal(found.picture(made, name), picture)
    assert set(bare.pictures) == {"input", "truth", "prediction", "error", "masks"}
    assert load_gallery(tmp_path / "elsewhere") is None


def test_a_second_gallery_takes_the_place_of_the_first_whole(tmp_path):
    saved(tmp_path / "g", entry(), entry(1, "b-2"))
    saved(tmp_path / "g", entry(0, "c-3"))
    assert [each.key for each in load_gallery(tmp_path / "g").entries] == ["c-3"]
    assert len(list((tmp_path / "g").glob("0001-*"))) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_failed_write_leaves_the_old_gallery(tmp_path):
    saved(tmp_path / "g", entry())
    made, pictures = entry(0, "c-3")
    with pytest.raises(ValueError, match="shorter"):
        write_gallery(tmp_path / "g", Gallery((4, 4), 2, "d", "f", "miou", [made, made]), [pictures])
    assert [each.key for each in load_gallery(tmp_path / "g").entries] == ["a-1"]
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_keys_never_become_file_names(tmp_path):
    saved(tmp_path / "g", entry(key="../../outside"))
    assert {path.name[:5] for path in (tmp_path / "g").glob("*.webp")} == {"0000-"}
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["entries"][0]["pictures"].update(input="../secret.webp"),
        lambda record: record["entries"][0].pop("key"),
        lambda record: record["entries"][0]["slots"].append({"slot": 1}),
        lambda record: record.update(size=[4]),
        lambda record: record.update(more=1),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, change):
    saved(tmp_path / "g", entry())
    path = tmp_path / "g" / "gallery.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(RunError, match="is damaged"):
        load_gallery(tmp_path / "g")


def test_a_missing_or_cut_picture_is_named(tmp_path):
    saved(tmp_path / "g", entry())
    found = load_gallery(tmp_path / "g")
    path = tmp_path / "g" / found.entries[0].pictures["truth"]
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="0000-truth"):
        found.picture(found.entries[0], "truth")
    path.unlink()
    with pytest.raises(RunError, match="0000-truth"):
        found.picture(found.entries[0], "truth")
