"""XFeat and LightGlue as two ONNX files: between them keypoints are chosen."""

from __future__ import annotations

from torch import nn

from xmatch.networks.exported import ExportedPart
from xmatch.networks.lightglue import export as lightglue
from xmatch.networks.sparse.network import SparseMatcher
from xmatch.networks.xfeat import export as xfeat


def parts(network: nn.Module) -> tuple[ExportedPart, ...]:
    assert isinstance(network, SparseMatcher)
    return (*xfeat.parts(network.network, "extractor"), *lightglue.parts(network.matcher, "matcher"))
