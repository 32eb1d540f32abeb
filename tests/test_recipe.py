"""A recipe is read strictly, and every complaint says in which line."""

import os
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from xmatch.errors import UsageError
from xmatch.recipe import MAX_BYTES, load_recipe, resolve


@dataclass(frozen=True)
class Optimiser:
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        if self.lr <= 0:
            raise ValueError("lr must be above 0")


@dataclass(frozen=True)
class Recipe:
    data: str
    steps: int = 100
    matcher: Literal["structural", "mi"] = "structural"
    limit: int | None = None
    polish: bool = True
    sets: tuple[str | Optimiser, ...] = ()
    optimiser: Optimiser = field(default_factory=Optimiser)
    extra: dict[str, float] = field(default_factory=dict)
    free: Any = None


@pytest.fixture
def load(tmp_path):
    def write_and_load(text, cls=Recipe):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipe(path, cls)

    return write_and_load


def complaint(load, text):
    with pytest.raises(UsageError) as caught:
        load(text)
    assert caught.value.exit_code == 2 and caught.value.path.endswith("recipe.yaml")
    return str(caught.value)


def test_a_full_recipe_becomes_typed_values(load):
    recipe = load(
        """
        data: ../photos   # stays as written
        steps: 1_000
        matcher: mi
        limit: ~
        polish: no
        sets: [a, {lr: 2}]
        optimiser: {lr: 1e-3, betas: [0.8, 1]}
        extra: {tau: .5}
        free: {deep: [1, two, 3.0, true, null]}
        """
    )
    assert recipe == Recipe(
        data="../photos",
        steps=1000,
        matcher="mi",
        polish=False,
        sets=("a", Optimiser(lr=2.0)),
        optimiser=Optimiser(lr=0.001, betas=(0.8, 1.0)),
        extra={"tau": 0.5},
        free={"deep": [1, "two", 3.0, True, None]},
    )
    assert isinstance(recipe.optimiser.betas, tuple) and isinstance(recipe.sets[1].lr, float)


def test_what_is_left_out_takes_its_default(load):
    assert load("data: x\n") == Recipe(data="x")
    assert load("", Optimiser) == load("# only talk\n", Optimiser) == Optimiser()


def test_a_byte_order_mark_is_no_key(load):
    assert load(b"\xef\xbb\xbfdata: x\n") == Recipe(data="x")


def test_an_unknown_key_names_line_neighbour_and_known_keys(load):
    said = complaint(load, "data: x\n\nmachter: mi\n")
    assert "line 3" in said and "'machter'" in said and "did you mean 'matcher'" in said
    assert all(name in said for name in ("data", "steps", "polish", "optimiser"))


def test_an_unknown_nested_key_says_where(load):
    said = complaint(load, "data: x\noptimiser:\n  lr: 1\n  momentum: 2\n")
    assert "line 4" in said and "optimiser" in said and "known keys: lr, betas" in said


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("steps: many", "whole number"),
        ("steps: 1.5", "whole number"),
        ("steps: true", "whole number"),
        ("steps: 010", "whole number"),
        ("steps: 1:30", "whole number"),
        ('steps: "5"', "whole number"),
        ("steps: [1]", "whole number"),
        ("polish: 1", "true or false"),
        ("polish: 'true'", "true or false"),
        ("matcher: structual", "did you mean 'structural'"),
        ("matcher: 3", "one of structural, mi"),
        ("limit: none", "whole number"),
        ("optimiser: {lr: .nan}", "finite"),
        ("optimiser: {lr: nan}", "finite"),
        ("optimiser: {lr: -.inf}", "finite"),
        ("optimiser: {lr: 1e999}", "finite"),
        ("optimiser: {lr: fast}", "number"),
        ("optimiser: {lr: null}", "number"),
        ("optimiser: {betas: [1]}", "want 2"),
        ("optimiser: {betas: 1}", "a list"),
        ("optimiser: [lr]", "key: value"),
        ("optimiser: {lr: -1}", "lr must be above 0"),
        ("extra: {tau: hot}", "extra.tau"),
        ("sets: [a, 3]", "sets[1]"),
        ("? [a, b] : 1", "plain word"),
        ("steps: 1\nsteps: 2", "given twice (first in line 2)"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line(load, line, word):
    said = complaint(load, f"data: x\n{line}\n")
    assert f"line {2 + line.count(chr(10))}:" in said and word in said


def test_a_number_where_text_belongs_is_told_to_be_quoted(load):
    assert "quotes" in complaint(load, "data: 2024\n")
    assert load('data: "2024"').data == "2024"


def test_a_missing_key_is_named(load):
    assert "'data'" in complaint(load, "steps: 3\n")


def test_python_tags_are_refused_and_build_nothing(load, tmp_path):
    marker = tmp_path / "built"
    for tagged in (
        f'data: !!python/object/apply:os.system ["touch {marker}"]',
        "data: !!python/object:os.PathLike {}",
        "data: !!python/name:os.system",
        "data: !mine x",
        "!!python/object:xmatch.recipe.Recipe {data: x}",
    ):
        assert "line 1" in complaint(load, tagged) and "refused" in complaint(load, tagged)
    assert not marker.exists()


def test_a_tagged_value_is_refused_even_where_anything_goes(load):
    assert "line 2" in complaint(load, "data: x\nfree: !!python/name:os.system\n")
    assert "line 2" in complaint(load, "data: x\nfree: !!python/tuple [1]\n")
    assert "line 2" in complaint(load, "data: x\nfree: !!binary aGk=\n")


def test_an_alias_bomb_is_refused_before_it_grows(load):
    letters = zip("abcdefghi", "bcdefghij", strict=True)
    bomb = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in letters)
    assert "line 2" in complaint(load, bomb) and "aliases" in complaint(load, bomb)


def test_merge_keys_are_refused_too(load):
    assert "line 3" in complaint(load, "data: x\noptimiser: &o {lr: 1}\nfree: {<<: *o}\n")


def test_a_deep_nest_is_refused(load):
    assert "deep" in complaint(load, "data: " + "[" * 5000)


def test_a_tab_is_called_a_tab(load):
    said = complaint(load, "data: x\noptimiser:\n\tlr: 1\n")
    assert "line 3" in said and "tab" in said


def test_broken_yaml_says_in_which_line(load):
    assert "line 4" in complaint(load, "data: x\nsteps: 1\nsets: [a, b\n")
    assert "line 2" in complaint(load, "data: x\npolish: }\n")
    assert "line 2" in complaint(load, "data: x\n--- \ndata: y\n")


def test_bytes_that_are_no_text_are_refused(load):
    assert "line 2" in complaint(load, b"data: x\nsets: [\xff]\n")
    assert "line 2" in complaint(load, b"data: x\nsets: [\x00]\n")


def test_a_huge_recipe_is_not_read(load):
    assert "larger" in complaint(load, b"# " + b"x" * MAX_BYTES)


def test_no_file_a_folder_and_a_pipe_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match=path.name):
            load_recipe(path, Recipe)


def test_paths_resolve_against_the_recipe_or_the_base(tmp_path):
    recipe = tmp_path / "recipes" / "r.yaml"
    assert resolve(recipe, "a/b.tif") == str(tmp_path.resolve() / "recipes" / "a" / "b.tif")
    assert resolve(recipe, "a.tif", base=tmp_path) == str(tmp_path.resolve() / "a.tif")
    assert resolve(recipe, str(tmp_path / "c.tif")) == str(tmp_path / "c.tif")
