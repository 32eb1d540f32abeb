"""Aligned pairs of one's own: GROUP/NAME_a.png and GROUP/NAME_b.png show the same place pixel by pixel.

The truth is the identity, and not moving at all scores 100. A result says something only where the recipe turns the
moving images first (`warp: {pose: 1}`), or sweeps.
"""

from __future__ import annotations

from pathlib import Path

from xmatch.datasets.files import IMAGE_SUFFIXES, natural, need_folder
from xmatch.datasets.sample import DataSet, Sample, TransformTruth
from xmatch.errors import InputError
from xmatch.geometry import translation


def read(folder: Path) -> list[Sample]:
    """All pairs below the folder, by folder and name; `_a` is fixed, `_b` moving. Groups are folders.

    Raises:
        InputError: no image called NAME_a is there.
    """
    need_folder(folder, "a set of aligned pairs")
    images = {path.with_suffix(""): path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
    stems = [stem for stem in images if stem.name.endswith("_a")]
    if not stems:
        raise InputError("no images called NAME_a.png, NAME_b.png, ... there", path=folder)
    return [_sample(folder, stem, images) for stem in sorted(stems, key=lambda stem: natural(stem.as_posix()))]


def _sample(folder: Path, stem: Path, images: dict[Path, Path]) -> Sample:
    """A missing half is named after the other."""
    fixed, other = images[stem], stem.with_name(stem.name.removesuffix("_a") + "_b")
    moving = images.get(other, other.with_suffix(fixed.suffix))
    name = stem.relative_to(folder).as_posix().removesuffix("_a")
    group = Path(name).parent.as_posix()
    return Sample(name, "pairs" if group == "." else group, fixed, moving, TransformTruth(translation(0.0, 0.0)))


DATASET = DataSet(
    name="aligned",
    task="registration",
    layout="NAME_a.png (fixed) and NAME_b.png (moving), in any folders; same size, same pixel grid",
    source="your own, or any set of co-registered images",
    read=read,
)
