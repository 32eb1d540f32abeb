"""What `xmatch.networks.registry` says of RoMa."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xmatch.errors import ModelError
from xmatch.networks.architecture import Architecture
from xmatch.networks.roma.config import SIZES, STRIDES, RomaConfig
from xmatch.networks.roma.published import MARKS, PUBLISHED, TENSORS, TRAININGS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import Detector
    from xmatch.networks.exported import ExportedPart
    from xmatch.networks.roma.network import Roma
    from xmatch.networks.roma.objective import RomaObjective
    from xmatch.networks.roma.runner import RomaRunner

HEAD_CHANNELS = 128
"""Of each head of the transformer in published weights; shapes do not tell how many heads there are."""


def _network(config: RomaConfig) -> Roma:
    from xmatch.networks.roma.network import Roma

    return Roma(config)


def _runner(network: nn.Module, device: str, detector: Detector | None) -> RomaRunner:
    from xmatch.networks.roma.network import Roma
    from xmatch.networks.roma.runner import RomaRunner

    assert isinstance(network, Roma) and detector is None
    return RomaRunner(network, device)


def _objective(entry: Architecture[RomaConfig]) -> RomaObjective:
    from xmatch.networks.roma.objective import RomaObjective

    return RomaObjective(entry)


def _exported(network: nn.Module) -> tuple[ExportedPart, ...]:
    from xmatch.networks.roma.export import parts

    return parts(network)


def _see_with(network: nn.Module, backbone: nn.Module) -> None:
    from xmatch.networks.dinov2.network import Dino
    from xmatch.networks.roma.network import Roma

    assert isinstance(network, Roma)
    wanted = network.config.backbone_width
    if not isinstance(backbone, Dino) or backbone.config.width != wanted:
        has = f"{backbone.config.width} channels" if isinstance(backbone, Dino) else "another network"
        raise ModelError(f"these weights of RoMa look with a DINOv2 of {wanted} channels, not with {has}")
    network.see_with(backbone)


def config_of(tensors: Mapping[str, Tensor]) -> RomaConfig:
    """The size of a RoMa; how images are shown to it is not told."""
    convolutions: list[int] = []
    channels: list[int] = []
    numbers = sorted(
        int(found[1]) for name in tensors if (found := re.fullmatch(r"encoder\.cnn\.layers\.(\d+)\.weight", name))
    )
    kernels = [number for number in numbers if tensors[f"encoder.cnn.layers.{number}.weight"].ndim == 4]
    before = -3
    for number in kernels:
        outputs = tensors[f"encoder.cnn.layers.{number}.weight"].shape[0]
        if number == before + 3 and channels:  # no pooling between them
            convolutions[-1] += 1
        else:
            convolutions.append(1)
            channels.append(outputs)
        before = number
    projected = [tensors[f"decoder.proj.{stride}.0.weight"].shape[0] for stride in STRIDES]
    embedded = [tensors[f"decoder.conv_refiner.{stride}.disp_emb.weight"].shape[0] for stride in STRIDES]
    radius = []
    for stride, own, codes in zip(STRIDES, projected, embedded, strict=True):
        window = tensors[f"decoder.conv_refiner.{stride}.out_conv.weight"].shape[1] - 2 * own - codes
        radius.append((math.isqrt(max(0, window)) - 1) // 2 if window else 0)
    width = tensors["decoder.embedding_decoder.to_out.weight"].shape[1]
    layers = r"decoder\.embedding_decoder\.blocks\.\d+\.attn\.qkv\.weight"
    hidden = r"decoder\.conv_refiner\.1\.hidden_blocks\.\d+\.0\.weight"
    return RomaConfig(
        channels=tuple(channels),  # type: ignore[arg-type]  # so many as strides, or it does not fit
        convolutions=tuple(convolutions),  # type: ignore[arg-type]
        backbone_width=tensors["decoder.proj.16.0.weight"].shape[1],
        projected=tuple(projected),  # type: ignore[arg-type]
        posterior=tensors["decoder.gps.16.pos_conv.weight"].shape[0],
        heads=max(1, width // HEAD_CHANNELS),
        layers=sum(1 for name in tensors if re.fullmatch(layers, name)),
        anchors=math.isqrt(tensors["decoder.embedding_decoder.to_out.weight"].shape[0] - 1),
        embedded=tuple(embedded),  # type: ignore[arg-type]
        radius=tuple(radius),  # type: ignore[arg-type]
        hidden=sum(1 for name in tensors if re.fullmatch(hidden, name)),
    )


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Some files hold the image encoder too, which is a network of its own."""
    return {name: tensor for name, tensor in tensors.items() if "dinov2" not in name}


ROMA = Architecture(
    name="roma",
    title="RoMa",
    family="dense",
    marks=MARKS,
    tensors=TENSORS,
    published=PUBLISHED,
    sizes=SIZES,
    network=_network,
    config_of=config_of,
    trainings=TRAININGS,
    renamed=renamed,
    runner=_runner,
    companion="backbone",
    usual_companion="dinov2-vitl14",
    see_with=_see_with,
    look_px=864,
    wants_colour=True,
    matcher="roma",
    exported=_exported,
    side_multiple=224,  # its own 56, and the 32 of recipes
    objective_name="roma",
    objective=_objective,
    # PL-F as published for it: recipes/adapt-roma.yaml.
    adaptation={
        "steps": 12500,
        "batch": 8,
        "size": 448,
        "view_px": 448,
        "finest": 1,
        "local": 0.0,
        "trust_verdicts": False,
        "pose": "centre",
        "threshold": {"momentum": 0.999},
        "optimiser": {"lr": 5e-6, "encoder_lr": 1e-4},
        "guard": {"every": 500},
    },
)
