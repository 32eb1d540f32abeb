import json

import pytest

from xmatch.cli.recipes import read_recipe, recipe_class
from xmatch.cli.register import register_command
from xmatch.errors import UsageError


@pytest.fixture
def recipe(tmp_path):
    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def read(path):
    return read_recipe(path, recipe_class(register_command))


def test_a_recipe_sets_what_it_names_and_nothing_else(recipe):
    text = "transform: affine\nmax_angle: 20\nband: [1, 2]\nmirror: true\nnodata: 0\n"
    expected = {"transform": "affine", "max_angle": 20.0, "band": ["1", "2"], "mirror": True, "nodata": 0.0}
    assert read(recipe(text)) == expected


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_name(recipe):
    with pytest.raises(UsageError, match=r"line 2.*max_angel.*max_angle"):
        read(recipe("seed: 1\nmax_angel: 3\n"))


@pytest.mark.parametrize("text", ["transform: rubber", "seed: 1.5", "mirror: perhaps", "max_angle: .nan", "a:\n\t- b"])
def test_a_wrong_value_is_refused(recipe, text):
    with pytest.raises(UsageError, match="line"):
        read(recipe(text + "\n"))


def test_a_report_is_a_recipe(recipe):
    document = {"provenance": {"options": {"transform": "affine", "seed": 3, "weights": None}}}
    assert read(recipe(json.dumps(document), "sar.report.json")) == {"transform": "affine", "seed": 3}


def test_a_report_with_an_option_of_another_version_is_refused(recipe):
    document = {"provenance": {"options": {"max_angl": 3}}}
    with pytest.raises(UsageError, match="max_angle"):
        read(recipe(json.dumps(document), "r.json"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"provenance": {"options": 3}}', "[" * 100_000])
def test_a_json_that_is_no_report_is_refused(recipe, text):
    with pytest.raises(UsageError):
        read(recipe(text, "r.json"))


def test_the_command_line_wins_over_the_recipe(recipe, cli, pair, monkeypatch):
    seen = []

    def register(fixed, moving, options, progress=None):
        seen.append(options)
        raise MemoryError

    monkeypatch.setattr("xmatch.registration.pipeline.register", register)
    cli("register", *pair, "--recipe", recipe("transform: affine\nseed: 7\nmirror: true\n"), "--seed", "1")
    assert (seen[0].transform, seen[0].seed, seen[0].mirror) == ("affine", 1, True)


def test_a_bad_recipe_ends_with_2_before_anything_is_read(recipe, cli):
    assert cli("register", "none.tif", "none.tif", "--recipe", recipe("transfrom: affine\n")).code == 2
    assert cli("register", "none.tif", "none.tif", "--recipe", "missing.yaml").code == 2
