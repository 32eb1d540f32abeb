"""What the authors' RoMa and tiny RoMa answer with random weights about two random images: roma_golden.npz.

    pip install --no-deps romatch && pip install torch torchvision einops loguru kornia
    python tests/networks/make_roma_golden.py

Their code is neither part of this repository nor needed to run the tests. RoMa is built as they build it, of small
parts; with "full" as argument the published size is compared with `xmatch` on the spot instead, which takes minutes.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

GOLDEN = Path(__file__).with_name("roma_golden.npz")
CHANNELS, CONVOLUTIONS, WIDTH, PROJECTED, POSTERIOR = (8, 12, 16, 24), (1, 2, 1, 2), 32, (24, 16, 12, 8, 6), 40
HEADS, LAYERS, ANCHORS, EMBEDDED, RADIUS, HIDDEN = 2, 2, 8, (12, 8, 6, 4, 4), (3, 2, 1, 0, 0), 2
DINO = {"width": WIDTH, "depth": 2, "heads": 2, "side": 5}
COARSE, FINE = (112, 168), (160, 240)
"""(height, width) px of the passes."""
EVERY = 4
"""Px of the answer that are kept: every so many."""
TINY = (100, 140), (96, 128)
"""(height, width) px of the images that tiny RoMa sees."""


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The same for a name and shape everywhere; such that cells differ by what they have seen."""
    found = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if len(shape) > 1:
            value = rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]), dtype=np.float32)
        elif name.endswith(("weight", "gamma", "running_var")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(size=shape) / 5
        if "to_out.weight" in name or "coarse_matcher.4" in name:
            value = 4 * value
        found[name] = torch.tensor(0) if name.endswith("num_batches_tracked") else torch.from_numpy(value).float()
    return found


def images(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    """(1, 3, H, W) in [0, 1], of each (H, W)."""
    rng = np.random.default_rng(7)
    coarse = torch.from_numpy(rng.random((len(sizes), 3, 12, 15), np.float32))
    return [
        torch.nn.functional.interpolate(one[None], size, mode="bicubic").clamp(0, 1)
        for one, size in zip(coarse, sizes, strict=True)
    ]


def both_sizes() -> list[torch.Tensor]:
    """Fixed and moving for the first pass, and for the second."""
    small = images(COARSE, COARSE)
    return [*small, *(torch.nn.functional.interpolate(one, FINE, mode="bilinear") for one in small)]


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]


def of_its_authors() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Their RoMa of small parts, and the weights in it, those of the image encoder among them as `dino.`."""
    from romatch.models.encoders import CNNandDinov2
    from romatch.models.matcher import GP, ConvRefiner, CosKernel, Decoder, RegressionMatcher
    from romatch.models.transformer import Block, MemEffAttention, TransformerDecoder
    from romatch.models.transformer.dinov2 import DinoVisionTransformer
    from torchvision.models.vgg import make_layers

    class Encoder(CNNandDinov2):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            layout: list[str | int] = []
            for channels, count in zip(CHANNELS, CONVOLUTIONS, strict=True):
                layout += [channels] * count + ["M"]
            from romatch.models.encoders import VGG19

            self.cnn = VGG19(pretrained=False)
            self.cnn.layers = nn.ModuleList(make_layers(layout, batch_norm=True))
            self.vit = [
                DinoVisionTransformer(img_size=14 * DINO["side"], patch_size=14, embed_dim=WIDTH, depth=DINO["depth"],
                                      num_heads=DINO["heads"], init_values=1.0, block_chunks=0).eval()
            ]  # fmt: skip

        def forward(self, x: torch.Tensor, upsample: bool = False) -> dict[int, torch.Tensor]:
            found = self.cnn(x)
            if not upsample:
                tokens = self.vit[0].forward_features(x)["x_norm_patchtokens"].permute(0, 2, 1)
                found[16] = tokens.reshape(len(x), WIDTH, x.shape[2] // 14, x.shape[3] // 14)
            return found

    strides = (16, 8, 4, 2, 1)
    width = POSTERIOR + PROJECTED[0]
    blocks = nn.Sequential(*(Block(width, HEADS, attn_class=MemEffAttention) for _ in range(LAYERS)))
    coordinates = TransformerDecoder(blocks, width, ANCHORS**2 + 1, is_classifier=True, amp=True, pos_enc=False)
    refiners, projections = nn.ModuleDict(), nn.ModuleDict()
    for stride, inputs, channels, embedded, radius in zip(
        strides, (WIDTH, *reversed(CHANNELS)), PROJECTED, EMBEDDED, RADIUS, strict=True
    ):
        size = 2 * channels + embedded + ((2 * radius + 1) ** 2 if radius else 0)
        refiners[str(stride)] = ConvRefiner(
            size, size, 3, kernel_size=5, dw=True, hidden_blocks=HIDDEN, displacement_emb="linear",
            displacement_emb_dim=embedded, local_corr_radius=radius or None, corr_in_other=True, amp=True,
            disable_local_corr_grad=True, bn_momentum=0.01, use_custom_corr=False,
        )  # fmt: skip
        projections[str(stride)] = nn.Sequential(nn.Conv2d(inputs, channels, 1), nn.BatchNorm2d(channels))
    process = GP(CosKernel, T=0.2, gp_dim=POSTERIOR, basis="fourier", no_cov=True)
    decoder = Decoder(coordinates, nn.ModuleDict({"16": process}), projections, refiners, detach=True,
                      scales=[str(stride) for stride in strides])  # fmt: skip
    encoder = Encoder()
    network = RegressionMatcher(encoder, decoder, h=COARSE[0], w=COARSE[1], upsample_preds=True, symmetric=True,
                                attenuate_cert=True, upsample_res=FINE).eval()  # fmt: skip
    state = weights({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict(state)
    seeing = weights({f"dino.{name}": tuple(t.shape) for name, t in encoder.vit[0].state_dict().items()})
    encoder.vit[0].load_state_dict({name.removeprefix("dino."): tensor for name, tensor in seeing.items()})
    return network, {**state, **seeing}


def tiny_of_its_authors() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    from kornia.feature import XFeatModel
    from romatch.models.tiny import TinyRoMa

    xfeat = XFeatModel()
    if not hasattr(xfeat, "heatmap_head"):
        raise SystemExit("another XFeat than expected")
    network = TinyRoMa(xfeat=xfeat, freeze_xfeat=False).eval()
    state = weights({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict(state)
    return network, state


def halved(warp: torch.Tensor, certainty: torch.Tensor) -> dict[str, np.ndarray]:
    """Their answer both ways, (H, 2 W), as one for each."""
    width = warp.shape[2] // 2
    found = {
        "there": warp[0, :, :width, 2:],
        "there_sure": certainty[0, :, :width],
        "back": warp[0, :, width:, :2],
        "back_sure": certainty[0, :, width:],
    }
    return {name: tensor[::EVERY, ::EVERY].numpy() for name, tensor in found.items()}


@torch.inference_mode()
def main() -> None:
    network, state = of_its_authors()
    first, second, first_fine, second_fine = map(normalised, both_sizes())
    answer = network.match(first, second, im_A_high_res=first_fine, im_B_high_res=second_fine)
    found = {"names": np.array(sorted(state)), **halved(*answer)}
    tiny, state = tiny_of_its_authors()
    warp, certainty = tiny.match(*images(*TINY))
    found |= {
        "tiny_names": np.array(sorted(state)),
        "tiny": warp[0, ::EVERY, ::EVERY, 2:].numpy(),
        "tiny_sure": certainty[0, ::EVERY, ::EVERY].numpy(),
    }
    np.savez_compressed(GOLDEN, **found)
    for name, value in found.items():
        if value.dtype.kind == "f":
            print(name, value.shape, f"{value.min():.3f} to {value.max():.3f}, spread {value.std():.3f}")


if __name__ == "__main__":
    main()
