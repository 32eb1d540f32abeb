"""From the data mixture of a recipe to the sources that draw it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from xmatch.synth.mixture import Mixture
from xmatch.synth.modalities import modality_names
from xmatch.synth.sources import AlignedPairs, Images, Sensors, Shapes, Singles, Source, Worlds
from xmatch.training.recipe import SourceSpec


def build_mixture(specs: Sequence[SourceSpec], folder: str | os.PathLike) -> Mixture:
    """The sources of a recipe with their weights. Relative folders start at `folder`.

    Raises:
        InputError: a folder is missing or holds nothing usable.
        UsageError: an unknown modality or world.
    """
    images = Images()  # one cache for all of them
    return Mixture([(SOURCES[spec.kind](spec, Path(folder), images), spec.weight) for spec in specs])


def _sensors(spec: SourceSpec) -> Sensors:
    return Sensors(spec.names or modality_names(), across=spec.across)


def _below(spec: SourceSpec, folder: Path) -> Path:
    return folder / Path(spec.folder or "").expanduser()


def _shapes(spec: SourceSpec, folder: Path, images: Images) -> Source:
    return Shapes(_sensors(spec))


def _singles(spec: SourceSpec, folder: Path, images: Images) -> Source:
    return Singles.below(_below(spec, folder), _sensors(spec), images)


def _pairs(spec: SourceSpec, folder: Path, images: Images) -> Source:
    return AlignedPairs.below(_below(spec, folder), images)


def _worlds(spec: SourceSpec, folder: Path, images: Images) -> Source:
    from xmatch.synth.worlds import WORLDS

    return Worlds(spec.names or tuple(WORLDS))


SOURCES: dict[str, Callable[[SourceSpec, Path, Images], Source]] = {
    "shapes": _shapes,
    "singles": _singles,
    "pairs": _pairs,
    "worlds": _worlds,
}
"""Kind of source in a recipe -> builder."""
