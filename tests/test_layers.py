"""Imports point only down (docs/architecture.md), and `xmatch --help` stays light."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Container
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from layers import LAYERS, PACKAGE, drawing

import xmatch

DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}

NUMPY_ONLY = ("coords", "correspondences", "errors", "geometry", "raster", "result")
"""Parts that load nothing but numpy when they are imported (functions may load more when they run)."""

HEAVY = {"cv2", "kornia", "pyproj", "rasterio", "scipy", "SimpleITK", "tifffile", "torch"}

SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    """xmatch/io/rasters/source.py -> io; xmatch/coords.py -> coords."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(node: ast.AST) -> list[str]:
    """Dotted names that an import statement loads; `from xmatch import io` names xmatch.io."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == "xmatch":
        return [f"xmatch.{alias.name}" for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Every node of the source."""
    return list(ast.walk(ast.parse(path.read_text())))


def arrows(path: Path) -> set[str]:
    """Other parts of xmatch that a file imports, wherever it does so."""
    names = [name for node in nodes(path) for name in imported(node)]
    parts = {name.split(".")[1] for name in names if name.startswith("xmatch.")}
    return parts - {part_of(path), "__version__"}


def test_every_part_has_its_place_in_the_layers():
    assert {part_of(path) for path in SOURCES} <= set(DEPTH)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_only_down(path):
    upwards = {name for name in arrows(path) if DEPTH[name] <= DEPTH[part_of(path)]}
    assert not upwards, f"{part_of(path)} must not import {', '.join(sorted(upwards))}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_are_absolute(path):
    assert not [node.lineno for node in nodes(path) if isinstance(node, ast.ImportFrom) and node.level]


def module_name(path: Path) -> str:
    """xmatch/io/rasters/source.py -> xmatch.io.rasters.source; a package's __init__.py -> the package."""
    return ".".join(("xmatch", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def test_no_module_imports_itself_by_way_of_others():
    """Neither at the top nor inside functions."""
    paths = {module_name(path): path for path in SOURCES}
    graph = {}
    for name, path in paths.items():
        found = [f for node in nodes(path) for f in imported_modules(node, paths)]
        graph[name] = set(found) - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def imported_modules(node: ast.AST, known: Container[str]) -> list[str]:
    """The modules of `known` that an import statement loads."""
    names = imported(node)
    if isinstance(node, ast.ImportFrom):
        names = [full if (full := f"{node.module}.{alias.name}") in known else node.module for alias in node.names]
    return [name for name in names if name in known]


def test_the_drawing_in_the_documents_is_this_table():
    """`python tests/layers.py` prints it."""
    assert drawing() in (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def modules_after(*lines: str) -> dict[str, set[str]]:
    """Each line of code -> top-level names in sys.modules after it, of one fresh interpreter that runs them in turn."""
    probe = f"""if True:
        import sys
        for line in {lines!r}:
            try:
                exec(line)
            except SystemExit:
                pass
            print(*sys.modules, file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    told = [{name.split(".")[0] for name in row.split()} for row in done.stderr.splitlines()]
    return dict(zip(lines, told, strict=True))


def test_the_lowest_layers_load_numpy_alone():
    for line, loaded in modules_after(*(f"import xmatch.{part}" for part in NUMPY_ONLY)).items():
        assert not loaded & (HEAVY | {"typer", "yaml"}), line


def test_importing_xmatch_loads_not_even_numpy():
    [loaded] = modules_after("import xmatch").values()
    assert not loaded & (HEAVY | {"numpy"})


def test_help_loads_nothing_heavy():
    commands = [
        "",
        "register",
        "match",
        "align",
        "apply",
        "eval",
        "synth",
        "pretrain",
        "adapt",
        "models",
        "models info",
    ]
    lines = [
        f"from xmatch.cli import app; from xmatch.cli.runtime import run; run(app, {[*command.split(), '--help']})"
        for command in commands
    ]
    for line, loaded in modules_after(*lines).items():
        assert "typer" in loaded and not loaded & (HEAVY | {"numpy"}), line


def test_registering_a_pair_that_does_not_bend_loads_neither_scipy_nor_a_network(tmp_path):
    """Both take longer to load than such a pair to register."""
    images = [str(PACKAGE.parent / "sample_data" / name) for name in ("optical.tif", "sar.tif")]
    words = ["register", *images, "--output", str(tmp_path / "sar.tif"), "--quiet"]
    line = f"from xmatch.cli import app; from xmatch.cli.runtime import run; assert run(app, {words}) == 0"
    [loaded] = modules_after(line).values()
    assert "rasterio" in loaded and not loaded & {"scipy", "torch"}


def test_help_costs_little_more_than_the_libraries_that_print_it():
    """A ratio of processor times, taken in turns: seconds would judge the machine and what else runs on it."""

    def seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, cwd=PACKAGE.parent, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    libraries = "import typer, rich.console, rich.markdown, rich.panel, rich.table, typer.rich_utils"
    ours = "import sys; sys.argv = ['xmatch', '--help']; from xmatch.cli import main; main()"
    assert any(seconds(ours) < 2.2 * seconds(libraries) for _ in range(5))


def test_every_public_name_loads_and_is_listed():
    for name in xmatch.__all__:
        assert getattr(xmatch, name) is not None
        assert name in dir(xmatch)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        xmatch.no_such_name  # noqa: B018
