"""Controls: peers that look at no content. What they score is what a benchmark gives away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import Found, Peer, PeerSettings
from xmatch.evaluation.peers.border_fit import BorderFit
from xmatch.evaluation.peers.images import size_of
from xmatch.geometry import similarity, translation


class Identity:
    """Nothing moves."""

    name = "identity"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        return Found(translation(0.0, 0.0))


class Centre:
    """Centre on centre, and moving as large as fits into fixed."""

    name = "centre"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        fixed_size, moving_size = np.array(size_of(fixed)), np.array(size_of(moving))
        scale = float(min(fixed_size / moving_size))
        return Found(similarity(0.0, scale, tuple((fixed_size - scale * moving_size) / 2)))


class Truth:
    """What it is told. Anything below a full score is a fault of the benchmark."""

    name = "truth"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        if settings.truth is None:
            raise UsageError("the control `truth` was not given the truth", hint="pairs without one cannot use it")
        return Found(settings.truth)


CONTROLS: dict[str, Callable[[], Peer]] = {c.name: c for c in (Identity, Centre, Truth, BorderFit)}
