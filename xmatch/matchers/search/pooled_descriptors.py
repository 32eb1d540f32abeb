"""Descriptors that poses are searched by: where edges run and how much edge there is, fine detail pooled into cells.

A search that takes turns of 6 degrees and scales of 15 % cannot use what moves by less than a cell, but an edge that is
found in a small image is not the sum of the edges found in a large one: fine texture cancels out when an image is
reduced, and does not when its descriptors are. So they are made at three times the resolution that is correlated.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from xmatch.coords import Image, Mask, as_image
from xmatch.matchers.search.descriptors import (
    NOISE_FLOOR,
    STRONGEST,
    DescriptorMap,
    edge_descriptors,
    mean_around,
    rooted,
)

CELL_PX = 3
"""As the cells of `FieldNet`, which learns from these."""
AMOUNT = 0.8
"""Weight of the amount of edge against its direction. Not tuned."""
LARGE_PX = 3.5
"""Smoothing of the edges of large things. Not tuned."""
AROUND_PX = 12.0, 16.0
"""The amount of edge is relative to its mean this far around: of fine edges, and of large ones. Not tuned."""


class _PooledEdges:
    stride = CELL_PX

    def __call__(self, image: Image, valid: Mask) -> DescriptorMap:
        """Two planes of edges' doubled angle and two of plain amounts, mean over cells of 3 x 3 px.

        Args:
            image: (h, w) float32 in [0, 1].
            valid: (h, w) bool.
        """
        fine = edge_descriptors(image, valid, orders=1)
        amounts = np.hypot(fine.planes[..., 0], fine.planes[..., 1]), _large(image, valid, fine.valid)
        planes = [
            AMOUNT * (amount - mean_around(amount, fine.valid, around)) * fine.valid
            for amount, around in zip(amounts, AROUND_PX, strict=True)
        ]
        return _pooled(replace(fine, planes=np.dstack([fine.planes, *planes]), orders=(*fine.orders, 0)))


pooled_edge_descriptors = _PooledEdges()


def _large(image: Image, valid: Mask, trusted: Image) -> Image:
    """(h, w) strength of large things' edges: root of the gradient's length over its mean around."""
    root = as_image(cv2.GaussianBlur(rooted(image, valid, 2 * LARGE_PX), (0, 0), LARGE_PX))
    across, down = (as_image(cv2.Scharr(root, cv2.CV_32F, *axis)) for axis in ((1, 0), (0, 1)))
    length = np.hypot(across, down) * trusted
    floor = length.sum() / max(float(trusted.sum()), 1.0)
    strength = length / (mean_around(length, trusted, AROUND_PX[1]) + NOISE_FLOOR * floor + 1e-6)
    return as_image(np.minimum(np.sqrt(strength), STRONGEST).astype(np.float32) * trusted)


def _pooled(source: DescriptorMap) -> DescriptorMap:
    """Mean over cells; the last ones are filled up with what is not valid."""
    height, width = source.valid.shape
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    rest = (0, rows * CELL_PX - height, 0, columns * CELL_PX - width)
    pooled, valid = (
        as_image(
            cv2.resize(
                cv2.copyMakeBorder(plane, *rest, cv2.BORDER_CONSTANT, value=0.0),
                (columns, rows),
                interpolation=cv2.INTER_AREA,
            )
        )
        for plane in (np.ascontiguousarray(source.planes), source.valid)
    )
    return DescriptorMap(pooled, valid, source.orders)
