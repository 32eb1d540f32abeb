"""All peers and controls, by name; builders import what they need when they are called."""

from __future__ import annotations

from collections.abc import Callable

from xmatch.evaluation.peers.base import Peer
from xmatch.plugins import ExtensionPoint


def _control(name: str) -> Callable[[], Peer]:
    def build() -> Peer:
        from xmatch.evaluation.peers.controls import CONTROLS

        return CONTROLS[name]()

    return build


def _keypoints(detector: str) -> Callable[[], Peer]:
    def build() -> Peer:
        from xmatch.evaluation.peers.keypoints import Keypoints

        return Keypoints(detector)

    return build


def _phase() -> Peer:
    from xmatch.evaluation.peers.phase import PhaseCorrelation

    return PhaseCorrelation()


def _rift() -> Peer:
    from xmatch.evaluation.peers.rift import Rift

    return Rift()


def _mutual_information() -> Peer:
    from xmatch.evaluation.peers.mutual_information import MutualInformationPeer

    return MutualInformationPeer()


def _xmatch() -> Peer:
    from xmatch.evaluation.peers.xmatch_itself import Xmatch

    return Xmatch()


def _program() -> Peer:
    from xmatch.evaluation.peers.program import Program

    return Program()


def _arosics() -> Peer:
    from xmatch.evaluation.peers.program import Arosics

    return Arosics()


def _network() -> Peer:
    from xmatch.evaluation.peers.networks import PublishedNetwork

    return PublishedNetwork()


def _vismatch() -> Peer:
    from xmatch.evaluation.peers.vismatch_peer import Vismatch

    return Vismatch()


PEERS: dict[str, Callable[[], Peer]] = {
    "identity": _control("identity"),
    "centre": _control("centre"),
    "truth": _control("truth"),
    "border-fit": _control("border-fit"),
    "landmark-affine": _control("landmark-affine"),
    "sift": _keypoints("sift"),
    "akaze": _keypoints("akaze"),
    "orb": _keypoints("orb"),
    "rift": _rift,
    "phase-correlation": _phase,
    "mutual-information": _mutual_information,
    "xmatch": _xmatch,
    "program": _program,
    "arosics": _arosics,
    "network": _network,
    "vismatch": _vismatch,
}
"""name -> builder."""

EXTENSION_POINT: ExtensionPoint[Peer] = ExtensionPoint("peer", PEERS, "xmatch.peers")


def load_peer(name: str) -> Peer:
    """The peer of that name, from `PEERS` or from an installed plug-in.

    Raises:
        UsageError: no such peer.
    """
    return EXTENSION_POINT.build(name)
