"""From weights to the matcher that runs them, as the registry of networks has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmatch.errors import ModelError, UsageError
from xmatch.matchers.base import Matcher
from xmatch.networks.architecture import NOT_RUN, Architecture
from xmatch.networks.loading import LoadedNetwork, load_companion, load_network
from xmatch.networks.weights import shipped
from xmatch.ops.devices import resolved

if TYPE_CHECKING:
    from torch import nn

    from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
    from xmatch.networks.base import CorrespondenceNetwork, Detector
    from xmatch.networks.xmatch.runner import Network


def open_matcher(name: str | None, weights: str | None, device: str, companion_weights: str | None = None) -> Matcher:
    """The matcher of that name with the weights that come with the package, or with those in a file.

    Args:
        name: of `xmatch.matchers.registry.MATCHERS`; None: that of the weights.
        weights: path, or name of weights (`xmatch.networks.weights.find_weights`); None: those of the package.
        device: "auto" (a CUDA device if there is one), "cpu", "cuda" or "cuda:N".
        companion_weights: as `weights`, of the network that the matcher's works on, a detector of keypoints or an image
            encoder; None: those that its weights were trained on, if that is known.

    Raises:
        ModelError: no such weights, damaged ones, or ones of another architecture.
        UsageError: no such device, or a companion where none is wanted.
    """
    wanted = weights or name or ""
    if weights is None and name not in shipped():
        raise ModelError(
            f"no weights for {name} come with the package",
            hint="--weights FILE, or a name of `xmatch models list` after `xmatch models fetch NAME`",
        )
    loaded = load_network(wanted)
    if name not in (None, loaded.entry.matcher):
        raise ModelError(
            f"holds weights of {loaded.entry.title}, not of {name}", hint="xmatch models info", path=weights
        )
    detector = _accompanied(loaded, companion_weights, device)
    return matcher_around(loaded.entry, loaded.network, resolved(device), detector)


def open_correspondence_network(
    weights: str, device: str, companion_weights: str | None = None, training: str | None = None
) -> CorrespondenceNetwork:
    """The network of weights that find correspondences; arguments and errors as `open_matcher` and `load_network`."""
    loaded = load_network(weights, training)
    entry = loaded.entry
    if entry.runner is None and entry.detector is None:
        raise ModelError(f"{entry.title} finds no correspondences by itself", hint="xmatch models list", path=weights)
    detector = _accompanied(loaded, companion_weights, device)
    return _correspondence_network(entry, loaded.network, resolved(device), detector)


def matcher_around(
    entry: Architecture[Any], network: nn.Module, device: str, detector: Detector | None = None
) -> Matcher:
    """The matcher that runs a network which is built already, with its backbone if it looks with one.

    Raises:
        UsageError: nothing here runs such a network yet.
    """
    if entry.matcher is None:
        raise UsageError(f"{entry.title}: {NOT_RUN}")
    if entry.family == "fields":
        from xmatch.matchers.structural import Structural

        return Structural(entry.matcher, _fields_runner(network, device), device)
    if entry.runner is None and entry.detector is None:
        from xmatch.matchers.dense import DenseMatcher

        return DenseMatcher(entry.matcher, _dense_runner(network, device), device)
    from xmatch.matchers.correspondence import CorrespondenceMatcher

    running = _correspondence_network(entry, network, device, detector)
    return CorrespondenceMatcher(entry.matcher, running, device, side_px=entry.look_px, wants_colour=entry.wants_colour)


def _correspondence_network(
    entry: Architecture[Any], network: nn.Module, device: str, detector: Detector | None
) -> CorrespondenceNetwork:
    if entry.runner is not None:
        return entry.runner(network, device, detector)
    from xmatch.networks.keypoints import MutualNearest

    assert entry.detector is not None  # or it would have no matcher
    return MutualNearest(entry.detector(network, device), least_similarity=entry.least_similarity)


def _accompanied(loaded: LoadedNetwork, weights: str | None, device: str) -> Detector | None:
    """What finds the keypoints that a network matches; None where it finds them itself, or looks with a backbone, which
    it is given."""
    found = load_companion(loaded.entry, weights, loaded.known, loaded.config)
    if found is None:
        return None
    if loaded.entry.see_with is not None:
        loaded.entry.see_with(loaded.network, found.network)
        return None
    assert found.entry.detector is not None  # its family is that of keypoints
    _check_fit(loaded, found, weights)
    return found.entry.detector(found.network, resolved(device))


def _check_fit(loaded: LoadedNetwork, found: LoadedNetwork, weights: str | None) -> None:
    """Raises ModelError where descriptors are not those that a matcher of keypoints was trained on."""
    known = loaded.known
    if known and known.works_on and known.works_on not in {row.name for row in found.entry.published}:
        raise ModelError(
            f"{known.name} matches keypoints of {known.works_on}, not of {found.entry.title}",
            hint=f"--companion-weights {known.works_on}",
            path=weights,
        )
    found.as_companion().check_descriptors(loaded.config["input"], loaded.entry.title)


def _dense_runner(network: nn.Module, device: str) -> Network:
    from xmatch.networks.xmatch.network import XMatch
    from xmatch.networks.xmatch.runner import Network

    assert isinstance(network, XMatch)
    return Network(network, device)


def _fields_runner(network: nn.Module, device: str) -> LearnedDescriptor:
    from xmatch.matchers.search.learned_descriptors import LearnedDescriptor
    from xmatch.networks.fieldnet.network import FieldNet

    assert isinstance(network, FieldNet)
    return LearnedDescriptor(network, device)
