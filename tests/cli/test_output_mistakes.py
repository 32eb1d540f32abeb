"""Outputs that cannot be what their options say are found before the matching starts, and by --dry-run."""

import os
from pathlib import Path

import pytest
from fakes import write_image


def names() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("option", "name", "code", "told"),
    [
        ("--tfm", "x.txt", 2, "does not end in .tfm"),
        ("--vrt", "x.tif", 2, "does not end in .vrt"),
        ("--gcps", "x.points", 2, "does not end in .tif"),
        ("--gcps", "x.png", 2, "does not end in .tif"),
        ("--displacement", "x.nii", 2, "does not end in .tif"),
        ("--error-map", "x.png", 2, "--error-map x.png does not end in .tif"),
        ("--points", "x.txt", 2, "does not end in .csv"),
        ("--report", "x.pdf", 2, "does not end in .html"),
        ("--report", "x.json", 2, "does not end in .html"),
        ("-o", "x.png", 2, "does not end in .tif"),
        ("--gcps", "x.tif", 5, "need a fixed image with a CRS"),
    ],
)
def test_a_mistaken_output_is_found_before_the_work(cli, pair, behave, dry, option, name, code, told):
    behave("bug")  # would end with 1
    result = cli("register", *pair, option, name, *dry)
    assert result.code == code and told in result.err
    assert names() == sorted(pair)


def test_a_kernel_that_does_not_suit_the_values_is_found_before_the_work(cli, pair, behave):
    import numpy as np
    import tifffile

    behave("bug")
    tifffile.imwrite("waves.tif", np.ones((40, 48), np.complex64))
    result = cli("register", "optical.tif", "waves.tif", "--resampling", "cubic")
    assert result.code == 2 and "cannot be averaged" in result.err


@pytest.mark.parametrize("folder", ["results/", "results/deep/"])
def test_a_name_that_ends_in_a_slash_is_a_folder_that_is_made(cli, pair, folder):
    assert cli("register", *pair, "-o", folder, "--tfm", "other/new.tfm").code == 0
    made = [f"{folder}sar.registered.{ending}" for ending in ("report.html", "report.json", "tif")]
    assert names() == sorted([*pair, *made, "other/new.tfm"])


def test_a_folder_that_is_there_needs_no_slash(cli, pair):
    os.mkdir("results")
    assert cli("register", *pair, "-o", "results").code == 0
    assert Path("results/sar.registered.tif").exists()


def test_a_name_without_suffix_is_asked_to_say_what_it_is(cli, pair):
    result = cli("register", *pair, "-o", "results")
    assert result.code == 2 and "-o NAME/ for a folder" in result.err


def test_a_failed_run_leaves_no_folder(cli, pair, behave):
    behave("bug")
    assert cli("register", *pair, "-o", "results/").code == 1
    assert not Path("results").exists()


def test_apply_takes_a_folder_for_several_files(cli, pair):
    write_image(Path("vh.tif"), seed=2)
    assert cli("register", *pair).code == 0
    assert cli("apply", "sar.registered.report.json", "sar.tif", "vh.tif", "-o", "moved/").code == 0
    assert sorted(os.listdir("moved")) == ["sar.registered.tif", "vh.registered.tif"]
    assert cli("apply", "sar.registered.report.json", "sar.tif", "-o", "x.png").code == 2


def test_match_makes_the_folder_of_its_points(cli, pair):
    assert cli("match", *pair, "-o", "points/a.csv").code == 0
    assert Path("points/a.csv").exists()
    result = cli("match", *pair, "-o", "more/", "--format", "csv")
    assert result.code == 5 and "names a folder" in result.err


def test_a_batch_says_once_that_its_folder_cannot_be(cli, pair):
    Path("list.csv").write_text("optical.tif,sar.tif\noptical.tif,optical.tif\n")
    result = cli("register", "--pairs", "list.csv", "-o", "sar.tif", "--keep-going")
    assert (result.code, result.out) == (5, "") and len(result.err.splitlines()) == 1
    assert cli("register", "--pairs", "list.csv", "-o", "results").code == 0
    assert Path("results/sar.registered.tif").exists()
