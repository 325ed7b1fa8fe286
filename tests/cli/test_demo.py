"""`ocbench demo` on a few scenes and updates: the whole job, every model beside every other, and again."""

from __future__ import annotations

import json
from pathlib import Path

TRIAL = ("demo", "--limit", 24, "--steps", 2, "--device", "cpu")
MODELS = ["blank", "grid", "kmeans", "median", "ast-seg"]


def test_the_whole_job_and_the_same_command_again(ocbench, tmp_path):
    ended = ocbench(*TRIAL)
    assert ended.code == 0, ended.err
    rows = [line.split()[1] for line in ended.out.splitlines() if line.startswith("| ") and "seeds" not in line]
    assert [row for row in rows if not row.startswith(":")] == MODELS
    for label in ("mIoU", "mIoU-FG", "ARI-FG", "MSC-FG", "MSE"):
        assert f"{label} " in ended.out
    assert "not the whole split" in ended.out
    assert "also be solved without learning" in ended.out.replace("\n", " ")
    [picture] = (tmp_path / "runs").glob("ast-seg-*/panels/*.png")
    assert str(picture) in ended.err
    page = tmp_path / "runs" / "demo-s0.html"
    assert str(page) in ended.err
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")

    again = ocbench(*TRIAL, "--json")
    record = json.loads(again.out)
    assert again.code == 0
    assert again.err.count("nothing to do") == len(MODELS)
    assert Path(record["panel"]) == picture
    blank = record["sections"][0]["rows"][0]["metrics"]
    assert blank["ari_fg"]["mean"] == 0  # 2 to 4 objects: one label everywhere separates none
    assert blank["miou"]["mean"] > 0.15
