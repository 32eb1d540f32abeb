"""What an installed xmatch carries with it, and what it calls itself."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import xmatch

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)

SCRIPTS = [path for folder in ("benchmarks", "recipes") for path in (ROOT / folder).rglob("*.py")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> list[str]:
    """Names of the files in a wheel, built from a copy."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "xmatch", folder / "xmatch", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=folder, capture_output=True, check=True)
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_a_wheel_holds_every_file_of_the_package(wheel):
    source = {p.relative_to(ROOT).as_posix() for p in (ROOT / "xmatch").rglob("*") if p.is_file()}
    assert {name for name in source if "__pycache__" not in name} <= set(wheel)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert any(name.endswith("licenses/xmatch/weights/xmatch-aliked.LICENSE") for name in wheel)


def test_the_wheel_bears_the_version_that_the_package_states(wheel):
    assert f"xmatch-{xmatch.__version__}.dist-info/METADATA" in wheel


def test_every_dependency_is_pinned_and_has_its_reason_on_the_line_above():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    pinned = {name.lower() for name in PINS}
    for dependency in PROJECT["project"]["dependencies"]:
        assert dependency.split(">=")[0] in pinned
        assert lines[lines.index(f'    "{dependency}",') - 1].strip().startswith("# ")
    for extra in ("dev", "docs"):
        for dependency in PROJECT["project"]["optional-dependencies"][extra]:
            assert re.match(r"[\w.-]+", dependency)[0].lower() in pinned


@pytest.mark.parametrize(
    "path", [p for d in ("benchmarks", "recipes") for p in (ROOT / d).rglob("*.py")], ids=lambda path: path.name
)
def test_what_scripts_import_of_the_package_is_there(path):
    # Imports inside functions too, which nothing runs here: mypy and the tests see the package only.
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "xmatch":
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.import_module(f"{node.module}.{name}")
