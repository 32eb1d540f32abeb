"""What stands in the place of an answer that will not come."""

from __future__ import annotations

from enum import Enum

from xmatch.errors import ResourceError


class Lost(Enum):
    """Why an item has no answer."""

    DIED = "died"
    """The process that worked on it did."""
    OVERDUE = "overdue"
    """It took longer than its time limit."""

    def as_error(self, work: str, remedy: str, limit_s: float | None = None) -> ResourceError:
        """What the user is told.

        Args:
            work: what the process did with the item ("registered it").
            remedy: against too little memory ("fewer --jobs").
            limit_s: the time limit, of what is overdue.
        """
        if self is Lost.OVERDUE:
            hint = "is a file slow to come? or give it a longer --time-limit"
            return ResourceError(f"it was not done after {limit_s:g} s", hint=hint)
        return ResourceError(f"the process that {work} died", hint=f"killed for its memory? {remedy}")
