"""A model in a Python of its own: real processes, real label maps, and everything that can go wrong between them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from ocbench import PluginError, RunError, UsageError, bridge, foreign_side, imaging, open_dataset

BRIGHT = """
import numpy as np
print("loading weights")

def predict(images):
    assert images.dtype == np.uint8 and images.shape[1:] == (16, 16, 3), images.shape
    labels = (images.max(axis=3) > 130).astype(int)
    return labels
"""


@pytest.fixture
def scenes(finished_toy):
    return open_dataset(finished_toy / "data" / "shards" / "squares" / "native" / "test")


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "model.py"
        path.write_text(text)
        return str(path)

    return write


def drawn(script, scenes, tmp_path, **options):
    return bridge.draw(script, scenes, tmp_path / "out", python=sys.executable, **options)


def test_label_maps_are_those_of_the_function(script, scenes, tmp_path):
    told = []
    done = drawn(script(BRIGHT), scenes, tmp_path, batch_size=7, progress=lambda *words: told.append(words[:2]))
    assert done.made == len(scenes) == 24
    assert told == [(0, 24), (7, 24), (14, 24), (21, 24), (24, 24)]
    assert done.reconstructions is None
    for scene in scenes:
        found = imaging.decode_any_labels((done.labels / f"{scene.key}.png").read_bytes())
        np.testing.assert_array_equal(found, scene.image.max(axis=2) > 130)


def test_soft_masks_and_reconstructions(script, scenes, tmp_path):
    text = """
import numpy as np
def predict(images):
    bright = images.max(axis=3)[:, None] / 255
    return np.concatenate([1 - bright, bright], axis=1), images / 255
"""
    done = drawn(script(text), scenes.first(3), tmp_path)
    for scene in scenes.first(3):
        found = imaging.decode_any_labels((done.labels / f"{scene.key}.png").read_bytes())
        np.testing.assert_array_equal(found, scene.image.max(axis=2) > 127)
        rebuilt = np.load(done.reconstructions / f"{scene.key}.npy")
        assert rebuilt.dtype == np.float32
        np.testing.assert_allclose(rebuilt, scene.image / 255, atol=1e-6)


def test_what_is_done_is_not_asked_again(script, scenes, tmp_path):
    stops = (
        BRIGHT
        + """
seen = 0
inner = predict
def predict(images):
    global seen
    seen += len(images)
    if seen > 10:
        raise MemoryError("no room")
    return inner(images)
"""
    )
    with pytest.raises(
        PluginError, match=r"the script failed in its own Python[^$]*exit code 1[^$]*MemoryError: no room"
    ):
        drawn(script(stops), scenes, tmp_path, batch_size=5)
    assert len(list((tmp_path / "out" / "labels").glob("*.png"))) == 10
    with pytest.raises(PluginError, match="no room"):
        drawn(script(stops), scenes, tmp_path, batch_size=5)
    assert len(list((tmp_path / "out" / "labels").glob("*.png"))) == 20
    assert drawn(script(stops), scenes, tmp_path, batch_size=5).made == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def other(images): pass", r"defines no function 'predict\(images\)'"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("import os\ndef predict(images): os._exit(3)", "exit code 3"),
        ("def predict(images): return images.max(axis=3)[:, :4].astype(int)", r"found +int64 \[16, 4, 16\]"),
        ("def predict(images): return images.max(axis=3) * -1.0", r"found +float64 \[16, 16, 16\]"),
        ("def predict(images): return images.max(axis=3).astype(int) * 9", "in .*\\.\\.2295"),
        ("def predict(images): return 'masks'", "predict returned no label maps"),
        ("def predict(images): return {'labels': 1}", "Object arrays cannot be saved"),
        ("def predict(images): return images.max(axis=3), images", "predict returned no reconstructions"),
    ],
)
def test_what_goes_wrong_on_the_other_side_is_told(script, scenes, tmp_path, text, words):
    with pytest.raises(PluginError, match=words):
        drawn(script(text), scenes, tmp_path)
    assert not list((tmp_path / "out" / "labels").iterdir())


def test_much_talk_blocks_nothing(script, scenes, tmp_path):
    talks = "import sys\ndef predict(images):\n    print('x' * 300_000)\n    sys.stderr.write('y' * 300_000)\n"
    assert drawn(script(talks + "    return images.max(axis=3)\n"), scenes.first(4), tmp_path, batch_size=2).made == 4


def test_another_script_or_other_scenes_get_a_folder_of_their_own(script, scenes, tmp_path, finished_toy):
    drawn(script(BRIGHT), scenes.first(2), tmp_path)
    with pytest.raises(RunError, match="label maps of another script"):
        drawn(script(BRIGHT + "# changed"), scenes, tmp_path)
    other = open_dataset(finished_toy / "data" / "shards" / "squares" / "native" / "val")
    with pytest.raises(RunError, match="label maps of another fingerprint"):
        drawn(script(BRIGHT), other, tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(RunError, match="holds something else"):
        bridge.draw(script(BRIGHT), scenes, tmp_path / "mine", python=sys.executable)
    with pytest.raises(UsageError, match="no-python' cannot be started"):
        bridge.draw(script(BRIGHT), scenes, tmp_path / "new", python="no-python")


def test_the_command_ends_in_scores(ocbench, toy, finished_toy, script, tmp_path):
    data = ["--data", "squares:test", "--data-dir", finished_toy / "data"]
    out = tmp_path / "bright"
    ended = ocbench("bridge", script(BRIGHT), *data, "--out", out, "--python", sys.executable)
    assert ended.code == 0, ended.err
    assert f"ocbench score {out}/labels --data squares:test" in ended.err
    scored = ocbench("score", out / "labels", *data, "--name", "bright")
    assert scored.code == 0, scored.err
    assert "mIoU" in scored.out
    assert "24 scored" in scored.err


def test_the_foreign_side_is_for_any_python():
    text = Path(foreign_side.__file__).read_text()
    tree = ast.parse(text, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"io", "os", "struct", "sys", "typing", "numpy"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.JoinedStr | ast.NamedExpr)]
