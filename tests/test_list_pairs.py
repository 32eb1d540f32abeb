"""The list of pairs that `make register-folder` hands to `xmatch register --pairs`."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "recipes" / "list_pairs.py"


def listed(folder: Path, *names: str) -> subprocess.CompletedProcess:
    for name in names:
        (folder / name).touch()
    return subprocess.run([sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True)


def test_names_meet_by_what_stands_before_the_role_and_survive_commas(tmp_path):
    done = listed(tmp_path, "b_fixed.tif", "b_moving.png", "a, 1_moving.tif", "a, 1_fixed.tif", "notes.txt")
    assert list(csv.reader(done.stdout.splitlines())) == [
        ["fixed", "moving"],
        [str(tmp_path / "a, 1_fixed.tif"), str(tmp_path / "a, 1_moving.tif")],
        [str(tmp_path / "b_fixed.tif"), str(tmp_path / "b_moving.png")],
    ]


def test_an_image_without_its_partner_stops_the_list_and_is_named(tmp_path):
    done = listed(tmp_path, "a_fixed.tif", "a_moving.tif", "lonely_fixed.tif")
    assert done.returncode == 1 and "lonely" in done.stderr and done.stdout == ""


def test_sidecars_of_an_image_are_no_further_images(tmp_path):
    done = listed(tmp_path, "a_fixed.tif", "a_fixed.tif.aux.xml", "a_fixed.tfw", "a_moving.tif")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2


def test_a_folder_without_pairs_says_what_is_looked_for(tmp_path):
    done = listed(tmp_path, "a.tif")
    assert done.returncode == 1 and "NAME_fixed.*" in done.stderr
