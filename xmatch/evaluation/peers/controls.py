"""Controls: peers that look at no content. What they score is what a benchmark gives away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import Peer, PeerResult, PeerSettings
from xmatch.evaluation.peers.border_fit import BorderFit
from xmatch.evaluation.peers.images import size_of
from xmatch.geometry import ThinPlateSpline, similarity, translation
from xmatch.metrics import affine_through


class Identity:
    """Nothing moves."""

    name = "identity"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        return PeerResult(translation(0.0, 0.0))


class Centre:
    """Centre on centre, and moving as large as fits into fixed."""

    name = "centre"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        fixed_size, moving_size = np.array(size_of(fixed)), np.array(size_of(moving))
        scale = float(min(fixed_size / moving_size))
        return PeerResult(similarity(0.0, scale, tuple((fixed_size - scale * moving_size) / 2)))


class TruthControl:
    """What it is told. Anything below a full score is a fault of the benchmark."""

    name = "truth"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        if settings.truth is None:
            raise UsageError("the control `truth` was not given the truth", hint="pairs without one cannot use it")
        return PeerResult(settings.truth)


class LandmarkAffine:
    """The affine map of least squares through the landmarks that results are judged by: what bending has to beat."""

    name = "landmark-affine"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        if not isinstance(settings.truth, ThinPlateSpline):
            raise UsageError("the control `landmark-affine` wants landmarks", hint="leave it out of `matchers`")
        return PeerResult(affine_through(settings.truth.moving_xy, settings.truth.fixed_xy))


CONTROLS: dict[str, Callable[[], Peer]] = {
    c.name: c for c in (Identity, Centre, TruthControl, BorderFit, LandmarkAffine)
}
