"""SuperPoint's network, as the paper describes it, with the names of the published tensors."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.superpoint.config import SuperPointConfig

CELL_PX = 8


class SuperPoint(nn.Module):
    """An encoder to cells of 8 x 8 px; one head says at which px of a cell a keypoint lies, if any, the other describes
    cells."""

    def __init__(self, config: SuperPointConfig) -> None:
        super().__init__()
        c1, c2, c3, c4 = config.channels
        self.conv1a, self.conv1b = _conv(1, c1), _conv(c1, c1)
        self.conv2a, self.conv2b = _conv(c1, c2), _conv(c2, c2)
        self.conv3a, self.conv3b = _conv(c2, c3), _conv(c3, c3)
        self.conv4a, self.conv4b = _conv(c3, c4), _conv(c4, c4)
        self.convPa, self.convPb = _conv(c4, config.hidden), nn.Conv2d(config.hidden, CELL_PX**2 + 1, 1)
        self.convDa, self.convDb = _conv(c4, config.hidden), nn.Conv2d(config.hidden, config.descriptor, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """How much of a keypoint each px is, (B, H, W) in [0, 1], and descriptors of cells, (B, D, H / 8, W / 8) of
        length 1; of images (B, 1, H, W), H and W multiples of 8."""
        seen = image
        for level in "1234":
            for part in "ab":
                seen = F.relu(self.get_submodule(f"conv{level}{part}")(seen))
            if level != "4":
                seen = F.max_pool2d(seen, 2)
        logits = self.convPb(F.relu(self.convPa(seen)))
        heat = F.pixel_shuffle(logits.softmax(1)[:, :-1], CELL_PX)[:, 0]  # the last: no keypoint in the cell
        return heat, F.normalize(self.convDb(F.relu(self.convDa(seen))), dim=1)


def peaks(heat: Tensor, radius_px: int) -> Tensor:
    """(B, H, W) bool: the strongest px for so many px around; then, twice, the strongest of those that no peak is near
    to, as users of SuperPoint have it."""
    side = 2 * radius_px + 1

    def strongest(values: Tensor) -> Tensor:
        return values == F.max_pool2d(values, side, 1, radius_px)

    found = strongest(heat)
    for _ in range(2):
        near = F.max_pool2d(found.float(), side, 1, radius_px) > 0
        found = found | (strongest(heat.masked_fill(near, 0.0)) & ~near)
    return found


def described(descriptors: Tensor, xy: Tensor) -> Tensor:
    """(N, D) of length 1 at px (N, 2), centre-counted, of descriptors (1, D, h, w) of cells.

    The published code puts the outermost cells' centres half a px too near to each other, and LightGlue was trained on
    what it reads there.
    """
    cells = xy.new_tensor([descriptors.shape[-1], descriptors.shape[-2]])
    at = (xy - CELL_PX / 2 + 0.5) / (cells * CELL_PX - CELL_PX / 2 - 0.5) * 2 - 1
    found = F.grid_sample(descriptors, at[None, None], align_corners=True)[0, :, 0].T
    return F.normalize(found, dim=1)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)
