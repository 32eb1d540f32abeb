"""What a matcher does where memory does not suffice: less, and it says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from xmatch.errors import ResourceError, is_out_of_memory
from xmatch.matchers.base import Matches
from xmatch.ops.batching import give_back


def matched_with_less(match: Callable[[], Matches], less: Callable[[], str | None], notes: list[str]) -> Matches:
    """What `match` finds; where memory does not suffice for it, again with less.

    Args:
        less: makes the next `match` take less memory, and says how; None: it takes the least that it can.
        notes: what has been said so far, by the same matcher; what is said now is added.

    Raises:
        ResourceError: the least is too much.
    """
    while True:
        try:
            return replace(match(), notes=tuple(notes))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler, which held what had been computed.
        give_back()
        how = less()
        if how is None:
            raise ResourceError(
                "out of memory for the network, also with less: " + "; ".join(notes)
                if notes
                else "out of memory for the network",
                hint="--device cpu, another --matcher, or a machine with more memory",
            )
        notes.append(f"memory did not suffice: {how}")
