"""From previews to what an SVG needs: inlined pictures, and paths for lines, arrows and bars."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from xmatch.report.previews import PreviewFrame, Previews

JPEG_QUALITY = 88
"""Not tuned: a page of two previews stays below a MB."""
EDGE_RGB = (255, 158, 27)
"""Orange, which keeps apart from grey, green and blue ground for colour-blind eyes too."""
EXAGGERATIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Round factors, which a caption can name."""
ARROW_SHARE = 0.06
"""A long arrow (the 90th percentile) takes about this share of the picture's longer side."""


@dataclass(frozen=True)
class Arrows:
    """Vectors over the fixed preview, such as residuals: from where a match should land towards where it does."""

    path: str
    heads: str
    dots: str
    exaggeration: int
    count: int
    key_px: float
    """Length of the arrow in the key, fixed px."""
    key_length: float
    """The same as drawn, preview px."""


@dataclass(frozen=True)
class MatchLines:
    """Fixed left and moving right, in one drawing."""

    width: float
    height: float
    fixed_place: str
    """SVG transforms of the two pictures."""
    moving_place: str
    inlier_lines: str
    outlier_lines: str
    inlier_dots: str
    outlier_dots: str
    inliers: int
    outliers: int


def jpeg(picture: np.ndarray, valid: np.ndarray) -> str:
    """Data URI of an RGB or grey picture, its invalid part hatched so that nobody takes it for dark ground."""
    import cv2

    height, width = valid.shape
    rows, columns = np.ogrid[:height, :width]
    hatch = np.where((rows + columns) % 12 < 2, 140, 168).astype(np.uint8)
    shown = picture.copy() if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    shown[~valid] = hatch[~valid] if picture.ndim == 2 else hatch[~valid, None]
    return _data_uri("jpeg", cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])


def edges_png(picture: np.ndarray, valid: np.ndarray) -> str:
    """Data URI of the picture's edges (Canny, thresholds from its own gradients) on a clear ground."""
    import cv2

    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    # Speckle would make an edge of every grain.
    calm = cv2.GaussianBlur(cv2.medianBlur(grey, 5), (0, 0), 1.5)
    gx, gy = cv2.Sobel(calm, cv2.CV_16S, 1, 0), cv2.Sobel(calm, cv2.CV_16S, 0, 1)
    inner = cv2.erode(valid.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0).astype(bool)
    gradients = np.hypot(gx, gy)[inner]
    low, high = np.percentile(gradients, (80, 93)) if gradients.size else (1.0, 1.0)
    found = cv2.Canny(gx, gy, max(low, 1.0), max(high, 2.0), L2gradient=True).astype(bool) & inner
    alpha = cv2.dilate(found.astype(np.uint8) * 255, np.ones((2, 2), np.uint8))
    red, green, blue = EDGE_RGB
    overlay = np.dstack([np.full_like(alpha, blue), np.full_like(alpha, green), np.full_like(alpha, red), alpha])
    overlay[alpha == 0] = 0
    return _data_uri("png", cv2.imencode(".png", overlay)[1])


def match_lines(previews: Previews, width: float = 1000.0, gap: float = 14.0, most_height: float = 640.0) -> MatchLines:
    """Both pictures at one height, side by side, and their drawn matches."""
    (fixed_w, fixed_h), (moving_w, moving_h) = previews.fixed_frame.size, previews.moving_frame.size
    height = min(most_height, (width - gap) / (fixed_w / fixed_h + moving_w / moving_h))
    fixed_scale, moving_scale = height / fixed_h, height / moving_h
    left = fixed_w * fixed_scale + gap
    start = previews.fixed_frame.to_preview(previews.fixed_xy) * fixed_scale
    end = previews.moving_frame.to_preview(previews.moving_xy) * moving_scale + (left, 0)
    good, bad = previews.inliers, ~previews.inliers
    return MatchLines(
        width=left + moving_w * moving_scale,
        height=height,
        fixed_place=f"scale({fixed_scale:.5f})",
        moving_place=f"translate({left:.2f} 0) scale({moving_scale:.5f})",
        inlier_lines=_segments(start[good], end[good]),
        outlier_lines=_segments(start[bad], end[bad]),
        inlier_dots=_dots(start[good]) + _dots(end[good]),
        outlier_dots=_dots(start[bad]) + _dots(end[bad]),
        inliers=int(good.sum()),
        outliers=int(bad.sum()),
    )


def residual_arrows(previews: Previews) -> Arrows | None:
    """None when no inlier is drawn."""
    keep = previews.inliers & np.isfinite(previews.mapped_xy).all(axis=1)
    if not keep.any():
        return None
    return arrows(previews.fixed_xy[keep], (previews.mapped_xy - previews.fixed_xy)[keep], previews.fixed_frame)


def arrows(fixed_xy: np.ndarray, vector_px: np.ndarray, frame: PreviewFrame) -> Arrows:
    """Arrows from positions (N, 2) by vectors (N, 2) fixed px, N >= 1, exaggerated so that they can be seen."""
    scale = frame.scale
    start = frame.to_preview(fixed_xy)
    vector = vector_px * scale
    long_px = np.percentile(np.linalg.norm(vector, axis=1), 90)
    wanted = ARROW_SHARE * max(frame.size) / max(long_px, 1e-9)
    exaggeration = max((step for step in EXAGGERATIONS if step <= wanted), default=1)
    end = start + vector * exaggeration
    key_px = next((px for px in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if px >= long_px / scale.mean()), 100.0)
    return Arrows(
        path=_segments(start, end),
        heads=_heads(start, end, 0.008 * max(frame.size)),
        dots=_dots(start),
        exaggeration=exaggeration,
        count=len(start),
        key_px=key_px,
        key_length=float(key_px * scale.mean() * exaggeration),
    )


def _segments(start: np.ndarray, end: np.ndarray) -> str:
    return "".join(f"M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}" for (x, y), (u, v) in zip(start, end, strict=True))


def _dots(xy: np.ndarray) -> str:
    """Lines of no length, which a round line cap makes into dots."""
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in xy)


def _heads(start: np.ndarray, end: np.ndarray, size: float) -> str:
    """Two barbs at the end of each arrow long enough to carry them."""
    length = np.linalg.norm(end - start, axis=1, keepdims=True)
    long_enough = length[:, 0] > size
    tip, along = end[long_enough], ((end - start) / np.maximum(length, 1e-9))[long_enough] * size
    across = along[:, ::-1] * (-0.5, 0.5)
    left, right = tip - along + across, tip - along - across
    return "".join(
        f"M{a:.1f} {b:.1f}L{x:.1f} {y:.1f}L{c:.1f} {d:.1f}"
        for (a, b), (x, y), (c, d) in zip(left, tip, right, strict=True)
    )


def _data_uri(kind: str, encoded: np.ndarray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
