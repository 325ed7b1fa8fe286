"""The stand-in of the hub as this process sees it, and a scored run to publish: for tests of push and pull."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, HubServer, hub
from huggingface_hub import constants

RUN = "toy-curriculum-squares-s0"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in, with its owner's token set; `huggingface_hub` has read its settings when it was imported."""
    with hub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


@pytest.fixture(scope="session")
def scored_toy(finished_toy: Path, toy_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished toy run with scores and panels, and its data."""
    from ocbench.cli import main

    place = tmp_path_factory.mktemp("scored")
    for name in ("data", "runs"):
        shutil.copytree(finished_toy / name, place / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(toy_site))
        words = f"evaluate {RUN} --panels 2 --device cpu -q --data-dir {place}/data --runs-dir {place}/runs"
        with pytest.raises(SystemExit) as stop:
            main(words.split())
        assert not stop.value.code
    return place


@pytest.fixture
def scored(scored_toy: Path, toy: Path, tmp_path: Path) -> Path:
    """The same under tmp_path, where the `ocbench` fixture works; returns the run directory."""
    for name in ("data", "runs"):
        shutil.copytree(scored_toy / name, tmp_path / name)
    return tmp_path / "runs" / RUN


@pytest.fixture
def folder(ocbench: Callable, scored: Path, tmp_path: Path) -> Path:
    """The run published in a folder."""
    done = ocbench("push", RUN, f"folder:{tmp_path / 'shared' / 'toy'}", "-q")
    assert done.code == 0, done.err
    return tmp_path / "shared" / "toy"


def change_json(path: Path, **values: object) -> None:
    """Writes some words of a JSON file anew."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
