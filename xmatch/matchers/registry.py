"""Which matchers there are.

`MATCHERS` is the vocabulary; builders import what they need when they are called. A matcher from outside joins
through the entry-point group `xmatch.matchers` (a builder taking the same keywords).
"""

from __future__ import annotations

from collections.abc import Callable

from xmatch.errors import UsageError
from xmatch.matchers.base import Matcher
from xmatch.ops.devices import checked
from xmatch.plugins import ExtensionPoint


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


def _fields(weights: str | None, device: str) -> Matcher:
    from xmatch.matchers.structural import Structural
    from xmatch.matchers.weights import open_fields

    return Structural("xmatch-fields", fields=open_fields("xmatch-fields", weights, device))


def _dense(weights: str | None, device: str) -> Matcher:
    from xmatch.matchers.dense import Learned
    from xmatch.matchers.weights import open_network

    return Learned("xmatch-small", open_network("xmatch-small", weights, device))


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
    "xmatch-fields": _fields,
    "xmatch-small": _dense,
    "sift": _sift,
    "mi": _mi,
}
"""name -> builder(weights, device)."""

EXTENSION_POINT: ExtensionPoint[Matcher] = ExtensionPoint("matcher", MATCHERS, "xmatch.matchers")


def load_matcher(name: str, weights: str | None = None, device: str = "auto") -> Matcher:
    """The matcher of that name, from `MATCHERS` or from an installed plug-in.

    Raises:
        UsageError: no such matcher or device, or weights for one that takes none.
        ModelError: weights that are needed are missing, damaged, or another matcher's.
    """
    checked(device)  # also where the matcher would not use it
    return EXTENSION_POINT.build(name, weights, device)
