"""`ocbench doctor`: what it looks at, and that it tells what is wrong."""

from __future__ import annotations

import json


def test_all_is_well(ocbench, workplace):
    ended = ocbench("doctor")
    assert ended.code == 0, ended.out
    for name in ("python", "torch", "cpu", "data-dir", "models", "squares:train@native", "runs"):
        assert any(line.split()[:2] == [name, "ok"] for line in ended.out.splitlines()), name
    assert "1 finished" in ended.out
    checks = json.loads(ocbench("doctor", "--json").out)["checks"]
    assert all(check["ok"] for check in checks)


def test_a_damaged_manifest_is_found(ocbench, workplace):
    (workplace / "data" / "shards" / "squares" / "native" / "val" / "manifest.json").write_text("{")
    ended = ocbench("doctor")
    assert ended.code == 6
    assert "squares:val@native" in ended.err
    [line] = [line for line in ended.out.splitlines() if line.startswith("squares:val@native")]
    assert "WRONG" in line
    assert "prepare" in line


def test_a_place_that_cannot_be_written(ocbench, toy, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    ended = ocbench("doctor")
    assert ended.code == 6
    assert "not writable" in ended.out
    assert "--data-dir" in ended.out


def test_a_package_that_is_missing(ocbench, toy, monkeypatch):
    import ocbench.doctor as verb

    real = verb.version

    def version(name):
        if name == "h5py":
            raise verb.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(verb, "version", version)
    ended = ocbench("doctor")
    assert ended.code == 6
    assert "pip install -c constraints.txt 'h5py" in ended.out
