"""Which network a set of tensors belongs to, told from their names alone.

The names are those that the families' reference code gives its modules; counts were taken from the instantiated
networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A published architecture and how its files are known."""

    name: str
    title: str
    marks: tuple[str, ...]
    """Names that its files hold, all of them; no other family has the same set."""
    tensors: int | None = None
    """How many a complete file holds; None where sizes of one family differ."""


FAMILIES = (
    Family("xmatch", "xmatch", ("encoder.stages.0.0.0.weight", "coarse.", "descriptors.", "refiners.")),
    Family("roma", "RoMa", ("decoder.embedding_decoder.to_out.weight", "decoder.conv_refiner.16.", "encoder."), 603),
    Family("romav2", "RoMa v2", ("matcher.omega", "refiners.4.", "refiner_features.")),
    Family("tiny-roma", "Tiny RoMa", ("xfeat.0.skip1.1.weight", "coarse_matcher.0.", "fine_matcher.0."), 112),
    # Before LoFTR, whose names it shares but for the aggregation.
    Family("eloftr", "Efficient LoFTR", ("loftr_coarse.layers.0.aggregate.weight", "fine_preprocess."), 447),
    Family("eloftr-hf", "Efficient LoFTR, names of transformers", ("efficientloftr.backbone.stages.0.",)),
    Family("xoftr", "XoFTR", ("loftr_coarse.layers.0.q_proj.weight", "fine_process.", "coarse_matching."), 247),
    Family("loftr", "LoFTR", ("loftr_coarse.layers.0.q_proj.weight", "loftr_fine.layers.0.", "fine_preprocess."), 211),
    Family("lightglue", "LightGlue", ("posenc.Wr.weight", "log_assignment.0.matchability.weight")),
    Family("disk", "DISK", ("unet.path_down.0.", "unet.path_up.3.conv.3.weight"), 26),
    Family("superpoint", "SuperPoint", ("conv1a.weight", "convPa.weight", "convDb.weight"), 24),
    Family("dinov2", "DINOv2", ("cls_token", "patch_embed.proj.weight", "blocks.0.ls1.gamma")),
    Family("dinov2-hf", "DINOv2, names of transformers", ("embeddings.patch_embeddings.projection.weight",
           "encoder.layer.0.layer_scale1.lambda1")),
)  # fmt: skip
"""In the order in which they are tried. A mark that ends in a dot is the beginning of a name."""

PREFIXES = ("module.", "_orig_mod.", "matcher.", "model.")
"""What training frameworks and wrappers put before every name."""


def recognise(names: Iterable[str]) -> Family | None:
    """The family whose marks are all among `names`, prefixes stripped before."""
    names = set(names)

    def holds(mark: str) -> bool:
        return any(name.startswith(mark) for name in names) if mark.endswith(".") else mark in names

    return next((family for family in FAMILIES if all(map(holds, family.marks))), None)


def common_prefixes(names: Iterable[str]) -> list[str]:
    """The prefixes of `PREFIXES` that stand before all of the names, outermost first: ["matcher.", "model."]."""
    names = list(names)
    found: list[str] = []
    while names:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in names)), None)
        if prefix is None:
            break
        found.append(prefix)
        names = [name.removeprefix(prefix) for name in names]
    return found
