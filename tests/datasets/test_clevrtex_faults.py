"""CLEVRTEX: the message for each way in which a source goes bad, and what is tolerated."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sources
from PIL import Image

from ocbench import imaging
from ocbench.datasets import clevrtex, clevrtex_inventory
from ocbench.datasets.clevrtex import parts, read
from ocbench.errors import DataError, UnknownNameError

COUNT = 12  # scenes of `camo`


def file(root: Path, index: int, ending: str = ".png") -> Path:
    return next(root.rglob(f"CLEVRTEX_*_{index:06d}{ending}"))


def fault(root: Path, partial: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        parts(str(root), partial=partial)
    return caught.value


def test_nothing_there_says_what_to_put_where(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        error = fault(root)
        assert error.message == f"no raw CLEVRTEX under '{root}'"
        assert "clevrtex_full/0/CLEVRTEX_full_000000.png" in (error.expected or "")
        assert "part5.tar.gz" in (error.expected or "")
        assert "place the archives there (no need to unpack)" in (error.hint or "")
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    assert "'holiday.jpg'" in (fault(tmp_path).found or "")
    with pytest.raises(DataError, match="no raw CLEVRTEX of the variant 'camo'"):
        list(read(str(tmp_path), "camo", 0, 1))
    with pytest.raises(UnknownNameError, match="no part of clevrtex named 'cameo'"):
        read(str(tmp_path), "cameo", 0, 1)


def test_a_gap_and_a_missing_end_are_noticed_and_tolerated_only_with_partial(camo_copy: Path) -> None:
    for index in (4, 10, 11):
        for path in list(camo_copy.rglob(f"CLEVRTEX_camo_{index:06d}*")):
            path.unlink()
    error = fault(camo_copy)
    assert error.found == "camo: 9 of 12 scenes; missing 000004, 000010, 000011"
    assert "--partial" in (error.hint or "")
    assert parts(str(camo_copy), partial=True)["camo"].scenes == 10  # one above the highest index
    keys = [scene.key[-6:] for scene in read(str(camo_copy), "camo", 0, 12)]
    assert keys == ["000000", "000001", "000002", "000003", "000005", "000006", "000007", "000008", "000009"]


def test_half_unpacked_parts_are_named_by_their_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = clevrtex_inventory.Inventory("full")
    for index in range(20_000):
        if not 3_100 <= index < 4_000 and not 7_000 <= index < 9_000:
            found.add("image", index, "clevrtex_full/0")
    assert found.shortage() == [
        "full: 17,100 of 50,000 scenes; missing 900 of the 1,000 of folder 3, all of folders 7 to 8, "
        "all of folders 20 to 49"
    ]


def test_all_faults_come_in_one_error(camo_copy: Path) -> None:
    file(camo_copy, 1, "_flat.png").unlink()
    file(camo_copy, 3, ".png").unlink()
    file(camo_copy, 5, ".json").unlink()
    shutil.copy(file(camo_copy, 2), camo_copy / "clevrtex_camo" / "2")
    sources.write_clevrtex(camo_copy, "outd", 9)
    (camo_copy / "clevrtex_camo" / "0" / "CLEVRTEX_outd_000009.png").write_bytes(b"x")
    (camo_copy / "clevrtex_camo" / "0" / "CLEVRTEX_camo_000012.png").write_bytes(b"x")
    (camo_copy / "clevrtex_camo" / "0" / "CLEVRTEX_camo_000012_flat.png").write_bytes(b"x")
    for line in (
        "camo: 1 files twice: 000002.png (in ",
        "camo: 1 images without a label map (_flat.png): 000001",
        "camo: 1 label maps without an image: 000003",
        "camo: 2 scenes without metadata (.json): 000005, 000012",
        "camo: 1 indices too high: 000012",
        "outd: 1 files in '",
    ):
        assert line in (fault(camo_copy, partial=True).found or "")
    assert "camo: 11 of 12 scenes; missing 000003" in (fault(camo_copy).found or "")


def test_a_source_without_any_metadata_is_whole(camo_copy: Path, tmp_path: Path) -> None:
    for path in list(camo_copy.rglob("*.json")):
        path.unlink()
    assert parts(str(camo_copy))["camo"].scenes == COUNT
    scenes = list(read(str(camo_copy), "camo", 0, COUNT))
    assert scenes[2].meta == {"variant": "camo", "version": 1, "index": 2}
    sources.write_archives(camo_copy / "clevrtex_camo", tmp_path / "packed")
    packed = list(read(str(tmp_path / "packed"), "camo", 0, COUNT))
    assert [scene.meta for scene in packed] == [scene.meta for scene in scenes]
    assert all(np.array_equal(one.mask, other.mask) for one, other in zip(packed, scenes, strict=True))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: file(root, 2).write_bytes(file(root, 2).read_bytes()[:900]), "cannot be decoded"),
        (lambda root: file(root, 2, "_flat.png").write_bytes(b""), "cannot be decoded"),
        (lambda root: file(root, 2, ".json").write_text("{"), r"metadata \(.json\) cannot be read"),
        (lambda root: file(root, 2, ".json").write_text("{}"), r"metadata \(.json\) cannot be read"),
        (lambda root: grey(file(root, 2, "_flat.png")), "turned to grey: its palette is lost"),
        (lambda root: relabel(file(root, 2, "_flat.png"), 11), "a label above 10"),
        (lambda root: Image.new("RGB", (320, 240), (1, 2, 3)).save(file(root, 2, "_flat.png")), "none of its palette"),
        (lambda root: Image.new("P", (320, 239)).save(file(root, 2, "_flat.png")), "label map has a wrong size"),
        (lambda root: Image.new("RGB", (128, 128)).save(file(root, 2)), "image has a wrong size"),
    ],
)
def test_a_bad_file_is_named(camo_copy: Path, tmp_path: Path, damage: Callable, message: str) -> None:
    damage(camo_copy)
    sources.write_archives(camo_copy / "clevrtex_camo", tmp_path / "packed")
    for root in (camo_copy, tmp_path / "packed"):
        with pytest.raises(DataError, match=message) as caught:
            list(read(str(root), "camo", 0, COUNT))
        assert "CLEVRTEX_camo_000002.png" in caught.value.message
        assert str(root) in caught.value.message


def test_the_luminances_that_the_specification_measured_are_known() -> None:
    assert {0, 76, 75, 29, 225, 188, 246, 190, 163, 166, 192} <= clevrtex.GREYS
    assert not clevrtex.GREYS & set(range(1, 11))


def grey(path: Path) -> None:
    """As a tool leaves it that expands palettes: 76, 75, 29 … instead of 1, 2, 3 …"""
    Image.open(path).convert("L").save(path)


def relabel(path: Path, label: int) -> None:
    mask = imaging.decode_labels(path.read_bytes()).copy()
    mask[:3] = label
    path.write_bytes(sources.labels_png(mask))


def test_version_2_is_never_mixed_in(camo_copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    sources.write_clevrtex(other, "camo", 3).rename(other / "clevrtexv2_camo")
    assert "version 2 only" in (fault(other).found or "")
    assert "version 2 only" in (fault(other / "clevrtexv2_camo").found or "")
    shutil.copytree(other / "clevrtexv2_camo", camo_copy / "clevrtexv2_camo")
    assert parts(str(camo_copy))["camo"].scenes == COUNT
    archive = sources.write_archives(other / "clevrtexv2_camo", tmp_path / "packed")[0]
    assert "version 2 only" in (fault(tmp_path / "packed").found or "")
    archive.rename(archive.with_name("clevrtex_camo.tar.gz"))
    assert "holds CLEVRTEX version 2" in (fault(tmp_path / "packed").found or "")


def test_bad_archives_are_named_at_once(camo: Path, tmp_path: Path) -> None:
    archive = sources.write_archives(camo / "clevrtex_camo", tmp_path)[0]
    whole = archive.read_bytes()
    shutil.copy(archive, tmp_path / "clevrtex_outd.tar.gz")
    (tmp_path / "clevrtex_full_part1.tar.gz").write_bytes(b"<html>404</html>")
    (tmp_path / "clevrtex_full_part3.tar.gz").write_bytes(b"")
    error = fault(tmp_path)
    for line in (
        "full: no archive part2, part4, part5",
        "clevrtex_full_part1.tar.gz' is a web page",
        "clevrtex_full_part3.tar.gz' is empty",
        "clevrtex_outd.tar.gz' holds the variant 'camo'",
    ):
        assert line in (error.found or "")
    assert "no archive part2" not in (fault(tmp_path, partial=True).found or "")
    for path in tmp_path.iterdir():
        path.unlink()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="ends early") as caught:
        list(read(str(tmp_path), "camo", 0, COUNT))
    assert str(archive) in caught.value.message
    assert "download it again" in (caught.value.hint or "")


def test_incomplete_scenes_in_an_archive_are_named_at_its_end(camo_copy: Path, tmp_path: Path) -> None:
    file(camo_copy, 1, "_flat.png").unlink()
    file(camo_copy, 6, ".json").unlink()
    sources.write_archives(camo_copy / "clevrtex_camo", tmp_path / "packed")
    with pytest.raises(DataError) as caught:
        list(read(str(tmp_path / "packed"), "camo", 0, COUNT))
    assert "000001" in (caught.value.found or "")
    assert "000006" in (caught.value.found or "")
    assert fault(tmp_path / "packed", partial=True).found == caught.value.found


def test_scenes_twice_in_archives_are_a_fault(camo: Path, tmp_path: Path) -> None:
    archive = sources.write_archives(camo / "clevrtex_camo", tmp_path)[0]
    archive.rename(tmp_path / "clevrtex_camo_part1.tar.gz")
    shutil.copy(tmp_path / "clevrtex_camo_part1.tar.gz", tmp_path / "clevrtex_camo_part2.tar.gz")
    assert "files twice: 000000.json" in (fault(tmp_path, partial=True).found or "")
    shutil.copy(tmp_path / "clevrtex_camo_part1.tar.gz", tmp_path / "clevrtex_camo_part1.tgz")
    assert "2 archives of part 1" in (fault(tmp_path).found or "")
    shutil.copy(tmp_path / "clevrtex_camo_part1.tar.gz", tmp_path / "clevrtex_camo.tar.gz")
    assert "without a part number" in (fault(tmp_path).found or "")


def test_a_short_tree_beside_its_archives_says_what_to_do(camo_copy: Path) -> None:
    sources.write_archives(camo_copy / "clevrtex_camo", camo_copy)
    assert parts(str(camo_copy))["camo"].seekable  # the tree is read
    for path in list(camo_copy.rglob("CLEVRTEX_camo_000011*")):
        path.unlink()
    assert "remove the folder clevrtex_camo" in (fault(camo_copy).hint or "")
