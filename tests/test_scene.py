"""Scenes that are not as promised are refused; names are looked up with their neighbours; the table of pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocbench.errors import DataError, UnknownNameError
from ocbench.scene import DatasetSpec, Protocol, Scene, Split, check_scene, contingency_table, labels_of

SCENE = Scene("toy-train-000001", np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8))
PROTOCOL = Protocol("native", 1, (4, 6), 3, splits=(Split("train", "all"), Split("test", "all")))


def test_a_good_scene_comes_back() -> None:
    parts = replace(SCENE, background_parts=np.zeros((4, 6), np.uint8))
    assert check_scene(SCENE, 3) is SCENE
    assert check_scene(parts, 3) is parts
    assert check_scene(replace(SCENE, mask=np.full((4, 6), 3, np.uint8)), 3).mask.max() == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "toy.1"}, r"scene 'toy\.1' has an unusable key"),
        ({"key": ""}, "unusable key"),
        ({"key": "a/b"}, "unusable key"),
        ({"image": np.zeros((4, 6, 3), np.float32)}, r"image of the wrong form\n.*uint8 \[H, W, 3\]\n.*float32"),
        ({"image": np.zeros((4, 6, 4), np.uint8)}, r"image of the wrong form\n.*\n.*\[4, 6, 4\]"),
        ({"mask": np.zeros((4, 6), np.int64)}, r"mask of the wrong form\n.*uint8 \[4, 6\]\n.*int64"),
        ({"mask": np.zeros((6, 4), np.uint8)}, r"mask of the wrong form\n.*\[4, 6\]\n.*\[6, 4\]"),
        ({"background_parts": np.zeros((1, 1), np.uint8)}, "background_parts of the wrong form"),
        ({"mask": np.full((4, 6), 29, np.uint8)}, r"label above K\n.*ids 0\.\.3\n.*\[29\]\n.*palette"),
    ],
)
def test_a_bad_scene_is_named_with_what_was_expected_and_found(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_scene(replace(SCENE, **change), 3)


def test_splits_and_protocols_are_found_by_name_or_with_the_near_ones() -> None:
    spec = DatasetSpec("toy", "Toy", (PROTOCOL, replace(PROTOCOL, name="other")), parts=dict, read=iter)  # type: ignore[arg-type]
    assert spec.protocol() is PROTOCOL
    assert spec.protocol("other").name == "other"
    assert PROTOCOL.split("test").name == "test"
    with pytest.raises(UnknownNameError, match=r"no split named 'tset'\n.*test, train\n.*did you mean 'test'"):
        PROTOCOL.split("tset")
    with pytest.raises(UnknownNameError, match="no protocol of toy named 'nativ'"):
        spec.protocol("nativ")


@pytest.mark.parametrize("change", [{"image_filter": "bicubic"}, {"mask_filter": "bilinear"}])
def test_a_protocol_with_an_unknown_filter_cannot_be_made(change: dict) -> None:
    with pytest.raises(ValueError, match="unknown filter"):
        replace(PROTOCOL, **change)


@given(st.integers(1, 256), st.integers(1, 256), st.integers(0, 9))
@settings(max_examples=60)
def test_the_contingency_table_counts_every_pair(predicted: int, true: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, predicted, (5, 7), dtype=np.uint8)
    mask = random.integers(0, true, (5, 7), dtype=np.uint8)
    labels[0, 0], mask[0, 1] = predicted - 1, true - 1
    slow = np.zeros((predicted, true), int)
    np.add.at(slow, (labels, mask), 1)
    assert np.array_equal(contingency_table(labels, mask), slow)


@given(st.integers(1, 255), st.integers(0, 2**32 - 1))
def test_labels_are_the_first_of_the_largest_weights(slots: int, seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 4, (slots, 3, 5)).astype(np.float32)
    labels = labels_of(weights)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, weights.argmax(axis=0))
