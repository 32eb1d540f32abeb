"""Which matchers there are.

`MATCHERS` is the vocabulary; builders import what they need when they are called. A matcher from outside joins
through the entry-point group `xmatch.matchers` (a builder taking the same arguments).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from xmatch.errors import UsageError
from xmatch.matchers.base import Matcher, Plan, PlanStage
from xmatch.networks.registry import ARCHITECTURES
from xmatch.ops.batching import once
from xmatch.ops.devices import checked, resolved_with_driver
from xmatch.plugins import ExtensionPoint

Builder: TypeAlias = Callable[[str | None, str, str | None], Matcher | Plan]
"""(weights, device, companion weights) -> one matcher, or several to ask one after the other."""


def _auto(weights: str | None, device: str, companion_weights: str | None) -> Matcher | Plan:
    from xmatch.matchers.sift import Sift
    from xmatch.matchers.weights import open_matcher

    if weights is not None:
        return open_matcher(None, weights, device, companion_weights)
    # From cheap to dear; the network is loaded only where it is asked.
    return (
        PlanStage.ready(Sift(gives_up_early=True)),
        PlanStage("structural", lambda: _structural(None, device, None)),
        PlanStage("xmatch-fields", lambda: _network("xmatch-fields")(None, device, None)),
    )


def _structural(weights: str | None, device: str, companion_weights: str | None) -> Matcher:
    from xmatch.matchers.structural import Structural

    _no_weights("structural", weights or companion_weights)
    return Structural(device=resolved_with_driver(device))


def _network(name: str) -> Callable[[str | None, str, str | None], Matcher]:
    """Builder of the matcher `name` that runs a network of the registry."""

    def build(weights: str | None, device: str, companion_weights: str | None) -> Matcher:
        from xmatch.matchers.weights import open_matcher

        return once(open_matcher, name, weights, device, companion_weights)

    return build


def _sift(weights: str | None, device: str, companion_weights: str | None) -> Matcher:
    from xmatch.matchers.sift import Sift

    _no_weights("sift", weights or companion_weights)
    return Sift()


def _mi(weights: str | None, device: str, companion_weights: str | None) -> Matcher:
    from xmatch.matchers.mi import MutualInformationMatcher

    _no_weights("mi", weights or companion_weights)
    return MutualInformationMatcher()


def _no_weights(name: str, weights: str | None) -> None:
    if weights is not None:
        raise UsageError(f"{name} takes no weights", hint="leave out --matcher: the weights choose theirs")


MATCHERS: dict[str, Builder] = {
    "auto": _auto,
    "structural": _structural,
    **{entry.matcher: _network(entry.matcher) for entry in ARCHITECTURES.values() if entry.matcher},
    "sift": _sift,
    "mi": _mi,
}
"""name -> builder(weights, device, companion weights)."""

COMPUTED_TOGETHER = ("auto", "structural", "xmatch-fields")
"""Matchers of `MATCHERS` that, with the weights of the package, compute many pairs at once on a device
(`xmatch.ops.batching`). The others hold what is one pair's alone."""

TAUGHT_KEYPOINTS = "xmatch-aliked"
"""Weights of the keypoints that find most poses of cameras across sensors (lab log)."""

EXTENSION_POINT: ExtensionPoint[Matcher | Plan] = ExtensionPoint("matcher", MATCHERS, "xmatch.matchers")


def load_plan(
    name: str, weights: str | None = None, device: str = "auto", companion_weights: str | None = None
) -> Plan:
    """The matchers that a name stands for, from `MATCHERS` or from an installed plug-in, in the order in which they are
    asked; all names but `auto` stand for one.

    Args:
        companion_weights: of the network whose keypoints are matched, where `weights` are of one that has none.

    Raises:
        UsageError: no such matcher or device, or weights for one that takes none.
        ModelError: weights that are needed are missing, damaged, or another matcher's.
    """
    checked(device)  # also where the matcher would not use it
    built = EXTENSION_POINT.build(name, weights, device, companion_weights)
    return built if isinstance(built, tuple) else (PlanStage.ready(built),)


def load_depth_plan(
    name: str, weights: str | None = None, device: str = "auto", companion_weights: str | None = None
) -> Plan:
    """The matchers of single correspondences that a name stands for, for scenes which no map of the plane explains:
    those of `auto` are keypoints, and keypoints whose descriptors were taught across sensors; any other name is itself.

    Arguments and errors as `load_plan`.
    """
    if name != "auto" or weights is not None:
        return load_plan(name, weights, device, companion_weights)[:1]
    from xmatch.matchers.sift import Sift
    from xmatch.matchers.weights import open_matcher

    checked(device)
    taught = PlanStage(TAUGHT_KEYPOINTS, lambda: open_matcher(None, TAUGHT_KEYPOINTS, device, companion_weights))
    return PlanStage.ready(Sift()), taught


def load_matcher(
    name: str, weights: str | None = None, device: str = "auto", companion_weights: str | None = None
) -> Matcher:
    """The first matcher of a plan; arguments and errors as `load_plan`."""
    return load_plan(name, weights, device, companion_weights)[0].build()
