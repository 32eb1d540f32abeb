"""Landmarks on differently stained slices of tissue: ANHIR (Borovec et al., 2020) and ACROBAT (Weitz et al., 2024).

ANHIR: a CSV of pairs (dataset_medium.csv) names source and target images and their landmarks, CSV files with columns X
and Y that count from the top left corner of the image plane, as ImageJ does: positions are ours as they stand. The
source is moving, the target fixed. Row i of both files shows the same structure; where one has more, the rest has no
partner. The targets' landmarks of the rows with status `evaluation` were never published: these rows are left out.

ACROBAT: one CSV of points (acrobat_validation_points_public_1_of_1.csv) with the columns below, in micrometres from the
corner of the slide, so that dividing by its micrometres a pixel gives px of the 10X level. (That the columns are in
micrometres is how the challenge's participants read them; one reader in public takes them for pixels.) The stained
slide is moving, HE fixed. The organisers publish he_x and he_y empty: rows without them are left out, and a file in
which all are empty is refused.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from xmatch.datasets.files import csv_rows, image_of, natural, need_folder
from xmatch.datasets.sample import DataSet, LandmarkTruth, Sample
from xmatch.errors import InputError

ANHIR_COLUMNS = ("Source image", "Target image", "Source landmarks", "Target landmarks")
ACROBAT_COLUMNS = (
    *("anon_id", "anon_filename_he", "anon_filename_ihc", "ihc_antibody"),
    *("ihc_x", "ihc_y", "he_x", "he_y", "mpp_ihc_10X", "mpp_he_10X"),
)


def read_anhir(path: Path) -> list[Sample]:
    """The pairs whose landmarks are published, in the order of the CSV; `path` is the folder or the CSV itself.

    Raises:
        InputError: no table of pairs is there, or landmarks that should be there cannot be read.
    """
    table = _table(path, "ANHIR", "dataset_medium.csv", "dataset*.csv")
    rows = list(enumerate(csv_rows(table, ANHIR_COLUMNS)))
    samples = [_anhir_sample(table.parent, number, row) for number, row in rows if row.get("status") != "evaluation"]
    if not samples:
        raise InputError("lists no pairs with published landmarks (status training)", path=table)
    return samples


def _anhir_sample(folder: Path, number: int, row: dict[str, str]) -> Sample:
    moving_xy, fixed_xy = (
        _xy(csv_rows(path, ("X", "Y")), "X", "Y", path)
        for path in (_below(folder, "landmarks", row[f"{which} landmarks"]) for which in ("Source", "Target"))
    )
    n = min(len(fixed_xy), len(moving_xy))
    return Sample(
        id=f"{number:03d}",
        group=re.sub(r"_\d+$", "", Path(row["Target image"]).parts[0]),
        fixed=_below(folder, "images", row["Target image"]),
        moving=_below(folder, "images", row["Source image"]),
        truth=LandmarkTruth(fixed_xy[:n], moving_xy[:n]),
    )


def read_acrobat(path: Path) -> list[Sample]:
    """One pair a stained slide, by case; `path` is the folder or the CSV itself.

    Raises:
        InputError: no table of points is there, or no point has its position in the HE slide.
    """
    table = _table(path, "ACROBAT", "acrobat_validation_points_public_1_of_1.csv", "acrobat*points*.csv")
    cases: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in csv_rows(table, ACROBAT_COLUMNS):
        if row["he_x"].strip() and row["he_y"].strip():
            cases.setdefault((row["anon_id"], row["anon_filename_ihc"]), []).append(row)
    if not cases:
        raise InputError(
            "he_x and he_y are empty in every row: the organisers keep these positions, nothing can be measured",
            path=table,
        )
    return [_acrobat_sample(table, cases[key]) for key in sorted(cases, key=lambda key: natural(" ".join(key)))]


def _acrobat_sample(table: Path, rows: list[dict[str, str]]) -> Sample:
    first = rows[0]
    return Sample(
        id=f"{first['anon_id']}/{Path(first['anon_filename_ihc']).stem}",
        group=first["ihc_antibody"],
        fixed=_slide(table.parent, first["anon_filename_he"]),
        moving=_slide(table.parent, first["anon_filename_ihc"]),
        truth=LandmarkTruth(
            fixed_xy=_xy(rows, "he_x", "he_y", table) / _xy(rows, "mpp_he_10X", "mpp_he_10X", table),
            moving_xy=_xy(rows, "ihc_x", "ihc_y", table) / _xy(rows, "mpp_ihc_10X", "mpp_ihc_10X", table),
        ),
    )


def _table(path: Path, name: str, usual: str, pattern: str) -> Path:
    """The CSV that lists a data set."""
    if path.is_file():
        return path
    need_folder(path, name)
    found = [path / usual] if (path / usual).is_file() else sorted(path.glob(pattern))
    if len(found) != 1:
        message = f"several tables ({', '.join(p.name for p in found)})" if found else f"no {usual} in the folder"
        raise InputError(message, path=path, hint="name the CSV file itself instead of the folder")
    return found[0]


def _xy(rows: list[dict[str, str]], x: str, y: str, path: Path) -> np.ndarray:
    """(N, 2) of two columns."""
    try:
        return np.array([[float(row[x]), float(row[y])] for row in rows]).reshape(-1, 2)
    except (ValueError, TypeError) as error:
        raise InputError(f"columns {x} and {y} are not all numbers: {error}", path=path) from error


def _below(folder: Path, kind: str, name: str) -> Path:
    """ANHIR's archives unpack to images/ and landmarks/; some copies have both in one tree."""
    return folder / kind / name if (folder / kind).is_dir() else folder / name


def _slide(folder: Path, name: str) -> Path:
    """The slides are listed as .ndpi and distributed as TIFF, beside the table or in its folders valid or test."""
    stem = Path(name).stem
    places = (image_of(place, stem, ".tif") for place in (folder, folder / "valid", folder / "test"))
    return next((path for path in places if path.is_file()), folder / f"{stem}.tif")


DATASETS = (
    DataSet(
        name="anhir",
        task="landmarks",
        layout="dataset_medium.csv (" + ", ".join(ANHIR_COLUMNS) + "), images/ and landmarks/",
        source="https://anhir.grand-challenge.org (registration needed; its terms allow research)",
        read=read_anhir,
    ),
    DataSet(
        name="acrobat",
        task="landmarks",
        layout="acrobat_validation_points_public_1_of_1.csv with he_x and he_y filled in, and the slides as TIFF",
        source="https://acrobat.grand-challenge.org (registration needed); the positions in HE slides are not public",
        read=read_acrobat,
    ),
)
