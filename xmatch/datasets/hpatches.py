"""HPatches sequences: 59 with other views, 57 with other light, six images each (Balntas et al., CVPR 2017).

`<sequence>/1.ppm ... 6.ppm` and `H_1_2 ... H_1_6`, each a 3 x 3 from image 1 to image k that counts the first pixel's
centre as (0, 0). Published corner errors are those of image 1's corners in image k: so image 1 is moving here, and k
fixed. Most published tables (since Dusmanu et al., D2-Net, CVPR 2019) leave out eight sequences of large images:
`hpatches-108` is that selection.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from xmatch.coords import from_centre_matrix
from xmatch.datasets.files import image_of, need_folder, numbers, projective
from xmatch.datasets.sample import DataSet, Sample, TransformTruth
from xmatch.errors import InputError

LARGE = frozenset("i_contruction i_crownnight i_dc i_pencils i_whitebuilding v_artisans v_astronautis v_talent".split())
"""The sequences that `hpatches-108` is without (spelled as the data set does)."""


def read(folder: Path, without: frozenset[str] = frozenset()) -> list[Sample]:
    """Five pairs a sequence, by its name; the folder holds the sequences, or hpatches-sequences-release does in it.

    Raises:
        InputError: no sequence is there, or a homography cannot be read.
    """
    need_folder(folder, "HPatches")
    inside = folder / "hpatches-sequences-release"
    root = inside if inside.is_dir() else folder
    sequences = sorted(path for path in root.iterdir() if path.name[:2] in ("i_", "v_") and path.is_dir())
    samples = [_sample(path, k) for path in sequences if path.name not in without for k in range(2, 7)]
    if not samples:
        raise InputError("no sequences called i_... or v_... there", path=root)
    return samples


def _sample(sequence: Path, k: int) -> Sample:
    path = sequence / f"H_1_{k}"
    return Sample(
        id=f"{sequence.name}/1_{k}",
        group="illumination" if sequence.name.startswith("i_") else "viewpoint",
        fixed=image_of(sequence, str(k), ".ppm"),
        moving=image_of(sequence, "1", ".ppm"),
        truth=TransformTruth(projective(from_centre_matrix(numbers(path, columns=3, rows=3)), path)),
    )


_LAYOUT = "<sequence>/1.ppm to 6.ppm and H_1_2 to H_1_6, for sequences i_... and v_..."
_SOURCE = "https://github.com/hpatches/hpatches-dataset (hpatches-sequences-release); see the licence there"

DATASETS = (
    DataSet("hpatches", "homography", _LAYOUT, _SOURCE, read),
    DataSet("hpatches-108", "homography", _LAYOUT, _SOURCE, partial(read, without=LARGE)),
)
