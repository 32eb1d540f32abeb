"""What mkdocs.yml cannot say: pages from outside docs/, files that pages link to, and an API page a part.

The documents are written for the repository, where links lead from folder to folder; a site knows docs/ alone. So every
file of the repository that a page links to is laid into the site under repository/, a linked folder as a list of its
files, and the links are changed to match. The API pages follow the package's tree: nothing here names a module.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "xmatch"

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "sample_data/README.md": "sample-data.md",
}
"""Documents outside docs/ that are pages of their own: path in the repository -> path in the site."""

LINK = re.compile(r"(\]\(|src=\")(?!\w+:|#)([^)#\"\s]+)")
"""A link's or an image's target in Markdown or HTML, without its fragment."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the API pages in the navigation."""
    [section] = [item for item in config.nav if "API" in item]
    section["API"] = list(_api_pages())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is linked to, and the API pages."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    linked = [path for file in list(files.documentation_pages()) for path in _outside(file)]
    for path in sorted(set(linked)):
        place = _place(path)
        if (ROOT / path).is_dir():
            inside = [name for name in _tracked(path) if PurePosixPath(name).parent == PurePosixPath(path)]
            rows = "".join(f"- [{Path(name).name}]({Path(name).name})\n" for name in inside)
            files.append(File.generated(config, place, content=f"# {path}\n\n{rows}"))
        else:
            inside = [path]
        for name in inside:
            if not files.get_file_from_path(f"repository/{name}"):
                files.append(File.generated(config, f"repository/{name}", abs_src_path=str(ROOT / name)))
    for place, content in _api_pages().items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to their places in the site."""
    source = _source(page.file)
    if source is None:
        return markdown

    def led(found: re.Match) -> str:
        place = _place(_target(source, found[2]))
        return found[1] + os.path.relpath(place, PurePosixPath(page.file.src_uri).parent)

    return LINK.sub(led, markdown)


def _source(file: File) -> str | None:
    """Where a page lies in the repository; None for pages that are made here."""
    known = {place: source for source, place in PAGES.items()}
    if file.src_uri in known:
        return known[file.src_uri]
    return None if file.generated_by else f"docs/{file.src_uri}"


def _target(source: str, link: str) -> str:
    """The path in the repository that a link in the document `source` leads to."""
    path = os.path.normpath(PurePosixPath(source).parent / link)
    if not (ROOT / path).exists():
        raise PluginError(f"{source} links to {link}, and there is no {path}")
    if any(part.startswith(".") for part in PurePosixPath(path).parts):
        raise PluginError(f"{source} links to {link}; a site keeps no folder or file that begins with a dot")
    return path


def _place(path: str) -> str:
    """Where the site has a file or folder of the repository."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}/index.md" if (ROOT / path).is_dir() else f"repository/{path}"


def _outside(file: File) -> list[str]:
    """Paths in the repository that a page links to and no page of the site is."""
    source = _source(file)
    targets = [] if source is None else [_target(source, link) for _, link in LINK.findall(file.content_string)]
    return [path for path in targets if path not in PAGES and not path.startswith("docs/")]


def _tracked(folder: str) -> list[str]:
    """The files of a folder that belong to the repository; all of them where there is no git."""
    try:
        listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
        return sorted(listed.stdout.split())
    except (OSError, subprocess.CalledProcessError):
        return sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if p.is_file())


def _api_pages() -> dict[str, str]:
    """Path in the site -> Markdown: the public names, then each part of the package by its modules."""
    homes = _public_names()
    head = "# API\n\n`import xmatch` has these names; each is loaded when it is first used.\n\n"
    head += "| name | from |\n| --- | --- |\n"
    rows = [f"| [`xmatch.{name}`][{home}.{name}] | [`{home}`][{home}] |\n" for name, home in homes.items()]
    pages = {"api/index.md": head + "".join(rows)}
    for path in sorted(PACKAGE.iterdir()):
        name = path.stem
        if name.startswith("_") or name == "cli":
            continue
        if path.is_dir() and (path / "__init__.py").is_file():
            modules = sorted(path.rglob("*.py"))
        elif path.suffix == ".py":
            modules = [path]
        else:
            continue
        blocks = [f"::: {_dotted(module)}\n" for module in modules if _is_public(module)]
        pages[f"api/{name}.md"] = f"# {name}\n\n" + "\n".join(blocks)
    return pages


def _is_public(module: Path) -> bool:
    return module.stem == "__init__" or not module.stem.startswith("_")


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _public_names() -> dict[str, str]:
    """Name -> the module that defines it, as xmatch/__init__.py has it."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    [table] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == ["_HOMES"]
    ]
    return ast.literal_eval(table)
