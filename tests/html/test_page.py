"""The page as text: nothing of the data becomes markup, nothing asks a network, and it stays small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ocbench.html import pictures, write_report
from ocbench.html.payload import embedded, number

HOSTILE = "<img src=x onerror=alert(1)>"
ENDING = "</script><script>alert(2)</script>"
LINES = "a\u2028b\u2029c&amp;"


class Page(HTMLParser):
    """Tags with their attributes, and the texts of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "script"

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def written(folder, *runs, **options):
    write_report(runs, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(text):
    return json.loads(Page(text).scripts[0])


@pytest.mark.parametrize("value", [HOSTILE, ENDING, LINES, "]]>", "<!--", "é"])
def test_embedded_json_says_the_same_and_holds_no_markup(value):
    text = embedded({value: [value]})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {value: [value]}


def test_a_score_keeps_five_digits_and_an_undefined_one_is_none():
    assert [number(value) for value in (0.123456789, 147.123456, float("nan"), None, [1])] == [
        0.12346, 147.12, None, None, None,
    ]  # fmt: skip


def test_keys_metadata_and_names_stay_text_everywhere(maker, tmp_path):
    path = maker.run("a<b>-s0", splits=(), config={"note": HOSTILE}, overrides=(f"note={ENDING}",))
    keys = [HOSTILE, ENDING, LINES, *(f"plain-{i}" for i in range(9))]
    maker.scores(path, "test", keys=keys, shown=12)
    rows = next((path / "scores").glob("*.jsonl"))
    rows.write_text(rows.read_text().replace('"wood"', json.dumps(HOSTILE)))
    text = written(tmp_path, path)
    page = Page(text)
    assert len(page.scripts) == 2
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "b", "object", "embed", "form-action"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    data = data_of(text)
    assert data["keys"] == [keys]
    assert sorted(entry["key"] for entry in data["gallery"]) == sorted(keys)


def test_the_policy_lets_this_script_run_and_no_other(maker, tmp_path):
    page = Page(written(tmp_path, maker.run()))
    (policy,) = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'", "script-src": f"'sha256-{digest}'", "style-src": "'unsafe-inline'",
        "img-src": "data:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip


def test_nothing_is_linked_from_outside(maker, tmp_path):
    page = Page(written(tmp_path, maker.run()))
    links = {attrs[name] for _, attrs in page.tags for name in ("src", "href", "srcset", "action") if name in attrs}
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "http://www.w3.org/2000/svg" in page.scripts[1]  # the name of a language, which nobody fetches
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"']*|@import|url\((?!\"\$)", page.scripts[1]) == []


def test_the_same_runs_give_the_same_bytes_without_a_path_of_this_machine(maker, tmp_path):
    path = maker.run("a-s0", splits=("test", "ood"))
    text = written(tmp_path, path)
    assert text == written(tmp_path, path)
    assert str(tmp_path) not in text


def test_runs_of_the_same_scenes_share_their_keys(maker, tmp_path):
    data = data_of(written(tmp_path, maker.run("a-s0"), maker.run("b-s0", spoil=5)))
    assert len(data["keys"]) == 1
    assert [(one["run"], one["keys"], len(one["scores"]["miou"])) for one in data["sets"]] == [
        ("a-s0", 0, 12), ("b-s0", 0, 12),
    ]  # fmt: skip
    assert {entry["set"] for entry in data["gallery"]} == {0, 1}


def test_a_bare_run_has_a_page_too(maker, tmp_path):
    path = maker.run(log=False)
    next((path / "scores").glob("*.jsonl")).unlink()
    (path / "gallery" / "squares-test@native" / "gallery.json").unlink()
    text = written(tmp_path, path)
    assert "has no gallery of squares:test@native" in text
    assert 'id="training"' not in text
    assert 'id="slices"' not in text
    assert 'id="scores"' in text


def test_the_manifest_names_settings_and_sheets(maker, tmp_path):
    text = written(tmp_path, maker.run(config={"deep": {"width": 7}, "rates": [0.1, 0.2]}))
    for name, value in (("deep.width", "7"), ("rates", "[0.1, 0.2]"), ("fingerprint", "data-test")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text


def test_pictures_beyond_the_budget_are_left_out_and_counted(maker, tmp_path, monkeypatch):
    path, other = maker.run("a-s0"), maker.run("b-s0", spoil=5)
    whole = data_of(written(tmp_path, path, other))["gallery"]
    assert len(whole) == 12
    sizes = [sum(map(len, entry["pictures"].values())) for entry in whole]
    monkeypatch.setattr(pictures, "BUDGET", sum(sizes[:5]))
    text = written(tmp_path, path, other)
    kept = data_of(text)["gallery"]
    assert [(entry["run"], entry["kind"]) for entry in kept] == [
        ("a-s0", "best"), ("b-s0", "best"), ("a-s0", "worst"), ("b-s0", "worst"), ("a-s0", "random"),
    ]  # fmt: skip
    assert "7 scenes of the galleries are left out" in text


def test_slots_are_made_smaller_by_means_of_blocks(random):
    grid = random.integers(0, 256, (256, 256, 3), dtype=np.uint8)  # two by two slots of 128
    found = pictures.smaller(grid, 128)
    assert found.shape == (128, 128, 3)
    assert found[5, 7, 1] == np.rint(grid[10:12, 14:16, 1].mean())
    assert np.array_equal(pictures.smaller(grid, 64), grid)
    odd = grid[:254, :254]  # of 127: no half of it
    assert np.array_equal(pictures.smaller(odd, 127), odd)


def test_pictures_are_webp_and_label_maps_keep_their_colours(maker, tmp_path):
    from ocbench.imaging import decode_image

    path = maker.run()
    entry = data_of(written(tmp_path, path))["gallery"][0]
    assert {uri.split(",")[0] for uri in entry["pictures"].values()} == {"data:image/webp;base64"}
    truth = decode_image(base64.b64decode(entry["pictures"]["truth"].split(",")[1]))
    colours = {tuple(colour) for colour in truth.reshape(-1, 3).tolist()}
    assert (38, 38, 42) in colours
    assert len(colours) <= 4
