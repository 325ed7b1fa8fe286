"""Runs made of arrays, without a model and without torch, reports of them, and a browser that watches what they do.

The browser is Chromium, driven by Playwright; tests that need it skip themselves where one is missing, and say how to
get it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ocbench import Scene, registry
from ocbench.gallery import Gallery, choose, drawn_entry, grid_columns, write_gallery
from ocbench.html import write_report
from ocbench.runs import RunConfig, ScoreSheet, append_log
from ocbench.scene import Outcome
from ocbench.scoring import scene_rows, summarise
from ocbench.slices import object_facts

METRICS = ("miou", "miou_fg", "ari_fg", "mse")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>"
MATERIALS = ("wood", "steel", "cloth")


def scene(index, side, key=None, split="test"):
    """Two or three squares on noise; the second may touch the border."""
    random = np.random.default_rng([index, len(split)])
    image = random.integers(90, 130, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), np.uint8)
    for label in range(1, 3 + index % 2):
        top, left = random.integers(0, side - side // 4, 2)
        box = np.s_[top : top + side // 4, left : left + side // 4]
        image[box], mask[box] = random.integers(0, 256, 3), label
    objects = [{"label": i, "shape": "square", "material": MATERIALS[(index + i) % 3]} for i in range(1, 4)]
    return Scene(key or f"squares-{split}-{index:06d}", image, mask, {"objects": objects})


def outcome(one, spoil):
    """The truth, but for the `spoil` leftmost columns, which are called background."""
    labels = one.mask.copy()
    labels[:, :spoil] = 0
    return Outcome(one, labels, one.image.astype(np.float32) / 255)


def write_gallery_of(folder, outcomes, rows, count, digest, fingerprint):
    by_key = {each.scene.key: each for each in outcomes}
    picks, by = choose(rows, count, 0)
    made = []
    for number, pick in enumerate(picks):
        each = by_key[pick.row["key"]]
        weights = (each.labels[None] == np.arange(4)[:, None, None]).astype(np.float32)
        layers = weights[:, None] * (each.scene.image.transpose(2, 0, 1)[None] / 255)
        centres = np.array([[0, 0], [0.5, -0.5], [-0.5, 0.5], [0, 1]], np.float32)
        made.append(drawn_entry(number, pick, each, weights, layers.astype(np.float32), centres))
    size = outcomes[0].scene.mask.shape
    write_gallery(
        folder, Gallery(size, grid_columns(4), digest, fingerprint, by, [entry for entry, _ in made]),
        [pictures for _, pictures in made],
    )  # fmt: skip


class Maker:
    """Writes run directories; `spoil` decides how bad the run is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, name="toy-only-squares-s0", *, splits=("test",), spoil=2, log=True, **settings):
        run_dir = self.folder / name
        values = {
            "model": "toy", "scenario": "only", "preset": "*", "dataset": "squares", "split": "train",
            "protocol": "native", "protocol_version": 1, "size": (16, 16), "max_objects": 3, "fingerprint": "train",
            "seed": 0, "config": {"width": 4, "rates": [0.1, 0.2]}, "versions": {"numpy": "2"},
        }  # fmt: skip
        RunConfig(**values | settings).save(run_dir)
        for split in splits:
            self.scores(run_dir, split, spoil=spoil)
        if log:
            for step in range(1, 21):
                append_log(run_dir, {"phase": "only", "step": step, "updates": step, "total": 1 / step, "rate": 0.1})
            append_log(run_dir, {"event": "probe", "phase": "only", "step": 20, "updates": 20, "probe_miou": 0.5})
            append_log(run_dir, {"event": "finished", "updates": 20, "seconds": 1.0})
        return run_dir

    def scores(self, run_dir, split, *, spoil=2, scenes=12, side=16, keys=None, shown=6, facts=True, **sheet):
        run = RunConfig.load(run_dir)
        found = [outcome(scene(i, side, keys[i] if keys else None, split), spoil + i % 3) for i in range(scenes)]
        metrics = [registry.metric(name) for name in METRICS]
        rows = scene_rows(found, metrics)
        for row, each in zip(rows, found, strict=True):
            for one in row["per_object"]:
                one.update(object_facts(each.scene)[one["id"]] if facts else {})
                for name in () if facts else set(one) - {"id", "pixels", "best_iou"}:
                    one.pop(name)
        values = {
            "run": {"name": run_dir.name, "seed": run.seed}, "dataset": run.dataset, "split": split,
            "protocol": run.protocol, "protocol_version": 1, "fingerprint": f"data-{split}",
            "weights_digest": run_dir.name, "scenes": scenes, "results": summarise(rows, metrics), "special": {},
        }  # fmt: skip
        made = ScoreSheet(**values | sheet)
        path = run_dir / "scores" / f"{made.name}.json"
        made.save(path)
        told = {"evaluation": {"weights": made.weights_digest, "data": made.fingerprint}}
        path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in [told, *rows]))
        if shown:
            folder = run_dir / "gallery" / made.name
            write_gallery_of(folder, found, rows, shown, made.weights_digest, made.fingerprint)


@pytest.fixture
def maker(tmp_path):
    return Maker(tmp_path / "runs")


@pytest.fixture(scope="session")
def hostile():
    return HOSTILE


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """A folder with two runs on two splits and their report.html, which nobody changes.

    40 scenes, 30 of them in the gallery, and 10 scenes, 3 in the gallery; one scene's key is hostile.
    """
    folder = tmp_path_factory.mktemp("reported")
    maker, runs = Maker(folder), []
    for name, spoil in (("a-s0", 1), ("b-s0", 6)):
        runs.append(maker.run(name, splits=()))
        keys = [HOSTILE, *(f"scene-{i:03d}" for i in range(1, 40))]
        maker.scores(runs[-1], "test", spoil=spoil, scenes=40, keys=keys, shown=30)
        maker.scores(runs[-1], "ood", spoil=spoil + 2, scenes=10, shown=3)
    write_report(runs, folder / "report.html")
    return folder


@pytest.fixture
def report(reported):
    return reported / "report.html"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    if BROWSER is None:
        pytest.skip("no chromium: apt-get install -y chromium")
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield found
        found.close()


class Watched:
    """A page, all that it asked for and all that it complained about."""

    def __init__(self, browser, path, **context):
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **context})
        self.page = self.context.new_page()
        self.complaints, self.requests, self.dialogs = [], [], []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())

    def outside(self):
        """Every request but the file itself and pictures within it."""
        return [url for url in self.requests[1:] if not url.startswith("data:")]


@pytest.fixture
def watch(browser):
    opened = []

    def open_page(path, **context):
        opened.append(Watched(browser, path, **context))
        return opened[-1]

    yield open_page
    for each in opened:
        assert each.complaints == []
        assert each.outside() == []
        assert each.dialogs == []
        each.context.close()


@pytest.fixture
def unwatched(browser):
    """Opens a page that may complain."""
    return lambda path: Watched(browser, path)
