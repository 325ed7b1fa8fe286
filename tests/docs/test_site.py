"""The site builds without a warning, loads nothing from elsewhere, and has every command and every public name."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
from pathlib import Path

import pytest

import ocbench
from ocbench.cli import cli

ROOT = Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = runpy.run_path(str(ROOT / "tools" / "docs_pages.py"))
PUBLIC = [name for name in ocbench.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `mkdocs build --strict` makes it: a warning, such as a link that leads nowhere, ends the build."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


def text(page: Path) -> str:
    """The page's words, less its tags."""
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 12
    loaded = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>""")
    found = {page.name: loaded.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert {name: tags for name, tags in found.items() if tags} == {}


def test_a_page_opened_from_the_disk_searches_and_asks_nobody(site: Path) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    if BROWSER is None:
        pytest.skip("no chromium: apt-get install -y chromium")
    asked: list[str] = []
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--headless", "--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.click(".md-search__input")
        page.keyboard.type("collapse")
        page.wait_for_selector(".md-search-result__link")
        hits = page.locator(".md-search-result__link").count()
        browser.close()
    assert hits
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_every_command_and_option_is_on_the_page_of_commands(site: Path) -> None:
    page = text(site / "cli.html")
    for name, command in cli.commands.items():
        assert f"ocbench {name}" in page
        assert {
            option for p in command.params for option in p.opts if option.startswith("--") and option not in page
        } == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_is_and_is_on_its_page(site: Path, name: str) -> None:
    node, _ = PAGES["definition"](name, ocbench._HOME[name])
    assert ast.get_docstring(node)
    assert f'id="{name.lower()}"' in (site / "api.html").read_text(encoding="utf-8")


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages | {"cli.md", "api.md"} == set(re.findall(r": (\S+\.md)$", listed, re.MULTILINE))
