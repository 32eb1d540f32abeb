"""Readers of published data sets, from the folder that the user has them in to pairs with truth."""

from xmatch.datasets.registry import DATASETS, dataset_names, load_dataset
from xmatch.datasets.sample import (
    DataSet,
    LandmarkTruth,
    PoseTruth,
    Sample,
    TrackTruth,
    TransformTruth,
    Truth,
    Warp,
)

__all__ = [
    "DATASETS",
    "DataSet",
    "LandmarkTruth",
    "PoseTruth",
    "Sample",
    "TrackTruth",
    "TransformTruth",
    "Truth",
    "Warp",
    "dataset_names",
    "load_dataset",
]
