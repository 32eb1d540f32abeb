"""Published networks as kornia runs them, from files of weights that the user has: nothing is ever downloaded.

LoFTR (Sun et al., CVPR 2021), and LightGlue (Lindenberger et al., ICCV 2023) between keypoints of DISK (Tyszkiewicz et
al., NeurIPS 2020). `xmatch models list` says where published weights are. Each call reads them anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmatch.coords import from_centre_xy
from xmatch.correspondences import Correspondences
from xmatch.errors import ModelError, UsageError
from xmatch.evaluation.peers.base import PeerResult, PeerSettings
from xmatch.evaluation.peers.fitting import explained_shrunk
from xmatch.evaluation.peers.images import Shrunk, flat_reason, read_shrunk

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.io.weights.published_pickles import Imported

LONGEST_PX = 840
"""Longer side of what the networks see, as LoFTR's authors choose it for MegaDepth."""
KEYPOINTS = 2048
"""Of DISK, at most so many per image, as LightGlue's authors count them."""
DISK_DIM = 128
"""Length of DISK's descriptors."""

Match = Callable[[Shrunk, Shrunk], Correspondences]
"""(fixed, moving) -> correspondences in px of the shrunk images, corner-counted."""


class _Network:
    """What the peers of this module have in common."""

    name: str
    multiple = 1
    """Of px, that the network wants sides to be."""

    def prepare(self) -> None:
        """Imports what takes long: part of the start of a process, not of a pair."""
        import kornia.feature  # noqa: F401

    def check(self, settings: PeerSettings) -> None:
        """Raises UsageError when a setting is missing, ModelError when the weights cannot be loaded."""
        self.load(settings)

    def load(self, settings: PeerSettings) -> Match:
        """The network, ready; errors as `check`."""
        raise NotImplementedError

    def __call__(self, fixed: Path, moving: Path, settings: PeerSettings) -> PeerResult:
        import torch

        torch.set_num_threads(settings.threads)
        match = self.load(settings)
        here, there = (read_shrunk(path, LONGEST_PX, self.multiple) for path in (fixed, moving))
        if reason := flat_reason(here.full, there.full):
            return PeerResult(None, reason)
        with torch.inference_mode():
            pairs = match(here, there)
        return explained_shrunk(pairs, here, there, settings)


class KorniaLoftr(_Network):
    """Weights: as published, by the authors or in their layout, or of `xmatch pretrain` (semi-dense)."""

    name = "kornia-loftr"
    multiple = 8

    def load(self, settings: PeerSettings) -> Match:
        from xmatch.networks.loftr.entry import LOFTR
        from xmatch.ops.devices import resolved

        assert LOFTR.runner is not None

        runner = LOFTR.runner(_loftr(settings), resolved(settings.device), None)

        def match(fixed: Shrunk, moving: Shrunk) -> Correspondences:
            here, there = (
                runner.describe(seen.grey.astype(np.float32) / np.float32(255), np.ones(seen.grey.shape, bool))
                for seen in (fixed, moving)
            )
            return runner.match(here, there)

        return match


class KorniaDiskLightGlue(_Network):
    """Weights: LightGlue's for DISK, and DISK's own as `detector_weights`."""

    name = "kornia-disk-lightglue"

    def load(self, settings: PeerSettings) -> Match:
        from xmatch.ops.devices import resolved

        lightglue, disk, device = _lightglue(settings), _disk(settings), resolved(settings.device)
        lightglue.to(device)
        disk.to(device)

        def match(fixed: Shrunk, moving: Shrunk) -> Correspondences:
            here, there = (_described(disk, _tensor(seen.rgb, device)) for seen in (fixed, moving))
            if not (here["keypoints"].numel() and there["keypoints"].numel()):
                return Correspondences.empty()
            found = lightglue({"image0": here, "image1": there})
            at = found["matches"][0]
            pairs = _correspondences(
                here["keypoints"][0, at[:, 0]], there["keypoints"][0, at[:, 1]], found["scores"][0]
            )
            # DISK's keypoints are whole numbers, centres of pixels.
            return Correspondences(from_centre_xy(pairs.fixed_xy), from_centre_xy(pairs.moving_xy), pairs.certainty)

        return match


def _loftr(settings: PeerSettings) -> nn.Module:
    from xmatch.io.weights.files import load_state
    from xmatch.networks.loftr.entry import LOFTR
    from xmatch.networks.weights import published_as

    wanted = "weights: outdoor_ds.ckpt of github.com/zju3dv/LoFTR, or minima_loftr.ckpt of github.com/LSXI7/storage"
    read = _weights(settings.weights, "loftr", f"the peer `{KorniaLoftr.name}` needs LoFTR's weights", wanted)
    config = read.metadata.config if read.metadata else {}
    known = published_as(read.sha256)
    training = settings.model or (known.training if known else None)
    if not config and training not in LOFTR.trainings:
        raise UsageError(
            f"the peer `{KorniaLoftr.name}` must be told which training the weights are of: they do not say it",
            hint=f"model: {', '.join(LOFTR.trainings)}",
        )
    network = LOFTR.build(config or LOFTR.config_told(read.state_dict, training))
    load_state(network, read.state_dict, settings.weights)
    return network


def _lightglue(settings: PeerSettings) -> nn.Module:
    from kornia.feature import LightGlue

    from xmatch.io.weights.files import load_state

    wanted = "weights: disk_lightglue.pth of github.com/cvg/LightGlue"
    lacks = f"the peer `{KorniaDiskLightGlue.name}` needs LightGlue's weights for DISK"
    read = _weights(settings.weights, "lightglue", lacks, wanted)
    network = LightGlue(features=None, input_dim=DISK_DIM)  # type: ignore[arg-type] # None: no download
    # Released files have the names of the first version, and lack what is computed from the configuration.
    state = {
        re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", name): tensor
        for name, tensor in read.state_dict.items()
    }
    state.setdefault("confidence_thresholds", network.get_buffer("confidence_thresholds"))
    load_state(network, state, settings.weights)
    return network.eval()


def _disk(settings: PeerSettings) -> nn.Module:
    from kornia.feature import DISK

    from xmatch.io.weights.files import load_state

    wanted = "detector_weights: depth-save.pth of github.com/cvlab-epfl/disk"
    lacks = f"the peer `{KorniaDiskLightGlue.name}` needs DISK's own weights beside LightGlue's"
    read = _weights(settings.detector_weights, "disk", lacks, wanted)
    network = DISK(desc_dim=DISK_DIM)
    load_state(network, read.state_dict, settings.detector_weights)
    return network.eval()


def _weights(path: str | None, family: str, lacks: str, wanted: str) -> Imported:
    """The tensors of a file.

    Raises:
        UsageError: no path.
        ModelError: missing, damaged, more than tensors, or known to be of another family.
    """
    from xmatch.io.weights.published_pickles import import_weights
    from xmatch.networks.registry import recognise

    if path is None:
        raise UsageError(lacks, hint=f"{wanted}; nothing is downloaded")
    read = import_weights(path)
    known = recognise(read.state_dict)
    if known is None or known.name != family:
        found = known.title if known else "no architecture known here"
        raise ModelError(f"holds weights of {found}", hint=wanted, path=path)
    return read


def _tensor(image: np.ndarray, device: str) -> Tensor:
    """(h, w, C) uint8 as (1, C, h, w) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.moveaxis(image, -1, 0)[None].astype(np.float32) / 255).to(device)


def _described(disk: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """What LightGlue wants to know of an image: (1, N, 2) keypoints, centre-counted, and (1, N, D) descriptors."""
    (found,) = disk(image, n=KEYPOINTS, pad_if_not_divisible=True)
    size = image.new_tensor([[image.shape[-1], image.shape[-2]]])
    return {"keypoints": found.keypoints[None], "descriptors": found.descriptors[None], "image_size": size}


def _correspondences(fixed_xy: Tensor, moving_xy: Tensor, certainty: Tensor) -> Correspondences:
    return Correspondences(*(each.double().cpu().numpy() for each in (fixed_xy, moving_xy, certainty)))
