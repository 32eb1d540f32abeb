"""What networks have in common: what matchers ask of them, dense predictions, and what a network is trained by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xmatch.coords import Floats, Image, Mask
    from xmatch.correspondences import Correspondences
    from xmatch.synth.pairs import TrainingPairs


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Places that a detector tells apart from others, strongest first."""

    xy: Floats
    """(N, 2) px of the image as given, corner-counted."""
    descriptors: Tensor
    """(N, D) float32 of length 1, on the detector's device."""
    size: tuple[int, int]
    """(width, height) of the image, px."""


class Detector(Protocol):
    """Finds keypoints and describes them: a network and its device, in numpy and pixels."""

    name: str
    """Of its architecture, as `xmatch.networks.registry` has it."""

    def __call__(self, image: Image, valid: Mask) -> Keypoints:
        """Keypoints of an image (h, w) float32 in [0, 1], all of them where `valid` (h, w) is true."""


class CorrespondenceNetwork(Protocol):
    """Finds places of one image in another: a network and its device, in numpy and pixels."""

    def describe(self, image: Image, valid: Mask) -> Any:
        """What it has to know of an image (h, w) float32 in [0, 1], any size; 0 where not `valid` (h, w) bool. Of one
        whose entry wants colour (h, w, 3) too."""

    def match(self, fixed: Any, moving: Any) -> Correspondences:
        """Correspondences between two described images, in px of the images as given, corner-counted; only places that
        are valid in both. Certainty in [0, 1] as the network has it."""


@runtime_checkable
class Thrifty(Protocol):
    """A `CorrespondenceNetwork` whose need of memory does not follow from the size of what it is shown."""

    def with_less(self) -> str | None:
        """Take less memory from now on, and say how; None: it takes the least that it can."""


@dataclass(frozen=True, eq=False)
class DenseWarp:
    """Where each cell of one image lies in the other, at one scale."""

    stride: int
    """Pixels a cell."""
    warp: Tensor
    """(B, h, w, 2) normalised (x, y) in the other image; may leave [-1, 1]."""
    certainty: Tensor
    """(B, h, w) logits: that the warp is right to within about a cell."""


@dataclass(frozen=True, eq=False)
class Prediction:
    scales: tuple[DenseWarp, ...]
    """Coarse to fine: global matching first, then each refiner's."""
    scores: Tensor
    """(B, N, M) log dual softmax of all cells of fixed and moving at stride 8."""
    guesses: tuple[Tensor, ...]
    """For each refiner the (B, h, w, 2) warp that it started from."""
    local_scores: Tensor | None = None
    """As `scores`, of what each cell alone looks like, before the images have looked at each other; in training."""

    @property
    def finest(self) -> DenseWarp:
        return self.scales[-1]


WITHIN_PX = (1, 3, 5)
"""Limits that shares of errors are given for, px: those of the papers that xmatch is compared with."""


class Objective(Protocol):
    """What a run trains, and by what."""

    @property
    def architecture(self) -> str:
        """What the weights' file names as what builds the network."""

    def build(self, config: Mapping[str, Any]) -> nn.Module:
        """The network of a config from JSON, with fresh weights, on the CPU."""

    def step(self, model: nn.Module, batch: TrainingPairs, *, finest: int = 1) -> dict[str, Tensor]:
        """Scalars, the same names every time; "total" is what is minimised.

        The model's forward pass is called exactly once: with several processes, that is where gradients are averaged.

        Args:
            finest: stride of the last refinement that is trained, where there are any.
        """

    def errors(self, model: nn.Module, batch: TrainingPairs) -> tuple[Tensor, ...]:
        """For each pair the distances in px of moving between predicted and true positions, (N,), N = 0 allowed."""
