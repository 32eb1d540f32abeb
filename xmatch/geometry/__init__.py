"""Maps of the plane and their arithmetic: a `Transform` takes (N, 2) px of the MOVING image to px of the FIXED image.

Resampling, which looks backwards, asks for `.inverse` by name. There are no inverse flags.

`TRANSFORMS` is the vocabulary: the command line, the JSON and the fitting code read it. A kind from outside
joins through the entry-point group `xmatch.transforms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xmatch.errors import UsageError
from xmatch.geometry.chain import Chain, compose, rescaled
from xmatch.geometry.linear import Linear, affine, homography, similarity, translation
from xmatch.geometry.nonrigid import DisplacementGrid, ThinPlateSpline
from xmatch.plugins import ExtensionPoint


@runtime_checkable
class Transform(Protocol):
    """moving px -> fixed px."""

    @property
    def kind(self) -> str:
        """One of `TRANSFORMS`."""

    @property
    def matrix(self) -> np.ndarray | None:
        """(3, 3) when the map is projective, else None."""

    @property
    def inverse(self) -> Transform:
        """fixed px -> moving px."""

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) float64 px -> (N, 2) px; NaN where the map is not defined."""

    def supported(self, xy: np.ndarray) -> np.ndarray:
        """(N,) bool: positions (N, 2) px at which the map rests on what it was made from; False where it is only
        continued, or not defined."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form that `transform_from_dict` takes back without loss."""


TRANSFORMS: dict[str, Callable[[dict[str, Any]], Transform]] = {
    "translation": Linear.from_dict,
    "similarity": Linear.from_dict,
    "affine": Linear.from_dict,
    "homography": Linear.from_dict,
    "tps": ThinPlateSpline.from_dict,
    "grid": DisplacementGrid.from_dict,
}
"""kind -> builder from its JSON form, from the stiffest to the freest."""

EXTENSION_POINT: ExtensionPoint[Transform] = ExtensionPoint("transform", TRANSFORMS, "xmatch.transforms")


def transform_from_dict(data: Mapping[str, Any]) -> Transform:
    """The transform that `as_dict` wrote.

    Raises:
        ValueError: the kind is unknown, or a field is missing or malformed.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in EXTENSION_POINT.names():
        raise ValueError(f"not a transform: its kind must be one of {', '.join(EXTENSION_POINT.names())}")
    try:
        builder = EXTENSION_POINT.builder(kind)
    except UsageError as error:
        raise ValueError(error.message) from error
    try:
        return builder(dict(data))
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"a {kind} transform lacks or garbles {error}") from None


__all__ = [
    "TRANSFORMS",
    "Chain",
    "DisplacementGrid",
    "Linear",
    "ThinPlateSpline",
    "Transform",
    "affine",
    "compose",
    "homography",
    "rescaled",
    "similarity",
    "transform_from_dict",
    "translation",
]
