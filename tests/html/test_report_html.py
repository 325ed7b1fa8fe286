"""The report in a real browser: what a reader can do, with mouse and keyboard, and what the page must never do.

Needs Chromium and Playwright's package; skips itself without them, and says how to get them.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from ocbench.html import write_report
from ocbench.runs import read_log
from ocbench.statistics import paired_difference

LIMIT = 15_000_000  # bytes


def cells(page, column, table="#scene-table"):
    return page.locator(f"{table} tbody tr > :nth-child({column})").all_inner_texts()


def pick(page, **filters):
    for name, value in filters.items():
        field = page.locator(f"#filters [name={name}]")
        field.select_option(value) if name in ("place", "run", "metric") else field.fill(value)


def test_a_hostile_key_stays_text(report, watch, hostile):
    page = watch(report).page
    pick(page, text="onerror", place="squares:test@native")
    assert cells(page, 1) == [hostile] * 2
    assert page.locator("#comparison tbody th").all_inner_texts() == [hostile]
    page.locator("#cards .card").first.click()
    assert page.locator("#lightbox-title").inner_text() == hostile
    assert page.locator('img[src="x"]').count() == 0
    assert page.locator("[onerror]").count() == 0


def test_the_policy_stops_what_a_reader_does_not_want(report, unwatched):
    seen = unwatched(report)
    found = seen.page.evaluate(
        """async () => {
            const asked = await fetch("http://127.0.0.1:9/").then(() => "came", () => "stopped");
            const picture = new Image();
            const drawn = await new Promise((done) => {
                picture.onload = () => done("came"); picture.onerror = () => done("stopped");
                picture.src = "http://127.0.0.1:9/x.png";
            });
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<p onclick='window.ran = true' id=bait>x</p>");
            document.getElementById("bait").click();
            return [asked, drawn, window.ran === true];
        }"""
    )
    assert found == ["stopped", "stopped", False]
    assert len([text for text in seen.complaints if "Content Security Policy" in text]) >= 4
    seen.context.close()


def test_static_tables_sort_by_click_and_by_keyboard(report, watch):
    page = watch(report).page
    table = page.locator("#scores table").nth(1)
    header = table.locator("thead th").nth(1)
    names = table.locator("tbody th .name")
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert names.all_inner_texts() == ["a-s0", "b-s0"]
    header.locator("button").press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert names.all_inner_texts() == ["b-s0", "a-s0"]
    other = table.locator("thead th").nth(0)
    other.locator("button").press("Space")
    assert [other.get_attribute("aria-sort"), header.get_attribute("aria-sort")] == ["ascending", "none"]
    assert names.all_inner_texts() == ["a-s0", "b-s0"]


def test_scenes_sort_over_all_pages_and_page_by_page(report, watch):
    page = watch(report).page
    pick(page, run="b-s0", place="squares:test@native")
    score = 4  # after scene, run and split
    page.locator("#scene-table thead button", has_text="mIoU ↑").click()
    first = [float(value) for value in cells(page, score)]
    page.get_by_role("button", name="next page of scenes").click()
    second = [float(value) for value in cells(page, score)]
    assert (len(first), len(second)) == (25, 15)
    assert first + second == sorted(first + second, reverse=True)
    page.locator("#scene-table thead button", has_text="mIoU ↑").click()
    assert [float(value) for value in cells(page, score)] == sorted(first + second)[:25]


def test_filters_filter_by_metric_split_count_and_size(report, watch):
    page = watch(report).page
    matching = page.locator("#matching")
    assert matching.inner_text() == "100 of 100 scene scores"
    pick(page, place="squares:ood@native")
    assert matching.inner_text() == "20 of 100 scene scores"
    pick(page, place="", run="a-s0")
    assert matching.inner_text() == "50 of 100 scene scores"
    pick(page, fewest="3")
    objects = cells(page, 8)
    assert objects
    assert set(objects) == {"3"}
    pick(page, fewest="", largest="12")
    sizes = [float(value) for value in cells(page, 10)]
    assert sizes
    assert max(sizes) <= 12
    pick(page, largest="", metric="mse", high="0.5")
    assert all(float(value) <= 0.5 for value in cells(page, 7))
    page.get_by_role("button", name="Clear").click()
    page.locator("#matching", has_text="100 of 100 scene scores").wait_for()
    pick(page, text="nothing-like-it")
    assert matching.inner_text() == "0 of 100 scene scores"
    assert page.locator("#cards .empty").inner_text() == "No scene with pictures matches."


def test_the_gallery_pages_and_is_filtered(report, watch):
    page = watch(report).page
    assert page.locator("#cards .card").count() == 12
    assert page.locator("#cards-pager").inner_text().endswith("1–12 of 66")
    page.get_by_role("button", name="next page of gallery").click()
    assert page.locator("#cards-pager").inner_text().endswith("13–24 of 66")
    page.get_by_role("button", name="worst", exact=True).click()
    assert set(page.locator("#cards .tag").all_inner_texts()) == {"worst"}
    page.get_by_label("order of the gallery").select_option("score, low to high")
    scores = [float(text) for text in page.locator("#cards .facts b").all_inner_texts()]
    assert scores == sorted(scores)
    assert page.locator("#cards img").count() == page.locator("#cards img[alt*='scene']").count() == 36


def test_a_scene_opens_turns_and_closes_by_keyboard(report, watch):
    page = watch(report).page
    card = page.locator("#cards .card").nth(1)
    card.focus()
    page.keyboard.press("Enter")
    title, dialog = page.locator("#lightbox-title"), page.locator("#lightbox")
    assert dialog.is_visible()
    assert "2 of 66" in dialog.inner_text()
    before = title.inner_text()
    page.keyboard.press("ArrowRight")
    assert "3 of 66" in dialog.inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "66 of 66" in dialog.inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert title.inner_text() == before
    captions = page.locator("#lightbox .large figcaption").all_inner_texts()
    assert captions == ["input, with attention centres", "truth", "prediction", "errors", "reconstruction"]
    assert page.locator("#lightbox .slots figure").count() == 4
    assert page.locator("#lightbox .tile").count() == 8
    assert page.locator("#lightbox circle.centre").count() >= 2
    page.get_by_label("show attention centres").press("Space")
    assert page.locator("#lightbox circle.centre").count() == 0
    for _ in range(12):  # the page behind is out of reach
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.classList.contains('card')")


DECODED = """async () => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const width = async (uri) => {
        const picture = new Image();
        picture.src = uri;
        await picture.decode();
        return picture.naturalWidth;
    };
    const widths = await Promise.all(data.gallery.flatMap((one) => Object.values(one.pictures)).map(width));
    return [widths.length > 400, Math.min(...widths)];
}"""


def test_all_pictures_decode(report, watch):
    page = watch(report).page
    page.locator("#cards .card").first.click()
    assert page.evaluate(DECODED) == [True, 16]


def test_two_runs_are_compared_as_statistics_compares_them(reported, report, watch):
    page = watch(report).page
    page.locator("#first").select_option(label="a-s0 on squares:test@native")
    rows = [
        [row["miou"] for row in read_log(reported / name / "scores" / "squares-test@native.jsonl") if "key" in row]
        for name in ("a-s0", "b-s0")
    ]
    expected = paired_difference(np.array(rows[0]), np.array(rows[1]), higher_is_better=True)
    assert float(page.locator("#comparison .big").inner_text()) == pytest.approx(100 * expected.difference, abs=0.006)
    text = page.locator("#comparison").inner_text()
    low, high = (float(value) for value in re.search(r"interval (\S+) to (\S+)", text).groups())
    width = 100 * (expected.interval[1] - expected.interval[0])
    assert low == pytest.approx(100 * expected.interval[0], abs=0.1 * width)
    assert high == pytest.approx(100 * expected.interval[1], abs=0.1 * width)
    assert f"a-s0 better on {expected.lost}, b-s0 better on {expected.won}, equal on {expected.tied}." in text
    assert page.locator("#comparison circle").count() == 40
    differences = [float(value) for value in cells(page, 4, "#comparison")]
    assert differences == sorted(differences, reverse=True)


@pytest.mark.parametrize("scenes", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_two_hundred_scenes_stay_under_fifteen_megabytes(maker, tmp_path, watch, scenes):
    path = maker.run(splits=(), size=(128, 128))
    maker.scores(path, "test", scenes=scenes, side=128, shown=scenes)
    write_report([path], tmp_path / "report.html")
    size = (tmp_path / "report.html").stat().st_size
    assert 500_000 < size < LIMIT * scenes / 200
    page = watch(tmp_path / "report.html").page
    assert page.locator("#cards-pager").inner_text().endswith(f"of {scenes}")


def test_published_rows_can_be_hidden(maker, tmp_path, watch):
    path = maker.run("a-s0", dataset="clevrtex", protocol="ast-paper", preset="clevrtex", published="AST-Seg-B3-CT")
    write_report([path], tmp_path / "report.html")
    page = watch(tmp_path / "report.html").page
    rows = page.locator("#scores tr.published")
    assert rows.count() > 1
    assert rows.first.is_visible()
    page.get_by_label("published rows").press("Space")
    assert not rows.first.is_visible()
    assert page.locator("#scores tr.run").is_visible()
