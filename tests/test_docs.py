"""The documentation names what there is: every command, option, exit code and JSON field, and no other."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from typer.main import get_command

from xmatch import __version__
from xmatch.cli import app
from xmatch.correspondences import Correspondences
from xmatch.errors import ExitCode
from xmatch.geometry import similarity
from xmatch.report.document import registration_document
from xmatch.result import Registration, Verdict

ROOT = Path(__file__).parent.parent
OUTSIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "sample_data/README.md")]
DOCS = [*OUTSIDE, *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCS)
TOP = get_command(app)

FOREIGN_OPTIONS = {"--no-nanny", "--help", "--install-completion", "--nproc"}
"""Options in the documents that Typer adds itself; `--nproc_per_node` is torchrun's, `--no-nanny` Dask's."""

FOREIGN_COMMANDS = r"\b(pip|gdal\w+|rio|m venv|python (-m )?benchmarks[./]\w+|dask worker|split --number|SBATCH)\b"
"""Lines that call another program, whose options are its own."""


def commands_of(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Every command that does something itself: "register", "models list", ..."""
    found = {}
    for name, command in group.commands.items():
        inside = commands_of(command, f"{before}{name} ") if hasattr(command, "commands") else None
        found |= {before + name: command} if inside is None else inside
    return found


COMMANDS = commands_of(TOP)


def leaves(tree) -> list:
    """The ends of nested lists and dicts."""
    inside = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return [tree] if inside is None else [leaf for branch in inside for leaf in leaves(branch)]


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_in_use(name):
    assert re.search(rf"^ +(if )?xmatch {name}( |$)", TEXT, re.MULTILINE), f"no example of xmatch {name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_help(name):
    command = COMMANDS[name]
    assert command.help and command.help.strip()
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


def test_examples_use_only_options_that_exist():
    known = set().union(options_of(TOP), *map(options_of, COMMANDS.values())) | FOREIGN_OPTIONS
    ours = "\n".join(line for line in TEXT.splitlines() if not re.search(FOREIGN_COMMANDS, line))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)) - known == set()


def test_examples_name_the_command_that_has_the_option():
    for line in re.findall(r"^ +(?:if )?xmatch (\w[^\n>|;]*)", TEXT, re.MULTILINE):
        words = line.split()
        name = words[0] if words[0] in COMMANDS else " ".join(words[:2])
        used = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", line))
        assert used <= options_of(COMMANDS[name]), f"xmatch {line}"


def test_the_table_of_exit_codes_is_complete_and_has_no_others():
    rows = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", (ROOT / "docs" / "exit-codes.md").read_text(), re.MULTILINE)
    assert {(int(code), name) for code, name in rows} == {(code.value, code.name) for code in ExitCode}


def test_the_table_of_json_fields_is_that_of_the_document():
    nothing = np.zeros(0)
    registration = Registration(
        {}, {}, similarity(), Correspondences.empty(), nothing.astype(bool), nothing, Verdict(False, 0.0, "no match")
    )
    document = registration_document(registration, output=None)
    section = (ROOT / "docs" / "formats.md").read_text().split("### JSON of a registration")[1].split("\n#")[0]
    rows = dict(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.*) \|$", section, re.MULTILINE))
    assert set(re.findall(r"\w+", " ".join(rows))) == set(document)
    for name in ("verdict", "correspondences", "transform"):
        assert set(document[name]) <= set(re.findall(r"`(\w+)`", rows[f"`{name}`"])), name


def test_links_between_documents_lead_somewhere():
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_site_has_every_document():
    """The rest is `mkdocs build --strict`, which `make docs` runs; a page of docs/ that is left out is found here."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = {str(page) for page in leaves(site["nav"])}
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} <= listed
    assert {"index.md", "changelog.md", "contributing.md", "security.md", "sample-data.md"} <= listed


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__ and citation["license"] == "Apache-2.0"


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda p: p.stem)
def test_the_forms_of_issues_are_forms(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    assert all(field["attributes"]["label"] for field in form["body"])
    assert len({field["id"] for field in form["body"]}) == len(form["body"])


def test_make_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)", makefile, re.MULTILINE)[1].split()
    described = re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)
    assert sorted(targets) == sorted(described)


def test_the_examples_of_the_conventions_are_right():
    failed, tried = doctest.testfile(str(ROOT / "docs" / "conventions.md"), module_relative=False)
    assert tried > 2 and failed == 0


def test_ci_runs_what_the_readme_tells_a_newcomer_and_then_the_checks():
    assert all((ROOT / ".ci" / name).stat().st_mode & 0o111 for name in ("run", "smoke"))
    steps = re.findall(r"^make (\S+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert steps[0] == "test" and "make test" in (ROOT / "README.md").read_text()
    assert {"lint", "format-check", "types", "smoke"} <= set(steps)
