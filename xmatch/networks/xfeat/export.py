"""XFeat as ONNX, up to the choice of keypoints."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from xmatch.networks.exported import ExportedPart, Size, pictures
from xmatch.networks.xfeat.detector import CELL_PX, MULTIPLE

SIDE_PX = 640


class _Extractor(nn.Module):
    """(1, 1, H, W) -> what keypoints are chosen and described by."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, logits, reliability = self.network(image)
        heat = F.pixel_shuffle(logits.softmax(1)[:, :-1], CELL_PX)
        return F.normalize(features, dim=1), heat, reliability


def parts(network: nn.Module, name: str = "") -> tuple[ExportedPart, ...]:
    """Descriptors of length 1 and how far they are to be relied on at stride 8, and the heat of keypoints of every px.
    Which px are the strongest, and the bicubic look-up of their descriptors, is left to whoever runs it.
    For one size: the exporter unfolds no other."""
    outputs = ("descriptors", "heat", "reliability")
    return (ExportedPart(name, _Extractor(network).eval(), examples, outputs, MULTIPLE, SIDE_PX),)


def examples(size: Size, seed: int) -> dict[str, Tensor]:
    return {"image": pictures(size, seed)[0]}
