"""What the page of metrics shows is what the metrics give now."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

from ocbench import imaging

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "metric_pictures.py"))


def test_the_table_holds_the_scores_of_today() -> None:
    assert TOOL["table"]() in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_pictures_show_the_cases_that_were_scored() -> None:
    names = {name for name, _, _ in TOOL["cases"]()}
    assert names == {path.stem for path in (ROOT / "docs" / "metrics").iterdir()}
    for name, _, labels in TOOL["cases"]():
        drawn = imaging.decode_image(TOOL["picture"](labels.astype(np.uint8)))
        kept = imaging.decode_image((ROOT / "docs" / "metrics" / f"{name}.png").read_bytes())
        assert np.array_equal(drawn, kept), name
