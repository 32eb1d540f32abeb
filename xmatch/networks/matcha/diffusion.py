"""DIFT (Tang et al., NeurIPS 2023): features of Stable Diffusion's U-Net while it looks at a noisy image.

The image is encoded, noise of one step of the diffusion is added, the U-Net runs once with an empty prompt, and the
output of one of its up-blocks is the feature; the mean over several noises is steadier.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmatch.io.weights.hub import extra_package, loaded


@dataclass(frozen=True)
class Tap:
    """Where the U-Net is listened to."""

    step: int
    """Of the diffusion, 0 to 999: how much noise."""
    block: int
    """Up-block, from 0."""


SEMANTIC = Tap(step=261, block=1)
"""1,280 channels at 1/16 of Stable Diffusion 2.1."""
GEOMETRIC = Tap(step=0, block=2)
"""640 channels at 1/8."""


class StableDiffusion:
    """The parts of Stable Diffusion that see.

    Args:
        vae: an `AutoencoderKL`.
        unet: a `UNet2DConditionModel`.
        scheduler: adds noise: a `DDIMScheduler`.
        prompt: (1, L, D), the empty prompt as the U-Net takes it.
    """

    def __init__(self, vae: Any, unet: Any, scheduler: Any, prompt: Tensor) -> None:
        self._vae, self._unet, self._scheduler, self._prompt = vae, unet, scheduler, prompt

    @property
    def networks(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        """What its features depend on."""
        return self._vae, self._unet

    @torch.no_grad()  # not inference_mode: a fusion is to be trained on it
    def __call__(self, images: Tensor, tap: Tap, *, ensemble: int = 8, seed: int = 0) -> Tensor:
        """(B, C, h, w) float32 features of images (B, 3, H, W) in [0, 1], H and W multiples of 32 px.

        Each image has the same noises, whichever others it is looked at with.

        Args:
            ensemble: noises that are averaged over.
        """
        weight = next(self._unet.parameters())
        moments = self._vae.encode((2 * images - 1).to(weight)).latent_dist
        noises = _noises(moments.mean.shape[1:], ensemble, seed).to(weight)
        found = []
        for mean, std in zip(moments.mean, moments.std, strict=True):
            latents = (mean + std * noises[0]) * self._vae.config.scaling_factor
            step = torch.full((1,), tap.step, device=weight.device)
            noisy = self._scheduler.add_noise(latents, noises[1], step)
            found.append(self._mean(noisy, step, tap.block))
        return torch.stack(found)

    def _mean(self, noisy: Tensor, step: Tensor, block: int) -> Tensor:
        """(C, h, w) mean feature over (N, 4, h', w'): at once on a GPU as long as memory suffices, else in parts."""
        count = len(noisy) if noisy.is_cuda else 1
        while True:
            try:
                heard = [self._heard(part, step, block).float().sum(0) for part in torch.split(noisy, count)]
                return torch.stack(heard).sum(0) / len(noisy)
            except torch.OutOfMemoryError:
                if count == 1:
                    raise
                count = (count + 1) // 2
                torch.cuda.empty_cache()

    def _heard(self, noisy: Tensor, step: Tensor, block: int) -> Tensor:
        """The output of an up-block; what comes after it is not computed."""

        def stop(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
            raise _Heard(output)

        listening = self._unet.up_blocks[block].register_forward_hook(stop)
        try:
            self._unet(noisy, step, encoder_hidden_states=self._prompt.expand(len(noisy), -1, -1))
        except _Heard as heard:
            return heard.output
        finally:
            listening.remove()
        raise AssertionError("the U-Net ran past its up-block")


class _Heard(Exception):
    """Ends a pass of the U-Net with what was wanted of it."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def _noises(shape: torch.Size, ensemble: int, seed: int) -> Tensor:
    """(2, N, 4, h, w): of the encoder's posterior, and of the diffusion; the same on every device."""
    return torch.randn((2, ensemble, *shape), generator=torch.Generator().manual_seed(seed))


def load_stable_diffusion(
    weights: str, *, device: str = "cpu", half: bool = False, may_download: bool = False
) -> StableDiffusion:
    """Stable Diffusion in the layout of diffusers, from a folder or by its name on the hub.

    Args:
        half: float16 on a GPU, bfloat16 on a CPU.
        may_download: parts that are not on this machine may be fetched.

    Raises:
        ModelError: diffusers or transformers is missing, or the weights are, or they are of another kind.
    """
    diffusers, transformers = extra_package("diffusers"), extra_package("transformers")
    dtype = precision(device, half)

    def part(kind: Any, folder: str, **more: Any) -> Any:
        return kind.from_pretrained(weights, subfolder=folder, local_files_only=not may_download, **more)

    def network(kind: Any, folder: str) -> Any:
        wanted: dict[str, Any] = {"use_safetensors": True, "dtype": dtype}
        if "diffusers" in kind.__module__:
            wanted["low_cpu_mem_usage"] = False  # the other way needs one more package
        here = Path(weights)
        if half and (any((here / folder).glob("*.fp16.safetensors")) if here.is_dir() else True):
            try:  # published beside the others: half of the download
                return part(kind, folder, variant="fp16", **wanted).eval().to(device)
            except (OSError, ValueError):
                pass
        return part(kind, folder, **wanted).eval().to(device)

    def load() -> StableDiffusion:
        vae = network(diffusers.AutoencoderKL, "vae")
        vae.decoder = None  # nothing is drawn
        unet = network(diffusers.UNet2DConditionModel, "unet")
        scheduler = part(diffusers.DDIMScheduler, "scheduler")
        tokenizer = part(transformers.CLIPTokenizer, "tokenizer")
        words = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
        with torch.no_grad():
            text = network(transformers.CLIPTextModel, "text_encoder")
            prompt = text(words.input_ids.to(device))[0]
        return StableDiffusion(vae, unet, scheduler, prompt)

    return loaded(load, weights, may_download=may_download)


def precision(device: str, half: bool) -> torch.dtype:
    """The type that features are computed in; a CPU computes in bfloat16, not in float16."""
    if not half:
        return torch.float32
    return torch.float16 if torch.device(device).type == "cuda" else torch.bfloat16
