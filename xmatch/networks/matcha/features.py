"""The features that are compared: MATCHA's, and those that it is made of.

| name | geometric | semantic | temporal |
| --- | --- | --- | --- |
| matcha | F_m | F_m | F_m |
| matcha-light | F_g | F_s | F_t |
| dift-dinov2 | low, high, DINOv2 | the same | the same |
| dift-uni | low, high | the same | the same |
| dift | low | high | low, high |
| dinov2 | DINOv2 | the same | the same |

F_g and F_s are the fused features, F_t both side by side, F_m with DINOv2 as third; low and high are DIFT's geometric
and semantic features, before any training for correspondence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from xmatch.networks.matcha.cache import FeatureCache, fingerprint
from xmatch.networks.matcha.config import ENSEMBLE, STRIDE, Task
from xmatch.networks.matcha.diffusion import GEOMETRIC, SEMANTIC, StableDiffusion, Tap
from xmatch.networks.matcha.dino import DinoV2
from xmatch.networks.matcha.fusion import Fused, Fusion, joint, merged, resized, unified

Part = Literal["high", "low", "dino"]
Parts = Callable[[Part], Tensor]
"""Makes a part (B, C, H / 8, W / 8) when it is asked for."""


class Feature(Protocol):
    """Describes images so that cells which correspond look alike."""

    name: str

    def __call__(self, images: Tensor, task: Task) -> Tensor:
        """(B, C, H / 8, W / 8) float32 of length 1, of images (B, 3, H, W) in [0, 1], H and W multiples of 32 px."""


class Foundation:
    """The parts as published networks see them, each kept on disk where a cache is given.

    Args:
        diffusion: for "high" and "low".
        dino: for "dino".
        ensemble: noises that DIFT averages over.
        seed: of these noises.
        settings: whatever else changes what the networks see, such as their precision.
    """

    def __init__(
        self,
        diffusion: StableDiffusion | None,
        dino: DinoV2 | None,
        *,
        ensemble: int = ENSEMBLE,
        seed: int = 0,
        cache: FeatureCache | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._cache = cache
        self._made: dict[Part, Callable[[Tensor], Tensor]] = {}
        self._settings: dict[Part, dict[str, Any]] = {}
        if diffusion is not None:
            taps: dict[Part, Tap] = {"high": SEMANTIC, "low": GEOMETRIC}
            for part, tap in taps.items():
                self._made[part] = partial(diffusion, tap=tap, ensemble=ensemble, seed=seed)
                noise = {"step": tap.step, "block": tap.block, "ensemble": ensemble, "seed": seed}
                self._settings[part] = {"part": part, **noise, **self._of(diffusion, settings)}
        if dino is not None:
            self._made["dino"] = dino
            self._settings["dino"] = {"part": "dino", **self._of(dino, settings)}

    def _of(self, source: StableDiffusion | DinoV2, settings: Mapping[str, Any] | None) -> dict[str, Any]:
        # Only a cache asks which weights they are.
        weights = fingerprint(source.networks) if self._cache else ""
        return {**(settings or {}), "weights": weights}

    def __call__(self, images: Tensor, part: Part) -> Tensor:
        """(B, C, h, w) float32: those that are not kept are made, together."""
        make, settings = self._made[part], self._settings[part]
        if self._cache is None:
            return make(images)
        found = [self._cache.get(image, settings) for image in images]
        absent = [i for i, feature in enumerate(found) if feature is None]
        if absent:
            for i, feature in zip(absent, make(images[absent]), strict=True):
                self._cache.put(images[i], settings, feature)
                # As it will be read the next time, so that a second run gives the same points.
                found[i] = feature.half().float()
        return torch.stack([feature for feature in found if feature is not None])


@dataclass(frozen=True)
class Variant:
    """What a feature needs, and what it makes of it."""

    parts: frozenset[Part]
    unfused: Callable[[Parts, Task], Tensor] | None = None
    """(parts, task) -> (B, C, h, w) of length 1."""
    fused: Callable[[Fused, Parts, Task], Tensor] | None = None
    """The same of fused parts."""

    @property
    def needs(self) -> frozenset[str]:
        """Of "diffusion", "dino" and "fusion"."""
        wanted = {"dino" if part == "dino" else "diffusion" for part in self.parts}
        return frozenset(wanted | ({"fusion"} if self.fused else set()))


class PublishedFeature:
    """A variant with its networks."""

    def __init__(self, name: str, foundation: Foundation, fusion: Fusion | None = None) -> None:
        self.name, self._variant = name, VARIANTS[name]
        self._foundation, self._fusion = foundation, fusion

    @torch.inference_mode()
    def __call__(self, images: Tensor, task: Task) -> Tensor:
        """See `Feature`."""
        size = images.shape[-2] // STRIDE, images.shape[-1] // STRIDE

        def parts(part: Part) -> Tensor:
            return resized(self._foundation(images, part), size)

        if self._variant.fused is None:
            assert self._variant.unfused is not None
            return self._variant.unfused(parts, task)
        assert self._fusion is not None
        return self._variant.fused(self._fusion(self._foundation(images, "high"), parts("low")), parts, task)


def _light(fused: Fused, parts: Parts, task: Task) -> Tensor:
    if task == "temporal":
        return joint(fused)
    return F.normalize(fused.geometric if task == "geometric" else fused.semantic, dim=1)


def _dift(parts: Parts, task: Task) -> Tensor:
    if task == "temporal":
        return merged(parts("low"), parts("high"))
    return merged(parts("low") if task == "geometric" else parts("high"))


DIFT: frozenset[Part] = frozenset({"high", "low"})
ALL: frozenset[Part] = DIFT | {"dino"}

VARIANTS: dict[str, Variant] = {
    "matcha": Variant(ALL, fused=lambda fused, parts, task: unified(fused, parts("dino"))),
    "matcha-light": Variant(DIFT, fused=_light),
    "dift-dinov2": Variant(ALL, lambda parts, task: merged(parts("low"), parts("high"), parts("dino"))),
    "dift-uni": Variant(DIFT, lambda parts, task: merged(parts("low"), parts("high"))),
    "dift": Variant(DIFT, _dift),
    "dinov2": Variant(frozenset({"dino"}), lambda parts, task: merged(parts("dino"))),
}
"""Name -> what it is made of."""
