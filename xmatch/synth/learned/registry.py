"""All learned modalities, by name; builders import the optional packages when they are called."""

from __future__ import annotations

from collections.abc import Callable

from xmatch.errors import UsageError
from xmatch.synth.learned.base import LearnedModality, LearnedSpec, LoadOptions, WeightsRequest


def _depth(request: WeightsRequest) -> LearnedModality:
    from xmatch.synth.learned.depth import load_depth

    return load_depth(request)


def _normal(request: WeightsRequest) -> LearnedModality:
    from xmatch.synth.learned.normals import load_normals

    return load_normals(request)


def _translate(request: WeightsRequest) -> LearnedModality:
    from xmatch.synth.learned.translate import load_translator

    return load_translator(request)


LEARNED: dict[str, Callable[[WeightsRequest], LearnedModality]] = {
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


def check_learned(spec: LearnedSpec) -> None:
    """
    Raises:
        UsageError: there is no learned modality of that name.
    """
    if spec.learned not in LEARNED:
        raise UsageError(f"there is no learned modality {spec.learned!r}", hint=f"known: {', '.join(LEARNED)}")


def load_learned(spec: LearnedSpec, options: LoadOptions = LoadOptions()) -> LearnedModality:
    """The learned modality, with its network loaded. Nothing is fetched unless `options` allow it.

    Raises:
        UsageError: no such name.
        ModelError: the extra is not installed; the weights are not there, not whole, or of another kind.
    """
    check_learned(spec)
    weights = spec.weights or DEFAULT_WEIGHTS[spec.learned]
    return LEARNED[spec.learned](WeightsRequest(weights, options, spec.licence, spec.prompt))


class LearnedModalities:
    """Loads each network once, for all sources of a mixture and all shards of a run."""

    def __init__(self, options: LoadOptions = LoadOptions()) -> None:
        self.options = options
        self._loaded: dict[LearnedSpec, LearnedModality] = {}

    def __getitem__(self, spec: LearnedSpec) -> LearnedModality:
        """As `load_learned`."""
        if spec not in self._loaded:
            self._loaded[spec] = load_learned(spec, self.options)
        return self._loaded[spec]

    @property
    def licences(self) -> dict[str, str]:
        """Sensor -> licence of its weights, of what has been loaded."""
        return {spec.sensor: modality.licence for spec, modality in self._loaded.items()}
