"""What to make pairs from, as recipes say it, and the sources built from that."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from xmatch.errors import UsageError
from xmatch.synth.difficulty import Difficulty
from xmatch.synth.learned.base import LearnedSpec
from xmatch.synth.learned.registry import LearnedModalities, check_learned
from xmatch.synth.mixture import Mixture
from xmatch.synth.modalities import load_modality, modality_names
from xmatch.synth.sources import (
    AlignedPairs,
    Images,
    Keypoints,
    MultiView,
    PairSource,
    Pictures,
    Sensors,
    Shapes,
    Shards,
    Singles,
    Things,
    Videos,
    Worlds,
)
from xmatch.synth.sources.multiview import depth_maps

SourceKind = Literal[
    "shapes", "singles", "worlds", "pictures", "pairs", "multiview", "video", "shards", "things", "keypoints"
]

WITHOUT_FOLDER = ("shapes", "worlds", "things")
WITHOUT_NAMES = {
    "things": "things are drawn in one way; leave names out",
    "keypoints": "photographs with keypoints are seen as they are; leave names out",
}
STORED = ("worlds", "pictures")
"""Kinds whose scenes are made beside the training."""

MODALITIES = ("infrared", "depth", "event", "normal", "paint", "sketch", "sar", "map", "nir", "night")
"""What `xmatch synth` makes unless told otherwise: the six of MINIMA, and four that users of registration ask for."""


@dataclass(frozen=True)
class SourceSpec:
    """One source of the data mixture.

    Raises:
        ValueError: a folder is missing or superfluous, or a number is out of its range.
    """

    kind: SourceKind
    folder: str | None = None
    """`shapes`, `worlds` and `things` need none."""
    weight: float = 1.0
    names: tuple[str | LearnedSpec, ...] = ()
    """Modalities of shapes, singles, pictures, multiview and video, learned ones as `{learned: depth, weights: PATH}`;
    worlds of worlds; empty: all of them."""
    across: bool = False
    """Any two modalities make a pair; otherwise each is paired with `visible`."""
    pool: int = 24
    """Of worlds and pictures: scenes held at a time."""
    fresh: float = 1 / 3
    """Of worlds and pictures: new scenes a batch."""
    side: int | None = None
    """Of worlds and pictures: side of the scenes, px; default: as the pairs ask, and a new size begins anew."""
    pinhole_share: float = 0.0
    """Of worlds: share of the pairs of land, city and indoor that two pinhole cameras see, up to
    `max_parallax_deg` of the difficulty apart."""

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError("weight must be above 0")
        if self.pool < 1 or self.fresh < 0 or (self.side is not None and (self.side < 64 or self.side % 8)):
            raise ValueError("want pool >= 1, fresh >= 0 and a side that is a multiple of 8, 64 at least")
        if not 0 <= self.pinhole_share <= (self.kind == "worlds"):
            raise ValueError("want a pinhole_share of 0 to 1, and 0 for all but worlds")
        needs_folder = self.kind not in WITHOUT_FOLDER
        if needs_folder != (self.folder is not None):
            raise ValueError(f"{self.kind} {'needs a' if needs_folder else 'has no'} folder")
        if self.names and self.kind in WITHOUT_NAMES:
            raise ValueError(WITHOUT_NAMES[self.kind])
        if self.kind == "worlds" and any(isinstance(name, LearnedSpec) for name in self.names):
            raise ValueError("worlds have sensors of their own; a learned modality is for shapes and images")

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self) | {"names": [_name_as_json(name) for name in self.names]}


def _name_as_json(name: str | LearnedSpec) -> str | dict[str, str]:
    if isinstance(name, str):
        return name
    return {key: value for key, value in dataclasses.asdict(name).items() if value is not None}


@dataclass(frozen=True)
class SynthRecipe:
    """All of `xmatch synth`.

    Raises:
        ValueError: a number out of its range.
    """

    data: tuple[SourceSpec, ...] = ()
    """Folders named on the command line join them. Relative folders start at the recipe's own."""
    modalities: tuple[str | LearnedSpec, ...] = MODALITIES
    """Of sources that name none."""
    count: int = 1000
    """Pairs, or scenes where `views` are asked for."""
    views: int = 0
    """Posed views with depth of each scene, in place of pairs: worlds with heights or depth alone; 0: pairs."""
    size: int = 512
    """Side of the pairs, px."""
    shard_pairs: int = 256
    """Pairs per shard."""
    channels: Literal[1, 3] = 1
    """Of the images. With 3, sensors that see in grey repeat it."""
    seed: int = 0
    difficulty: Difficulty = Difficulty.FULL

    def __post_init__(self) -> None:
        for name, low, high in (("count", 1, 10**9), ("size", 32, 4096), ("shard_pairs", 1, 10**6), ("seed", 0, 2**62)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, want {low} to {high}")
        if self.views and not 2 <= self.views <= 1000:
            raise ValueError(f"views is {self.views}, want 2 to 1000, or 0 for pairs")

    @property
    def learned(self) -> tuple[LearnedSpec, ...]:
        """Learned modalities of all sources, each once."""
        names = (name for spec in self.data for name in spec.names)
        return tuple(dict.fromkeys(name for name in names if isinstance(name, LearnedSpec)))


@dataclass(frozen=True)
class Loaders:
    """What sources of one run share, so that nothing is read or loaded twice."""

    images: Images = field(default_factory=Images)
    learned: LearnedModalities = field(default_factory=LearnedModalities)
    """By default on the CPU, from files of this machine."""
    depths: Images = field(default_factory=depth_maps)
    keypoints: dict[Path, Keypoints] = field(default_factory=dict)
    """By folder."""

    @property
    def rejected(self) -> dict[str, str]:
        """Files that turned out unusable, and why."""
        readers = (self.images, self.depths, *(source.images for source in self.keypoints.values()))
        return {str(part): reason for images in readers for part, reason in images.rejected.items()}


def build_mixture(
    specs: Sequence[SourceSpec], folder: str | os.PathLike[str] = ".", loaders: Loaders | None = None
) -> Mixture:
    """The sources of a recipe with their weights.

    Args:
        folder: where relative folders start.
        loaders: give the same ones to several mixtures and they read every file, and load every network, once.

    Raises:
        UsageError: an unknown modality or world, or nothing to draw from.
        InputError: a folder is missing, empty or holds nothing usable.
        ModelError: a learned modality cannot be loaded.
    """
    if not specs:
        raise UsageError("nothing to make pairs from", hint="name a folder of images, or worlds")
    loaders = loaders or Loaders()
    return Mixture([(SOURCES[spec.kind](spec, Path(folder), loaders), spec.weight) for spec in specs])


def check_modalities(names: Sequence[str | LearnedSpec]) -> None:
    """
    Raises:
        UsageError: an unknown modality, or two learned ones that pairs could not tell apart.
    """
    learned = [name for name in names if isinstance(name, LearnedSpec)]
    for name in names:
        if isinstance(name, LearnedSpec):
            check_learned(name)
        else:
            load_modality(name)
    sensors = [spec.sensor for spec in learned] + [name for name in names if isinstance(name, str)]
    twice = sorted({spec.sensor for spec in learned if sensors.count(spec.sensor) > 1})
    if twice:
        raise UsageError(f"several modalities are called {', '.join(twice)}", hint="give each its own `name`")


def check_worlds(names: Sequence[str | LearnedSpec]) -> None:
    """
    Raises:
        UsageError: an unknown world.
    """
    from xmatch.synth.worlds import WORLDS

    for name in names:
        if name not in WORLDS:
            raise UsageError(f"there is no world {name!r}", hint=f"known: {', '.join(WORLDS)}")


def located(names: Sequence[str | LearnedSpec], folder: Path) -> tuple[str | LearnedSpec, ...]:
    """The names with weights that are a folder below `folder` found there; others are names on the hub."""
    return tuple(name if isinstance(name, str) else _located(name, folder) for name in names)


def _located(spec: LearnedSpec, folder: Path) -> LearnedSpec:
    found = spec.weights and folder.absolute() / Path(spec.weights).expanduser()
    return dataclasses.replace(spec, weights=os.fspath(found)) if found and Path(found).is_dir() else spec


def _sensors(spec: SourceSpec, folder: Path, loaders: Loaders) -> Sensors:
    check_modalities(spec.names)
    named = located(spec.names, folder)
    loaded = {name.sensor: loaders.learned[name] for name in named if isinstance(name, LearnedSpec)}
    names = [name.sensor if isinstance(name, LearnedSpec) else name for name in named]
    return Sensors(names or modality_names(), spec.across, loaded)


def _below(spec: SourceSpec, folder: Path) -> Path:
    return folder / Path(spec.folder or "").expanduser()


def _shapes(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return Shapes(_sensors(spec, folder, loaders))


def _singles(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return Singles.below(_below(spec, folder), _sensors(spec, folder, loaders), loaders.images)


def _pairs(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return AlignedPairs.below(_below(spec, folder), loaders.images)


def _multiview(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return MultiView.below(_below(spec, folder), _sensors(spec, folder, loaders), loaders.images, loaders.depths)


def _video(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return Videos.below(_below(spec, folder), _sensors(spec, folder, loaders))


def _shards(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return Shards(_below(spec, folder))


def _things(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return Things()


def _keypoints(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    root = _below(spec, folder)
    if root not in loaders.keypoints:
        loaders.keypoints[root] = Keypoints.below(root)
    return loaders.keypoints[root]


def _worlds(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    from xmatch.synth.worlds import WORLDS

    check_worlds(spec.names)
    return Worlds(
        _plain_names(spec) or tuple(WORLDS), spec.pool, spec.fresh, spec.side, pinhole_share=spec.pinhole_share
    )


def _plain_names(spec: SourceSpec) -> tuple[str, ...]:
    return tuple(name for name in spec.names if isinstance(name, str))


def _pictures(spec: SourceSpec, folder: Path, loaders: Loaders) -> PairSource:
    return Pictures.below(_below(spec, folder), _plain_names(spec), pool=spec.pool, fresh=spec.fresh, side=spec.side)


SOURCES: dict[str, Callable[[SourceSpec, Path, Loaders], PairSource]] = {
    "shapes": _shapes,
    "singles": _singles,
    "pairs": _pairs,
    "multiview": _multiview,
    "video": _video,
    "shards": _shards,
    "worlds": _worlds,
    "pictures": _pictures,
    "things": _things,
    "keypoints": _keypoints,
}
"""Kind of source in a recipe -> builder(spec, folder that relative ones start at, what reads and loads)."""
