"""What a release promises: one version, bounds that agree, forms that parse, and a wheel that works by itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import ocbench

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = [text for extra in ("dask", "http", "s3", "tensorboard") for text in EXTRAS[extra]]
USED = [Requirement(text) for text in (*PROJECT["dependencies"], *OPTIONAL)]


def pins(name: str) -> dict[str, Version]:
    """Package -> version of a constraints file."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return {package: Version(number) for package, number in (line.split("==") for line in lines if line)}


def test_the_version_stands_in_one_place_and_is_semantic() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", ocbench.__version__)
    assert PROJECT["dynamic"] == ["version"]
    assert version("ocbench") == ocbench.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == ocbench.__version__
    assert f"## [{ocbench.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("requirement", USED, ids=lambda requirement: requirement.name)
def test_lower_bounds_are_the_oldest_versions_that_were_tried(requirement: Requirement) -> None:
    tested, oldest = (
        pins("constraints.txt"),
        {"torch": pins("constraints.txt")["torch"], **pins("constraints-oldest.txt")},
    )
    (lowest,) = (s.version for s in requirement.specifier if s.operator == ">=")
    assert oldest[requirement.name].release[: len(Version(lowest).release)] == Version(lowest).release
    assert oldest[requirement.name] in requirement.specifier
    assert tested[requirement.name] in requirement.specifier
    assert oldest[requirement.name] <= tested[requirement.name]


def test_what_development_asks_for_is_pinned() -> None:
    tested = pins("constraints.txt")
    for text in (*EXTRAS["dev"], *EXTRAS["docs"]):
        requirement = Requirement(text)
        if requirement.name != "ocbench":
            assert tested[requirement.name] in requirement.specifier, requirement


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()), ids=lambda form: form.name)
def test_a_form_has_a_title_and_asks_for_something(form: Path) -> None:
    found = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert found["name"]
    assert found["description"]
    names = [field["id"] for field in found["body"]]
    assert len(set(names)) == len(names) > 1
    assert any(field.get("validations", {}).get("required") for field in found["body"])


def test_hooks_come_from_the_environment() -> None:
    found = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in found["repos"]] == ["local"]
    assert {hook["entry"].split()[0] for repo in found["repos"] for hook in repo["hooks"]} == {"ruff", "mypy"}
    assert {hook["language"] for repo in found["repos"] for hook in repo["hooks"]} == {"system"}


@pytest.mark.slow
def test_the_wheel_works_where_the_checkout_cannot_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = ["bash", str(ROOT / "tools" / "release_check.sh"), str(tmp_path / "dist")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ocbench {ocbench.__version__}: the wheel works" in done.stderr
    assert "ast-seg ct" in done.stdout
    assert {path.suffix for path in (tmp_path / "dist").iterdir()} == {".whl", ".gz"}
