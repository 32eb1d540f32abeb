"""xmatch under the same conditions as its peers."""

from __future__ import annotations

from pathlib import Path

from xmatch.errors import InputError
from xmatch.evaluation.peers.base import Found, PeerSettings
from xmatch.io import open_source
from xmatch.registration.options import RegisterOptions
from xmatch.registration.pipeline import register


class Xmatch:
    """`xmatch register` with the settings' matcher. A transform counts even if the verdict distrusts it."""

    name = "xmatch"

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> Found:
        options = RegisterOptions(
            matcher=settings.matcher,
            weights=settings.weights,
            transform=settings.transform,
            seed=settings.seed,
            threads=settings.threads,
        )
        try:
            with open_source(fixed) as fixed_source, open_source(moving) as moving_source:
                said = register(fixed_source, moving_source, options)
        except InputError as error:
            return Found(None, str(error))
        reason = said.verdict.reason if said.transform is None else None
        return Found(said.transform, reason, len(said.correspondences), int(said.inliers.sum()))
