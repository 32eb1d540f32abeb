"""Modalities: one image in, the same scene as another sensor might show it out, on the same pixels.

`MODALITIES` is the vocabulary; docs/modalities.md describes each. One from outside joins through the entry-point group
`xmatch.modalities` (a builder without arguments).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from xmatch.plugins import ExtensionPoint
from xmatch.synth.modalities.charts import Map, Posterised
from xmatch.synth.modalities.drawn import Edges, Paint, Sketch
from xmatch.synth.modalities.events import Event
from xmatch.synth.modalities.medical import Medical
from xmatch.synth.modalities.photometric import Curves, Night, Visible
from xmatch.synth.modalities.radar import Sar
from xmatch.synth.modalities.relief import Depth, Normal
from xmatch.synth.modalities.spectral import Infrared, Nir

if TYPE_CHECKING:
    import torch


class Modality(Protocol):
    @property
    def name(self) -> str: ...

    def __call__(self, image: torch.Tensor, rng: torch.Generator, /) -> torch.Tensor:
        """The same scene through another sensor, on the same pixel grid.

        Args:
            image: (B, C, H, W) float32 in [0, 1], C = 1 or 3.
            rng: on the device of `image`. Every image of the batch draws its own parameters.

        Returns:
            (B, 1 or 3, H, W) float32 in [0, 1].
        """
        ...


MODALITIES: dict[str, Callable[[], Modality]] = {
    "visible": Visible,
    "infrared": Infrared,
    "depth": Depth,
    "event": Event,
    "normal": Normal,
    "paint": Paint,
    "sketch": Sketch,
    "sar": Sar,
    "map": Map,
    "nir": Nir,
    "night": Night,
    "medical": Medical,
    "curves": Curves,
    "posterised": Posterised,
    "edges": Edges,
}
"""name -> builder."""

EXTENSION_POINT: ExtensionPoint[Modality] = ExtensionPoint("modality", MODALITIES, "xmatch.modalities")


def load_modality(name: str) -> Modality:
    """The modality of that name, from `MODALITIES` or from an installed plug-in.

    Raises:
        UsageError: no such modality, or the plug-in that brings it cannot be loaded.
    """
    return EXTENSION_POINT.build(name)


def modality_names() -> tuple[str, ...]:
    """Names that `load_modality` knows: the built-in ones, then those of plug-ins."""
    return EXTENSION_POINT.names()
