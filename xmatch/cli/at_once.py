"""`--at-once`: how many pairs one process has under way where they share a GPU."""

from __future__ import annotations

from collections.abc import Mapping

from xmatch.errors import UsageError
from xmatch.ops.batching import AT_ONCE
from xmatch.ops.devices import resolved_with_driver

HELP = f"Pairs under way at once in one process, which share a GPU's work; default {AT_ONCE} there, 1 on a CPU."


def pairs_at_once(asked: int | None, device: str, alone: Mapping[str, bool]) -> int:
    """Pairs that a command has under way in this process; 1: one after the other.

    Args:
        asked: by the user; None: not said.
        device: as `--device` has it.
        alone: why each pair would be alone all the same, and whether that is so.

    Raises:
        UsageError: several are asked for where they would share nothing.
    """
    reasons = {"there is no GPU to share (--device)": resolved_with_driver(device) == "cpu", **alone}
    reason = next((words for words, holds in reasons.items() if holds), None)
    if reason is None:
        return asked or AT_ONCE
    if asked not in (None, 1):
        raise UsageError(f"--at-once {asked}: {reason}", hint="leave out one of them; --jobs N uses more cores")
    return 1


def computes_together(matcher: str, weights: str | None) -> bool:
    """Whether a matcher of `--matcher` and `--weights` computes many pairs at once on a device."""
    from xmatch.matchers.registry import COMPUTED_TOGETHER

    return matcher in COMPUTED_TOGETHER and weights is None
