"""The layers of the package, and the drawing of them in docs/architecture.md: `python tests/layers.py` prints it."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "xmatch"

LAYERS = (
    {"cli"},
    {"adaptation"},
    {"evaluation"},
    {"pointwise"},
    {"registration"},
    {"report", "training"},
    {"verification"},
    {"matchers"},
    {"networks"},
    {"resampling", "synth"},
    {"datasets"},
    {"estimate", "metrics"},
    {"provenance", "recipe", "recipe_schema"},
    {"io"},
    {"ops"},
    {"result"},
    {"raster"},
    {"correspondences", "geometry"},
    {"plugins", "workers"},
    {"_version", "coords", "errors"},
)
"""Top-level modules and packages of xmatch from top to bottom. Neighbours in one layer do not import each other."""


def drawing() -> str:
    """One line a part, layers apart: its name, and the first sentence of what it says of itself."""
    layers = []
    for layer in LAYERS:
        layers.append("\n".join(f"    {name:<17}{first_sentence(name)}" for name in sorted(layer)))
    return "\n\n".join(layers)


def first_sentence(part: str) -> str:
    path = PACKAGE / part / "__init__.py" if (PACKAGE / part).is_dir() else PACKAGE / f"{part}.py"
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


if __name__ == "__main__":
    print(drawing())
