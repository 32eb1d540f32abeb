"""The real architectures with a few random weights, saved as published ones are: no network, no download."""

from __future__ import annotations

from pathlib import Path

import torch


def save_depth_anything(folder: Path) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
    )
    torch.manual_seed(0)
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)


def diffusion_parts(latent_inputs: int) -> dict:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4}
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=8,
        in_channels=latent_inputs,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
    )
    vae = AutoencoderKL(
        **blocks,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    text = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=16,
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=1,
    )
    vocab = {"<|startoftext|>": 0, "<|endoftext|>": 1} | {letter: 2 + i for i, letter in enumerate("a b c d".split())}
    return {
        "unet": unet,
        "vae": vae,
        "scheduler": DDIMScheduler(clip_sample=False, steps_offset=1),
        "text_encoder": CLIPTextModel(text),
        "tokenizer": CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16),
    }


def save_marigold(folder: Path) -> None:
    from diffusers import MarigoldNormalsPipeline

    MarigoldNormalsPipeline(
        **diffusion_parts(latent_inputs=8),
        prediction_type="normals",
        default_denoising_steps=2,
        default_processing_resolution=32,
    ).save_pretrained(folder)


def save_stable_diffusion(folder: Path, kind: str) -> None:
    import diffusers

    inputs = 8 if "Pix2Pix" in kind else 4
    getattr(diffusers, kind)(
        **diffusion_parts(inputs), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(folder)
