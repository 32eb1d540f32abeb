"""Projective maps of the plane: everything that a 3x3 matrix says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xmatch.coords import AnyArray, Floats, Mask
from xmatch.geometry.matrices import apply_affine

LINEAR_KINDS = ("translation", "similarity", "affine", "homography")
HORIZON_W = 1e-9
"""The third coordinate that a point in front of the horizon exceeds."""


@dataclass(frozen=True, eq=False)
class Linear:
    """A translation, similarity, affine map or homography, moving px -> fixed px."""

    matrix: AnyArray
    """(3, 3), scaled so that matrix[2, 2] = 1 where that is possible."""
    kind: str = "homography"
    w_sign: int = 1
    """Sign of w for points in front of the horizon; -1 when the origin lies behind it, as it can for an inverse."""

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not 1e-12 <= abs(_det(matrix)) < np.inf:
            raise ValueError("a transform's matrix must be 3x3, finite and invertible")
        if self.kind not in LINEAR_KINDS:
            raise ValueError(f"kind {self.kind!r} is not one of {', '.join(LINEAR_KINDS)}")
        if abs(matrix[2, 2]) > 1e-12:
            matrix = matrix / matrix[2, 2]
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    def __call__(self, xy: AnyArray) -> Floats:
        xy = np.asarray(xy, dtype=np.float64)
        if self.kind != "homography":
            return apply_affine(self.matrix, xy)
        mapped = xy @ self.matrix[:, :2].T + self.matrix[:, 2]
        w = mapped[..., 2:]
        if self.w_sign < 0:
            mapped, w = -mapped, -w
        # Points on or behind the horizon have no image; a sign change of w marks them.
        return np.where(w > HORIZON_W, mapped[..., :2] / np.where(w > HORIZON_W, w, 1.0), np.nan)

    def supported(self, xy: AnyArray) -> Mask:
        """(N,) bool: in front of the horizon. What holds a matrix holds it everywhere."""
        return np.asarray(np.isfinite(self(xy)).all(axis=-1))

    @property
    def inverse(self) -> Linear:
        return self._oriented(np.linalg.inv(self.matrix), self.kind, self.w_sign)

    def after(self, first: Linear) -> Linear:
        """self(first(xy)); the kind is the freer of the two."""
        freer = max(self.kind, first.kind, key=LINEAR_KINDS.index)
        return self._oriented(self.matrix @ first.matrix, freer, self.w_sign * first.w_sign)

    @staticmethod
    def _oriented(matrix: AnyArray, kind: str, w_sign: int) -> Linear:
        """`matrix` is about to be scaled to matrix[2, 2] = 1: remember the sign that is lost then."""
        return Linear(matrix, kind, -w_sign if matrix[2, 2] < -1e-12 else w_sign)

    def as_dict(self) -> dict[str, Any]:
        seen_from_behind = {"w_sign": self.w_sign} if self.w_sign < 0 else {}
        return {"kind": self.kind, "matrix": self.matrix.tolist(), **seen_from_behind}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Linear:
        linear = Linear(np.array(data["matrix"], dtype=np.float64), data["kind"], data.get("w_sign", 1))
        if linear.w_sign not in (1, -1):
            raise ValueError(f"w_sign {linear.w_sign!r} is neither 1 nor -1")
        if linear.kind != "homography" and not np.allclose(linear.matrix[2], (0, 0, 1), rtol=0, atol=1e-9):
            raise ValueError(f"the last row of a transform of kind {linear.kind} must be 0, 0, 1")
        if not np.isfinite(linear.inverse.matrix).all():
            raise ValueError("its matrix has no inverse")
        return linear


def _det(matrix: AnyArray) -> float:
    with np.errstate(all="ignore"):
        return float(np.linalg.det(matrix))


def translation(dx_px: float, dy_px: float) -> Linear:
    return Linear(np.array([[1.0, 0.0, dx_px], [0.0, 1.0, dy_px], [0.0, 0.0, 1.0]]), "translation")


def similarity(angle_deg: float = 0.0, scale: float = 1.0, shift_px: tuple[float, float] = (0.0, 0.0)) -> Linear:
    """Turn by `angle_deg` (positive: x axis towards y axis, clockwise as displayed), scale, then shift."""
    c, s = scale * np.cos(np.radians(angle_deg)), scale * np.sin(np.radians(angle_deg))
    return Linear(np.array([[c, -s, shift_px[0]], [s, c, shift_px[1]], [0.0, 0.0, 1.0]]), "similarity")


def affine(matrix_2x3: AnyArray) -> Linear:
    return Linear(np.vstack([np.asarray(matrix_2x3, dtype=np.float64), (0.0, 0.0, 1.0)]), "affine")


def homography(matrix: AnyArray) -> Linear:
    return Linear(matrix, "homography")
