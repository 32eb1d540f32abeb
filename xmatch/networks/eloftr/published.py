"""Efficient LoFTR's weights as others publish them, the marks that they are recognised by, and their other names."""

import re

from xmatch.networks.architecture import PublishedWeights

MARKS = ("loftr_coarse.layers.0.aggregate.weight", "fine_preprocess.")
TRANSFORMERS_MARKS = ("efficientloftr.backbone.stages.0.",)
TENSORS = 447

TRAININGS = {"photographs": {"threshold": 0.2}, "matchanything": {"threshold": 0.1}}
"""Training of published weights -> threshold that its authors match with; those of photographs and MINIMA's have the
same. The tensors do not tell."""

PUBLISHED = (
    PublishedWeights(
        name="minima-eloftr",
        file="minima_eloftr.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=16.05,
        source="github.com/LSXI7/storage, release MINIMA",
    ),
    PublishedWeights(
        name="matchanything-eloftr",
        file="matchanything_eloftr.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=16.05,
        source="huggingface.co/spaces/LittleFrog/MatchAnything",
        training="matchanything",
        note="also zju-community/matchanything_eloftr on the Hugging Face hub, as safetensors under other names",
    ),
    PublishedWeights(
        name="eloftr-outdoor",
        file="eloftr_outdoor.ckpt",
        licence="Apache-2.0",
        commercial=True,
        parameters_m=16.05,
        source="github.com/zju3dv/EfficientLoFTR",
    ),
)

_BLOCK = {"conv1.conv": "rbr_dense.conv", "conv1.norm": "rbr_dense.bn", "conv2.conv": "rbr_1x1.conv",
          "conv2.norm": "rbr_1x1.bn", "identity": "rbr_identity"}  # fmt: skip
_LAYER = {"aggregation.q_aggregation": "aggregate", "aggregation.norm": "norm1", "attention.q_proj": "q_proj",
          "attention.k_proj": "k_proj", "attention.v_proj": "v_proj", "attention.o_proj": "merge", "mlp.fc1": "mlp.0",
          "mlp.fc2": "mlp.2", "mlp.layer_norm": "norm2"}  # fmt: skip
_FUSION = {"out_conv1": "outconv", "out_conv2": "outconv2.0", "batch_norm": "outconv2.1", "out_conv3": "outconv2.3"}


def from_transformers(name: str) -> str:
    """The published name of a tensor that transformers' EfficientLoFTRForKeypointMatching calls `name`."""
    if found := re.fullmatch(r"efficientloftr\.backbone\.stages\.(\d+)\.blocks\.(\d+)\.(\w+(?:\.\w+)?)\.(\w+)", name):
        stage, block, part, leaf = found.groups()
        layer = "layer0" if stage == "0" else f"layer{stage}.{block}"
        return f"backbone.{layer}.{_BLOCK[part]}.{leaf}"
    if found := re.fullmatch(
        r"efficientloftr\.local_feature_transformer\.layers\.(\d+)\.(self|cross)_attention\.(\w+\.\w+)\.(\w+)", name
    ):
        number, kind, part, leaf = found.groups()
        return f"loftr_coarse.layers.{2 * int(number) + (kind == 'cross')}.{_LAYER[part]}.{leaf}"
    if found := re.fullmatch(r"refinement_layer\.out_conv_layers\.(\d+)\.(\w+)\.(\w+)", name):
        number, part, leaf = found.groups()
        return f"fine_preprocess.layer{2 - int(number)}_{_FUSION[part]}.{leaf}"
    return name.replace("refinement_layer.out_conv.", "fine_preprocess.layer3_outconv.")
