"""Raw distributions read where they lie, from memory and from a web server, or fetched first: the same shards.

Ten scenes of CLEVRTEX's `outd`, as a tree and as an archive, through the command line.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import fsspec
import pytest
import sources
from http_server import Fault, Site, serving

from ocbench import registry, storage
from ocbench.datasets.clevrtex import DATASET
from ocbench.errors import DataError

VARIANT, ARCHIVE = "outd", "clevrtex_outd.tar.gz"
WORDS = ("prepare", "clevrtex", "--partial", "--splits", "ood", "--executor", "local:1", "--json")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tree/clevrtex_outd/ and packed/clevrtex_outd.tar.gz, whose members are in no order."""
    root = tmp_path_factory.mktemp("raw")
    tree = sources.write_clevrtex(root / "tree", VARIANT, 10, folder_size=4)
    sources.write_archives(tree, root / "packed", order=partial(sorted, reverse=True))
    return root


@pytest.fixture
def site(raw: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(raw) as served:
        yield served


@pytest.fixture
def memory(raw: Path) -> Iterator[str]:
    """The same in the memory of this process."""
    system = fsspec.filesystem("memory")
    system.put(str(raw), "/remote-sources", recursive=True)
    yield "memory://remote-sources"
    system.rm("/remote-sources", recursive=True)


@pytest.fixture
def digests(ocbench: Callable, tmp_path: Path) -> Callable[..., list[str]]:
    """The digests of the shards made from a source."""

    def made(*words: object) -> list[str]:
        data = tmp_path / f"data-{len(list(tmp_path.iterdir()))}"
        ended = ocbench(*WORDS, "--data-dir", data, *words)
        assert ended.code == 0, ended.err
        return json.loads(ended.out)["splits"][0]["shards"]

    return made


def test_a_source_gives_the_same_shards_wherever_it_lies(digests: Callable, raw: Path, memory: str, site: Site) -> None:
    expected = digests("--raw", raw / "tree")
    for place in (memory, f"{site.url}"):
        for source in ("tree", "tree/", "packed", f"packed/{ARCHIVE}"):
            assert digests("--raw", f"{place}/{source}") == expected, f"{place}/{source}"


def test_worker_processes_read_from_the_server(digests: Callable, raw: Path, site: Site) -> None:
    spread = digests("--raw", f"{site.url}/tree", "--executor", "local:2")
    assert spread == digests("--raw", raw / "packed")


def test_a_server_that_knows_no_ranges_cannot_be_entered_anywhere(ocbench: Callable, site: Site) -> None:
    """What is read once, from its beginning, is not its concern."""
    site.script[f"packed/{ARCHIVE}"] = [Fault(ranges=False)] * 9
    site.heads[f"packed/{ARCHIVE}"] = Fault(headers={"Accept-Ranges": "none"})
    assert ocbench(*WORDS, "--raw", f"{site.url}/packed").code == 0


@pytest.mark.parametrize("source", ["packed", "tree"])
def test_a_connection_that_is_cut_ends_in_exit_5(ocbench: Callable, site: Site, tmp_path: Path, source: str) -> None:
    cut = f"packed/{ARCHIVE}" if source == "packed" else f"tree/clevrtex_{VARIANT}/0/CLEVRTEX_{VARIANT}_000002.png"
    site.script[cut] = [Fault(cut=1000)] * 9
    ended = ocbench(*WORDS, "--raw", f"{site.url}/{source}")
    assert ended.code == 5
    assert f"{site.url}/{cut}" in ended.err
    assert "ContentLengthError" in ended.err or "ClientPayloadError" in ended.err
    assert not list(tmp_path.rglob("*.tar"))


@pytest.mark.parametrize(
    ("fault", "message"), [(Fault(status=403), "403"), (Fault(status=500), "500"), (Fault(cut=5), "PayloadError")]
)
def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(
    ocbench: Callable, site: Site, fault: Fault, message: str
) -> None:
    site.script["tree"] = [fault] * 3
    ended = ocbench(*WORDS, "--raw", f"{site.url}/tree")
    assert ended.code == 5
    assert f"error: cannot list '{site.url}/tree'" in ended.err
    assert message in ended.err


def test_nothing_at_the_address(ocbench: Callable, site: Site) -> None:
    ended = ocbench(*WORDS, "--raw", f"{site.url}/elsewhere")
    assert (ended.code, f"no raw CLEVRTEX under '{site.url}/elsewhere'" in ended.err) == (5, True)
    nobody = "http://127.0.0.1:9/raw"
    for ask in (storage.exists, storage.read_bytes, storage.size_of, storage.folders, storage.names):
        with pytest.raises(DataError, match=rf"cannot .* '{nobody}'\n.*Cannot connect to host 127.0.0.1:9"):
            ask(nobody)
    with pytest.raises(DataError, match=f"cannot list '{nobody}'"):
        list(storage.walk(nobody))


def test_names_are_as_in_the_folder(tmp_path: Path) -> None:
    """Not as the page writes them; links that sort it or lead away are none of them."""
    (tmp_path / "deep" / "folder with=signs").mkdir(parents=True)
    (tmp_path / "deep" / "folder with=signs" / "a [1,2].png").write_bytes(b"content")
    with serving(tmp_path) as site:
        url = f"{site.url}/deep"
        assert list(storage.walk(url)) == [(url, []), (f"{url}/folder with=signs", ["a [1,2].png"])]
        assert storage.folders(url) == storage.names(url) == ["folder with=signs"]
        assert storage.read_bytes(f"{url}/folder with=signs/a [1,2].png") == b"content"
        assert storage.size_of(f"{url}/folder with=signs/a [1,2].png") == 7


def test_without_its_library_a_server_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(path: str) -> None:
        raise ImportError("HTTPFileSystem requires requests and aiohttp to be installed")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    with pytest.raises(DataError, match=r"cannot reach 'http://there/x'\n(.*\n)*.*pip install 'ocbench\[http\]'"):
        storage.exists("http://there/x")


# what has to wait for its turn


def test_the_plan_says_how_much_may_wait_and_where(
    ocbench: Callable, raw: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (raw / "packed" / ARCHIVE).stat().st_size
    for source in (raw / "packed", f"{memory}/packed"):
        said = ocbench(*WORDS, "--dry-run", "--raw", source).err
        assert f"at worst {size / 1e6:,.1f} MB\n" in said
    assert "at worst" not in ocbench(*WORDS, "--dry-run", "--raw", raw / "tree").err
    monkeypatch.setattr(storage, "free_space", lambda folder: size - 1)
    said = ocbench(*WORDS, "--dry-run", "--raw", raw / "packed").err
    assert "MB ARE FREE: point TMPDIR to a larger disk, or unpack the archives" in said


# fetched first


@pytest.fixture
def published(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The archive is what the dataset's record names."""
    urls = (f"{site.url}/moved/{ARCHIVE}", f"{site.url}/packed/{ARCHIVE}")
    files = tuple(replace(file, urls=urls) if file.parts == (VARIANT,) else file for file in DATASET.downloads)
    monkeypatch.setattr(registry, "dataset", lambda name: replace(DATASET, downloads=files))
    return site


def test_download_and_prepare_in_one_command(
    ocbench: Callable, digests: Callable, published: Site, raw: Path, tmp_path: Path
) -> None:
    published.script[f"packed/{ARCHIVE}"] = [Fault(cut=100_000)]
    published.script[f"moved/{ARCHIVE}"] = [Fault(status=404)]
    data = tmp_path / "there"
    shutil.rmtree(data, ignore_errors=True)
    ended = ocbench(*WORDS, "--download", "--data-dir", data)
    assert ended.code == 0, ended.err
    lines = ended.err.splitlines()
    assert lines[0].startswith("licence     the data's licence is stated, if anywhere, on the project page: https://")
    assert f"failed      {published.url}/moved/{ARCHIVE}: answers 404" in ended.err
    assert f"fetched     {data}/raw/clevrtex/{ARCHIVE}" in ended.err
    assert (data / "raw" / "clevrtex" / ARCHIVE).read_bytes() == (raw / "packed" / ARCHIVE).read_bytes()
    assert json.loads(ended.out)["splits"][0]["shards"] == digests("--raw", raw / "tree")
    again = ocbench(*WORDS, "--download", "--data-dir", data)
    assert "size as published" in again.err
    assert again.out == ended.out


def test_a_dry_run_asks_nobody(ocbench: Callable, published: Site, raw: Path, tmp_path: Path) -> None:
    ended = ocbench(*WORDS[:-1], "--download", "--dry-run")
    assert ended.code == 0
    assert f"to fetch    {ARCHIVE}   5.3 GB   {published.url}/moved/{ARCHIVE}" in ended.err
    assert "in all      5.3 GB\n" in ended.err
    assert ended.out == "nothing was fetched or written\n"
    assert "in all      28.8 GB and 4 files of unknown size" in ocbench("prepare", "clevrtex", "--download", "-n").err
    assert (published.asked, (tmp_path / "data").exists()) == ([], False)
    folder = tmp_path / "data" / "raw" / "clevrtex"
    folder.mkdir(parents=True)
    shutil.copy(raw / "packed" / ARCHIVE, folder)
    assert "ood 10 in 1 shard" in ocbench(*WORDS, "--download", "--dry-run").err
    assert published.asked == []


def test_download_is_for_a_local_disk(ocbench: Callable, published: Site) -> None:
    for words in (("--raw", published.url), ("--data-dir", "memory://there")):
        ended = ocbench(*WORDS, "--download", *words)
        assert ended.code == 2
        assert "--download fetches into DATA-DIR/raw/DATASET on a local disk" in ended.err
    assert published.asked == []


def test_what_is_rendered_is_not_fetched(ocbench: Callable) -> None:
    ended = ocbench("prepare", "mini-plain", "--download")
    assert ended.code == 2
    assert "there is nothing to download for 'mini-plain'" in ended.err
