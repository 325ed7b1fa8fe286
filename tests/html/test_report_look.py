"""The report's looks in a real browser: themes, contrast, narrow screens, names and focus."""

from __future__ import annotations

import re

import pytest


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_follow_the_system_and_can_be_chosen(report, watch, scheme):
    page = watch(report, color_scheme=scheme).page

    def brightness():
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    assert (brightness() > 128) == (scheme == "light")
    button = page.locator("#theme")
    for name, bright in (("light", True), ("dark", False), ("system", scheme == "light")):
        button.press("Enter")
        assert button.get_attribute("aria-label") == f"theme: {name}"
        assert (brightness() > 128) == bright


# The smallest contrast of any text with what is behind it, by the formula of WCAG 2.
CONTRAST = """() => {
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const behind = (node) => {
        for (let one = node; one; one = one.parentElement) {
            const colour = numbers(getComputedStyle(one).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const ratio = (node) => {
        const both = [light(numbers(getComputedStyle(node).color)), light(behind(node))];
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    };
    const texts = document.querySelectorAll("p, td, th .name, .below, .sort, a, .tag, h2, label, dt");
    return Math.min(...[...texts].filter((node) => node.offsetParent).map(ratio));
}"""
NAMELESS = """() => {
    const named = (node) => node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length;
    const all = [...document.querySelectorAll("button, a, select, input, summary")];
    return all.filter((node) => !named(node)).map((node) => node.outerHTML);
}"""
OUTLINE = """() => {
    const style = getComputedStyle(document.activeElement);
    return [style.outlineStyle, style.outlineWidth];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(report, watch, scheme):
    page = watch(report, color_scheme=scheme).page
    assert page.evaluate(CONTRAST) >= 4.5  # WCAG 2 AA


@pytest.mark.parametrize("width", [320, 400, 1400])
def test_the_page_is_never_wider_than_the_screen(report, watch, width):
    page = watch(report, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#cards .card").first.click()
    assert page.evaluate(
        "document.getElementById('lightbox').scrollWidth <= document.getElementById('lightbox').clientWidth"
    )


def test_everything_that_can_be_pressed_has_a_name_and_a_visible_focus(report, watch):
    page = watch(report).page
    nameless = page.evaluate(NAMELESS)
    assert nameless == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(3):
        page.keyboard.press("Tab")
        style = page.evaluate(OUTLINE)
        assert style == ["solid", "2px"]
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("[...document.images].every((image) => image.alt)")
