"""Learned modalities with tiny random networks of the real architectures; nothing is downloaded."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from functools import cache

import pytest
import torch
from tiny_networks import save_depth_anything, save_marigold, save_stable_diffusion

from xmatch.errors import ModelError, UsageError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.learned.base import LearnedSpec, LoadOptions, WeightsRequest
from xmatch.synth.learned.hub import UNKNOWN_LICENCE, licence_of, multiple_near
from xmatch.synth.learned.registry import DEFAULT_WEIGHTS, LEARNED, LearnedModalities, load_learned
from xmatch.synth.recipe import Loaders, SourceSpec, build_mixture, check_modalities

PIX2PIX = "StableDiffusionInstructPix2PixPipeline"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of every kind, each in a folder of its own."""
    pytest.importorskip("transformers")
    pytest.importorskip("diffusers")
    root = tmp_path_factory.mktemp("weights")
    save_depth_anything(root / "depth")
    save_marigold(root / "normal")
    save_stable_diffusion(root / "translate", PIX2PIX)
    save_stable_diffusion(root / "text", "StableDiffusionPipeline")
    (root / "depth" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A depth network\n")
    return root


@pytest.fixture(scope="module")
def loaded(folder):
    """The modality of a name, for tests that leave it as it is: loading takes longer than seeing."""
    return cache(lambda name: small(load_learned(LearnedSpec(name, str(folder / name)))))


def small(modality):
    """The same networks, seeing a few pixels in a few steps."""
    sizes = {"depth": {"side_px": 28}, "normal": {}, "translate": {"side_px": 16, "steps": 2}}
    return dataclasses.replace(modality, **sizes[modality.name])


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(("count", "channels", "height", "width"), [(1, 3, 30, 42), (2, 1, 37, 29)])
def test_a_learned_modality_keeps_the_contract_of_every_modality(loaded, name, channels, count, height, width):
    modality = loaded(name)
    image = torch.rand((count, channels, height, width), generator=seeded(0))
    before = image.clone()
    out = modality(image, seeded(1))
    assert modality.name == name and out.dtype == torch.float32
    assert out.shape in {(count, 1, height, width), (count, 3, height, width)}
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
    assert torch.equal(image, before)
    # What a no_grad block made can be trained on; what inference_mode made cannot.
    assert not out.requires_grad and not out.is_inference()


@pytest.mark.parametrize("name", LEARNED)
def test_seeds_decide_and_images_of_a_batch_differ(loaded, name):
    modality = loaded(name)
    twins = torch.rand((1, 3, 32, 32), generator=seeded(0)).expand(2, -1, -1, -1)
    first, again, other = (modality(twins, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_depth_is_seen_normalised_and_in_whole_patches(folder):
    modality = small(load_learned(LearnedSpec("depth", str(folder / "depth"))))
    seen = []
    remember = modality.model.register_forward_pre_hook
    remember(lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True)
    modality(torch.full((1, 1, 57, 56), 0.5), seeded(4))
    assert seen[0].shape == (1, 3, 28, 28)
    expected = torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    assert torch.allclose(seen[0], expected[:, None, None], atol=1e-4)


def test_a_stable_diffusion_for_text_becomes_image_to_image(folder):
    modality = small(load_learned(LearnedSpec("translate", str(folder / "text"), prompt="make it night")))
    assert type(modality.pipeline).__name__ == "StableDiffusionImg2ImgPipeline" and modality.prompt == "make it night"
    assert modality(torch.rand((2, 1, 24, 40), generator=seeded(5)), seeded(6)).shape == (2, 3, 24, 40)


def test_an_image_that_the_safety_check_rejects_comes_back_unchanged(folder):
    modality = small(load_learned(LearnedSpec("translate", str(folder / "translate"))))
    modality.pipeline.run_safety_checker = lambda image, device, dtype: (torch.zeros_like(image), [True, False])
    image = torch.rand((2, 3, 16, 16), generator=seeded(7))
    out = modality(image, seeded(8))
    assert torch.equal(out[0], image[0]) and not torch.equal(out[1], image[1])


def test_the_licence_is_the_callers_or_the_model_cards_or_unknown(folder):
    assert load_learned(LearnedSpec("depth", str(folder / "depth"))).licence == "apache-2.0"
    assert load_learned(LearnedSpec("depth", str(folder / "depth"), licence="mine")).licence == "mine"
    assert licence_of(WeightsRequest(str(folder / "normal"))) == UNKNOWN_LICENCE


def test_weights_that_are_not_there_are_named_with_what_to_do(folder, tmp_path):
    for name in LEARNED:
        with pytest.raises(ModelError, match="cannot load.*on this machine") as caught:
            load_learned(LearnedSpec(name, str(tmp_path / "nothing")))
        assert "--allow-download" in caught.value.hint


def test_weights_of_another_kind_are_refused(folder):
    with pytest.raises(ModelError, match="not a MarigoldNormalsPipeline"):
        load_learned(LearnedSpec("normal", str(folder / "translate")))
    with pytest.raises(ModelError, match="not a StableDiffusion"):
        load_learned(LearnedSpec("translate", str(folder / "normal")))
    from transformers import Dinov2Config

    Dinov2Config(hidden_size=16, num_attention_heads=2).save_pretrained(folder / "dino")
    with pytest.raises(ModelError, match="dinov2, not depth_anything"):
        load_learned(LearnedSpec("depth", str(folder / "dino")))


def test_weights_that_lack_tensors_are_refused(folder, tmp_path):
    """Instead of running with random numbers in their place."""
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "depth" / "config.json").read_bytes())
    tensors = load_file(folder / "depth" / "model.safetensors")
    kept = {key: value for key, value in tensors.items() if not key.startswith("head.conv3")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 2 tensors"):
        load_learned(LearnedSpec("depth", str(tmp_path)))


@pytest.mark.parametrize("name", LEARNED)
def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch, name):
    package = "transformers" if name == "depth" else "diffusers"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=f"need the package {package}") as caught:
        load_learned(LearnedSpec(name))
    assert caught.value.hint == "pip install 'xmatch[generators]'"


def test_unknown_names_and_useless_prompts_are_usage_errors():
    with pytest.raises(UsageError, match="no learned modality 'x-ray'") as caught:
        load_learned(LearnedSpec("x-ray"))
    assert "depth, normal, translate" in caught.value.hint
    with pytest.raises(ValueError, match="takes no prompt"):
        LearnedSpec("depth", prompt="make it night")
    assert set(DEFAULT_WEIGHTS) == set(LEARNED)


def test_importing_the_package_loads_none_of_the_libraries():
    code = "import sys, xmatch.synth.learned.registry; print({'torch', 'transformers', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(288, 288, (518, 518)), (100, 200, (518, 1036)), (480, 640, (518, 686)), (3, 5, (518, 868))],
)
def test_the_network_sees_whole_patches_at_about_the_same_ratio(height, width, expected):
    assert multiple_near(height, width, 518, 14) == expected


# The door from recipes


def test_a_recipe_sees_images_through_learned_modalities_beside_procedural_ones(folder):
    spec = LearnedSpec("depth", "depth")  # below the recipe's folder
    source = SourceSpec("shapes", names=("curves", spec))
    learned = LearnedModalities()
    shapes = build_mixture([source], folder, Loaders(learned=learned)).sources[0]
    assert learned.licences == {"learned:depth": "apache-2.0"}
    drawn = shapes.draw(6, 32, seeded(0), Difficulty.FULL)
    assert {name for pair in drawn.names for name in pair} == {"visible", "curves", "learned:depth"}
    assert len(drawn.second) == 6 and torch.isfinite(drawn.second).all()


def test_two_learned_modalities_that_pairs_could_not_tell_apart_are_refused():
    warm, cold = (LearnedSpec("translate", prompt=prompt) for prompt in ("make it warm", "make it cold"))
    with pytest.raises(UsageError, match="several modalities are called learned:translate"):
        check_modalities((warm, cold))
    check_modalities((warm, dataclasses.replace(cold, name="cold")))
    with pytest.raises(UsageError, match="no learned modality 'x-ray'"):
        check_modalities((LearnedSpec("x-ray"),))


def test_worlds_have_no_learned_sensors():
    with pytest.raises(ValueError, match="sensors of their own"):
        SourceSpec("worlds", names=(LearnedSpec("depth"),))


@pytest.mark.parametrize(("may_download", "local_only"), [(False, True), (True, False)])
def test_the_hub_is_asked_only_where_that_is_allowed(monkeypatch, may_download, local_only):
    transformers = pytest.importorskip("transformers")
    asked = []

    def refuse(name, **options):
        asked.append((name, options["local_files_only"]))
        raise OSError("not here")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    with pytest.raises(ModelError, match="not here"):
        load_learned(LearnedSpec("depth"), LoadOptions(may_download=may_download))
    assert asked == [(DEFAULT_WEIGHTS["depth"], local_only)]
