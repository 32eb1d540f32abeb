"""Published networks as their authors run them: one look at the images as they are, and RANSAC.

Beside the matchers of xmatch that run the same networks, this shows what the search of turns and scales adds.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import PeerResult, PeerSettings
from xmatch.evaluation.peers.fitting import explained_shrunk
from xmatch.evaluation.peers.images import flat_reason, read_shrunk

if TYPE_CHECKING:
    from xmatch.networks.base import CorrespondenceNetwork

LONGEST_PX = 840
"""Longer side of what networks see, as LoFTR's authors choose it for MegaDepth."""


class PublishedNetwork:
    """Weights: any that find correspondences (`xmatch models list`); LightGlue's with its detector's."""

    name = "network"

    def prepare(self) -> None:
        """Imports what takes long: part of the start of a process, not of a pair."""
        import kornia.feature  # noqa: F401

    def check(self, settings: PeerSettings) -> None:
        """Raises UsageError when a setting is missing, ModelError when the weights cannot be loaded."""
        self.load(settings)

    def load(self, settings: PeerSettings) -> CorrespondenceNetwork:
        """The network, ready; errors as `check`."""
        from xmatch.matchers.weights import open_correspondence_network

        if settings.weights is None:
            hint = "weights: a file, or a name of xmatch models list"
            raise UsageError(f"the peer `{self.name}` needs weights", hint=f"{hint}; nothing is downloaded")
        return open_correspondence_network(
            settings.weights, settings.device, settings.companion_weights, training=settings.model
        )

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        import torch

        torch.set_num_threads(settings.threads)
        network = self.load(settings)
        here, there = (read_shrunk(path, LONGEST_PX) for path in (fixed, moving))
        if reason := flat_reason(here.full, there.full):
            return PeerResult(None, reason)
        seen = [each.grey.astype(np.float32) / np.float32(255) for each in (here, there)]
        pairs = network.match(*(network.describe(image, np.ones(image.shape, bool)) for image in seen))
        return explained_shrunk(pairs, here, there, settings)
