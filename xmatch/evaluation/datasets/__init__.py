"""Readers of published data sets, from the folder that the user has them in to pairs with truth."""

from xmatch.evaluation.datasets.sample import (
    DataSet,
    LandmarkTruth,
    PoseTruth,
    Sample,
    TrackTruth,
    TransformTruth,
    Truth,
)

__all__ = ["DataSet", "LandmarkTruth", "PoseTruth", "Sample", "TrackTruth", "TransformTruth", "Truth"]
