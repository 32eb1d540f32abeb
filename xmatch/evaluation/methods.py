"""The matchers, peers and controls that a recipe compares, by name.

A name is looked up among xmatch's own matchers first, then among the peers; `peer:NAME` is always the peer, which
`sift` needs (the matcher `sift` runs inside `xmatch register`, the peer `sift` is OpenCV's as its tutorials use it).
`feature:NAME` is a feature of `xmatch match --task`, which finds points and no map.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from xmatch.errors import UsageError
from xmatch.evaluation.peers.base import ChecksSettings, PeerSettings
from xmatch.evaluation.peers.registry import load_peer
from xmatch.evaluation.prediction_rows import MethodKind
from xmatch.evaluation.recipe import COMPANY, EvalRecipe, MatcherSpec
from xmatch.geometry import Transform
from xmatch.registration.options import RegisterOptions

OF_FEATURES = ("diffusion", "dino", "feature_cache")
"""Fields of `MatcherSpec` that features alone have."""

CONTROLS = ("identity", "centre", "border-fit", "landmark-affine", "truth")
"""Peers that join every table."""

PEER_MARK = "peer:"
FEATURE_MARK = "feature:"


@dataclass(frozen=True)
class Method:
    """One line of the tables."""

    name: str
    kind: MethodKind
    uses: str
    """Its name in the registry of its kind."""
    spec: MatcherSpec

    @property
    def file_name(self) -> str:
        """The name as a part of file names."""
        return re.sub(r"[^\w.-]+", "-", self.name)

    def options(self, recipe: EvalRecipe) -> RegisterOptions:
        """Of a matcher: what `xmatch register` is told."""
        base = recipe.register
        weights = base.weights if self.spec.weights is None else self.spec.weights
        detector = base.companion_weights if self.spec.companion_weights is None else self.spec.companion_weights
        transform = base.transform if self.spec.transform is None else self.spec.transform
        return dataclasses.replace(
            base, matcher=self.uses, weights=weights, companion_weights=detector, transform=transform
        )

    def settings(self, recipe: EvalRecipe, truth: Transform | None = None) -> PeerSettings:
        """Of a peer. It is asked for a homography where `register` is, and for a similarity otherwise."""
        wanted = self.spec.transform or recipe.register.transform
        spec = self.spec
        return PeerSettings(
            transform="homography" if wanted == "homography" else "similarity",
            seed=recipe.register.seed,
            threads=recipe.register.threads,
            truth=truth,
            matcher=recipe.register.matcher,
            weights=spec.weights,
            companion_weights=spec.companion_weights,
            model=spec.model,
            device=recipe.register.device,
            command=spec.command,
            output_suffix=spec.output_suffix,
            pixel_origin=spec.pixel_origin,
            direction=spec.direction,
            python=spec.python,
        )

    def shapes(self, recipe: EvalRecipe) -> dict[str, Any]:
        """All of the recipe that shapes what this method says; JSON-ready."""
        values = {key: value for key, value in recipe.as_dict().items() if key not in COMPANY}
        if self.kind == "matcher":
            values["register"] = dataclasses.asdict(self.options(recipe))
        told = dataclasses.asdict(self)
        if self.kind != "feature":
            # Predictions of before there were features are of the same recipe.
            told["spec"] = {key: value for key, value in told["spec"].items() if key not in OF_FEATURES}
        return {**values, "method": told}


def methods(recipe: EvalRecipe) -> list[Method]:
    """What the recipe compares, in its order, then the controls.

    Raises:
        UsageError: an unknown name, two of one name, or a peer that lacks a setting.
        ModelError: weights cannot be loaded.
    """
    asked = [spec if isinstance(spec, MatcherSpec) else MatcherSpec(spec) for spec in recipe.matchers]
    found = [_method(spec) for spec in asked or [MatcherSpec(recipe.register.matcher)]]
    names = [method.file_name for method in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"several matchers are called {', '.join(twice)}", hint="give each its own `name`")
    for method in found:
        _check(method, recipe)
    if recipe.controls:
        found += [Method(name, "control", name, MatcherSpec(name)) for name in CONTROLS if name not in names]
    return found


def _method(spec: MatcherSpec) -> Method:
    name, uses = spec.name or spec.matcher, spec.matcher
    if uses.startswith(PEER_MARK):
        return Method(name, "peer", uses.removeprefix(PEER_MARK), spec)
    if uses.startswith(FEATURE_MARK):
        return Method(name, "feature", uses.removeprefix(FEATURE_MARK), spec)
    matchers, peers = known_names()
    if uses in matchers:
        return Method(name, "matcher", uses, spec)
    if uses in peers:
        return Method(name, "control" if uses in CONTROLS else "peer", uses, spec)
    known = ", ".join([*matchers, *(peer for peer in peers if peer not in matchers)])
    raise UsageError(f"there is no matcher or peer {uses!r}", hint=f"known: {known}")


def known_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of all matchers and of all peers, plug-ins included."""
    from xmatch.evaluation.peers.registry import EXTENSION_POINT as peers
    from xmatch.matchers.registry import EXTENSION_POINT as matchers

    return matchers.names(), peers.names()


def _check(method: Method, recipe: EvalRecipe) -> None:
    """That it can be built, before any pair is run."""
    if method.kind == "matcher":
        from xmatch.matchers.registry import load_matcher

        options = method.options(recipe)
        load_matcher(options.matcher, options.weights, options.device, options.companion_weights)
        return
    if method.kind == "feature":
        from xmatch.evaluation.features import check_feature

        check_feature(method.uses, method.spec, recipe)
        return
    peer = load_peer(method.uses)
    try:
        settings = method.settings(recipe)
    except ValueError as error:
        raise UsageError(f"{method.name}: {error}") from None
    if isinstance(peer, ChecksSettings):
        peer.check(settings)
