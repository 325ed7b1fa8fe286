"""`ocbench list`: what exists, from metadata alone, and what is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from ocbench.runs import RunConfig


def table(ended):
    assert ended.code == 0, ended.err
    return {line.split()[0]: line for line in ended.out.splitlines()}


def test_a_strangers_plug_ins_are_listed_beside_ours(ocbench, toy):
    assert "ocbench-toy" in table(ocbench("list", "models"))["toy-duel"]
    assert "foreground_error" in table(ocbench("list", "metrics"))
    datasets = table(ocbench("list", "datasets"))
    assert "ocbench-toy" in datasets["squares"]
    assert "CLEVRTEX" in datasets["clevrtex"]


def test_what_is_prepared_is_told(ocbench, workplace):
    assert "native: train, val, test" in table(ocbench("list", "datasets"))["squares"]
    splits = table(ocbench("list", "splits", "squares"))
    assert splits["squares:val@native"].split() == ["squares:val@native", "val", "16", "16"]
    (workplace / "data" / "shards" / "squares" / "native" / "val" / "manifest.json").write_text("{")
    assert "BROKEN" in table(ocbench("list", "splits", "squares"))["squares:val@native"]
    assert "native/1" in table(ocbench("list", "protocols"))["squares"]


def test_scenarios_metrics_and_published_numbers(ocbench, toy):
    assert "background 40 → foreground 100 → joint 40" in table(ocbench("list", "scenarios", "toy"))["toy"]
    assert "union, tight" in table(ocbench("list", "metrics"))["miou"]
    record = json.loads(ocbench("list", "published", "AST-Seg-B3-CT", "--json").out)
    assert {row["system"] for row in record["published"]} == {"AST-Seg-B3-CT"}


def test_a_published_number_says_where_it_stands(ocbench):
    record = json.loads(ocbench("list", "published", "clevrtex:camo", "--json").out)["published"]
    [row] = [row for row in record if (row["system"], row["metric"]) == ("SPAIR", "miou_fg")]
    assert (row["table"], row["value"], row["protocol"]) == ("Table 3", "0.00 ± 0.00", "ast-paper")
    assert "ClevrTex benchmark" in row["source"]
    begun = json.loads(ocbench("list", "published", "ast-seg-b3-b", "--json").out)["published"]
    assert {row["system"] for row in begun} == {"AST-Seg-B3-BT"}
    unknown = ocbench("list", "published", "SPAIRR")
    assert (unknown.code, "did you mean 'SPAIR'" in unknown.err) == (3, True)


def test_runs_and_their_state(ocbench, workplace):
    ocbench("evaluate", "-q")
    line = table(ocbench("list", "runs"))["toy-curriculum-squares-s0"]
    for word in ("toy curriculum", "squares:train@native", "finished, 6 updates", "squares-test@native mIoU "):
        assert word in line
    run = workplace / "runs" / "toy-curriculum-squares-s0"
    replace(RunConfig.load(run), shared={"background": "another-s1"}).save(run)
    (run / "scores" / "squares-val@native.json").write_text("{")
    assert "squares-val@native BROKEN" in table(ocbench("list", "runs"))[run.name]
    assert "finished, 6 updates, background of another-s1" in table(ocbench("list", "runs"))[run.name]
    shutil.rmtree(workplace / "runs")
    assert ocbench("list", "runs").out.strip() == "no runs"


def test_a_plug_in_that_does_not_load_breaks_only_itself(ocbench, toy, tmp_path, monkeypatch):
    site = tmp_path / "broken"
    (site / "broken_plug-1.dist-info").mkdir(parents=True)
    (site / "broken_plug-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plug\nVersion: 1\n")
    (site / "broken_plug-1.dist-info" / "entry_points.txt").write_text("[ocbench.models]\nbroken = nowhere:MODEL\n")
    monkeypatch.syspath_prepend(str(site))
    assert "broken-plug" in table(ocbench("list", "models"))["broken"]
    found = table(ocbench("list", "models", "--check"))
    assert "BROKEN" in found["broken"]
    assert "nowhere" in found["broken"]
    assert "slots of one colour" in found["toy"]
    doctor = ocbench("doctor")
    assert doctor.code == 6
    assert "model broken" in doctor.err


@pytest.mark.parametrize(
    ("words", "code"), [(("models", "toyy"), 3), (("scenarios", "toyy"), 3), (("splits", "x"), 3), (("modells",), 2)]
)
def test_unknown_names(ocbench, toy, words, code):
    assert ocbench("list", *words).code == code


def test_runs_lie_on_a_local_disk(ocbench: Callable) -> None:
    ended = ocbench("list", "runs", "--runs-dir", "s3://bucket/runs")
    assert ended.code == 2
    assert "error: runs cannot lie at 's3://bucket/runs'" in ended.err
