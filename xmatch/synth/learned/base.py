"""What a learned modality is, and how a recipe or the command line names one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

PREFIX = "learned:"
"""Before the name of a learned modality, on the command line and in the files of pairs."""


class LearnedModality(Protocol):
    """A `Modality` with the licence of its weights."""

    @property
    def name(self) -> str: ...

    @property
    def licence(self) -> str:
        """As the model card spells it, such as apache-2.0; "unknown" where it says nothing."""
        ...

    def __call__(self, image: torch.Tensor, rng: torch.Generator, /) -> torch.Tensor:
        """See `xmatch.synth.modalities.Modality`; the network may live on another device than the image."""
        ...


@dataclass(frozen=True)
class LearnedSpec:
    """A learned modality as recipes name it: `{learned: depth, weights: PATH}`.

    Raises:
        ValueError: the name is empty, or a prompt is given to a network that takes none.
    """

    learned: str
    """A name in `xmatch.synth.learned.registry.LEARNED`."""
    weights: str | None = None
    """A folder, or a name on the hub; default: `DEFAULT_WEIGHTS` of the registry."""
    prompt: str | None = None
    """What `translate` is told to do, such as "turn it into a thermal image"; the others take none."""
    licence: str | None = None
    """Instead of the one that the model card states."""
    name: str | None = None
    """What pairs call this sensor; default "learned:depth" and the like. Two of one kind need a name each."""

    def __post_init__(self) -> None:
        if not self.learned:
            raise ValueError("learned names no modality")
        if self.prompt is not None and self.learned != "translate":
            raise ValueError(f"the learned modality {self.learned!r} takes no prompt; leave it out, or use translate")

    @property
    def sensor(self) -> str:
        """The name of this sensor in pairs."""
        return self.name or f"{PREFIX}{self.learned}"

    @classmethod
    def parsed(cls, text: str) -> LearnedSpec:
        """From "learned:depth" or "learned:depth=WEIGHTS", as the command line spells it.

        Raises:
            ValueError: no name stands there.
        """
        learned, _, weights = text.removeprefix(PREFIX).partition("=")
        return cls(learned.strip(), weights.strip() or None)


@dataclass(frozen=True)
class LoadOptions:
    """How networks are fetched and where they run."""

    device: str = "cpu"
    may_download: bool = False
    """Weights that are not on this machine may be fetched from the hub."""


@dataclass(frozen=True)
class WeightsRequest:
    """One network to load: what the loaders below are asked for."""

    weights: str
    """A folder, or a name on the hub."""
    options: LoadOptions = LoadOptions()
    licence: str | None = None
    prompt: str | None = None

    @property
    def local_files_only(self) -> bool:
        """What the libraries of the hub are told, everywhere: no request leaves this machine."""
        return not self.options.may_download
