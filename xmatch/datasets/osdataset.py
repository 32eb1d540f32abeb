"""OSdataset: aligned patches of optical and SAR images, 256 and 512 px (Xiang et al., 2020).

Patches of one place are called opt17.png and sar17.png, in folders of splits such as 512/test. They lie on one grid:
the truth is the identity, and not moving at all scores 100. A result on them says something only with the images turned
or shifted first.
"""

from __future__ import annotations

import re
from pathlib import Path

from xmatch.datasets.files import IMAGE_SUFFIXES, natural, need_folder
from xmatch.datasets.sample import DataSet, Sample, TransformTruth
from xmatch.errors import InputError
from xmatch.geometry import translation


def read(folder: Path) -> list[Sample]:
    """All pairs below the folder, by folder and number; optical is fixed, SAR moving.

    Raises:
        InputError: no patch called opt... or sar... is there.
    """
    need_folder(folder, "OSdataset")
    places: dict[Path, dict[str, dict[str, Path]]] = {}
    for path in folder.rglob("*"):
        name = re.fullmatch(r"(opt|sar)(\d+)", path.stem)
        if name and path.suffix.lower() in IMAGE_SUFFIXES:
            places.setdefault(path.parent, {}).setdefault(name[2], {})[name[1]] = path
    if not places:
        raise InputError("no patches called opt1.png, sar1.png, opt2.png, ... there", path=folder)
    return [
        _sample(place.relative_to(folder).as_posix(), number, places[place][number])
        for place in sorted(places, key=lambda place: natural(place.as_posix()))
        for number in sorted(places[place], key=natural)
    ]


def _sample(place: str, number: str, files: dict[str, Path]) -> Sample:
    """`place` is "." for the folder itself. A missing half is named after the other."""
    one = next(iter(files.values()))
    optical, sar = (files.get(kind, one.with_name(f"{kind}{number}{one.suffix}")) for kind in ("opt", "sar"))
    group = "patches" if place == "." else place
    return Sample(f"{group}/{number}", group, optical, sar, TransformTruth(translation(0.0, 0.0)))


DATASET = DataSet(
    name="osdataset",
    task="registration",
    layout="opt{i}.png and sar{i}.png, in any folders (512/test/, ...)",
    source="from its authors (Y. Xiang et al., 2020); ask them for the terms",
    read=read,
)
