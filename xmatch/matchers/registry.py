"""Which matchers there are.

`MATCHERS` is the vocabulary; builders import what they need when they are called. A matcher from outside joins
through the entry-point group `xmatch.matchers` (a builder taking the same keywords).
"""

from __future__ import annotations

from collections.abc import Callable

from xmatch.errors import UsageError
from xmatch.matchers.base import Matcher
from xmatch.networks.registry import ARCHITECTURES
from xmatch.ops.devices import checked


def _auto(weights: str | None, device: str) -> Matcher:
    from xmatch.matchers.structural import BY_HAND, Look, Structural
    from xmatch.matchers.weights import matcher_of, open_fields

    if weights is not None:
        return load_matcher(matcher_of(weights), weights, device)
    # What the first has looked at by hand, the second need not look at again.
    by_hand, name = Look(BY_HAND), "xmatch-fields"
    # The network is loaded only where it is asked.
    return Structural("auto", by_hand, otherwise=lambda: Structural(name, by_hand, open_fields(name, None, device)))


def _structural(weights: str | None, device: str) -> Matcher:
    from xmatch.matchers.structural import Structural

    _no_weights("structural", weights)
    return Structural()


def _network(name: str) -> Callable[[str | None, str], Matcher]:
    """Builder of the matcher `name` that runs a network of the registry."""

    def build(weights: str | None, device: str) -> Matcher:
        from xmatch.matchers.weights import open_matcher

        return open_matcher(name, weights, device)

    return build


def _sift(weights: str | None, device: str) -> Matcher:
    from xmatch.matchers.sift import Sift

    _no_weights("sift", weights)
    return Sift()


def _mi(weights: str | None, device: str) -> Matcher:
    from xmatch.matchers.mi import MutualInformation

    _no_weights("mi", weights)
    return MutualInformation()


def _no_weights(name: str, weights: str | None) -> None:
    if weights is not None:
        raise UsageError(f"{name} takes no weights", hint="leave out --matcher: the weights choose theirs")


MATCHERS: dict[str, Callable[[str | None, str], Matcher]] = {
    "auto": _auto,
    "structural": _structural,
    **{entry.matcher: _network(entry.matcher) for entry in ARCHITECTURES.values() if entry.matcher},
    "sift": _sift,
    "mi": _mi,
}
"""name -> builder(weights, device)."""


def load_matcher(name: str, weights: str | None = None, device: str = "auto") -> Matcher:
    """The matcher of that name, from `MATCHERS` or from an installed plug-in.

    Raises:
        UsageError: no such matcher or device, or weights for one that takes none.
        ModelError: weights that are needed are missing, damaged, or another matcher's.
    """
    checked(device)  # also where the matcher would not use it
    if name in MATCHERS:
        return MATCHERS[name](weights, device)
    from importlib.metadata import entry_points

    plugins = {point.name: point for point in entry_points(group="xmatch.matchers")}
    if name in plugins:
        matcher: Matcher = plugins[name].load()(weights, device)
        return matcher
    known = ", ".join([*MATCHERS, *plugins])
    raise UsageError(f"there is no matcher {name!r}", hint=f"known: {known}")
