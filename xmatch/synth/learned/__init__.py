"""Modalities made by published networks: slow, closer to real sensors, and an optional extra (`xmatch[generators]`).

The same interface as `xmatch.synth.modalities`, so either kind can stand in for the other. Weights come from a folder
or by their name on the Hugging Face hub, as safetensors only; nothing of theirs ships with xmatch. Each carries the
licence that its model card states: what is trained on its images may have to follow it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xmatch.errors import UsageError

if TYPE_CHECKING:
    import torch


class LearnedModality(Protocol):
    """A `Modality` with the licence of its weights."""

    name: str
    licence: str
    """As the model card spells it, such as apache-2.0; "unknown" where it says nothing."""

    def __call__(self, image: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """See `xmatch.synth.modalities.Modality`; the network may live on another device than the image."""


@dataclass(frozen=True)
class Wanted:
    """What to load, and how."""

    weights: str
    """A folder, or a name on the hub."""
    offline: bool = False
    """Use only what is on this machine already."""
    device: str = "cpu"
    licence: str | None = None
    """Instead of the one in the model card."""
    prompt: str | None = None
    """What an image translator is told to do; the others take none."""


def _depth(wanted: Wanted) -> LearnedModality:
    from xmatch.synth.learned.depth import load_depth

    return load_depth(wanted)


def _normal(wanted: Wanted) -> LearnedModality:
    from xmatch.synth.learned.normals import load_normals

    return load_normals(wanted)


def _translate(wanted: Wanted) -> LearnedModality:
    from xmatch.synth.learned.translate import load_translator

    return load_translator(wanted)


LEARNED: dict[str, Callable[[Wanted], LearnedModality]] = {
    "depth": _depth,
    "normal": _normal,
    "translate": _translate,
}
"""name -> builder."""

DEFAULT_WEIGHTS = {
    # Apache-2.0; the larger ones of the family are CC-BY-NC-4.0
    "depth": "depth-anything/Depth-Anything-V2-Small-hf",
    "normal": "prs-eth/marigold-normals-v1-1",
    "translate": "timbrooks/instruct-pix2pix",
}
"""name -> weights on the hub that are taken when none are named."""


def load_learned(
    name: str,
    weights: str | None = None,
    *,
    offline: bool = False,
    device: str = "cpu",
    licence: str | None = None,
    prompt: str | None = None,
) -> LearnedModality:
    """The learned modality of that name, with its network loaded.

    Args:
        name: one of `LEARNED`.
        weights: a folder or a name on the hub; default: `DEFAULT_WEIGHTS`.
        offline: use only what is on this machine already.
        device: where the network runs.
        licence: instead of the one that the model card states.
        prompt: what `translate` is told to do, such as "turn it into a thermal image".

    Raises:
        UsageError: no such name, or a prompt for a network that takes none.
        ModelError: the extra is not installed; the weights are not there, not whole, or of another kind.
    """
    if name not in LEARNED:
        raise UsageError(f"there is no learned modality {name!r}", hint=f"known: {', '.join(LEARNED)}")
    if prompt is not None and name != "translate":
        raise UsageError(f"the learned modality {name!r} takes no prompt", hint="leave it out, or use translate")
    return LEARNED[name](Wanted(weights or DEFAULT_WEIGHTS[name], offline, device, licence, prompt))
