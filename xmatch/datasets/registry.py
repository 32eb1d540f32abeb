"""All data sets that can be read, by name."""

from __future__ import annotations

from xmatch.datasets import (
    aligned,
    anhir,
    fire,
    hpatches,
    manifest,
    matchanything,
    megadepth,
    minima_pairs,
    mmim,
    osdataset,
    pf,
    scannet,
    spair,
    srif,
    tapvid,
    vistir,
)
from xmatch.datasets.sample import DataSet
from xmatch.errors import UsageError

TASKS = ("registration", "homography", "landmarks", "pose", "semantic", "tracking")

DATASETS: dict[str, DataSet] = {
    dataset.name: dataset
    for dataset in (
        *(manifest.DATASET, aligned.DATASET, *srif.DATASETS, mmim.DATASET, osdataset.DATASET),
        matchanything.REGISTRATION,
        *(*hpatches.DATASETS, minima_pairs.DIODE, minima_pairs.DSEC),
        *(fire.DATASET, *anhir.DATASETS, matchanything.LANDMARKS),
        *(megadepth.DATASET, scannet.DATASET, *vistir.DATASETS, matchanything.POSE),
        *(spair.DATASET, *pf.DATASETS),
        tapvid.DATASET,
    )
}
"""In the order of `TASKS`."""


def dataset_names() -> tuple[str, ...]:
    """Names that `load_dataset` knows, ordered by task."""
    return tuple(DATASETS)


def load_dataset(name: str) -> DataSet:
    """The data set of that name; its `read` takes the folder.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in DATASETS:
        raise UsageError(f"no data set is called {name!r}", hint=f"known: {', '.join(DATASETS)}")
    return DATASETS[name]
