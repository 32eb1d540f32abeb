"""Published networks whose weights can be converted and inspected, and that nothing here runs yet.

A network that gets a runner moves into a folder of its own.
"""

from __future__ import annotations

from typing import Any

from xmatch.networks.architecture import Architecture, PublishedWeights

ROMA: Architecture[Any] = Architecture(
    name="roma",
    title="RoMa",
    family="dense",
    marks=("decoder.embedding_decoder.to_out.weight", "decoder.conv_refiner.16.", "encoder."),
    tensors=603,
    published=(
        PublishedWeights(
            name="roma-outdoor",
            file="roma_outdoor.pth",
            licence="MIT",
            commercial=True,
            parameters_m=111.36,
            source="github.com/Parskatt/storage, release roma",
            note="needs DINOv2 ViT-L/14 (dinov2-vitl14) beside it",
        ),
        PublishedWeights(
            name="roma-indoor",
            file="roma_indoor.pth",
            licence="MIT",
            commercial=True,
            parameters_m=111.36,
            source="github.com/Parskatt/storage, release roma",
            note="needs DINOv2 ViT-L/14 (dinov2-vitl14) beside it",
        ),
        PublishedWeights(
            name="minima-roma",
            file="minima_roma.pth",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=111.36,
            source="github.com/LSXI7/storage, release MINIMA",
            sha256="17f3923bd780e8f1450792706e0643f70c8864ad11bf5fd4f2b54714bac23538",
            note="needs DINOv2 ViT-L/14 (dinov2-vitl14) beside it",
        ),
        PublishedWeights(
            name="matchanything-roma",
            file="matchanything_roma.ckpt",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=111.36,
            source="huggingface.co/spaces/LittleFrog/MatchAnything",
            note="needs DINOv2 ViT-L/14 (dinov2-vitl14) beside it; takes RGB in [0, 1] without normalisation",
        ),
    ),
)
ROMA_V2: Architecture[Any] = Architecture(
    name="romav2",
    title="RoMa v2",
    family="dense",
    marks=("matcher.omega", "refiners.4.", "refiner_features."),
    published=(
        PublishedWeights(
            name="romav2",
            file="romav2.pt",
            licence="MIT AND LicenseRef-DINOv3",
            commercial=False,
            parameters_m=None,
            source="github.com/Parskatt/RoMaV2, release weights",
            note="holds DINOv3, whose own licence limits use",
        ),
    ),
)
TINY_ROMA: Architecture[Any] = Architecture(
    name="tiny-roma",
    title="Tiny RoMa",
    family="dense",
    marks=("xfeat.0.skip1.1.weight", "coarse_matcher.0.", "fine_matcher.0."),
    tensors=112,
    published=(
        PublishedWeights(
            name="tiny-roma-outdoor",
            file="tiny_roma_v1_outdoor.pth",
            licence="MIT",
            commercial=True,
            parameters_m=2.85,
            source="github.com/Parskatt/storage, release roma",
        ),
    ),
)
SUPERPOINT: Architecture[Any] = Architecture(
    name="superpoint",
    title="SuperPoint",
    family="sparse",
    marks=("conv1a.weight", "convPa.weight", "convDb.weight"),
    tensors=24,
    published=(
        PublishedWeights(
            name="superpoint",
            file="superpoint_v1.pth",
            licence="LicenseRef-MagicLeap-noncommercial",
            commercial=False,
            parameters_m=1.3,
            source="github.com/magicleap/SuperPointPretrainedNetwork",
            note="research only, no redistribution",
        ),
    ),
)
DINO_V2: Architecture[Any] = Architecture(
    name="dinov2",
    title="DINOv2",
    family="backbone",
    marks=("cls_token", "patch_embed.proj.weight", "blocks.0.ls1.gamma"),
    published=(
        PublishedWeights(
            name="dinov2-vitl14",
            file="dinov2_vitl14_pretrain.pth",
            licence="Apache-2.0",
            commercial=True,
            parameters_m=304.4,
            source="github.com/facebookresearch/dinov2",
            sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
            note="image encoder of RoMa",
        ),
    ),
)
DINO_V2_HF: Architecture[Any] = Architecture(
    name="dinov2-hf",
    title="DINOv2, names of transformers",
    family="backbone",
    marks=("embeddings.patch_embeddings.projection.weight", "encoder.layer.0.layer_scale1.lambda1"),
)
