"""MATCHA: features of the real architectures with few random weights, their fusion, and what is kept of them."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from made_foundation import save_dino, save_stable_diffusion
from torch.nn import functional as F

from xmatch.errors import ModelError, ResourceError, UsageError
from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.matcha import loading
from xmatch.networks.matcha.config import MatchaConfig
from xmatch.networks.matcha.diffusion import GEOMETRIC, SEMANTIC, StableDiffusion, Tap, load_stable_diffusion
from xmatch.networks.matcha.dino import load_dino
from xmatch.networks.matcha.features import VARIANTS
from xmatch.networks.matcha.fusion import Fused, Fusion, FusionBlock, joint, unified
from xmatch.networks.matcha.loading import FeatureOptions, load_feature

TINY = MatchaConfig(high=16, low=12, width=16, blocks=2, heads=2, semantic=12, geometric=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """sd, dino and fusion.safetensors."""
    pytest.importorskip("diffusers", reason="the features of MATCHA come through diffusers")
    pytest.importorskip("transformers", reason="the features of MATCHA come through transformers")
    root = tmp_path_factory.mktemp("foundation")
    save_stable_diffusion(root / "sd")
    save_dino(root / "dino")
    torch.manual_seed(1)
    told = WeightsMetadata("tiny", "matcha", "", config=asdict(TINY))
    save_weights(root / "fusion.safetensors", Fusion(TINY).state_dict(), told)
    return root


def images(count: int = 1, height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.rand((count, 3, height, width), generator=torch.Generator().manual_seed(3))


def options(folder, **more) -> FeatureOptions:
    own = {"diffusion": str(folder / "sd"), "dino": str(folder / "dino"), "ensemble": 2}
    return FeatureOptions(**(own | more))


def test_dift_is_the_up_block_of_diffusers_own_u_net_on_the_noisy_image(folder):
    """By hand, without our code: pipeline, encode, add noise, one pass, the mean over noises."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder / "sd", low_cpu_mem_usage=False)
    scheduler = DDIMScheduler.from_pretrained(folder / "sd", subfolder="scheduler")
    prompt, _ = pipeline.encode_prompt("", "cpu", 1, False)
    ours = load_stable_diffusion(str(folder / "sd"))
    image = images()
    for tap in (SEMANTIC, GEOMETRIC):
        posterior, noise = torch.randn((2, 3, 4, 8, 12), generator=torch.Generator().manual_seed(5))
        heard = []
        hook = pipeline.unet.up_blocks[tap.block].register_forward_hook(lambda _, __, out, to=heard: to.append(out))
        with torch.no_grad():
            latent = pipeline.vae.encode(image * 2 - 1).latent_dist
            sampled = (latent.mean + latent.std * posterior) * pipeline.vae.config.scaling_factor
            noisy = scheduler.add_noise(sampled, noise, torch.tensor(tap.step))
            pipeline.unet(noisy, tap.step, encoder_hidden_states=prompt.repeat(3, 1, 1))
        hook.remove()
        by_hand = heard[0].mean(0)
        assert by_hand.std() > 0.01
        torch.testing.assert_close(ours(image, tap, ensemble=3, seed=5)[0], by_hand, atol=1e-4, rtol=1e-4)


def test_dinov2_is_the_normalised_patch_tokens_of_transformers(folder):
    from transformers import Dinov2Model

    model = Dinov2Model.from_pretrained(folder / "dino")
    image = images(2, 42, 56)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        tokens = model(pixel_values=(image - mean[:, None, None]) / std[:, None, None]).last_hidden_state[:, 1:]
    by_hand = tokens.reshape(2, 3, 4, 20).permute(0, 3, 1, 2)
    torch.testing.assert_close(load_dino(str(folder / "dino"))(image), by_hand, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [512, 768])
def test_shapes_are_those_of_the_paper(side):
    """Stable Diffusion 2.1 and the fusion at their true sizes, on a device that computes shapes alone."""
    diffusers = pytest.importorskip("diffusers", reason="the features of MATCHA come through diffusers")
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
        blocks = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
        vae = diffusers.AutoencoderKL(**blocks, down_block_types=("DownEncoderBlock2D",) * 4)
        fusion, image = Fusion(), torch.empty(1, 3, side, side)
        dino = torch.empty(1, 1024, side // 14, side // 14)
    seen = StableDiffusion(vae, unet, diffusers.DDIMScheduler(), torch.empty(1, 77, 1024, device="meta"))
    high, low = (seen(image, tap, ensemble=1) for tap in (SEMANTIC, GEOMETRIC))
    fused = fusion(high, low)
    cells = side // 8
    assert high.shape == (1, 1280, side // 16, side // 16) and low.shape == (1, 640, cells, cells)
    assert fused.geometric.shape == (1, 256, cells, cells) and fused.semantic.shape == (1, 768, cells, cells)
    assert joint(fused).shape == (1, 512, cells, cells) and unified(fused, dino).shape == (1, 1024, cells, cells)


def test_images_are_described_alike_alone_and_in_a_batch(folder):
    seen = load_stable_diffusion(str(folder / "sd"))
    both = images(2)
    together = seen(both, SEMANTIC, ensemble=2)
    torch.testing.assert_close(together, torch.cat([seen(one[None], SEMANTIC, ensemble=2) for one in both]))
    assert not torch.allclose(together[0], together[1])


def test_more_noises_are_steadier(folder):
    seen, image = load_stable_diffusion(str(folder / "sd")), images()
    tap = Tap(step=500, block=1)

    def between(ensemble: int) -> float:
        first, second = (seen(image, tap, ensemble=ensemble, seed=seed) for seed in (0, 1))
        return float((first - second).std())

    assert between(16) < between(1) / 2


def test_half_precision_is_near_single_precision(folder):
    image = images()
    for load, see in (
        (load_dino, lambda network: network(image)),
        (load_stable_diffusion, lambda network: network(image, GEOMETRIC, ensemble=2)),
    ):
        whole, half = (see(load(str(folder / ("dino" if load is load_dino else "sd")), half=h)) for h in (False, True))
        assert whole.dtype == half.dtype == torch.float32 and not torch.equal(whole, half)
        assert F.cosine_similarity(whole, half, dim=1).min() > 0.98


@pytest.mark.parametrize("size", [(32, 32), (64, 96)])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_feature_gives_each_cell_of_8_px_a_direction(folder, name, size):
    weights = str(folder / "fusion.safetensors") if "fusion" in VARIANTS[name].needs else None
    feature = load_feature(name, options(folder, weights=weights))
    for task in ("geometric", "semantic", "temporal"):
        described = feature(images(2, *size), task)
        assert described.shape[0] == 2 and described.shape[2:] == (size[0] // 8, size[1] // 8)
        torch.testing.assert_close(described.norm(dim=1), torch.ones_like(described[:, 0]))


def test_the_unified_feature_is_every_third_and_second_channel_beside_the_geometric_one():
    """Equation 6 at the sizes of the paper; each of the three weighs the same."""
    generator = torch.Generator().manual_seed(0)
    geometric, semantic, dino = (torch.randn((1, c, 2, 2), generator=generator) for c in (256, 768, 1024))
    found = unified(Fused(geometric, semantic), dino)
    for part, whole in (
        (found[:, :256], geometric),
        (found[:, 256:512], semantic[:, ::3]),
        (found[:, 512:], dino[:, ::2]),
    ):
        torch.testing.assert_close(part, F.normalize(whole, dim=1) / 3**0.5)


def test_cross_attention_adds_to_the_input_of_the_block():
    """Equations 3 and 4: without what cross-attention says, a block is the identity, whatever self-attention says."""
    torch.manual_seed(0)
    block = FusionBlock(8, 2)
    for name in ("cross_high", "cross_low"):
        torch.nn.init.zeros_(getattr(block, name).mlp[-1].weight)
        torch.nn.init.zeros_(getattr(block, name).mlp[-1].bias)
    high, low = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    found = block(high, low)
    assert torch.equal(found[0], high) and torch.equal(found[1], low)


def test_each_feature_hears_of_the_other_and_of_far_cells():
    torch.manual_seed(0)
    fusion = Fusion(TINY).eval()
    high, low = torch.randn(1, 16, 4, 4), torch.randn(1, 12, 8, 8)
    other_high, other_low = high.clone(), low.clone()
    other_high[..., 3, 3] += 1
    other_low[..., 7, 7] += 1
    with torch.no_grad():
        plain, first, second = fusion(high, low), fusion(other_high, low), fusion(high, other_low)
    assert not torch.allclose(plain.geometric[..., 0, 0], first.geometric[..., 0, 0])
    assert not torch.allclose(plain.semantic[..., 0, 0], second.semantic[..., 0, 0])


def test_features_are_kept_by_content_and_settings(folder, tmp_path):
    cache = tmp_path / "kept"
    first = load_feature("dift-dinov2", options(folder, cache=str(cache)))(images(2), "semantic")
    assert len(list(cache.iterdir())) == 6  # two images, three parts
    plain = load_feature("dift-dinov2", options(folder))(images(2), "semantic")
    assert F.cosine_similarity(first, plain, dim=1).min() > 0.9999
    # A second run computes nothing, and gives the same.
    again = load_feature("dift-dinov2", options(folder, cache=str(cache)))
    again._foundation._made = dict.fromkeys(("high", "low", "dino"), lambda images: pytest.fail("made again"))
    assert torch.equal(again(images(2), "semantic"), first)
    for changed in ({"ensemble": 3}, {"seed": 1}, {"half": True}):
        before = len(list(cache.iterdir()))
        load_feature("dift", options(folder, cache=str(cache), **changed))(images(1), "geometric")
        assert len(list(cache.iterdir())) == before + 1, changed
    before = len(list(cache.iterdir()))
    load_feature("dinov2", options(folder, cache=str(cache)))(images(1) * 0.5, "geometric")
    assert len(list(cache.iterdir())) == before + 1


def test_a_damaged_file_of_the_cache_is_made_again(folder, tmp_path):
    made = load_feature("dinov2", options(folder, cache=str(tmp_path)))
    first = made(images(), "semantic")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(made(images(), "semantic"), first)


def test_all_that_is_missing_is_named_with_its_size(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="names on the hub are looked up with it")
    monkeypatch.setenv("XMATCH_CACHE", str(tmp_path))
    nowhere = FeatureOptions(diffusion="nobody/none", dino="nobody/nothing")
    with pytest.raises(ModelError) as caught:
        load_feature("matcha", nowhere)
    said = str(caught.value)
    for part in (
        "nobody/none, 5.2 GB, 2.6 GB in half",
        "nobody/nothing, 1.2 GB",
        "matcha_pretrained.pth",
        "--allow-download",
    ):
        assert part in said


def test_what_is_no_such_network_is_refused(folder):
    with pytest.raises(ModelError, match="cannot load"):
        load_stable_diffusion(str(folder / "dino"))
    with pytest.raises(ModelError, match="of kind clip_text_model, not dinov2|cannot load"):
        load_dino(str(folder / "sd" / "text_encoder"))
    with pytest.raises(UsageError, match="takes no weights"):
        load_feature("dinov2", options(folder, weights="some.safetensors"))
    with pytest.raises(UsageError, match="known: matcha"):
        load_feature("dino", options(folder))


def test_too_little_memory_is_said_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(loading, "free_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match="GB are free"):
        load_feature("dift", options(folder))
