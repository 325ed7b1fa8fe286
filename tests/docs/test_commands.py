"""Every code block of README.md and docs/ runs: those of a page in order, in one folder that was empty before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import doc_blocks
import pytest
import sources
from http_server import serving

from ocbench import registry
from ocbench.cli import cli

IN_SHORT = (
    "docs/metrics.md", "docs/file-formats.md", "docs/plugins.md", "docs/elsewhere.md", "docs/sharing.md",
    "docs/models/index.md",
)  # fmt: skip
RAW = {"full": (20, 3), "outd": (4, 1), "camo": (10, 1)}  # scenes, archives
BEFORE = {  # page -> what was done before its first line
    "docs/ast-seg.md": ("ocbench prepare clevrtex",),
    "docs/clusters.md": ("ocbench prepare clevrtex",),
    "docs/models/genesis-v2.md": ("ocbench prepare clevrtex",),
    "docs/models/gnm.md": ("ocbench prepare clevrtex",),
    "docs/models/monet.md": ("ocbench prepare clevrtex",),
    "docs/models/slot-attention.md": ("ocbench prepare clevrtex",),
}
FROM_RAW = ("README.md", *BEFORE)  # pages that prepare what is published
RUNNABLE = [page for page in doc_blocks.PAGES if list(doc_blocks.blocks(page))]


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archives of three variants in the published layout, 34 scenes in all."""
    root = tmp_path_factory.mktemp("public")
    for variant, (count, parts) in RAW.items():
        tree = sources.write_clevrtex(root / "trees", variant, count, folder_size=8)
        sources.write_archives(tree, root / "archives", parts)
    return root / "archives"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small SegFormer, in the place of the published weights."""
    from transformers import SegformerConfig, SegformerModel

    folder = tmp_path_factory.mktemp("weights")
    SegformerModel(
        SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2])
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is worked in, with data/ and runs/ where they are by default."""
    for name in ("OCBENCH_DATA", "OCBENCH_RUNS", "OCBENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # `python3` of a page
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(public: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The public archives in data/raw/, and on a server that --download asks in the place of the true ones."""
    from ocbench.datasets import clevrtex

    raw = place / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "clevrtex").symlink_to(public)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(public) as site:
        known = {path.name for path in public.iterdir()}
        records = [
            replace(record, urls=(f"{site.url}/{record.name}",), size=None)
            for record in clevrtex.DATASET.downloads
            if record.name in known
        ]
        monkeypatch.setattr(clevrtex, "DATASET", replace(clevrtex.DATASET, downloads=tuple(records)))
        yield raw


def call(words: list[str]) -> int:
    from ocbench.cli import main

    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


def install(folder: str, site: Path) -> None:
    """What `pip install -e FOLDER` comes to here: the package, found by this process."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(site), str(Path(folder).resolve())], check=True)
    registry._installed.cache_clear()  # a new process would look again


def run_lines(block: doc_blocks.Block, weights: Path, say: Callable[[], str]) -> None:
    for line in doc_blocks.lines(block):
        if doc_blocks.not_run(line) is not None:
            continue
        shown = next((other for start, other in doc_blocks.STAND_INS.items() if line.startswith(start)), line)
        program, *words = doc_blocks.words(shown)
        where = f"{block.page}:{block.line}: {line}"
        if shown.startswith("pip install -e "):
            install(words[-1], Path("site"))
            continue
        assert program == "ocbench", f"{where}: neither one of ours nor in NOT_RUN"
        assert call(doc_blocks.trial(words, weights)) == 0, f"{where}\n{say()}"


@pytest.mark.parametrize(
    "page", [page if page in IN_SHORT else pytest.param(page, marks=pytest.mark.slow) for page in RUNNABLE]
)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: str,
    place: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if page in FROM_RAW:
        request.getfixturevalue("served")
    weights = request.getfixturevalue("weights") if page in FROM_RAW else place
    (place / "site").mkdir()
    monkeypatch.syspath_prepend(str(place / "site"))
    (place / "my-pictures").mkdir()
    for index in range(2):
        (place / "my-pictures" / f"{index}.png").write_bytes(sources.png(sources.drawn_scene(index)[0]))
    for line in BEFORE.get(page, ()):
        assert call(doc_blocks.trial(doc_blocks.words(line)[1:], weights)) == 0
    names: dict[str, object] = {}
    for block in doc_blocks.blocks(page):
        if block.needs is not None and block.needs not in cli.commands:
            continue
        capfd.readouterr()
        if block.language == "python":
            exec(compile(block.code, f"{page}:{block.line}", "exec"), names)
        else:
            run_lines(block, weights, lambda: "\n".join(capfd.readouterr()))


def test_what_is_not_run_is_still_on_a_page() -> None:
    shown = [
        line
        for page in doc_blocks.PAGES
        for block in doc_blocks.blocks(page)
        if block.language != "python"
        for line in doc_blocks.lines(block)
    ]
    for start in (*doc_blocks.NOT_RUN, *doc_blocks.STAND_INS):
        assert any(part.startswith(start) for line in shown for part in line.splitlines()), start
    assert set(IN_SHORT) | set(BEFORE) <= set(doc_blocks.PAGES)
